// Tensor trains on a CUDA device, compared with their formula and the core.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/lookup.h"
#include "cuda/lookup.h"
#include "tests/device.h"
#include "tests/trains.h"

namespace pss {
namespace {

FoundTrain on_device(const TrainCase& c, bool deterministic) {
  const Device<int64_t> wide(c.wide ? c.ids : std::vector<int64_t>());
  const Device<int32_t> narrow(c.wide ? std::vector<int32_t>() : c.narrow);
  pss_ids input = c.input;
  input.ids = c.wide ? static_cast<const void*>(wide.data()) : narrow.data();
  std::vector<Device<float>> cores, gradients;
  std::vector<const float*> core;
  std::vector<float*> gradient;
  for (const auto& from : c.cores) {
    cores.emplace_back(from);
    gradients.emplace_back(from.size());
    core.push_back(cores.back().data());
    gradient.push_back(gradients.back().data());
  }
  const Device<float> rows(c.upstream.size()), upstream(c.upstream);
  size_t bytes = pss_cuda_tensor_train_lookup_scratch(&c.train, &input);
  const Device<char> scratch(bytes);
  expect_success(pss_cuda_tensor_train_lookup(&c.train, &input, core.data(),
                                              rows.data(), scratch.data(),
                                              bytes, nullptr));
  bytes = pss_cuda_tensor_train_gradient_scratch(&c.train, &input,
                                                 deterministic);
  const Device<char> more(bytes);
  expect_success(pss_cuda_tensor_train_gradient(
      &c.train, &input, core.data(), upstream.data(), gradient.data(),
      deterministic, more.data(), bytes, nullptr));
  FoundTrain found;
  found.rows = rows.copy();
  for (const auto& each : gradients) found.gradients.push_back(each.copy());
  return found;
}

void test_train(const TrainCase& c) {
  const Formula formula(c);
  const FoundTrain found = on_device(c, true);
  check(close_to(found, formula), "the formula: " + c.name());
  check(always(found, [&] { return on_device(c, true); }),
        "the same bits: " + c.name());
  const FoundTrain added = on_device(c, false);
  check(close_to(added, formula), "atomic additions: " + c.name());
  check(same_bits(added.rows, found.rows), "the same rows: " + c.name());
}

// Ids of any value have a row of the table.
void test_invalid(std::mt19937_64& random, TrainCase c) {
  TrainCase clamped = c;
  for (size_t i = 0; i < c.ids.size(); i += 2) {
    c.ids[i] = static_cast<int64_t>(random());
    c.narrow[i] = static_cast<int32_t>(c.ids[i]);
    clamped.ids[i] = std::min(
        std::max<int64_t>(c.wide ? c.ids[i] : c.narrow[i], 0), c.rows - 1);
    clamped.narrow[i] = static_cast<int32_t>(clamped.ids[i]);
  }
  if (c.ids.size() > 1) {  // the first that is outside
    c.ids[1] = c.narrow[1] = static_cast<int32_t>(c.rows);
    clamped.ids[1] = clamped.narrow[1] = static_cast<int32_t>(c.rows - 1);
  }
  c.finish();
  clamped.finish();
  check(same_bits(on_device(c, true), on_device(clamped, true)),
        "ids outside of the table");
  // Too little scratch memory is refused.
  if (c.ids.empty()) return;
  check(pss_cuda_tensor_train_lookup(&c.train, &c.input, nullptr, nullptr,
                                     nullptr, 0, nullptr) != 0,
        "no scratch memory: " + c.name());
  c.shapes[0].width = 0;
  check(pss_cuda_tensor_train_lookup(&c.train, &c.input, nullptr, nullptr,
                                     nullptr, 0, nullptr) != 0,
        "wrong shapes: " + c.name());
}

// Cores of these shapes, and ids of which some are frequent.
TrainCase train_of(std::mt19937_64& random, std::vector<Shape> shapes,
                   int64_t count) {
  TrainCase c;
  c.shapes = std::move(shapes);
  for (const Shape& s : c.shapes) {
    c.rows *= s.rows;
    c.columns *= s.width;
    std::vector<float> core(s.rows * s.left * s.width * s.right);
    for (float& x : core) x = static_cast<float>(between(random, -64, 64)) / 64;
    c.cores.push_back(core);
  }
  c.wide = false;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t range = i % 3 ? c.rows : 1 + c.rows / 50;
    c.ids.push_back(between(random, 0, range - 1));
    c.narrow.push_back(static_cast<int32_t>(c.ids.back()));
  }
  for (int64_t i = 0; i < count * c.columns; ++i) {
    c.upstream.push_back(static_cast<float>(between(random, -64, 64)) / 64);
  }
  c.finish();
  return c;
}

}  // namespace

void test_cuda_tensor_trains(int cases) {
  std::mt19937_64 random(3);
  for (int k = 0; k < cases; ++k) {
    TrainCase c;
    draw(random, &c);
    test_train(c);
    test_invalid(random, c);
  }
  const std::vector<std::vector<Shape>> shapes = {
      // A slice that is copied to shared memory, a wide train of four cores.
      {{20, 1, 2, 35}, {15, 35, 2, 34}, {30, 34, 4, 1}},
      {{9, 1, 2, 32}, {8, 32, 2, 32}, {7, 32, 2, 32}, {9, 32, 2, 1}},
      // A ring, and matrices that are too large for shared memory.
      {{9, 17, 2, 17}, {8, 17, 2, 17}, {7, 17, 4, 17}},
      {{5, 1, 4, 90}, {4, 90, 4, 110}, {6, 110, 4, 1}},
      {{5, 1, 8, 150}, {4, 150, 4, 140}, {6, 140, 2, 1}},
      // Two cores, and one row.
      {{70, 1, 4, 40}, {90, 40, 8, 1}},
      {{1, 1, 3, 2}, {1, 2, 3, 1}},
  };
  for (const auto& each : shapes) {
    test_train(train_of(random, each, each[0].right > 80 ? 60 : 400));
  }
}

}  // namespace pss
