// ROBE lookups on CUDA devices.

#include <cuda_runtime.h>

#include <cstring>

#include "core/visit.h"
#include "cuda/launch.h"
#include "cuda/lookup.h"
#include "cuda/robe.h"

namespace pss {
namespace {

// Elements that are loaded or stored at once.
template <typename T, int N>
struct alignas(N * sizeof(T)) Numbers {
  T x[N];
};

// The next position in the circular memory.
__device__ uint32_t next(uint32_t at, uint32_t m) {
  return at + 1 == m ? 0 : at + 1;
}

// Loads 16 bytes from any element of the aligned memory, wrapping around its
// end. Hashed starts are not aligned: two aligned loads, combined, replace one
// load per element.
template <typename T, int N>
__device__ Numbers<T, N> load(const T* __restrict__ memory, uint32_t m,
                              uint32_t at) {
  Numbers<T, N> out;
  if constexpr (N == 1) {
    out.x[0] = memory[at];
  } else {
    static_assert(N * sizeof(T) == 16, "whole vectors");
    const uint32_t offset = at % N, first = at - offset;
    if (m - first >= (offset ? 2 * N : N)) {
      const uint4* from = reinterpret_cast<const uint4*>(memory + first);
      const uint4 low = from[0], high = offset ? from[1] : low;
      const uint32_t bytes = offset * sizeof(T);
      uint32_t x[8] = {low.x,  low.y,  low.z,  low.w,
                       high.x, high.y, high.z, high.w};
      // Shifts down by whole words, all in registers.
#pragma unroll
      for (int i = 0; i < 6; ++i) x[i] = bytes & 8 ? x[i + 2] : x[i];
#pragma unroll
      for (int i = 0; i < 5; ++i) x[i] = bytes & 4 ? x[i + 1] : x[i];
      if (sizeof(T) < 4) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x[i] = __funnelshift_r(x[i], x[i + 1], 8 * (bytes & 2));
        }
      }
      std::memcpy(&out, x, 16);
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i, at = next(at, m)) out.x[i] = memory[at];
    }
  }
  return out;
}

// Rows of single ids. Plain rows are copied bit for bit.
template <typename T, bool kPlain, int N>
__global__ void __launch_bounds__(kThreads)
    single_rows(Robe robe, pss_ids ids, const T* __restrict__ memory,
                T* __restrict__ out, int64_t total, RobeTile tile) {
  Hashes hashes(robe, tile);
  for (int64_t begin = int64_t{blockIdx.x} * tile.size; begin < total;
       begin += int64_t{gridDim.x} * tile.size) {
    const Span span = span_of(robe, begin, total, tile.size);
    const auto table = [&](uint32_t row) {
      return robe.tables.remainder(static_cast<uint32_t>(span.row + row));
    };
    __syncthreads();  // other threads may still read the last tile's hashes
    hashes.load(
        span, [&](uint32_t row) { return id_at(ids, span.row + row); }, table,
        [&](uint32_t row) {
          return kPlain ? 1.0f
                        : factor_of(robe, ids, table(row), span.row + row);
        });
    __syncthreads();
#pragma unroll 2
    for (uint32_t e = threadIdx.x * N; e < span.size; e += kThreads * N) {
      const Place place = place_of(robe, span, e);
      auto numbers = load<T, N>(memory, robe.m, hashes.position(place));
      if (!kPlain) {
        const uint32_t signs = hashes.signs(place);
        const float factor = hashes.factor(place);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          const float x =
              with_sign(to_float(numbers.x[i]), signs, place.column + i);
          numbers.x[i] = from_float<T>(factor * x);
        }
      }
      *reinterpret_cast<Numbers<T, N>*>(out + begin + e) = numbers;
    }
  }
}

// Sums of the rows of bags; each thread computes a few elements of a sum.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    pooled_rows(Robe robe, pss_ids ids, const T* __restrict__ memory,
                T* __restrict__ out, int64_t total) {
  constexpr uint32_t kSize = kThreads * N;
  for (int64_t begin = int64_t{blockIdx.x} * kSize; begin < total;
       begin += int64_t{gridDim.x} * kSize) {
    const Span span = span_of(robe, begin, total, kSize);
    const uint32_t e = threadIdx.x * N;
    if (e >= span.size) continue;
    const Place place = place_of(robe, span, e);
    const int64_t row = span.row + place.row;
    const uint32_t table = robe.tables.remainder(static_cast<uint32_t>(row));
    const Key start_key = key_of(robe, table, place.piece);
    Key sign_key = {};
    if (robe.sign_words) {
      sign_key = key_of(robe, table, robe.pieces.by() + place.column / 32);
    }
    float sum[N] = {};
    const int64_t last = split_at(ids, row + 1);
#pragma unroll 2
    for (int64_t i = split_at(ids, row); i < last; ++i) {
      const uint64_t id = id_at(ids, i);
      const uint32_t start = start_of(robe, start_key, id);
      const auto numbers =
          load<T, N>(memory, robe.m, turned(start, place.step, robe.m));
      const float factor = factor_of(robe, ids, table, i);
      const uint32_t signs = robe.sign_words ? hashed(sign_key, id) : 0;
#pragma unroll
      for (int t = 0; t < N; ++t) {
        const float x =
            with_sign(to_float(numbers.x[t]), signs, place.column + t);
        sum[t] = __fadd_rn(sum[t], __fmul_rn(factor, x));
      }
    }
    Numbers<T, N> numbers;
#pragma unroll
    for (int t = 0; t < N; ++t) numbers.x[t] = from_float<T>(sum[t]);
    *reinterpret_cast<Numbers<T, N>*>(out + begin + e) = numbers;
  }
}

template <typename T, int N>
cudaError_t look_up(const pss_robe& robe, const pss_ids& ids, const T* memory,
                    T* out, void* stream) {
  const int64_t total = ids.rows * robe.output_dim;
  if (ids.splits != nullptr) {
    return launch(pooled_rows<T, N>, blocks_for((total + N - 1) / N), 0,
                  stream, Robe(robe), ids, memory, out, total);
  }
  // Large tiles hash in full warps, small ones keep all multiprocessors busy.
  int64_t processors;
  PSS_RETURN_IF_ERROR(count_processors(&processors));
  uint32_t most = 16384;
  while (most > 1024 && total / most < 4 * processors) most /= 2;
  const RobeTile tile = RobeTile::of(robe, most);
  const bool plain = !robe.sign_words && !robe.scales && !ids.weights;
  const auto kernel =
      plain ? single_rows<T, true, N> : single_rows<T, false, N>;
  return launch(kernel, (total + tile.size - 1) / tile.size, tile.bytes(),
                stream, Robe(robe), ids, memory, out, total, tile);
}

template <typename T>
cudaError_t look_up(const pss_robe& robe, const pss_ids& ids,
                    const void* memory, void* out, void* stream) {
  constexpr int N = 16 / sizeof(T);
  const T* from = static_cast<const T*>(memory);
  T* to = static_cast<T*>(out);
  // No vector may span two pieces or two rows.
  const bool whole = robe.output_dim % N == 0 &&
                     (robe.block_size >= robe.output_dim ||
                      robe.block_size % N == 0) &&
                     is_aligned(memory, 16) && is_aligned(out, 16);
  return whole ? look_up<T, N>(robe, ids, from, to, stream)
               : look_up<T, 1>(robe, ids, from, to, stream);
}

}  // namespace
}  // namespace pss

extern "C" {

const char* pss_cuda_error(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

int pss_cuda_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                         pss_float type, const void* memory, void* out,
                         void* stream) {
  if (pss_robe_check(robe, ids) != nullptr) return cudaErrorInvalidValue;
  cudaError_t error = cudaErrorInvalidValue;
  pss::with_type(type, [&](auto number) {
    using T = decltype(number);
    error = pss::look_up<T>(*robe, *ids, memory, out, stream);
  });
  return error;
}

}  // extern "C"
