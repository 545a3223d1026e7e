#include "tile.h"

#include "number.h"
#include "visit.h"

namespace pss {
namespace {

PSS_CLONES void hash_words(const uint32_t* __restrict low,
                           const uint32_t* __restrict high, bool has_high,
                           const uint32_t* __restrict a,
                           const uint32_t* __restrict b,
                           const uint32_t* __restrict k, int64_t n,
                           uint32_t* __restrict out) {
  if (has_high) {
    for (int64_t i = 0; i < n; ++i) {
      out[i] = word(low[i], high[i], a[i], b[i], k[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = mixed(low[i] * a[i] + k[i]);
  }
}

PSS_CLONES void reduce_words(uint32_t* words, uint32_t size, int64_t n) {
  for (int64_t i = 0; i < n; ++i) words[i] = reduced(words[i], size);
}

// The two words of each id, the upper ones mixed; returns whether any upper
// word is not 0.
PSS_CLONES bool split_ids(const int64_t* __restrict id, int64_t n,
                          uint32_t* __restrict low, uint32_t* __restrict high) {
  uint32_t any = 0;
  for (int64_t i = 0; i < n; ++i) {
    low[i] = static_cast<uint32_t>(id[i]);
    high[i] = static_cast<uint32_t>(static_cast<uint64_t>(id[i]) >> 32);
    any |= high[i];
  }
  if (any == 0) return false;
  for (int64_t i = 0; i < n; ++i) high[i] = mixed_high(high[i]);
  return true;
}

// The same for 32-bit ids.
PSS_CLONES bool split_ids(const int32_t* __restrict id, int64_t n,
                          uint32_t* __restrict low, uint32_t* __restrict high) {
  uint32_t any = 0;
  for (int64_t i = 0; i < n; ++i) {
    low[i] = static_cast<uint32_t>(id[i]);
    high[i] = shifted(low[i], 31);
    any |= high[i];
  }
  if (any == 0) return false;
  for (int64_t i = 0; i < n; ++i) high[i] = mixed_high(high[i]);
  return true;
}

PSS_CLONES void turn_first_signs(uint32_t word, int n, float* x) {
  for (int t = 0; t < n; ++t) {
    x[t] = float_of(bits_of(x[t]) ^ ((word << t) & 0x80000000u));
  }
}

}  // namespace

void turn_signs(uint32_t word, int64_t begin, int64_t end, float* x) {
  turn_first_signs(word << begin, static_cast<int>(end - begin), x);
}

Tile::Tile(const pss_robe& robe)
    : robe_(robe),
      pieces_(pieces_of(robe)),
      words_(pieces_ + robe.sign_words),
      tables_(robe.num_tables),
      stride_(kTile + tables_),
      id_(kTile),
      low_(kTile),
      high_(kTile),
      rest_(kTile),
      key_(3 * words_ * stride_),
      found_(words_ * kTile) {
  // Keys repeat after the last table, so that a tile can begin at any table.
  for (int64_t w = 0; w < words_; ++w) {
    for (int64_t part = 0; part < 3; ++part) {
      uint32_t* to = key_.data() + (w * 3 + part) * stride_;
      for (int64_t e = 0; e < tables_; ++e) {
        to[e] = static_cast<uint32_t>(robe.keys[(e * words_ + w) * 3 + part]);
      }
      for (int64_t j = tables_; j < stride_; ++j) to[j] = to[j - tables_];
    }
  }
}

void Tile::load(const pss_ids& ids, int64_t begin, int64_t n,
                const int32_t* row) {
  bool has_high = with_ids(ids, [&](const auto* id) {
    return split_ids(id + begin, n, low_.data(), high_.data());
  });
  hash(pieces_, words_, has_high, begin, n, row);
  const bool shares = robe_.block_size > robe_.output_dim;
  if (shares) {
    // Consecutive ids share a block: the starts hash the block's number, the
    // signs hash the id.
    with_ids(ids, [&](const auto* id) {
      std::copy(id + begin, id + begin + n, id_.begin());
    });
    divide(n);
    has_high = split_ids(id_.data(), n, low_.data(), high_.data());
  }
  hash(0, pieces_, has_high, begin, n, row);
  const uint32_t m = static_cast<uint32_t>(robe_.memory_size);
  for (int64_t w = 0; w < pieces_; ++w) {
    reduce_words(found_.data() + w * kTile, m, n);
  }
  if (!shares) return;
  const uint32_t d = static_cast<uint32_t>(robe_.output_dim);
  for (int64_t i = 0; i < n; ++i) {
    found_[i] = turned(found_[i], rest_[i] * d, m);
  }
}

void Tile::hash(int64_t first, int64_t last, bool has_high, int64_t begin,
                int64_t n, const int32_t* row) {
  for (int64_t w = first; w < last; ++w) {
    const uint32_t* a = key_.data() + w * 3 * stride_;
    const uint32_t *b = a + stride_, *k = b + stride_;
    uint32_t* out = found_.data() + w * kTile;
    if (row != nullptr && tables_ > 1) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t e = std::max<int32_t>(row[i], 0) % tables_;
        out[i] = word(low_[i], has_high ? high_[i] : 0, a[e], b[e], k[e]);
      }
    } else {
      const int64_t e = begin % tables_;
      hash_words(low_.data(), high_.data(), has_high, a + e, b + e, k + e, n,
                 out);
    }
  }
}

// Divides ids into the number of their block, of Z / d ids, and the rest.
void Tile::divide(int64_t n) {
  const uint64_t by = robe_.block_size / robe_.output_dim;
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t id = static_cast<uint64_t>(id_[i]);
    // 32-bit division is several times faster.
    const uint64_t quotient =
        id >> 32 ? id / by
                 : static_cast<uint32_t>(id) / static_cast<uint32_t>(by);
    id_[i] = static_cast<int64_t>(quotient);
    rest_[i] = static_cast<uint32_t>(id - quotient * by);
  }
}

}  // namespace pss
