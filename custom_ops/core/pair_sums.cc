// Sums of products of rows of two tables, and their gradient, on the CPU.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "buckets.h"
#include "clones.h"
#include "lookup.h"
#include "parallel.h"
#include "visit.h"

namespace pss {
namespace {

// The two rows that an id reads.
struct Pair {
  int32_t first, second;
};

// The pairs of all ids. An id outside of the tables has the first or last one.
template <typename Id>
std::vector<Pair> pairs_of(const pss_pair_tables& tables, const Id* ids,
                           int64_t count, const pss_parallel& parallel) {
  const int64_t second = tables.second_rows;
  const int64_t last = tables.first_rows * second - 1;
  std::vector<Pair> pairs(count);
  const Ranges ranges(parallel, count, 4096);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    for (int64_t i = ranges.begin(range); i < ranges.end(range); ++i) {
      const int64_t id = std::min(std::max<int64_t>(ids[i], 0), last);
      // A division of 32 bits takes a third of the time of one of 64.
      const int64_t first =
          last <= INT32_MAX
              ? static_cast<int32_t>(id) / static_cast<int32_t>(second)
              : id / second;
      pairs[i] = {static_cast<int32_t>(first),
                  static_cast<int32_t>(id - first * second)};
    }
  });
  return pairs;
}

void ask_for_row(const float* row, int64_t length) {
  for (int64_t t = 0; t < length; t += 16) __builtin_prefetch(row + t);
}

// out[j] = sum over k of x[k, j] y[k, j]. The upper half of the terms is added to
// the lower one until one is left: long loops, whatever the rank is.
PSS_CLONES void sum_products(const float* __restrict x,
                             const float* __restrict y, int64_t terms,
                             int64_t rank, float* __restrict sum) {
  int64_t half = (terms + 1) / 2;
  const int64_t lower = half * rank, upper = (terms - half) * rank;
  const float* __restrict x2 = x + lower;
  const float* __restrict y2 = y + lower;
  for (int64_t t = 0; t < upper; ++t) sum[t] = x[t] * y[t] + x2[t] * y2[t];
  for (int64_t t = upper; t < lower; ++t) sum[t] = x[t] * y[t];
  while (half > 1) {
    terms = half;
    half = (terms + 1) / 2;
    float* __restrict to = sum;
    const float* __restrict from = sum + half * rank;
    const int64_t more = (terms - half) * rank;
    for (int64_t t = 0; t < more; ++t) to[t] += from[t];
  }
}

// sum[t] += x[t] y[t].
PSS_CLONES void add_products(const float* __restrict x,
                             const float* __restrict y, int64_t width,
                             float* __restrict sum) {
  for (int64_t t = 0; t < width; ++t) sum[t] += x[t] * y[t];
}

// Writes a row once for each term.
void repeat(const float* row, int64_t rank, int64_t width, float* out) {
  std::memcpy(out, row, rank * sizeof(float));
  for (int64_t filled = rank; filled < width;) {
    const int64_t more = std::min(filled, width - filled);
    std::memcpy(out + filled, out, more * sizeof(float));
    filled += more;
  }
}

void lookup(const pss_pair_tables& tables, const std::vector<Pair>& pairs,
            const float* first, const float* second, float* out,
            const pss_parallel& parallel) {
  const int64_t rank = tables.rank, width = tables.terms * rank;
  const Ranges ranges(parallel, pairs.size(), 512);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    std::vector<float> sum(width);
    const int64_t end = ranges.end(range);
    for (int64_t i = ranges.begin(range); i < end; ++i) {
      if (i + kAhead < end) {
        ask_for_row(first + pairs[i + kAhead].first * width, width);
        ask_for_row(second + pairs[i + kAhead].second * width, width);
      }
      sum_products(first + pairs[i].first * width,
                   second + pairs[i].second * width, tables.terms, rank,
                   sum.data());
      std::memcpy(out + i * rank, sum.data(), rank * sizeof(float));
    }
  });
}

// Ranges of 2^shift rows of a gradient: small enough for the cache and enough for
// all threads, but not so many that sorting into them gets slow.
int shift_of_ranges(const pss_parallel& parallel, int64_t rows,
                    int64_t bytes) {
  const int64_t fits = (int64_t{128} << 10) / std::max<int64_t>(bytes, 1);
  const int64_t shared =
      parallel.threads > 1 ? rows / (4 * parallel.threads) : rows;
  const int64_t wanted =
      std::max({std::min(fits, shared), rows / 2048, int64_t{1}});
  int shift = 0;
  while ((int64_t{1} << shift) < wanted) ++shift;
  return shift;
}

// The gradient of one table: to the row `own` of each id, the product of the
// upstream gradient, repeated for each term, and of the row `other`.
void gradient(const pss_pair_tables& tables, const std::vector<Pair>& pairs,
              const float* upstream, const float* others, int64_t rows,
              int32_t Pair::*own, int32_t Pair::*other, float* out,
              const pss_parallel& parallel) {
  const int64_t rank = tables.rank, width = tables.terms * rank;
  const int shift = shift_of_ranges(parallel, rows, width * sizeof(float));
  const int64_t parts = ((rows - 1) >> shift) + 1;
  const Buckets buckets(
      parallel, pairs.size(), parts,
      [&](int64_t i, const auto& put) { put(pairs[i].*own >> shift); });
  for_items(parallel, parts, [&](int64_t part) {
    std::vector<float> repeated(width);
    const int64_t end = std::min(rows, (part + 1) << shift);
    std::fill(out + (part << shift) * width, out + end * width, 0.0f);
    const int32_t* last = buckets.end(part);
    for (const int32_t* i = buckets.begin(part); i != last; ++i) {
      if (last - i > kAhead) {
        ask_for_row(others + pairs[i[kAhead]].*other * width, width);
        ask_for(upstream + i[kAhead] * rank, rank);
      }
      const Pair& pair = pairs[*i];
      repeat(upstream + *i * rank, rank, width, repeated.data());
      add_products(repeated.data(), others + pair.*other * width, width,
                   out + pair.*own * width);
    }
  });
}

bool valid(const pss_pair_tables& tables) {
  constexpr int64_t kMost = int64_t{1} << 31;
  return tables.first_rows > 0 && tables.second_rows > 0 && tables.terms > 0 &&
         tables.rank > 0 && tables.first_rows < kMost &&
         tables.second_rows < kMost && tables.terms < kMost &&
         tables.rank < kMost;
}

}  // namespace
}  // namespace pss

extern "C" {

pss_status pss_pair_sums(const pss_pair_tables* tables, const pss_ids* ids,
                         const float* first, const float* second, float* out,
                         const pss_parallel* parallel) try {
  if (!pss::valid(*tables)) return PSS_INVALID;
  pss::with_ids(*ids, [&](const auto* id) {
    const auto pairs = pss::pairs_of(*tables, id, ids->count, *parallel);
    pss::lookup(*tables, pairs, first, second, out, *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

pss_status pss_pair_sums_gradient(const pss_pair_tables* tables,
                                  const pss_ids* ids, const float* first,
                                  const float* second, const float* upstream,
                                  float* first_gradient,
                                  float* second_gradient,
                                  const pss_parallel* parallel) try {
  if (!pss::valid(*tables)) return PSS_INVALID;
  pss::with_ids(*ids, [&](const auto* id) {
    const auto pairs = pss::pairs_of(*tables, id, ids->count, *parallel);
    pss::gradient(*tables, pairs, upstream, second, tables->first_rows,
                  &pss::Pair::first, &pss::Pair::second, first_gradient,
                  *parallel);
    pss::gradient(*tables, pairs, upstream, first, tables->second_rows,
                  &pss::Pair::second, &pss::Pair::first, second_gradient,
                  *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
