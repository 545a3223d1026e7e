// Sorts pairs of numbers on a device. It is in a separate file because CUB
// takes long to compile.

#include "cuda/sort.h"

#include <cub/device/device_radix_sort.cuh>

namespace pss {
namespace {

cudaError_t sort(const Pairs& pairs, void* work, size_t* bytes, void* stream) {
  return cub::DeviceRadixSort::SortPairs(
      work, *bytes, pairs.keys, pairs.sorted_keys, pairs.values,
      pairs.sorted_values, static_cast<int>(pairs.count), 0, pairs.bits,
      static_cast<cudaStream_t>(stream));
}

}  // namespace

cudaError_t take_pairs(int64_t count, uint32_t largest, Scratch* scratch,
                       Pairs* out) {
  out->count = count;
  out->bits = 1;
  while (out->bits < 32 && largest >> out->bits) ++out->bits;
  out->work_bytes = 0;
  const cudaError_t error = sort(*out, nullptr, &out->work_bytes, nullptr);
  if (error != cudaSuccess) return error;
  out->keys = scratch->take<uint32_t>(count);
  out->sorted_keys = scratch->take<uint32_t>(count);
  out->values = scratch->take<int32_t>(count);
  out->sorted_values = scratch->take<int32_t>(count);
  out->work = scratch->take<char>(out->work_bytes);
  return cudaSuccess;
}

cudaError_t sort(const Pairs& pairs, void* stream) {
  size_t bytes = pairs.work_bytes;
  return sort(pairs, pairs.work, &bytes, stream);
}

}  // namespace pss
