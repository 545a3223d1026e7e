// The sort of pairs that the kernels use, on a CPU.

#ifndef KERAS_PSS_TESTS_EMULATION_CUB_H_
#define KERAS_PSS_TESTS_EMULATION_CUB_H_

#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda_runtime.h"

namespace cub {

struct DeviceRadixSort {
  // Stable; compares the bits [first_bit, last_bit) of the keys.
  template <typename Key, typename Value>
  static cudaError_t SortPairs(void* work, size_t& work_bytes, const Key* keys,
                               Key* sorted_keys, const Value* values,
                               Value* sorted_values, int count, int first_bit,
                               int last_bit, cudaStream_t) {
    if (work == nullptr) {
      work_bytes = 1;
      return cudaSuccess;
    }
    const auto part = [&](int i) {
      const uint64_t above = uint64_t{keys[i]} >> first_bit;
      return above & ((uint64_t{1} << (last_bit - first_bit)) - 1);
    };
    std::vector<int> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int i, int j) { return part(i) < part(j); });
    for (int i = 0; i < count; ++i) {
      sorted_keys[i] = keys[order[i]];
      sorted_values[i] = values[order[i]];
    }
    return cudaSuccess;
  }
};

}  // namespace cub

#endif  // KERAS_PSS_TESTS_EMULATION_CUB_H_
