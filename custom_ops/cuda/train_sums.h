// Sums of gradients of tensor trains in device code.
//
// Tiles are divided into chunks of consecutive ones. If the order of additions
// may vary, every tile is a chunk and adds to the gradients by atomic
// additions. If not, the number of chunks follows from the sizes alone, and a
// chunk, which one thread block computes, adds to its own copies of the
// gradients; these are then added in the order of the chunks. Core D - 1 needs
// no copies, since ids are sorted by its digit: only a slice that begins in an
// earlier chunk has one.

#ifndef KERAS_PSS_CUDA_TRAIN_SUMS_H_
#define KERAS_PSS_CUDA_TRAIN_SUMS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/launch.h"
#include "cuda/sort.h"
#include "cuda/tensor_train.h"

namespace pss {

// Where a chunk adds to.
struct TrainSums {
  float* gradient[kCores];
  float* copies;       // (chunks, copy), or NULL with atomic additions
  int64_t copy;        // floats of a chunk
  int64_t at[kCores];  // the copy of each core's gradient, and of a slice
  int32_t* begun;      // the digit of that slice by chunk, or -1
};

template <bool kAtomic>
__device__ void add(float* to, float x) {
  if constexpr (kAtomic) {
    atomicAdd(to, x);
  } else {
    *to += x;
  }
}

// The gradients of slices, as seen from one chunk.
template <bool kAtomic>
class Slopes {
 public:
  // All threads of the block call it.
  __device__ Slopes(const Train& train, const TrainSums& sums,
                    const Pairs& pairs, int64_t chunk, int64_t begin)
      : train_(train), sums_(sums), chunk_(chunk) {
    if constexpr (kAtomic) return;
    // The slice of core D - 1 that an earlier chunk began with.
    const uint32_t each = train.last().rows * train.below;
    const uint32_t middle = pairs.sorted_keys[begin] / each;
    if (begin > 0 && pairs.sorted_keys[begin - 1] / each == middle) {
      begun_ = static_cast<int>(middle);
    }
    if (threadIdx.x == 0) sums.begun[chunk] = begun_;
  }

  __device__ float* at(int core, int digit) const {
    const int64_t slice = train_.core[core].slice();
    if (!kAtomic && core != train_.count - 2) {
      return copy(core) + digit * slice;
    }
    if (!kAtomic && digit == begun_) return copy(core);
    return sums_.gradient[core] + digit * slice;
  }

 private:
  __device__ float* copy(int core) const {
    return sums_.copies + chunk_ * sums_.copy + sums_.at[core];
  }

  const Train& train_;
  const TrainSums& sums_;
  const int64_t chunk_;
  int begun_ = -1;
};

// Sums the copies of a core's gradient in the order of the chunks.
static __global__ void __launch_bounds__(kThreads)
    add_copies(TrainSums sums, int core, int64_t size, int64_t chunks) {
  const float* copies = sums.copies + sums.at[core];
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < size;
       i += int64_t{gridDim.x} * kThreads) {
    float sum = 0;
#pragma unroll 8
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      sum += copies[chunk * sums.copy + i];
    }
    sums.gradient[core][i] = sum;
  }
}

// Adds the slices of core D - 1 that began in an earlier chunk.
static __global__ void __launch_bounds__(kThreads)
    add_begun(TrainSums sums, int core, int64_t slice, int64_t chunks) {
  const float* copies = sums.copies + sums.at[core];
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < slice;
       i += int64_t{gridDim.x} * kThreads) {
    for (int64_t chunk = 1; chunk < chunks; ++chunk) {
      if (sums.begun[chunk] < 0) continue;
      sums.gradient[core][sums.begun[chunk] * slice + i] +=
          copies[chunk * sums.copy + i];
    }
  }
}

}  // namespace pss

#endif  // KERAS_PSS_CUDA_TRAIN_SUMS_H_
