// Random tensor trains and rings, and their formula in double precision.

#ifndef KERAS_PSS_TESTS_TRAINS_H_
#define KERAS_PSS_TESTS_TRAINS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "core/lookup.h"
#include "tests/checks.h"

namespace pss {

using Numbers = std::vector<double>;

struct Shape {
  int64_t rows, left, width, right;
};

struct TrainCase {
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

inline void draw(std::mt19937_64& random, TrainCase* c) {
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
inline void add_id(const TrainCase& c, int64_t id, const float* upstream,
                   double* row, std::vector<Numbers>* gradients) {
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
  for (size_t i = 0; i < slope.size(); ++i) {
    (*gradients)[0][at[0] + i] += slope[i];
  }
}

// The rows and gradients of all ids.
struct Formula {
  explicit Formula(const TrainCase& c) : rows(c.upstream.size()) {
    for (const auto& core : c.cores) gradients.emplace_back(core.size());
    for (size_t i = 0; i < c.ids.size(); ++i) {
      add_id(c, c.ids[i], c.upstream.data() + i * c.columns,
             rows.data() + i * c.columns, &gradients);
    }
  }

  Numbers rows;
  std::vector<Numbers> gradients;
};

inline bool close_to(const std::vector<float>& found, const Numbers& wanted,
                     double step) {
  double largest = 1e-30;
  for (const double x : wanted) largest = std::max(largest, std::abs(x));
  bool ok = found.size() == wanted.size();
  for (size_t i = 0; ok && i < wanted.size(); ++i) {
    ok = std::abs(found[i] - wanted[i]) <= step * largest;
  }
  return ok;
}

struct FoundTrain {
  std::vector<float> rows;
  std::vector<std::vector<float>> gradients;
};

inline bool close_to(const FoundTrain& found, const Formula& wanted) {
  bool ok = close_to(found.rows, wanted.rows, 1e-6);
  for (size_t j = 0; ok && j < wanted.gradients.size(); ++j) {
    ok = close_to(found.gradients[j], wanted.gradients[j], 2e-6);
  }
  return ok;
}

inline bool same_bits(const FoundTrain& x, const FoundTrain& y) {
  bool ok = same_bits(x.rows, y.rows);
  for (size_t j = 0; ok && j < x.gradients.size(); ++j) {
    ok = same_bits(x.gradients[j], y.gradients[j]);
  }
  return ok;
}

}  // namespace pss

#endif  // KERAS_PSS_TESTS_TRAINS_H_
