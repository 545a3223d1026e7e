// Sums of products of rows of two tables, and their gradient, on the CPU.

#include <algorithm>
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
  int64_t first, second;
};

class Pairs {
 public:
  explicit Pairs(const pss_pair_tables& tables)
      : first_(tables.first_rows), second_(tables.second_rows) {}
  Pair operator()(int64_t id) const {
    id = std::min(std::max<int64_t>(id, 0), first_ * second_ - 1);
    // A division of 32 bits takes a third of the time of one of 64.
    const int64_t first =
        id <= INT32_MAX && second_ <= INT32_MAX
            ? static_cast<int32_t>(id) / static_cast<int32_t>(second_)
            : id / second_;
    return {first, id - first * second_};
  }

 private:
  const int64_t first_, second_;
};

void ask_for_row(const float* row, int64_t length) {
  for (int64_t t = 0; t < length; t += 16) __builtin_prefetch(row + t);
}

// out[j] = sum over k of x[k, j] y[k, j], in the order of k.
PSS_CLONES void sum_products(const float* __restrict x,
                             const float* __restrict y, int64_t terms,
                             int64_t rank, float* __restrict product,
                             float* __restrict out) {
  const int64_t width = terms * rank;
  for (int64_t t = 0; t < width; ++t) product[t] = x[t] * y[t];
  for (int64_t j = 0; j < rank; ++j) out[j] = product[j];
  for (int64_t k = 1; k < terms; ++k) {
    for (int64_t j = 0; j < rank; ++j) out[j] += product[k * rank + j];
  }
}

// sum[t] += x[t] y[t].
PSS_CLONES void add_products(const float* __restrict x,
                             const float* __restrict y, int64_t width,
                             float* __restrict sum) {
  for (int64_t t = 0; t < width; ++t) sum[t] += x[t] * y[t];
}

template <typename Id>
void lookup(const pss_pair_tables& tables, const Id* ids, int64_t count,
            const float* first, const float* second, float* out,
            const pss_parallel& parallel) {
  const int64_t rank = tables.rank, width = tables.terms * rank;
  const Pairs pairs(tables);
  const Ranges ranges(parallel, count, 512);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    std::vector<float> product(width);
    const int64_t end = ranges.end(range);
    for (int64_t i = ranges.begin(range); i < end; ++i) {
      if (i + kAhead < end) {
        const Pair next = pairs(ids[i + kAhead]);
        ask_for_row(first + next.first * width, width);
        ask_for_row(second + next.second * width, width);
      }
      const Pair pair = pairs(ids[i]);
      sum_products(first + pair.first * width, second + pair.second * width,
                   tables.terms, rank, product.data(), out + i * rank);
    }
  });
}

// The gradient of one table: to the row `own` of each id, the product of the
// upstream gradient, repeated for each term, and of the row `other`.
template <typename Id>
void gradient(const pss_pair_tables& tables, const Id* ids, int64_t count,
              const float* upstream, const float* others, int64_t rows,
              int64_t Pair::*own, int64_t Pair::*other, float* out,
              const pss_parallel& parallel) {
  const int64_t rank = tables.rank, width = tables.terms * rank;
  const Pairs pairs(tables);
  const int shift = shift_of_ranges(parallel, rows, 1, width * sizeof(float));
  const int64_t parts = rows ? ((rows - 1) >> shift) + 1 : 0;
  const Buckets buckets(parallel, count, parts, [&](int64_t i, const auto& put) {
    put(pairs(ids[i]).*own >> shift);
  });
  for_items(parallel, parts, [&](int64_t part) {
    std::vector<float> repeated(width);
    const int64_t end = std::min(rows, (part + 1) << shift);
    std::fill(out + (part << shift) * width, out + end * width, 0.0f);
    const int32_t* last = buckets.end(part);
    for (const int32_t* i = buckets.begin(part); i != last; ++i) {
      if (last - i > kAhead) {
        ask_for_row(others + pairs(ids[i[kAhead]]).*other * width, width);
        ask_for(upstream + i[kAhead] * rank, rank);
      }
      const float* from = upstream + *i * rank;
      for (int64_t k = 0; k < tables.terms; ++k) {
        std::copy(from, from + rank, repeated.data() + k * rank);
      }
      const Pair pair = pairs(ids[*i]);
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
    pss::lookup(*tables, id, ids->count, first, second, out, *parallel);
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
    pss::gradient(*tables, id, ids->count, upstream, second,
                  tables->first_rows, &pss::Pair::first, &pss::Pair::second,
                  first_gradient, *parallel);
    pss::gradient(*tables, id, ids->count, upstream, first,
                  tables->second_rows, &pss::Pair::second, &pss::Pair::first,
                  second_gradient, *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
