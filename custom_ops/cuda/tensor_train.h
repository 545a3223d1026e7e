// Tensor trains and rings in device code.
//
// A prefix of level k is the first k digits of an id. Its matrix, the product
// of the slices of the first k cores, has `height[k]` rows and r_k columns; a
// row of the table is the last step, its product with a slice of the last core
// (see core/tensor_train.h).
//
// Ids are sorted by (i_{D-1}, i_1 .. i_{D-2}, i_D). A thread block computes a
// tile, up to 32 consecutive places of that order: a prefix or id that occurs
// several times in a tile is multiplied once, and a slice of core D - 1 is read
// once for all of its prefixes in the tile.

#ifndef KERAS_PSS_CUDA_TENSOR_TRAIN_H_
#define KERAS_PSS_CUDA_TENSOR_TRAIN_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "core/lookup.h"
#include "cuda/launch.h"
#include "cuda/sort.h"

namespace pss {

constexpr int kCores = 32;
constexpr int kPlaces = 32;  // of a tile: one warp finds its ids and prefixes
constexpr int kRows = 8;     // rows of a product that a thread computes at once

struct TrainCore {
  int32_t rows, left, width, right;
  const float* data;

  __host__ __device__ int columns() const { return width * right; }
  __host__ __device__ int slice() const { return left * width * right; }
  __device__ const float* at(int digit) const {
    return data + int64_t{digit} * slice();
  }
};

struct Train {
  Train(const pss_tensor_train& from, const float* const* data);

  __host__ __device__ const TrainCore& last() const { return core[count - 1]; }
  __host__ __device__ int matrix(int level) const {
    return height[level] * core[level - 1].right;
  }

  int32_t count;       // D
  int32_t first;       // the left rank of the first core; 1 for trains
  int32_t output_dim;  // the product of q
  uint32_t rows;       // the product of p
  uint32_t below;      // number of prefixes of level D - 2
  TrainCore core[kCores];
  int32_t height[kCores];  // by level, from 1 on
};

// Memory of a thread block: the matrices of each level of the prefixes of a
// tile, for gradients also those of level D - 1 and the upstream gradients of
// its ids. It is shared memory if that is large enough. A slice of a core may
// have a copy in shared memory, which several products read.
struct TrainLayout {
  TrainLayout(const Train& train, bool gradient);

  size_t shared_bytes() const {
    return sizeof(float) * (slice + (shared ? size : 0));
  }
  // Floats of the work memory of `blocks` thread blocks outside of shared
  // memory.
  size_t floats(int64_t blocks) const { return shared ? 0 : blocks * size; }
  // Most thread blocks that have work memory.
  int64_t most_blocks() const;

  int places;          // of a tile, at most kPlaces
  int slice;           // floats of the copied slice, 0 for none
  bool shared;         // whether the rest is in shared memory
  int64_t size;        // floats of the rest
  int64_t at[kCores];  // its matrices of each level, from 1 on
  int64_t slopes;      // the gradients of those of level D - 1
  int64_t upstream;    // the upstream gradients, (ids, output_dim)
};

// Sorts ids by their digits: the keys are numbers in the mixed radix of
// (i_{D-1}, i_1 .. i_{D-2}, i_D), the values are places in the batch.
cudaError_t sort_ids(const Train& train, const pss_ids& ids, const Pairs& pairs,
                     void* stream);

inline int64_t tiles_of(const TrainLayout& layout, int64_t count) {
  return (count + layout.places - 1) / layout.places;
}

// The distinct ids and prefixes of a tile, in shared memory.
struct TrainTile {
  // All threads of the block call it.
  __device__ void load(const Train& train, const Pairs& pairs, int64_t begin,
                       int count) {
    __syncthreads();  // other threads may still read the last tile
    if (threadIdx.x < kPlaces) find(train, pairs, begin, count);
    __syncthreads();
  }

  int ids, prefixes;
  int place[kPlaces];      // in the batch
  int found[kPlaces + 1];  // id j is at the places [found[j], found[j + 1])
  int last[kPlaces];       // the last digit of each id
  int prefix[kPlaces];     // of each id
  int begin[kPlaces + 1];  // prefix i has the ids [begin[i], begin[i + 1])
  int digit[kCores - 1][kPlaces];  // digits of prefixes, by core

 private:
  // One warp: a lane for each place.
  __device__ void find(const Train& train, const Pairs& pairs, int64_t first,
                       int count) {
    constexpr unsigned kAll = 0xFFFFFFFFu;
    const int lane = threadIdx.x;
    const bool valid = lane < count;
    const uint32_t last_rows = train.last().rows;
    const uint32_t key = valid ? pairs.sorted_keys[first + lane] : 0;
    const uint32_t before = valid && lane ? pairs.sorted_keys[first + lane - 1]
                                          : key;
    const uint32_t own = key / last_rows;
    const bool new_id = valid && (lane == 0 || before != key);
    const bool new_prefix = valid && (lane == 0 || before / last_rows != own);
    const unsigned id_bits = __ballot_sync(kAll, new_id);
    const unsigned prefix_bits = __ballot_sync(kAll, new_prefix);
    const unsigned until = kAll >> (31 - lane);
    const int id = __popc(id_bits & until) - 1;
    const int i = __popc(prefix_bits & until) - 1;
    if (valid) place[lane] = pairs.sorted_values[first + lane];
    if (new_id) {
      found[id] = lane;
      last[id] = static_cast<int>(key - own * last_rows);
      prefix[id] = i;
    }
    if (new_prefix) {
      begin[i] = id;
      const uint32_t middle = own / train.below;
      uint32_t rest = own - middle * train.below;
      digit[train.count - 2][i] = static_cast<int>(middle);
      for (int k = train.count - 3; k >= 0; --k) {
        const uint32_t rows = train.core[k].rows, quotient = rest / rows;
        digit[k][i] = static_cast<int>(rest - quotient * rows);
        rest = quotient;
      }
    }
    if (lane == 0) {
      ids = __popc(id_bits);
      prefixes = __popc(prefix_bits);
      found[ids] = count;
      begin[prefixes] = ids;
    }
  }
};

// A matrix whose element (i, k) is at i * row + k * column.
struct Strided {
  const float* data;
  int row, column;
};

// Calls store(i, j, x) for each element of x y, with x of (rows, length) and y
// of (length, columns). An element of a product of some shape always has the
// same thread.
template <typename Store>
__device__ void product(int rows, int columns, int length, const Strided& x,
                        const Strided& y, const Store& store) {
  const uint32_t items = (rows + kRows - 1) / kRows * columns;
  for (uint32_t item = threadIdx.x; item < items; item += kThreads) {
    const int row = item / columns * kRows, column = item % columns;
    int at[kRows];
    float sum[kRows] = {};
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      at[i] = (row + i < rows ? row + i : rows - 1) * x.row;
    }
    for (int k = 0; k < length; ++k) {
      const float factor = y.data[k * y.row + column * y.column];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        sum[i] += x.data[at[i] + k * x.column] * factor;
      }
    }
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (row + i < rows) store(row + i, column, sum[i]);
    }
  }
}

// Calls visit(begin, end) for each run of prefixes with one digit.
template <typename Visit>
__device__ void each_run(const int* digit, int prefixes, const Visit& visit) {
  for (int begin = 0; begin < prefixes;) {
    int end = begin + 1;
    while (end < prefixes && digit[end] == digit[begin]) ++end;
    visit(begin, end);
    begin = end;
  }
}

// The work memory of this thread block.
class TrainWork {
 public:
  __device__ TrainWork(const TrainLayout& layout, float* outside)
      : layout_(layout),
        slice_(reinterpret_cast<float*>(shared_words())),
        data_(layout.shared ? slice_ + layout.slice
                            : outside + blockIdx.x * layout.size) {}

  __device__ float* matrices(int level) const {
    return data_ + layout_.at[level];
  }
  __device__ float* slopes() const { return data_ + layout_.slopes; }
  __device__ float* upstream() const { return data_ + layout_.upstream; }

  // The slice of a core that a product of this many rows multiplies by. All
  // threads of the block call it.
  __device__ Strided slice(const TrainCore& core, int digit, int rows) const {
    const int columns = core.columns();
    const float* from = core.at(digit);
    // An odd number of floats: consecutive rows begin in different banks.
    const int stride = columns | 1;
    if (rows <= kRows || int64_t{core.left} * stride > layout_.slice) {
      return {from, columns, 1};
    }
    __syncthreads();  // other threads may still read the last slice
    for (int i = threadIdx.x; i < core.slice(); i += kThreads) {
      const int row = i / columns;
      slice_[row * stride + i - row * columns] = from[i];
    }
    __syncthreads();
    return {slice_, stride, 1};
  }

 private:
  const TrainLayout& layout_;
  float* const slice_;
  float* const data_;
};

// Computes the matrices of all levels of the prefixes of a tile.
__device__ inline void multiply(const Train& train, const TrainTile& tile,
                                const TrainWork& work) {
  const int first = train.matrix(1);
  float* matrices = work.matrices(1);
  for (int i = threadIdx.x; i < tile.prefixes * first; i += kThreads) {
    const int prefix = i / first;
    matrices[i] = train.core[0].at(tile.digit[0][prefix])[i - prefix * first];
  }
  __syncthreads();
  for (int level = 2; level < train.count; ++level) {
    const TrainCore& core = train.core[level - 1];
    const int height = train.height[level - 1], columns = core.columns();
    const float* from = work.matrices(level - 1);
    float* to = work.matrices(level);
    const int* digit = tile.digit[level - 1];
    each_run(digit, tile.prefixes, [&](int begin, int end) {
      const int rows = (end - begin) * height;
      const Strided slice = work.slice(core, digit[begin], rows);
      const Strided x = {from + begin * height * core.left, core.left, 1};
      float* out = to + begin * height * columns;
      product(rows, columns, core.left, x, slice,
              [&](int i, int j, float sum) { out[i * columns + j] = sum; });
    });
    __syncthreads();
  }
}

}  // namespace pss

#endif  // KERAS_PSS_CUDA_TENSOR_TRAIN_H_
