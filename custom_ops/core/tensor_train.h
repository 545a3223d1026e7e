// Sizes, memory and packed slices of tensor trains, for lookups and gradients.
//
// A prefix of level k is the first k digits of an id. Its matrix A is the
// product of the slices of the first k cores,
//
//     A of level k = (A of level k - 1) G_k[i_k],
//
// of `height(k)` rows (r_0 q_1 ... q_k of them) and r_k columns. Those of level
// 1 are slices of the first core. A row of the table is the last step: the
// product of A of level D - 1 with a slice of the last core, whose trace is
// taken in a ring.

#ifndef KERAS_PSS_CORE_TENSOR_TRAIN_H_
#define KERAS_PSS_CORE_TENSOR_TRAIN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "lookup.h"
#include "parallel.h"
#include "vectors.h"

namespace pss {

constexpr int64_t kMostCores = 32;

inline int64_t rounded_up(int64_t x, int64_t by) {
  return (x + by - 1) / by * by;
}

// Uninitialized numbers in cache lines of their own.
class Floats {
 public:
  Floats() = default;
  explicit Floats(int64_t size) : size_(size) {
    if (size == 0) return;
    data_.reset(static_cast<float*>(
        ::operator new(size * sizeof(float), std::align_val_t{64})));
  }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  void clear() { std::fill(data(), data() + size_, 0.0f); }

 private:
  struct Free {
    void operator()(float* x) const {
      ::operator delete(x, std::align_val_t{64});
    }
  };
  int64_t size_ = 0;
  std::unique_ptr<float, Free> data_;
};

// The shape (p, r, q, r') of a core.
struct Core {
  int64_t rows, left, width, right;

  int64_t slice() const { return left * width * right; }
};

// Cores are counted from 0, levels from 1: level k ends with core k - 1.
class Cores {
 public:
  explicit Cores(const pss_tensor_train& train) : count_(train.num_cores) {
    std::memcpy(core_, train.shapes, count_ * sizeof(Core));
    columns_[0] = prefixes_[0] = 1;
    for (int64_t k = 0; k < count_; ++k) {
      columns_[k + 1] = columns_[k] * core_[k].width;
      prefixes_[k + 1] = prefixes_[k] * core_[k].rows;
    }
  }

  int64_t count() const { return count_; }
  int64_t last_level() const { return count_ - 1; }
  const Core& core(int64_t k) const { return core_[k]; }
  const Core& of_level(int64_t level) const { return core_[level - 1]; }
  const Core& last() const { return core_[count_ - 1]; }
  int64_t rows() const { return prefixes_[count_]; }
  int64_t output_dim() const { return columns_[count_]; }
  int64_t prefixes(int64_t level) const { return prefixes_[level]; }

  // Rows of a matrix of a level.
  int64_t height(int64_t level) const {
    return core_[0].left * columns_[level];
  }

  // Numbers from one row of a matrix to the next: zeros pad the rows above
  // level 1 such that those of one slice fill whole vectors of 16.
  int64_t stride(int64_t level) const {
    const Core& core = of_level(level);
    if (level == 1 && count_ > 2) return core.right;
    const int64_t padded = rounded_up(core.right, 8);
    return padded * core.width % 16 ? rounded_up(core.right, 16) : padded;
  }

  int64_t matrix(int64_t level) const { return height(level) * stride(level); }

  // Columns of a packed slice of a level above 1.
  int64_t packed(int64_t level) const {
    return of_level(level).width * stride(level);
  }

  Last last_step() const {
    Last step;
    step.first = core_[0].left;
    step.columns = columns_[count_ - 1];
    step.width = last().width;
    step.padded = rounded_up(last().left, 8);
    step.stride = stride(last_level());
    return step;
  }

 private:
  int64_t count_;
  Core core_[kMostCores];
  int64_t columns_[kMostCores + 1], prefixes_[kMostCores + 1];
};

// The distinct prefixes of one level, ordered by their last digit.
struct Prefixes {
  std::vector<int32_t> digit;   // the last digit
  std::vector<int32_t> parent;  // the prefix without it: its index in the level
                                // below, or its only digit in level 1
  int64_t count() const { return static_cast<int64_t>(digit.size()); }
};

// The distinct ids and prefixes of a batch.
//
// Ids are ordered by (i_{D-1}, i_1 .. i_{D-2}, i_D), so that each slice of core
// D - 1 is read once and each prefix is multiplied once.
struct Plan {
  std::vector<Prefixes> level;  // [k]: level k; those of level 1 if D = 2
  // Distinct ids ("leaves"): [begin[i], begin[i + 1]) are those of prefix i.
  std::vector<int32_t> begin;
  std::vector<int32_t> digit;  // the last digit of each distinct id
  // [found[j], found[j + 1]) are the places of distinct id j in `place`.
  std::vector<int32_t> found;
  std::vector<int32_t> place;  // places in the batch, increasing for each id

  int64_t leaves() const { return static_cast<int64_t>(digit.size()); }
};

Plan plan(const Cores& cores, const pss_ids& ids);

// Divides prefixes into ranges of about equal cost.
std::vector<int64_t> ranges_of(const Cores& cores, const Plan& plan,
                               int64_t level, int64_t count);

// Slices of the last core, (width, right, left padded): all of them packed at
// once where most are needed, or one at a time.
class LastSlices {
 public:
  LastSlices(const Cores& cores, const float* core, int64_t leaves,
             const pss_parallel& parallel);
  // The slice of a digit; `scratch` has room for one.
  const float* at(int64_t digit, float* scratch) const;
  void ask_for(int64_t digit) const;
  int64_t slice() const { return slice_; }

 private:
  void pack_last(int64_t digit, float* out) const;

  const Core core_;
  const float* from_;
  const int64_t padded_, slice_;
  Floats all_;
};

// Matrices of the levels below D - 1: slices of the first core, and stored
// products.
class Matrices {
 public:
  Matrices(const Cores& cores, const Plan& plan, const float* const* core,
           const pss_parallel& parallel);
  const float* at(int64_t level, int64_t prefix) const {
    return from_[level] + prefix * cores_.matrix(level);
  }

 private:
  const Cores& cores_;
  const float* from_[kMostCores + 1];
  std::vector<Floats> stored_;
};

// The matrices of a block of prefixes that have the same last digit.
class Block {
 public:
  Block(const Cores& cores, const Plan& plan, const Matrices& matrices,
        int64_t level);

  // The most prefixes of a block; their matrices fit the L1 cache.
  int64_t most() const { return most_; }
  // Packs the slice of a digit.
  void take(const float* const* core, int64_t digit);
  // Finds the rows of the matrices of their parents, a multiple of four.
  void find_rows(int64_t begin, int64_t end);
  // Multiplies the matrices of the prefixes [begin, end).
  void multiply(int64_t begin, int64_t end);

  float* at(int64_t i) { return product_.data() + i * matrix_; }
  // What `find_rows` and `multiply` found.
  const float* const* rows() const { return rows_.data(); }

 private:
  const Cores& cores_;
  const Prefixes& prefixes_;
  const Matrices& matrices_;
  const Vectors& vectors_;
  const int64_t level_, matrix_, most_;
  std::vector<const float*> rows_;
  Floats slice_, product_;
};

// The most prefixes of a level in a block.
int64_t block_of(const Cores& cores, int64_t level);

// Calls block(begin, end) for blocks of [from, to) that have one last digit.
template <typename Visit>
void each_block(const Prefixes& prefixes, int64_t from, int64_t to,
                int64_t most, const Visit& block) {
  for (int64_t begin = from; begin < to;) {
    int64_t end = begin + 1;
    while (end < to && end - begin < most &&
           prefixes.digit[end] == prefixes.digit[begin]) {
      ++end;
    }
    block(begin, end);
    begin = end;
  }
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_TENSOR_TRAIN_H_
