// Compares tensor trains and rings with plain loops in double precision.

#include <algorithm>

#include "tests/trains.h"

namespace pss {
namespace {

FoundTrain computed(const TrainCase& c, int64_t thread_count) {
  const pss_parallel parallel = threads(thread_count);
  FoundTrain found;
  found.rows.assign(c.upstream.size(), 9);
  std::vector<const float*> cores;
  std::vector<float*> gradients;
  for (const auto& core : c.cores) {
    cores.push_back(core.data());
    found.gradients.emplace_back(core.size(), 9);
  }
  for (auto& gradient : found.gradients) gradients.push_back(gradient.data());
  check(pss_tensor_train_lookup(&c.train, &c.input, cores.data(),
                                found.rows.data(), &parallel) == PSS_OK,
        "rows of " + c.name());
  check(pss_tensor_train_gradient(&c.train, &c.input, cores.data(),
                                  c.upstream.data(), gradients.data(),
                                  &parallel) == PSS_OK,
        "gradients of " + c.name());
  return found;
}

void test_products(std::mt19937_64& random) {
  for (int k = 0; k < 120; ++k) {
    TrainCase c;
    draw(random, &c);
    const FoundTrain found = computed(c, 1);
    check(close_to(found, Formula(c)), "the formula: " + c.name());
    for (const int64_t lanes : {16, 8, 4}) {
      pss_limit_vectors(lanes);
      for (const int64_t count : {2, 3}) {
        check(same_bits(found, computed(c, count)),
              "any number of threads, any vectors: " + c.name());
      }
    }
    pss_limit_vectors(16);
  }
}

// Ids of any value have a row of the table, and wrong shapes are refused.
void test_invalid(std::mt19937_64& random) {
  for (int k = 0; k < 40; ++k) {
    TrainCase c;
    draw(random, &c);
    TrainCase clamped = c;
    for (size_t i = 0; i < c.ids.size(); ++i) {
      if (between(random, 0, 1)) continue;
      const int64_t id = static_cast<int64_t>(random());
      c.ids[i] = id;
      c.narrow[i] = static_cast<int32_t>(id);
      clamped.ids[i] = std::min(
          std::max<int64_t>(c.wide ? id : c.narrow[i], 0), c.rows - 1);
      clamped.narrow[i] = static_cast<int32_t>(clamped.ids[i]);
    }
    c.finish();
    clamped.finish();
    check(same_bits(computed(c, 1).rows, computed(clamped, 1).rows),
          "ids outside of the table");
    Shape& shape = c.shapes[between(random, 0, c.train.num_cores - 1)];
    int64_t* part[] = {&shape.rows, &shape.left, &shape.width, &shape.right};
    const int64_t wrong[] = {0, -1, int64_t{1} << 31, int64_t{1} << 40};
    *part[between(random, 0, 3)] = wrong[between(random, 0, 3)];
    check(pss_tensor_train_check(&c.train, &c.input) != nullptr,
          "must be refused: " + c.name());
    check(pss_tensor_train_lookup(&c.train, &c.input, nullptr, nullptr,
                                  nullptr) == PSS_INVALID &&
              pss_tensor_train_gradient(&c.train, &c.input, nullptr, nullptr,
                                        nullptr, nullptr) == PSS_INVALID,
          "refused: " + c.name());
  }
  const std::vector<Shape> unequal = {{2, 1, 2, 3}, {2, 2, 2, 1}};
  const std::vector<Shape> tall = {{1 << 16, 1, 1, 1}, {1 << 16, 1, 1, 1}};
  const pss_ids none = {PSS_INT32, nullptr, 0, nullptr, nullptr, 0};
  for (const auto* shapes : {&unequal, &tall}) {
    const pss_tensor_train train = {2, &(*shapes)[0].rows};
    check(pss_tensor_train_check(&train, &none) != nullptr, "refused shapes");
  }
}

}  // namespace

void test_tensor_trains() {
  std::mt19937_64 random(5);
  test_products(random);
  test_invalid(random);
}

}  // namespace pss
