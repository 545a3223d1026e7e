// Compares the core with plain loops, and passes invalid inputs to it. It uses
// no framework and no test library, so that sanitizers see all of the code.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/lookup.h"
#include "core/number.h"
#include "core/pss1.h"
#include "core/zeros.h"
#include "tests/checks.h"

using pss::between;
using pss::check;
using pss::failures;
using pss::same_bits;
using pss::threads;

namespace {

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

void draw(std::mt19937_64& random, Case* made) {
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

uint32_t key_word(const Case& c, int64_t id, int64_t table, int64_t word) {
  const int64_t words = c.pieces() + (c.sign ? (c.d + 31) / 32 : 0);
  const int32_t* key = c.keys.data() + (table * words + word) * 3;
  const uint64_t wide = static_cast<uint64_t>(id);
  const uint32_t high = static_cast<uint32_t>(wide >> 32);
  return pss::word(static_cast<uint32_t>(wide),
                   high ? pss::mixed_high(high) : 0, key[0], key[1], key[2]);
}

// Position and factor (sign times scale) of element j of an id's row.
void element(const Case& c, int64_t id, int64_t table, int64_t j, int64_t* at,
             float* factor) {
  const uint32_t size = static_cast<uint32_t>(c.m);
  if (c.z <= c.d) {
    const int64_t piece = j / c.z;
    *at = (pss::reduced(key_word(c, id, table, piece), size) + j % c.z) % c.m;
  } else {
    const int64_t shared = c.z / c.d;
    *at = (pss::reduced(key_word(c, id / shared, table, 0), size) +
           id % shared * c.d + j) %
          c.m;
  }
  *factor = c.scaled ? c.scales[table] : 1.0f;
  if (c.sign) {
    const uint32_t bits = key_word(c, id, table, c.pieces() + j / 32);
    if (bits << (j % 32) >> 31) *factor = -*factor;
  }
}

// Visits the output row, table and weight of each id that has a row, in order.
template <typename Visit>
void each_id(const Case& c, const Visit& visit) {
  for (int64_t r = 0; r < c.rows; ++r) {
    const int64_t begin = c.pooled ? c.splits[r] : r;
    const int64_t end = c.pooled ? c.splits[r + 1] : r + 1;
    for (int64_t i = begin; i < end; ++i) {
      visit(r, c.ids[i], c.weighted ? c.weights[i] : 1.0f);
    }
  }
}

template <typename T>
bool close(T found, double wanted, double scale) {
  // The tolerance of a float32 sum of few terms that is rounded to T once.
  const double step = sizeof(T) == 4 ? 1e-6 : 1.0 / 100;
  return std::abs(pss::to_float(found) - wanted) <= step * (scale + 1e-3);
}

template <typename T>
void test_case(const Case& c, std::mt19937_64& random) {
  check(pss_robe_check(&c.robe, &c.input) == nullptr, "valid: " + c.name());
  std::vector<T> memory, upstream;
  for (int64_t i = 0; i < c.m; ++i) {
    memory.push_back(
        pss::from_float<T>(static_cast<float>(between(random, -64, 64)) / 16));
  }
  for (int64_t i = 0; i < c.rows * c.d; ++i) {
    upstream.push_back(
        pss::from_float<T>(static_cast<float>(between(random, -64, 64)) / 16));
  }
  std::vector<double> rows(c.rows * c.d), size(c.rows * c.d);
  std::vector<double> sums(c.m), sum_size(c.m);
  each_id(c, [&](int64_t r, int64_t id, float weight) {
    for (int64_t j = 0; j < c.d; ++j) {
      int64_t at;
      float factor;
      element(c, id, r % c.tables, j, &at, &factor);
      const double x = double(weight) * factor * pss::to_float(memory[at]);
      rows[r * c.d + j] += x;
      size[r * c.d + j] += std::abs(x);
      const double g =
          double(weight) * factor * pss::to_float(upstream[r * c.d + j]);
      sums[at] += g;
      sum_size[at] += std::abs(g);
    }
  });
  std::vector<T> first_rows, first_sums;
  for (int64_t count : {1, 2, 7}) {
    const pss_parallel parallel = threads(count);
    std::vector<T> found(c.rows * c.d), gradient(c.m, pss::from_float<T>(9));
    check(pss_robe_lookup(&c.robe, &c.input, c.type, memory.data(),
                          found.data(), &parallel) == PSS_OK,
          "lookup: " + c.name());
    check(pss_robe_gradient(&c.robe, &c.input, c.type, upstream.data(),
                            gradient.data(), &parallel) == PSS_OK,
          "gradient: " + c.name());
    bool ok = true;
    for (size_t i = 0; i < found.size(); ++i) {
      ok = ok && close(found[i], rows[i], size[i]);
    }
    check(ok, "rows: " + c.name());
    ok = true;
    for (int64_t i = 0; i < c.m; ++i) {
      ok = ok && close(gradient[i], sums[i], sum_size[i]);
    }
    check(ok, "sums: " + c.name());
    if (count == 1) {
      first_rows = found;
      first_sums = gradient;
    } else {
      check(same_bits(first_rows, found) && same_bits(first_sums, gradient),
            "any number of threads: " + c.name());
    }
  }
  if (c.pooled) return;
  std::vector<int32_t> starts(c.ids.size() * c.pieces() + 1);
  const pss_parallel parallel = threads(2);
  check(pss_robe_starts(&c.robe, &c.input, starts.data(), &parallel) == PSS_OK,
        "starts: " + c.name());
  bool ok = true;
  for (size_t i = 0; i < c.ids.size(); ++i) {
    for (int64_t p = 0; p < c.pieces(); ++p) {
      int64_t at;
      float factor;
      element(c, c.ids[i], i % c.tables, p * c.z < c.d ? p * c.z : 0, &at,
              &factor);
      ok = ok && starts[i * c.pieces() + p] == at;
    }
  }
  check(ok, "starts: " + c.name());
}

void test_robe() {
  std::mt19937_64 random(1);
  for (int k = 0; k < 150; ++k) {
    Case c;
    draw(random, &c);
    if (c.type == PSS_FLOAT32) test_case<float>(c, random);
    if (c.type == PSS_BFLOAT16) test_case<pss::BFloat16>(c, random);
    if (c.type == PSS_FLOAT16) test_case<pss::Float16>(c, random);
  }
}

// Memories whose sums of 16 bits are divided among more owners than threads.
void test_large_memories() {
  std::mt19937_64 random(5);
  for (pss_float type : {PSS_FLOAT32, PSS_BFLOAT16}) {
    Case c;
    do {
      c = Case();
      draw(random, &c);
    } while (c.rows < 100 || c.z > c.d || c.type != type);
    c.m = (int64_t{3} << 22) + 7;
    c.finish();
    if (type == PSS_FLOAT32) test_case<float>(c, random);
    if (type == PSS_BFLOAT16) test_case<pss::BFloat16>(c, random);
  }
}

void test_zeros() {
  std::mt19937_64 random(6);
  for (int k = 0; k < 200; ++k) {
    const int64_t size = between(random, 0, 200);
    const int64_t begin = between(random, 0, size);
    const int64_t n = between(random, 0, size - begin);
    std::vector<float> values(size, 7.0f);
    pss::zero(values.data() + begin, n, k % 2);
    bool ok = true;
    for (int64_t i = 0; i < size; ++i) {
      ok = ok && values[i] == (i >= begin && i < begin + n ? 0.0f : 7.0f);
    }
    check(ok, "zeros");
  }
}

// For any ids, splits and sizes, functions return an error or numbers, and
// never read or write out of bounds (which the sanitizers would report).
void test_nonsense() {
  std::mt19937_64 random(2);
  int refused = 0;
  for (int k = 0; k < 600; ++k) {
    Case c;
    do {
      c = Case();
      draw(random, &c);
    } while (c.rows > 200);  // rows of splits may each take all ids
    for (auto& id : c.ids) id = static_cast<int64_t>(random());
    for (auto& id : c.narrow) id = static_cast<int32_t>(random());
    for (auto& split : c.splits) {
      if (between(random, 0, 3) == 0) split = static_cast<int32_t>(random());
    }
    c.finish();
    std::vector<float> memory(c.m), values(c.rows * c.d);
    const pss_parallel parallel = threads(1);
    // The arrays keep their sizes, so a changed size must be rejected or be
    // smaller.
    if (between(random, 0, 1)) {
      const int64_t wrong[] = {0, -1, -(int64_t{1} << 40), int64_t{1} << 31};
      const int64_t value = wrong[between(random, 0, 3)];
      switch (between(random, 0, 5)) {
        case 0:
          c.robe.memory_size = value;
          break;
        case 1:
          c.robe.output_dim = value;
          break;
        case 2:
          c.robe.block_size = value;
          break;
        case 3:
          c.robe.num_tables = value;
          break;
        case 4:
          c.robe.sign_words = value ? value : -2;
          break;
        case 5:
          c.input.rows = value ? value : -2;
          break;
      }
      check(pss_robe_check(&c.robe, &c.input) != nullptr,
            "must be refused: " + c.name());
      ++refused;
    }
    const pss_status wanted = pss_robe_check(&c.robe, &c.input) == nullptr
                                  ? PSS_OK
                                  : PSS_INVALID;
    check(pss_robe_lookup(&c.robe, &c.input, PSS_FLOAT32, memory.data(),
                          values.data(), &parallel) == wanted &&
              pss_robe_gradient(&c.robe, &c.input, PSS_FLOAT32, values.data(),
                                memory.data(), &parallel) == wanted,
          "nonsense: " + c.name());
  }
  check(refused > 200, "that nonsense was tried");
}

template <typename Id>
void test_rows_of(pss_int type, std::mt19937_64& random) {
  const int64_t table_rows = between(random, 1, 3000);
  const int64_t width = between(random, 0, 2)
                            ? int64_t{1} << between(random, 0, 7)
                            : between(random, 0, 40);
  const int64_t count = between(random, 0, 5000);
  const bool valid = between(random, 0, 1);
  std::vector<Id> index;
  for (int64_t i = 0; i < count; ++i) {
    index.push_back(static_cast<Id>(
        valid || between(random, 0, 50) ? between(random, 0, table_rows - 1)
                                        : static_cast<int64_t>(random())));
  }
  std::vector<float> table(table_rows * width), values(count * width);
  for (auto& x : table) x = static_cast<float>(between(random, -99, 99));
  for (auto& x : values) x = static_cast<float>(between(random, -99, 99));
  const pss_ids ids = {type, index.data(), count, nullptr, nullptr, count};

  int64_t wrong = -1;
  std::vector<float> sums(table.size());
  std::vector<float> equal(values.size());
  std::map<int64_t, int64_t> first;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t to = first.emplace(index[i], i).first->second;
    const bool inside = index[i] >= 0 && index[i] < table_rows;
    if (!inside && wrong < 0) wrong = i;
    for (int64_t j = 0; j < width; ++j) {
      // Integers: their sums are exact in any order.
      if (inside) sums[index[i] * width + j] += values[i * width + j];
      equal[to * width + j] += values[i * width + j];
    }
  }
  for (int64_t threaded : {1, 3}) {
    const pss_parallel parallel = threads(threaded);
    std::vector<float> rows(values.size(), 7), found(table.size(), 7);
    check(pss_gather(&ids, table.data(), table_rows, width * 4, rows.data(),
                     &parallel) == wrong,
          "the first id without a row");
    bool ok = true;
    for (int64_t i = 0; i < count; ++i) {
      const bool inside = index[i] >= 0 && index[i] < table_rows;
      for (int64_t j = 0; j < width; ++j) {
        ok = ok && rows[i * width + j] ==
                       (inside ? table[index[i] * width + j] : 7);
      }
    }
    check(ok, "rows of a table");
    check(pss_scatter(&ids, PSS_FLOAT32, values.data(), table_rows, width,
                      found.data(), &parallel) == PSS_OK && found == sums,
          "sums by row");
    check(pss_sum_equal(&ids, PSS_FLOAT32, values.data(), width, rows.data(),
                        &parallel) == PSS_OK && rows == equal,
          "sums at the first of equal ids");
  }
  const std::vector<int64_t> limits = {table_rows};
  check(pss_first_invalid(&ids, limits.data(), 1) == wrong, "first invalid");
}

void test_rows() {
  std::mt19937_64 random(3);
  for (int k = 0; k < 200; ++k) {
    test_rows_of<int32_t>(PSS_INT32, random);
    test_rows_of<int64_t>(PSS_INT64, random);
  }
  const std::vector<int64_t> ids = {1, 2, 3, 4, 9, 0};
  const pss_ids input = {PSS_INT64, ids.data(), 6, nullptr, nullptr, 6};
  const std::vector<int64_t> two = {10, 4}, open = {10, -1};
  check(pss_first_invalid(&input, two.data(), 2) == 3, "of the second table");
  check(pss_first_invalid(&input, open.data(), 2) == -1, "an open table");
}

void test_columns() {
  std::mt19937_64 random(4);
  for (int64_t width : {1, 2, 7}) {
    for (int64_t bytes : {0, 1, 4, 8, 12, 64, 128}) {
      const int64_t rows = between(random, 0, 700);
      std::vector<int64_t> order(width);
      for (int64_t c = 0; c < width; ++c) order[c] = c;
      std::shuffle(order.begin(), order.end(), random);
      const int64_t count = between(random, 1, width);
      std::vector<unsigned char> table(rows * width * bytes);
      for (auto& x : table) x = static_cast<unsigned char>(random());
      std::vector<unsigned char> some(rows * count * bytes), back(table.size());
      const pss_parallel parallel = threads(3);
      pss_copy_columns(table.data(), some.data(), order.data(), count, width,
                       rows, bytes, 1, &parallel);
      pss_copy_columns(some.data(), back.data(), order.data(), count, width,
                       rows, bytes, 0, &parallel);
      bool ok = true;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < width; ++j) {
          for (int64_t b = 0; b < bytes; ++b) {
            const int64_t at = (i * width + order[j]) * bytes + b;
            ok = ok && back[at] == (j < count ? table[at] : 0);
            ok = ok && (j >= count ||
                        some[(i * count + j) * bytes + b] == table[at]);
          }
        }
      }
      check(ok, "columns");
    }
  }
}

void test_numbers() {
  // Every 16-bit value except NaN survives the round trip.
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float x = pss::to_float(pss::Float16{half});
    const float y = pss::to_float(pss::BFloat16{half});
    if (x == x) {
      check(pss::from_float<pss::Float16>(x).bits == half, "float16");
    }
    if (y == y) {
      check(pss::from_float<pss::BFloat16>(y).bits == half, "bfloat16");
    }
  }
  check(pss::from_float<pss::Float16>(1.0f + 1.0f / 2048).bits == 0x3C00,
        "a tie goes to the even one");
  check(pss::from_float<pss::Float16>(1.0f + 3.0f / 2048).bits == 0x3C02,
        "a tie goes to the even one, above");
  check(pss::from_float<pss::Float16>(65520.0f).bits == 0x7C00, "overflow");
  check(pss::from_float<pss::Float16>(1e-9f).bits == 0, "underflow");
  check(pss::from_float<pss::BFloat16>(1.0f + 1.0f / 256).bits == 0x3F80,
        "a tie of bfloat16");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  check(std::isnan(pss::to_float(pss::from_float<pss::Float16>(nan))) &&
            std::isnan(pss::to_float(pss::from_float<pss::BFloat16>(nan))),
        "not a number");
}

}  // namespace

int main() {
  test_numbers();
  test_robe();
  test_large_memories();
  test_zeros();
  test_nonsense();
  test_rows();
  test_columns();
  pss::test_tensor_trains();
  if (failures) {
    std::fprintf(stderr, "%d checks failed\n", failures);
    return 1;
  }
  std::puts("all checks passed");
  return 0;
}
