// The dense gradient of ROBE lookups on the CPU.

#include <algorithm>
#include <new>
#include <vector>

#include "buckets.h"
#include "lookup.h"
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

void find_starts(const pss_robe& robe, const pss_ids& ids, const int32_t* row,
                 int32_t* starts, const pss_parallel& parallel) {
  const int64_t pieces = pieces_of(robe);
  const Ranges ranges(parallel, ids.count, kTile);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    Tile tile(robe);
    const int64_t end = ranges.end(range);
    for (int64_t at = ranges.begin(range); at < end; at += kTile) {
      const int64_t n = std::min(kTile, end - at);
      tile.load(ids, at, n, row ? row + at : nullptr);
      for (int64_t c = 0; c < pieces; ++c) {
        const uint32_t* from = tile.starts(c);
        int32_t* to = starts + at * pieces + c;
        for (int64_t i = 0; i < n; ++i) {
          to[i * pieces] = static_cast<int32_t>(from[i]);
        }
      }
    }
  });
}

// Adds the pieces that overlap one range of the memory.
template <typename T>
class Part {
 public:
  Part(const pss_robe& robe, const pss_ids& ids, const int32_t* starts,
       const int32_t* row, const T* upstream, int64_t begin, int64_t end,
       float* sums)
      : robe_(robe),
        ids_(ids),
        starts_(starts),
        row_(row),
        upstream_(upstream),
        begin_(begin),
        end_(end),
        pieces_(pieces_of(robe)),
        longest_(length_of(robe, 0)),
        last_(length_of(robe, pieces_ - 1)),
        sums_(sums) {}

  // Without splits, pieces of equal length L are consecutive upstream.
  template <int L>
  void add_even(const int32_t* piece, const int32_t* last) const {
    const int64_t length = L;
    for (; piece != last; ++piece) {
      if (last - piece > kAhead) ask_for(upstream_ + piece[kAhead] * length, L);
      add_at<L>(upstream_ + *piece * length, starts_[*piece], length);
    }
  }

  void add_any(const int32_t* piece, const int32_t* last) const {
    const int32_t pieces = static_cast<int32_t>(pieces_);
    const bool turned = robe_.sign_words > 0;
    std::vector<float> row(longest_);
    for (; piece != last; ++piece) {
      const int32_t id = *piece / pieces, c = *piece % pieces;
      const int64_t of = row_ ? row_[id] : id;
      if (of < 0) continue;
      const int64_t first = c * longest_;
      const int64_t length = c + 1 < pieces_ ? longest_ : last_;
      const T* from = upstream_ + of * robe_.output_dim + first;
      const float factor = factor_of(robe_, ids_, of, id);
      for (int64_t t = 0; t < length; ++t) row[t] = factor * to_float(from[t]);
      if (turned) turn(id, of, first, length, row.data());
      add_at<0>(row.data(), starts_[*piece], length);
    }
  }

 private:
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
  const int32_t* starts_;
  const int32_t* row_;
  const T* upstream_;
  const int64_t begin_, end_;
  const int64_t pieces_, longest_, last_;
  float* sums_;
};

template <typename T>
void gradient(const pss_robe& robe, const pss_ids& ids, const T* upstream,
              void* out, const pss_parallel& parallel) {
  const int64_t pieces = pieces_of(robe), m = robe.memory_size;
  const int64_t longest = length_of(robe, 0);
  const std::vector<int32_t> rows = rows_of_ids(ids);
  const int32_t* row = ids.splits ? rows.data() : nullptr;
  std::vector<int32_t> starts(ids.count * pieces);
  find_starts(robe, ids, row, starts.data(), parallel);

  const int shift = shift_of_ranges(parallel, m, longest, sizeof(float));
  const int64_t parts = ((m - 1) >> shift) + 1;
  const Buckets buckets(
      parallel, ids.count * pieces, parts,
      [m, shift, longest, at = starts.data()](int64_t p, const auto& put) {
        const int64_t start = at[p], end = start + longest;
        const int64_t part = start >> shift;
        put(part);
        // No piece is longer than a part: it overlaps at most two parts up to
        // the memory's end, and the first part if it wraps around.
        const int64_t last = (std::min(end, m) - 1) >> shift;
        if (last != part) put(last);
        if (end > m && part != 0 && last != 0) put(0);
      });
  const bool even = is_plain(robe, ids) && !ids.splits;
  for_items(parallel, parts, [&](int64_t part) {
    const int64_t begin = part << shift;
    const int64_t end = std::min(m, (part + 1) << shift);
    Sums<T> sums(out, begin, end);
    const Part<T> sum(robe, ids, starts.data(), row, upstream, begin, end,
                      sums.data());
    with_length(even ? even_length(robe) : 0, [&](auto length) {
      constexpr int L = decltype(length)::value;
      if constexpr (L != 0) {
        sum.template add_even<L>(buckets.begin(part), buckets.end(part));
      } else {
        sum.add_any(buckets.begin(part), buckets.end(part));
      }
    });
    sums.store();
  });
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
