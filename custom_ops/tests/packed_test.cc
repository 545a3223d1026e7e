// Compares lookups in packed tables with those in the same numbers as floats.

#include <algorithm>
#include <limits>

#include "core/number.h"
#include "tests/checks.h"

namespace pss {
namespace {

struct Table {
  std::vector<int8_t> codes;
  std::vector<float> scales, numbers;
  pss_packed packed;

  // Random codes and scales of `rows` rows, and what they stand for.
  Table(std::mt19937_64& random, int64_t rows, int64_t width) {
    const int64_t bits = between(random, 0, 1) ? 8 : 4;
    const int64_t group = between(random, 1, between(random, 0, 1) ? 9 : rows);
    const int64_t block = between(random, 0, 1) ? width
                                                : between(random, 1, width);
    const int64_t half = (width + 1) / 2, bytes = bits == 8 ? width : half;
    const int64_t blocks = (width + block - 1) / block;
    codes.resize(rows * bytes);
    for (auto& code : codes) code = static_cast<int8_t>(random());
    scales.resize((rows + group - 1) / group * blocks);
    for (auto& s : scales) s = static_cast<float>(between(random, 1, 999)) / 7;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < width; ++c) {
        int code = codes[r * bytes + (bits == 8 || c < half ? c : c - half)];
        if (bits == 4) {
          code = c < half ? code & 15 : (code >> 4) & 15;
          if (code > 7) code -= 16;
        }
        numbers.push_back(static_cast<float>(code) *
                          scales[r / group * blocks + c / block]);
      }
    }
    packed = {{rows, width, bits, group, block},
              codes.data(),
              static_cast<int64_t>(codes.size()),
              PSS_FLOAT32,
              scales.data(),
              static_cast<int64_t>(scales.size())};
    check(pss_packed_check(&packed) == nullptr, "a valid packed table");
  }

  std::string name() const {
    const pss_layout& l = packed.layout;
    std::string text = "packed:";
    for (int64_t number : {l.rows, l.width, l.bits, l.group, l.block}) {
      text += " " + std::to_string(number);
    }
    return text;
  }
};

pss_ids ids_of(const std::vector<int64_t>& ids) {
  const int64_t count = static_cast<int64_t>(ids.size());
  return {PSS_INT64, ids.data(), count, nullptr, nullptr, count};
}

void test_unpacked_rows(std::mt19937_64& random) {
  Table table(random, between(random, 1, 300), between(random, 1, 70));
  const int64_t size = static_cast<int64_t>(table.numbers.size());
  // A row as it was packed, or others of the flattened table.
  const int64_t count = between(random, 0, 1) ? table.packed.layout.width
                                              : between(random, 1, 20);
  const int64_t valid = size / count;
  std::vector<int64_t> ids(between(random, 0, 3000));
  int64_t wrong = -1;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool inside = valid > 0 && between(random, 0, 500);
    ids[i] = inside ? between(random, 0, valid - 1)
                    : static_cast<int64_t>(random() | (uint64_t{1} << 40));
    if (!inside && wrong < 0) wrong = static_cast<int64_t>(i);
  }
  std::vector<float> wanted(ids.size() * count, 7);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= valid) continue;
    std::copy_n(table.numbers.begin() + ids[i] * count, count,
                wanted.begin() + i * count);
  }
  const pss_ids input = ids_of(ids);
  for (int64_t threaded : {1, 3}) {
    const pss_parallel parallel = threads(threaded);
    std::vector<float> found(wanted.size(), 7);
    check(pss_unpack(&input, &table.packed, count, found.data(), &parallel) ==
              wrong,
          "the first id without numbers, " + table.name());
    check(same_bits(found, wanted), "unpacked rows, " + table.name());
  }
}

void test_packed_robe(std::mt19937_64& random) {
  const int64_t width = between(random, 1, 70);
  Table table(random, between(random, 1, 400), width);
  const int64_t size = static_cast<int64_t>(table.numbers.size());
  const int64_t m = between(random, std::max<int64_t>(1, size - width), size);
  const int64_t d = between(random, 1, std::min<int64_t>(m, 70));
  const int64_t z = between(random, 1, d);
  const bool sign = between(random, 0, 1), scaled = between(random, 0, 1);
  const int64_t words = sign ? (d + 31) / 32 : 0;
  std::vector<int32_t> keys(3 * (pss_robe_pieces(d, z) + words));
  for (auto& key : keys) key = static_cast<int32_t>(random()) | 1;
  const float scale = 0.75f;
  const pss_robe robe = {m, d, z, 1, words, keys.data(),
                         scaled ? &scale : nullptr};
  std::vector<int64_t> ids(between(random, 0, 900));
  for (auto& id : ids) id = static_cast<int64_t>(random() >> 1);
  pss_ids input = ids_of(ids);
  std::vector<int32_t> splits = {0};
  if (between(random, 0, 1)) {
    const int32_t last = static_cast<int32_t>(ids.size());
    for (int32_t at = 0; at < last;) {
      at = std::min<int32_t>(last, at + between(random, 0, 4));
      splits.push_back(at);
    }
    input.splits = splits.data();
    input.rows = static_cast<int64_t>(splits.size()) - 1;
  }
  std::vector<float> wanted(input.rows * d);
  const pss_parallel one = threads(1);
  pss_robe_lookup(&robe, &input, PSS_FLOAT32, table.numbers.data(),
                  wanted.data(), &one);
  for (int64_t threaded : {1, 3}) {
    const pss_parallel parallel = threads(threaded);
    std::vector<float> found(wanted.size());
    const bool ok = pss_robe_lookup_packed(&robe, &input, &table.packed,
                                           found.data(), &parallel) == PSS_OK;
    check(ok && same_bits(found, wanted), "packed ROBE, " + table.name());
  }
  pss_robe larger = robe;
  larger.memory_size = size + 1;
  std::vector<float> none(wanted.size());
  check(pss_robe_lookup_packed(&larger, &input, &table.packed, none.data(),
                               &one) == PSS_INVALID,
        "a memory larger than its table");
}

void test_packed_trains(std::mt19937_64& random) {
  const int64_t cores = between(random, 2, 4);
  const int64_t first = between(random, 0, 1) ? 1 : 3;
  std::vector<int64_t> shapes;
  std::vector<Table> tables;
  std::vector<pss_packed> packed;
  std::vector<const float*> floats;
  int64_t left = first, rows = 1, columns = 1;
  for (int64_t k = 0; k < cores; ++k) {
    const int64_t right = k + 1 < cores ? between(random, 1, 9) : first;
    const int64_t p = between(random, 1, 12), q = between(random, 1, 3);
    shapes.insert(shapes.end(), {p, left, q, right});
    tables.emplace_back(random, p, left * q * right);
    rows *= p;
    columns *= q;
    left = right;
  }
  for (const Table& table : tables) {
    packed.push_back(table.packed);
    floats.push_back(table.numbers.data());
  }
  std::vector<int64_t> ids(between(random, 0, 200));
  // Ids outside of the table have its first or last row.
  for (auto& id : ids) id = between(random, -2, rows + 2);
  const pss_ids input = ids_of(ids);
  const pss_tensor_train train = {cores, shapes.data()};
  std::vector<float> wanted(ids.size() * columns), found(wanted.size());
  for (int64_t threaded : {1, 3}) {
    const pss_parallel parallel = threads(threaded);
    pss_tensor_train_lookup(&train, &input, floats.data(), wanted.data(),
                            &parallel);
    const bool ok =
        pss_tensor_train_lookup_packed(&train, &input, packed.data(),
                                       found.data(), &parallel) == PSS_OK;
    check(ok && same_bits(found, wanted), "a packed tensor train");
  }
  std::vector<pss_packed> wrong = packed;
  --wrong[0].num_codes;
  const pss_parallel one = threads(1);
  check(pss_tensor_train_lookup_packed(&train, &input, wrong.data(),
                                       found.data(), &one) == PSS_INVALID,
        "a core without its last code");
}

void test_refused(std::mt19937_64& random) {
  const Table table(random, 20, 6);
  const int64_t most = std::numeric_limits<int64_t>::max();
  for (int64_t value : {int64_t{0}, int64_t{-1}, most}) {
    std::vector<pss_packed> wrong(5, table.packed);
    wrong[0].layout.rows = value;
    wrong[1].layout.width = value;
    wrong[2].layout.bits = value;
    wrong[3].layout.block = value;
    wrong[4].layout.group = value == most ? 0 : value;
    for (const pss_packed& each : wrong) {
      check(pss_packed_check(&each) != nullptr, "must be refused: a layout");
    }
  }
  pss_packed wrong = table.packed;
  --wrong.num_scales;
  check(pss_packed_check(&wrong) != nullptr, "must be refused: a scale less");
}

}  // namespace

void test_packed() {
  std::mt19937_64 random(5);
  for (int k = 0; k < 200; ++k) {
    test_unpacked_rows(random);
    test_packed_robe(random);
    test_packed_trains(random);
    test_refused(random);
  }
  // One scale for all numbers, as a group that exceeds the table.
  const std::vector<int8_t> codes = {1, 2, 3, 4};
  const float scale = 0.5f;
  const int64_t most = std::numeric_limits<int64_t>::max();
  const pss_packed table = {{4, 1, 8, most, 1}, codes.data(), 4,
                            PSS_FLOAT32,        &scale,       1};
  const std::vector<int64_t> ids = {3, 0};
  const pss_ids input = ids_of(ids);
  const pss_parallel one = threads(1);
  std::vector<float> found(2);
  check(pss_packed_check(&table) == nullptr &&
            pss_unpack(&input, &table, 1, found.data(), &one) == -1 &&
            found[0] == 2.0f && found[1] == 0.5f,
        "one scale for a whole table");
}

}  // namespace pss
