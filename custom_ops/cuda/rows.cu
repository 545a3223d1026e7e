// Gathers rows of a table and sums their gradients, on CUDA devices.

#include <cuda_runtime.h>

#include <cstring>

#include "core/number.h"
#include "core/visit.h"
#include "cuda/launch.h"
#include "cuda/lookup.h"
#include "cuda/sort.h"

namespace pss {
namespace {

// Number of threads that share a row: a power of two, at most a warp.
int lanes_for(int64_t items) {
  int lanes = 1;
  while (lanes < 32 && lanes < items) lanes *= 2;
  return lanes;
}

// Copies rows of `size` vectors.
template <typename Vector>
__global__ void __launch_bounds__(kThreads)
    copy_rows(pss_ids ids, const Vector* __restrict__ table,
              int64_t table_rows, int64_t size, Vector none,
              Vector* __restrict__ out, int lanes) {
  const int64_t step = int64_t{gridDim.x} * (kThreads / lanes);
  const int lane = threadIdx.x % lanes;
  for (int64_t i = int64_t{blockIdx.x} * (kThreads / lanes) +
                   threadIdx.x / lanes;
       i < ids.count; i += step) {
    // As an unsigned number, a negative id is too large as well.
    const uint64_t id = id_at(ids, i);
    const bool valid = id < static_cast<uint64_t>(table_rows);
    const Vector* from = table + (valid ? static_cast<int64_t>(id) : 0) * size;
    Vector* to = out + i * size;
    for (int64_t j = lane; j < size; j += lanes) to[j] = valid ? from[j] : none;
  }
}

template <typename Vector>
cudaError_t gather(const pss_ids& ids, const void* table, int64_t table_rows,
                   int64_t bytes, void* out, void* stream) {
  const int64_t size = bytes / static_cast<int64_t>(sizeof(Vector));
  const int lanes = lanes_for(size);
  Vector none;
  std::memset(&none, 255, sizeof(none));
  return launch(copy_rows<Vector>, blocks_for(ids.count * lanes), 0, stream,
                ids, static_cast<const Vector*>(table), table_rows, size, none,
                static_cast<Vector*>(out), lanes);
}

// Sort keys of the ids; all out-of-range ids get the largest key.
__global__ void __launch_bounds__(kThreads)
    number_ids(pss_ids ids, uint32_t table_rows, uint32_t* __restrict__ keys,
               int32_t* __restrict__ places) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < ids.count;
       i += int64_t{gridDim.x} * kThreads) {
    const uint64_t id = id_at(ids, i);
    keys[i] = id < table_rows ? static_cast<uint32_t>(id) : table_rows;
    places[i] = static_cast<int32_t>(i);
  }
}

// Number of columns that a thread sums at once, to overlap their loads.
constexpr int kColumns = 4;

// Sums each run of equal ids in order, with a warp or a part of one for each
// run and group of columns.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    sum_runs(Pairs pairs, const T* __restrict__ upstream, uint32_t table_rows,
             int64_t width, int64_t parts, T* __restrict__ out, int lanes) {
  const int64_t step = int64_t{gridDim.x} * (kThreads / lanes);
  const int lane = threadIdx.x % lanes;
  for (int64_t item = int64_t{blockIdx.x} * (kThreads / lanes) +
                      threadIdx.x / lanes;
       item < pairs.count * parts; item += step) {
    const int64_t part = item / pairs.count, first = item % pairs.count;
    const uint32_t id = pairs.sorted_keys[first];
    if (id >= table_rows) continue;
    if (first > 0 && pairs.sorted_keys[first - 1] == id) continue;
    const int64_t last =
        first + first_from(pairs.sorted_keys + first, pairs.count - first,
                           id + 1);
    const int64_t begin = part * kColumns * lanes + lane;
    float sums[kColumns] = {};
#pragma unroll 4
    for (int64_t i = first; i < last; ++i) {
      const T* from = upstream + pairs.sorted_values[i] * width;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int64_t j = begin + c * lanes;
        if (j < width) sums[c] += to_float(from[j]);
      }
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int64_t j = begin + c * lanes;
      if (j < width) out[id * width + j] = from_float<T>(sums[c]);
    }
  }
}

template <typename T>
cudaError_t scatter(const pss_ids& ids, const T* upstream, uint32_t table_rows,
                    int64_t width, T* out, const Pairs& pairs, void* stream) {
  PSS_RETURN_IF_ERROR(cudaMemsetAsync(out, 0, table_rows * width * sizeof(T),
                                      static_cast<cudaStream_t>(stream)));
  if (ids.count == 0) return cudaSuccess;
  PSS_RETURN_IF_ERROR(launch(number_ids, blocks_for(ids.count), 0, stream, ids,
                             table_rows, pairs.keys, pairs.values));
  PSS_RETURN_IF_ERROR(sort(pairs, stream));
  const int lanes = lanes_for(width);
  const int64_t parts = (width + kColumns * lanes - 1) / (kColumns * lanes);
  return launch(sum_runs<T>, blocks_for(ids.count * parts * lanes), 0, stream,
                pairs, upstream, table_rows, width, parts, out, lanes);
}

cudaError_t take_scatter(const pss_ids& ids, int64_t table_rows,
                         Scratch* scratch, Pairs* pairs) {
  if (ids.count < 0 || ids.count >= (int64_t{1} << 31) || table_rows < 0 ||
      table_rows >= (int64_t{1} << 32) - 1) {
    return cudaErrorInvalidValue;
  }
  if (ids.count == 0) return cudaSuccess;
  return take_pairs(ids.count, static_cast<uint32_t>(table_rows), scratch,
                    pairs);
}

}  // namespace
}  // namespace pss

extern "C" {

int pss_cuda_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                    int64_t bytes, void* out, void* stream) {
  if (ids->count < 0 || table_rows < 0 || bytes < 0) {
    return cudaErrorInvalidValue;
  }
  if (bytes == 0) return cudaSuccess;
  const auto fits = [&](int64_t size) {
    return bytes % size == 0 && pss::is_aligned(table, size) &&
           pss::is_aligned(out, size);
  };
  const auto gather = fits(16)  ? pss::gather<uint4>
                      : fits(8) ? pss::gather<uint2>
                      : fits(4) ? pss::gather<uint32_t>
                      : fits(2) ? pss::gather<uint16_t>
                                : pss::gather<uint8_t>;
  return gather(*ids, table, table_rows, bytes, out, stream);
}

size_t pss_cuda_scatter_scratch(const pss_ids* ids, int64_t table_rows) {
  pss::Scratch scratch(nullptr);
  pss::Pairs pairs = {};
  const cudaError_t error =
      pss::take_scatter(*ids, table_rows, &scratch, &pairs);
  return error == cudaSuccess ? scratch.bytes() : 0;
}

int pss_cuda_scatter(const pss_ids* ids, pss_float type, const void* upstream,
                     int64_t table_rows, int64_t width, void* out,
                     void* scratch, size_t scratch_bytes, void* stream) {
  pss::Scratch parts(scratch);
  pss::Pairs pairs = {};
  PSS_RETURN_IF_ERROR(pss::take_scatter(*ids, table_rows, &parts, &pairs));
  if (width < 0 || parts.bytes() > scratch_bytes ||
      !pss::is_aligned(scratch, 16)) {
    return cudaErrorInvalidValue;
  }
  if (table_rows == 0 || width == 0) return cudaSuccess;
  cudaError_t error = cudaErrorInvalidValue;
  pss::with_type(type, [&](auto number) {
    using T = decltype(number);
    error = pss::scatter(*ids, static_cast<const T*>(upstream),
                         static_cast<uint32_t>(table_rows), width,
                         static_cast<T*>(out), pairs, stream);
  });
  return error;
}

}  // extern "C"
