// Launching of kernels, and code that all kernels use.

#ifndef KERAS_PSS_CUDA_LAUNCH_H_
#define KERAS_PSS_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "core/lookup.h"

namespace pss {

#ifdef PSS_EMULATED
constexpr int kThreads = 64;  // switching between them takes most of the time
#else
constexpr int kThreads = 256;
#endif

#define PSS_RETURN_IF_ERROR(CALL)                       \
  do {                                                  \
    const cudaError_t pss_error = (CALL);               \
    if (pss_error != cudaSuccess) return pss_error;     \
  } while (0)

// Division by a number known before the launch: a multiplication, an addition
// and a shift instead of about twenty instructions. With s the number of bits
// of d - 1, n / d is n * f / 2^s for f = 2^s / d; f - 1 is stored in 32 bits,
// rounded up, which is exact for all n below 2^32.
class Divisor {
 public:
  explicit Divisor(int64_t by) : by_(static_cast<uint32_t>(by)) {
    while ((uint64_t{1} << shift_) < by_) ++shift_;
    const uint64_t over = (uint64_t{1} << shift_) - by_;
    multiplier_ = static_cast<uint32_t>((over << 32) / by_ + 1);
  }

  __host__ __device__ uint32_t by() const { return by_; }

  __host__ __device__ uint32_t quotient(uint32_t n) const {
    const uint64_t high = (static_cast<uint64_t>(n) * multiplier_) >> 32;
    return static_cast<uint32_t>((high + n) >> shift_);
  }

  __host__ __device__ uint32_t remainder(uint32_t n) const {
    return n - quotient(n) * by_;
  }

 private:
  uint32_t by_, multiplier_, shift_ = 0;
};

inline cudaError_t count_processors(int64_t* out) {
  int device, count;
  PSS_RETURN_IF_ERROR(cudaGetDevice(&device));
  PSS_RETURN_IF_ERROR(cudaDeviceGetAttribute(
      &count, cudaDevAttrMultiProcessorCount, device));
  *out = count;
  return cudaSuccess;
}

// Launches as many thread blocks as can be resident, at most `items`, which the
// blocks share; `shared` is the size in bytes of their dynamic shared memory.
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t items, size_t shared,
                   void* stream, const Arguments&... arguments) {
  if (items <= 0) return cudaSuccess;
  int64_t processors;
  int resident;
  PSS_RETURN_IF_ERROR(count_processors(&processors));
  PSS_RETURN_IF_ERROR(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &resident, kernel, kThreads, shared));
  const int64_t most = std::max<int64_t>(1, resident * processors);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(std::min(items, most)));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = shared;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

// Number of thread blocks for `items`, with one item per thread.
inline int64_t blocks_for(int64_t items) {
  return items / kThreads + (items % kThreads != 0);
}

inline bool is_aligned(const void* pointer, size_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

// An id of either type as 64 bits.
__device__ inline uint64_t id_at(const pss_ids& ids, int64_t i) {
  if (ids.type == PSS_INT32) {
    return static_cast<uint64_t>(
        static_cast<int64_t>(static_cast<const int32_t*>(ids.ids)[i]));
  }
  return static_cast<uint64_t>(static_cast<const int64_t*>(ids.ids)[i]);
}

// The dynamic shared memory of a thread block.
__device__ inline uint32_t* shared_words() {
#ifdef PSS_EMULATED
  return static_cast<uint32_t*>(emulated::shared_memory);
#else
  extern __shared__ uint32_t words[];
  return words;
#endif
}

}  // namespace pss

#endif  // KERAS_PSS_CUDA_LAUNCH_H_
