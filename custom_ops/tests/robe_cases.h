// Random ROBE tables and ids.

#ifndef KERAS_PSS_TESTS_ROBE_CASES_H_
#define KERAS_PSS_TESTS_ROBE_CASES_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/lookup.h"
#include "tests/checks.h"

namespace pss {

// A test case: random tables, ids and values.
struct Case {
  int64_t m, d, z, tables, rows;
  bool sign, scaled, weighted, pooled, wide;
  pss_float type;
  std::vector<int32_t> keys, splits;
  std::vector<float> scales, weights;
  std::vector<int64_t> ids;
  std::vector<int32_t> narrow;
  pss_robe robe;
  pss_ids input;

  std::string name() const {
    char text[200];
    std::snprintf(text, sizeof(text),
                  "m=%ld d=%ld Z=%ld F=%ld rows=%ld ids=%zu sign=%d scaled=%d "
                  "weighted=%d pooled=%d wide=%d type=%d",
                  m, d, z, tables, rows, ids.size(), sign, scaled, weighted,
                  pooled, wide, type);
    return text;
  }

  int64_t pieces() const { return pss_robe_pieces(d, z); }

  void finish() {
    robe = {m,           d,
            z,           tables,
            sign ? (d + 31) / 32 : 0,
            keys.data(), scaled ? scales.data() : nullptr};
    input = {wide ? PSS_INT64 : PSS_INT32,
             wide ? static_cast<const void*>(ids.data()) : narrow.data(),
             static_cast<int64_t>(ids.size()),
             pooled ? splits.data() : nullptr,
             weighted ? weights.data() : nullptr,
             rows};
  }
};

inline void draw(std::mt19937_64& random, Case* made) {
  Case& c = *made;
  c.d = between(random, 1, 5) == 1 ? between(random, 1, 130)
                                   : int64_t{1} << between(random, 0, 6);
  c.m = c.d + between(random, 0, between(random, 0, 1) ? 40 : 30000);
  const int64_t kind = between(random, 0, 3);
  if (kind == 0) {
    const int64_t fold = c.m / c.d * c.d;
    c.m = c.z = fold;
  } else if (kind == 1) {
    c.z = c.d * between(random, 1, std::max<int64_t>(1, c.m / c.d));
  } else {
    c.z = between(random, 1, c.d);
  }
  c.tables = between(random, 1, 5);
  c.sign = between(random, 0, 1);
  c.scaled = between(random, 0, 1);
  c.weighted = between(random, 0, 1);
  c.pooled = between(random, 0, 1);
  c.wide = between(random, 0, 1);
  c.type = static_cast<pss_float>(between(random, 0, 2));
  c.rows = between(random, 0, between(random, 0, 3) ? 40 : 3000);
  int64_t count = c.rows;
  c.splits.assign(1, 0);
  if (c.pooled) {
    // Ids before the first split and after the last one belong to no row.
    c.splits[0] = static_cast<int32_t>(between(random, 0, 2));
    for (int64_t r = 0; r < c.rows; ++r) {
      c.splits.push_back(c.splits.back() +
                         static_cast<int32_t>(between(random, 0, 3)));
    }
    count = c.splits.back() + between(random, 0, 2);
  }
  const int64_t most = c.wide && between(random, 0, 1)
                           ? std::numeric_limits<int64_t>::max()
                           : (int64_t{1} << between(random, 1, 31)) - 1;
  for (int64_t i = 0; i < count; ++i) {
    c.ids.push_back(between(random, 0, most));
    c.narrow.push_back(static_cast<int32_t>(c.ids.back()));
    c.weights.push_back(static_cast<float>(between(random, -8, 8)) / 4);
  }
  const int64_t words = c.pieces() + (c.sign ? (c.d + 31) / 32 : 0);
  for (int64_t i = 0; i < c.tables * words * 3; ++i) {
    c.keys.push_back(static_cast<int32_t>(random()));
  }
  for (int64_t e = 0; e < c.tables; ++e) {
    c.scales.push_back(static_cast<float>(between(random, 1, 8)) / 4);
  }
  c.finish();
}

}  // namespace pss

#endif  // KERAS_PSS_TESTS_ROBE_CASES_H_
