// Sorts pairs of numbers on a device.

#ifndef KERAS_PSS_CUDA_SORT_H_
#define KERAS_PSS_CUDA_SORT_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace pss {

// Allocates arrays, aligned to 16 bytes, from the caller's scratch memory.
class Scratch {
 public:
  explicit Scratch(void* memory) : memory_(static_cast<char*>(memory)) {}

  // Without memory, it only counts the bytes.
  template <typename T>
  T* take(size_t count) {
    char* const taken = memory_ == nullptr ? nullptr : memory_ + bytes_;
    bytes_ += (count * sizeof(T) + 15) / 16 * 16;
    return reinterpret_cast<T*>(taken);
  }

  size_t bytes() const { return bytes_; }

 private:
  char* memory_;
  size_t bytes_ = 0;
};

// Keys and values before and after sorting, and the sort's scratch memory.
struct Pairs {
  uint32_t *keys, *sorted_keys;
  int32_t *values, *sorted_values;
  void* work;
  size_t work_bytes;
  int64_t count;
  int bits;  // number of bits of the keys to compare
};

// Allocates memory for pairs with keys up to `largest`.
cudaError_t take_pairs(int64_t count, uint32_t largest, Scratch* scratch,
                       Pairs* out);

// Sorts by key; the sort is stable.
cudaError_t sort(const Pairs& pairs, void* stream);

// The first position in [0, count) whose key is at least `key`, or `count`.
__device__ inline int64_t first_from(const uint32_t* keys, int64_t count,
                                     uint32_t key) {
  int64_t first = 0;
  while (count > 0) {
    const int64_t half = count / 2;
    if (keys[first + half] < key) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

}  // namespace pss

#endif  // KERAS_PSS_CUDA_SORT_H_
