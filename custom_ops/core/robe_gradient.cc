// The dense gradient of ROBE lookups on the CPU.

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "clones.h"
#include "lookup.h"
#include "owners.h"
#include "parallel.h"
#include "robe.h"
#include "tile.h"
#include "visit.h"

namespace pss {
namespace {

// The output row of each id, or -1; empty without splits, where row i is id i.
std::vector<int32_t> rows_of_ids(const pss_ids& ids) {
  if (ids.splits == nullptr) return {};
  std::vector<int32_t> row(ids.count, -1);
  for (int64_t r = 0; r < ids.rows; ++r) {
    const int64_t last = split_of(ids, r + 1);
    for (int64_t i = split_of(ids, r); i < last; ++i) {
      row[i] = static_cast<int32_t>(r);
    }
  }
  return row;
}

// Writes the starts of the pieces of the ids [begin, end), (ids, pieces).
void write_starts(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
                  int64_t begin, int64_t end, Tile* tile, int32_t* to) {
  const int64_t pieces = pieces_of(robe);
  for (int64_t at = begin; at < end; at += kTile) {
    const int64_t n = std::min(kTile, end - at);
    tile->load(ids, at, n, row ? row + at : nullptr);
    for (int64_t c = 0; c < pieces; ++c) {
      const uint32_t* from = tile->starts(c);
      for (int64_t i = 0; i < n; ++i) {
        to[i * pieces + c] = static_cast<int32_t>(from[i]);
      }
    }
    to += n * pieces;
  }
}

void find_starts(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
                 int32_t* starts, const pss_parallel& parallel) {
  const Ranges ranges(parallel, ids.count, kTile);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    Tile tile(robe);
    const int64_t begin = ranges.begin(range);
    write_starts(robe, ids, row, begin, ranges.end(range), &tile,
                 starts + begin * pieces_of(robe));
  });
}

// A piece of a row: its number, id * pieces + c, and its start in the memory.
struct Piece {
  int64_t number, start;
};

// Adds the pieces that overlap one range of the memory.
template <typename T>
class Part {
 public:
  Part(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
       const T* upstream, int64_t begin, int64_t end, float* sums)
      : robe_(robe),
        ids_(ids),
        row_(row),
        upstream_(upstream),
        begin_(begin),
        end_(end),
        pieces_(pieces_of(robe)),
        longest_(length_of(robe, 0)),
        last_(length_of(robe, pieces_ - 1)),
        sums_(sums),
        scaled_(longest_) {}

  // Adds the pieces at(0) .. at(count - 1). If L is not 0, they are plain
  // copies of length L, which are consecutive upstream.
  template <int L, typename At>
  void add_all(int64_t count, const At& at) {
    for (int64_t k = 0; k < count; ++k) {
      const Piece piece = at(k);
      if constexpr (L != 0) {
        if (k + kAhead < count) {
          const Piece next = at(k + kAhead);
          ask_for(upstream_ + next.number * L, L);
          if (next.start >= begin_ && next.start + L <= end_) {
            ask_for(sums_ + (next.start - begin_), L);
          }
        }
        add_at<L>(upstream_ + piece.number * L, piece.start, L);
      } else {
        add_any(piece);
      }
    }
  }

 private:
  void add_any(const Piece& piece) {
    const int32_t number = static_cast<int32_t>(piece.number);
    const int32_t pieces = static_cast<int32_t>(pieces_);
    const int32_t id = number / pieces, c = number % pieces;
    const int64_t of = row_ ? row_[id] : id;
    if (of < 0) return;
    const int64_t first = c * longest_;
    const int64_t length = c + 1 < pieces_ ? longest_ : last_;
    const T* from = upstream_ + of * robe_.output_dim + first;
    const float factor = factor_of(robe_, ids_, of, id);
    float* to = scaled_.data();
    for (int64_t t = 0; t < length; ++t) to[t] = factor * to_float(from[t]);
    if (robe_.sign_words) turn(id, of, first, length, to);
    add_at<0>(to, piece.start, length);
  }

  template <int L, typename U>
  PSS_INLINE void add_at(const U* from, int64_t start, int64_t length) const {
    if (start >= begin_ && start + length <= end_) {
      return add<L>(from, length, sums_ + (start - begin_));
    }
    const int64_t m = robe_.memory_size;
    for (int64_t t = 0; t < length; ++t) {
      const int64_t at = start + t < m ? start + t : start + t - m;
      if (at >= begin_ && at < end_) sums_[at - begin_] += to_float(from[t]);
    }
  }

  // Applies the signs of elements [first, first + n) of an id's row.
  void turn(int64_t id, int64_t row, int64_t first, int64_t n, float* x) const {
    const uint64_t value = with_ids(ids_, [&](const auto* ids) {
      return static_cast<uint64_t>(static_cast<int64_t>(ids[id]));
    });
    const uint32_t low = static_cast<uint32_t>(value);
    const uint32_t high = static_cast<uint32_t>(value >> 32);
    const uint32_t high_mixed = high ? mixed_high(high) : 0;
    const int64_t words = pieces_ + robe_.sign_words;
    const int32_t* keys = robe_.keys + (row % robe_.num_tables) * words * 3;
    for (int64_t at = first; at < first + n;) {
      const int64_t w = at / 32;
      const int64_t end = std::min(first + n, 32 * (w + 1));
      const int32_t* key = keys + (pieces_ + w) * 3;
      turn_signs(word(low, high_mixed, key[0], key[1], key[2]), at - 32 * w,
                 end - 32 * w, x + (at - first));
      at = end;
    }
  }

  const pss_robe& robe_;
  const pss_ids& ids_;
  const int32_t* row_;
  const T* upstream_;
  const int64_t begin_, end_;
  const int64_t pieces_, longest_, last_;
  float* sums_;
  std::vector<float> scaled_;
};

// Flags the pieces that overlap a range of the memory: those that start in
// [low, low + size), and those that wrap around far enough into it.
PSS_CLONES void flag_overlaps(const int32_t* __restrict starts, int64_t n,
                              uint32_t low, uint32_t size, uint32_t wraps,
                              uint8_t* __restrict inside) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t start = static_cast<uint32_t>(starts[i]);
    inside[i] = (start - low < size) | (start > wraps);
  }
}

// The length of all pieces if they are plain copies, consecutive upstream, and
// code is specialized for it; else 0.
int64_t plain_length(const pss_robe& robe, const pss_ids& ids) {
  return is_plain(robe, ids) && !ids.splits ? even_length(robe) : 0;
}

// Adds all pieces to the memory as one range. Ids are hashed tile by tile, so
// that their starts stay in the L1 cache.
template <typename T>
void add_directly(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
                  const T* upstream, void* out) {
  const int64_t m = robe.memory_size, pieces = pieces_of(robe);
  Sums<T> sums(out, 0, m, outlasts_cache(m * sizeof(T)));
  Part<T> sum(robe, ids, row, upstream, 0, m, sums.data());
  Tile tile(robe);
  std::vector<int32_t> starts(kTile * pieces);
  with_length(plain_length(robe, ids), [&](auto length) {
    for (int64_t id = 0; id < ids.count; id += kTile) {
      const int64_t end = std::min(ids.count, id + kTile);
      write_starts(robe, ids, row, id, end, &tile, starts.data());
      sum.template add_all<decltype(length)::value>(
          (end - id) * pieces,
          [first = id * pieces, at = starts.data()](int64_t k) {
            return Piece{first + k, at[k]};
          });
    }
  });
  sums.store();
}

// Adds the pieces by range: the owner of each selects those that overlap it.
template <typename T>
void add_selected(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
                  const T* upstream, void* out, int64_t owners,
                  const pss_parallel& parallel) {
  const int64_t m = robe.memory_size, longest = length_of(robe, 0);
  const int64_t pieces = ids.count * pieces_of(robe);
  const std::unique_ptr<int32_t[]> starts(new int32_t[pieces]);
  find_starts(robe, ids, row, starts.get(), parallel);
  for_items(parallel, owners, [&](int64_t owner) {
    const int64_t begin = m * owner / owners, end = m * (owner + 1) / owners;
    Sums<T> sums(out, begin, end, outlasts_cache(m * sizeof(T)));
    Part<T> sum(robe, ids, row, upstream, begin, end, sums.data());
    const int64_t low = std::max<int64_t>(0, begin - (longest - 1));
    const int64_t wraps = std::min(m, m - longest + begin);
    with_length(plain_length(robe, ids), [&](auto length) {
      select(
          pieces,
          [&](int64_t first, int64_t n, uint8_t* inside) {
            flag_overlaps(starts.get() + first, n, low, end - low, wraps,
                          inside);
          },
          [&](int64_t first, const int32_t* found, int64_t count) {
            sum.template add_all<decltype(length)::value>(
                count, [=, at = starts.get() + first](int64_t k) {
                  return Piece{first + found[k], at[found[k]]};
                });
          });
    });
    sums.store();
  });
}

template <typename T>
void gradient(const pss_robe& robe, const pss_ids& ids, const T* upstream,
              void* out, const pss_parallel& parallel) {
  const std::vector<int32_t> rows = rows_of_ids(ids);
  const int32_t* row = ids.splits ? rows.data() : nullptr;
  const int64_t owners = owners_of<T>(parallel, robe.memory_size,
                                      ids.count * robe.output_dim);
  if (owners == 1) return add_directly(robe, ids, row, upstream, out);
  add_selected(robe, ids, row, upstream, out, owners, parallel);
}

}  // namespace
}  // namespace pss

extern "C" {

pss_status pss_robe_starts(const pss_robe* robe, const pss_ids* ids,
                           int32_t* starts, const pss_parallel* parallel) try {
  if (pss_robe_check(robe, ids) != nullptr) return PSS_INVALID;
  const std::vector<int32_t> rows = pss::rows_of_ids(*ids);
  pss::find_starts(*robe, *ids, ids->splits ? rows.data() : nullptr, starts,
                   *parallel);
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

pss_status pss_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                             pss_float type, const void* upstream, void* out,
                             const pss_parallel* parallel) try {
  if (pss_robe_check(robe, ids) != nullptr) return PSS_INVALID;
  pss::with_type(type, [&](auto number) {
    using T = decltype(number);
    pss::gradient(*robe, *ids, static_cast<const T*>(upstream), out, *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
