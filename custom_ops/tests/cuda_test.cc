// Compares the CUDA kernels with the core: on a GPU, or emulated on a CPU.
//
//     cuda_test [CASES]
//
// The values are multiples of small powers of two, so that float32 sums of ROBE
// and of rows are exact in any order: all results must have the same bits.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/lookup.h"
#include "core/number.h"
#include "cuda/lookup.h"
#include "tests/checks.h"
#include "tests/device.h"
#include "tests/robe_cases.h"

namespace pss {
namespace {

template <typename T>
std::vector<T> values(std::mt19937_64& random, int64_t count) {
  std::vector<T> found;
  for (int64_t i = 0; i < count; ++i) {
    found.push_back(
        from_float<T>(static_cast<float>(between(random, -64, 64)) / 16));
  }
  return found;
}

// Ids of a case in the memory of the device.
struct DeviceIds {
  explicit DeviceIds(const Case& c)
      : wide(c.wide ? c.ids : std::vector<int64_t>()),
        narrow(c.wide ? std::vector<int32_t>() : c.narrow),
        splits(c.splits),
        weights(c.weights),
        input(c.input) {
    input.ids = c.wide ? static_cast<const void*>(wide.data()) : narrow.data();
    if (input.splits) input.splits = splits.data();
    if (input.weights) input.weights = weights.data();
  }

  Device<int64_t> wide;
  Device<int32_t> narrow, splits;
  Device<float> weights;
  pss_ids input;
};

template <typename T>
void test_robe(const Case& c, std::mt19937_64& random) {
  const auto memory = values<T>(random, c.m);
  const auto upstream = values<T>(random, c.rows * c.d);
  std::vector<T> rows(c.rows * c.d), gradient(c.m);
  const pss_parallel one = threads(1);
  check(pss_robe_lookup(&c.robe, &c.input, c.type, memory.data(), rows.data(),
                        &one) == PSS_OK &&
            pss_robe_gradient(&c.robe, &c.input, c.type, upstream.data(),
                              gradient.data(), &one) == PSS_OK,
        "the core: " + c.name());
  const DeviceIds ids(c);
  const Device<int32_t> keys(c.keys);
  const Device<float> scales(c.scales);
  pss_robe robe = c.robe;
  robe.keys = keys.data();
  if (robe.scales) robe.scales = scales.data();
  const Device<T> from(memory), slopes(upstream);
  check(always(rows,
               [&] {
                 const Device<T> out(rows.size());
                 expect_success(pss_cuda_robe_lookup(
                     &robe, &ids.input, c.type, from.data(), out.data(),
                     nullptr));
                 return out.copy();
               }),
        "rows: " + c.name());
  for (const int deterministic : {0, 1}) {
    check(always(gradient,
                 [&] {
                   const Device<char> scratch(pss_cuda_robe_gradient_scratch(
                       &robe, &ids.input, c.type, deterministic));
                   const Device<T> out(gradient.size());
                   expect_success(pss_cuda_robe_gradient(
                       &robe, &ids.input, c.type, slopes.data(), out.data(),
                       deterministic, scratch.data(),
                       pss_cuda_robe_gradient_scratch(&robe, &ids.input, c.type,
                                                      deterministic),
                       nullptr));
                   return out.copy();
                 }),
          (deterministic ? "sorted gradient: " : "gradient: ") + c.name());
  }
}

// Rows of a table, where an id may be out of range.
template <typename T>
void test_rows(std::mt19937_64& random, pss_float type) {
  const int64_t width = between(random, 1, 40), height = between(random, 1, 90);
  Case c;
  c.wide = between(random, 0, 1);
  for (int64_t i = between(random, 0, 700); i > 0; --i) {
    c.ids.push_back(between(random, -1, height));
    c.narrow.push_back(static_cast<int32_t>(c.ids.back()));
  }
  const int64_t count = static_cast<int64_t>(c.ids.size());
  c.pooled = c.weighted = c.sign = c.scaled = false;
  c.d = c.z = c.m = c.tables = 1;
  c.rows = count;
  c.finish();
  const auto table = values<T>(random, height * width);
  const auto upstream = values<T>(random, count * width);
  std::vector<T> rows(count * width), gradient(height * width);
  std::memset(rows.data(), 255, rows.size() * sizeof(T));
  const pss_parallel one = threads(1);
  pss_gather(&c.input, table.data(), height, width * sizeof(T), rows.data(),
             &one);
  check(pss_scatter(&c.input, type, upstream.data(), height, width,
                    gradient.data(), &one) == PSS_OK,
        "scatter by the core");
  const DeviceIds ids(c);
  const Device<T> from(table), slopes(upstream);
  const std::string what = std::to_string(count) + " ids of " +
                           std::to_string(height) + " rows of " +
                           std::to_string(width);
  check(always(rows,
               [&] {
                 const Device<T> out(rows.size());
                 expect_success(pss_cuda_gather(&ids.input, from.data(), height,
                                                width * sizeof(T), out.data(),
                                                nullptr));
                 return out.copy();
               }),
        "gathered: " + what);
  check(always(gradient,
               [&] {
                 const size_t bytes = pss_cuda_scatter_scratch(&ids.input,
                                                               height);
                 const Device<char> scratch(bytes);
                 const Device<T> out(gradient.size());
                 expect_success(pss_cuda_scatter(
                     &ids.input, type, slopes.data(), height, width, out.data(),
                     scratch.data(), bytes, nullptr));
                 return out.copy();
               }),
        "scattered: " + what);
}

}  // namespace
}  // namespace pss

int main(int count, char** arguments) {
  const int cases = count > 1 ? std::atoi(arguments[1]) : 40;
  std::mt19937_64 random(2);
  for (int k = 0; k < cases; ++k) {
    pss::Case c;
    pss::draw(random, &c);
    if (c.type == PSS_FLOAT32) pss::test_robe<float>(c, random);
    if (c.type == PSS_BFLOAT16) pss::test_robe<pss::BFloat16>(c, random);
    if (c.type == PSS_FLOAT16) pss::test_robe<pss::Float16>(c, random);
    pss::test_rows<float>(random, PSS_FLOAT32);
    pss::test_rows<pss::BFloat16>(random, PSS_BFLOAT16);
  }
  pss::test_cuda_tensor_trains(cases);
  if (pss::failures) return 1;
  std::printf("all checks passed\n");
  return 0;
}
