// Compares tensor trains and rings with plain loops in double precision.

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/checks.h"

namespace pss {
namespace {

using Numbers = std::vector<double>;

struct Shape {
  int64_t rows, left, width, right;
};

struct Train {
  std::vector<Shape> shapes;
  std::vector<std::vector<float>> cores;
  std::vector<int64_t> ids;
  std::vector<int32_t> narrow;
  std::vector<float> upstream;
  bool wide;
  pss_tensor_train train;
  pss_ids input;

  int64_t rows = 1, columns = 1;

  std::string name() const {
    std::string text = std::to_string(ids.size()) + " ids, cores";
    for (const Shape& s : shapes) {
      text += " " + std::to_string(s.rows) + "x" + std::to_string(s.left) +
              "x" + std::to_string(s.width) + "x" + std::to_string(s.right);
    }
    return text;
  }

  void finish() {
    train = {static_cast<int64_t>(shapes.size()), &shapes[0].rows};
    const int64_t count = static_cast<int64_t>(ids.size());
    input = {wide ? PSS_INT64 : PSS_INT32, ids.data(), count, nullptr, nullptr,
             count};
    if (!wide) input.ids = narrow.data();
  }
};

void draw(std::mt19937_64& random, Train* c) {
  const int64_t cores = between(random, 2, 5);
  const int64_t most = cores < 4 ? 20 : 7;
  const int64_t first = between(random, 0, 2) ? 1 : between(random, 2, 4);
  int64_t left = first;
  for (int64_t k = 0; k < cores; ++k) {
    const int64_t right = k + 1 < cores ? between(random, 1, most) : first;
    const int64_t rows = between(random, 1, cores == 2 ? 60 : most);
    const int64_t width = between(random, 1, cores < 4 ? 5 : 3);
    c->shapes.push_back({rows, left, width, right});
    c->rows *= rows;
    c->columns *= width;
    left = right;
    std::vector<float> core(rows * c->shapes[k].left * width * right);
    for (float& x : core) x = static_cast<float>(between(random, -64, 64)) / 64;
    c->cores.push_back(core);
  }
  c->wide = between(random, 0, 1);
  const int64_t counts[] = {0, 1, 9, 150, 900};
  const int64_t count = counts[between(random, 0, 4)];
  const int64_t range = between(random, 0, 1) ? c->rows : 1 + c->rows / 20;
  for (int64_t i = 0; i < count; ++i) {
    c->ids.push_back(between(random, 0, range - 1));
    c->narrow.push_back(static_cast<int32_t>(c->ids.back()));
  }
  for (int64_t i = 0; i < count * c->columns; ++i) {
    c->upstream.push_back(static_cast<float>(between(random, -64, 64)) / 64);
  }
  c->finish();
}

// Adds the rows of one id and the gradients of its slices.
void add_id(const Train& c, int64_t id, const float* upstream, double* row,
            std::vector<Numbers>* gradients) {
  const int64_t count = static_cast<int64_t>(c.shapes.size());
  std::vector<int64_t> at(count);
  for (int64_t k = count - 1; k >= 0; --k) {
    const Shape& s = c.shapes[k];
    at[k] = id % s.rows * s.left * s.width * s.right;
    id /= s.rows;
  }
  const int64_t first = c.shapes[0].left;
  // (first, columns, right) of each level, in the order of `row`.
  std::vector<Numbers> product(count);
  const Shape& own = c.shapes[0];
  product[0].assign(c.cores[0].begin() + at[0],
                    c.cores[0].begin() + at[0] + first * own.width * own.right);
  for (int64_t k = 1; k < count; ++k) {
    const Shape& s = c.shapes[k];
    const int64_t height = static_cast<int64_t>(product[k - 1].size()) / s.left;
    product[k].assign(height * s.width * s.right, 0.0);
    for (int64_t m = 0; m < height; ++m) {
      for (int64_t l = 0; l < s.left; ++l) {
        for (int64_t n = 0; n < s.width * s.right; ++n) {
          product[k][m * s.width * s.right + n] +=
              product[k - 1][m * s.left + l] *
              c.cores[k][at[k] + l * s.width * s.right + n];
        }
      }
    }
  }
  Numbers slope(product.back().size(), 0.0);
  for (int64_t a = 0; a < first; ++a) {
    for (int64_t j = 0; j < c.columns; ++j) {
      const int64_t place = (a * c.columns + j) * first + a;
      row[j] += product.back()[place];
      slope[place] = upstream[j];
    }
  }
  for (int64_t k = count - 1; k > 0; --k) {
    const Shape& s = c.shapes[k];
    const int64_t height = static_cast<int64_t>(product[k - 1].size()) / s.left;
    Numbers below(product[k - 1].size(), 0.0);
    for (int64_t m = 0; m < height; ++m) {
      for (int64_t l = 0; l < s.left; ++l) {
        for (int64_t n = 0; n < s.width * s.right; ++n) {
          const int64_t place = at[k] + l * s.width * s.right + n;
          const double g = slope[m * s.width * s.right + n];
          below[m * s.left + l] += g * c.cores[k][place];
          (*gradients)[k][place] += g * product[k - 1][m * s.left + l];
        }
      }
    }
    slope = below;
  }
  for (size_t i = 0; i < slope.size(); ++i) (*gradients)[0][at[0] + i] += slope[i];
}

bool close_to(const std::vector<float>& found, const Numbers& wanted,
              double step) {
  double largest = 1e-30;
  for (const double x : wanted) largest = std::max(largest, std::abs(x));
  bool ok = found.size() == wanted.size();
  for (size_t i = 0; ok && i < wanted.size(); ++i) {
    ok = std::abs(found[i] - wanted[i]) <= step * largest;
  }
  return ok;
}

struct Found {
  std::vector<float> rows;
  std::vector<std::vector<float>> gradients;
};

Found computed(const Train& c, int64_t thread_count) {
  const pss_parallel parallel = threads(thread_count);
  Found found;
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
    Train c;
    draw(random, &c);
    Numbers rows(c.upstream.size());
    std::vector<Numbers> gradients;
    for (const auto& core : c.cores) gradients.emplace_back(core.size());
    for (size_t i = 0; i < c.ids.size(); ++i) {
      add_id(c, c.ids[i], c.upstream.data() + i * c.columns,
             rows.data() + i * c.columns, &gradients);
    }
    const Found found = computed(c, 1);
    check(close_to(found.rows, rows, 1e-6), "the formula: " + c.name());
    bool ok = true;
    for (size_t j = 0; j < gradients.size(); ++j) {
      ok = ok && close_to(found.gradients[j], gradients[j], 2e-6);
    }
    check(ok, "its gradients: " + c.name());
    for (const int64_t lanes : {16, 8, 4}) {
      pss_limit_vectors(lanes);
      for (const int64_t count : {2, 3}) {
        const Found again = computed(c, count);
        ok = same_bits(found.rows, again.rows);
        for (size_t j = 0; j < gradients.size(); ++j) {
          ok = ok && same_bits(found.gradients[j], again.gradients[j]);
        }
        check(ok, "any number of threads, any vectors: " + c.name());
      }
    }
    pss_limit_vectors(16);
  }
}

// Ids of any value have a row of the table, and wrong shapes are refused.
void test_invalid(std::mt19937_64& random) {
  for (int k = 0; k < 40; ++k) {
    Train c;
    draw(random, &c);
    Train clamped = c;
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
