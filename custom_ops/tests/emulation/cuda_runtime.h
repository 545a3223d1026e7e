// As much of CUDA as the kernels use, on a CPU, so that their code runs under
// sanitizers and where there is no GPU.
//
// A thread block runs in one thread of the CPU, which switches between the
// threads of the block where these wait for each other. Between two barriers
// each of them runs alone, and warps and thread blocks run one after the other,
// in the order that `emulated::order` gives: what depends on it differs.

#ifndef KERAS_PSS_TESTS_EMULATION_CUDA_RUNTIME_H_
#define KERAS_PSS_TESTS_EMULATION_CUDA_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define PSS_EMULATED 1
#define __global__
#define __device__
#define __host__
// Thread blocks run one after another.
#define __shared__ static
#define __launch_bounds__(...)

struct Index3 {
  unsigned x, y, z;
};

namespace emulated {

// 0: threads, warps and blocks in order; 1: from the last to the first; others:
// seeds of random orders, another between each two barriers.
extern unsigned order;

extern Index3 thread, block, grid;
// The dynamic shared memory of the thread block.
extern void* shared_memory;

// Calls `kernel` in each thread of each thread block.
void run(unsigned blocks, unsigned threads, size_t shared,
         const std::function<void()>& kernel);

// Waits for all threads of the block that have not returned.
void wait_for_block();

// Waits for the warp; returns the values of its 32 lanes until the next call.
const uint64_t* exchange(uint64_t value);

}  // namespace emulated

#define threadIdx emulated::thread
#define blockIdx emulated::block

struct uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

inline void __syncthreads() { emulated::wait_for_block(); }

inline unsigned __ballot_sync(unsigned, bool value) {
  const uint64_t* lanes = emulated::exchange(value);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<unsigned>(lanes[i]) << i;
  return bits;
}

template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "one word");
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  word = emulated::exchange(word)[lane];
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline uint32_t __funnelshift_r(uint32_t low, uint32_t high, uint32_t by) {
  return static_cast<uint32_t>((uint64_t{high} << 32 | low) >> (by & 31));
}

template <typename T>
T atomicAdd(T* to, T x) {
  const T old = *to;
  *to = old + x;
  return old;
}

template <typename T>
T atomicExch(T* to, T x) {
  const T old = *to;
  *to = x;
  return old;
}

template <typename T>
T atomicCAS(T* to, T expected, T x) {
  const T old = *to;
  if (old == expected) *to = x;
  return old;
}

// The runtime's functions.

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost };
using cudaStream_t = void*;

struct dim3 {
  dim3(unsigned size = 1) : x(size) {}
  unsigned x;
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 2;
  return cudaSuccess;
}
template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel,
                                                          int, size_t) {
  *blocks = 2;
  return cudaSuccess;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config,
                               void (*kernel)(Parameters...),
                               Arguments... arguments) {
  // A thread block of a GPU has 48 KiB without asking for more.
  if (config->dynamicSmemBytes > 48 << 10) return cudaErrorInvalidValue;
  emulated::run(config->gridDim.x, config->blockDim.x,
                config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return cudaSuccess;
}

inline cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes,
                              cudaMemcpyKind) {
  if (bytes) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes,
                                   cudaStream_t) {
  if (bytes) std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

// Kernels call `gridDim.x`, and the launch has a member of that name.
inline Index3& gridDim = emulated::grid;

#endif  // KERAS_PSS_TESTS_EMULATION_CUDA_RUNTIME_H_
