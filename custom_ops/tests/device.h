// Arrays in the memory of a CUDA device.

#ifndef KERAS_PSS_TESTS_DEVICE_H_
#define KERAS_PSS_TESTS_DEVICE_H_

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/checks.h"

namespace pss {

inline void expect_success(int error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n",
               cudaGetErrorString(static_cast<cudaError_t>(error)));
  std::exit(2);
}

template <typename T>
class Device {
 public:
  explicit Device(size_t size) : size_(size) {
    void* memory = nullptr;
    if (size) expect_success(cudaMalloc(&memory, size * sizeof(T)));
    data_ = static_cast<T*>(memory);
    // What a kernel does not write is wrong, and not 0 by chance.
    if (size) {
      expect_success(cudaMemsetAsync(data_, 255, size * sizeof(T), nullptr));
    }
  }
  explicit Device(const std::vector<T>& from) : Device(from.size()) {
    expect_success(cudaMemcpy(data_, from.data(), size_ * sizeof(T),
                              cudaMemcpyHostToDevice));
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  Device(Device&& other) : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
  }
  ~Device() { cudaFree(data_); }

  T* data() const { return data_; }
  std::vector<T> copy() const {
    std::vector<T> to(size_);
    expect_success(cudaMemcpy(to.data(), data_, size_ * sizeof(T),
                              cudaMemcpyDeviceToHost));
    return to;
  }

 private:
  T* data_;
  size_t size_;
};

// Runs `compute` several times: on a GPU in the order in which its threads come
// to run, emulated in orders that differ. Whether all results have the same
// bits, and equal to `wanted`.
template <typename Result, typename Compute>
bool always(const Result& wanted, const Compute& compute) {
  bool ok = true;
  for (unsigned order : {0u, 1u, 7u}) {
#ifdef PSS_EMULATED
    emulated::order = order;
#else
    (void)order;
#endif
    ok = same_bits(wanted, compute()) && ok;
  }
#ifdef PSS_EMULATED
  emulated::order = 0;
#endif
  return ok;
}

// Tensor trains on the device; see cuda_tensor_train_test.cc.
void test_cuda_tensor_trains(int cases);

}  // namespace pss

#endif  // KERAS_PSS_TESTS_DEVICE_H_
