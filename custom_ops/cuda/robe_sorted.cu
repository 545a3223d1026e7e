// The deterministic gradient of ROBE lookups on CUDA devices.
//
// All pieces are sorted by their starts, so that those that cover an element of
// the memory are consecutive; one thread per element adds them up.

#include "cuda/robe_sorted.h"

#include <cuda_runtime.h>

#include "core/visit.h"
#include "cuda/launch.h"
#include "cuda/robe.h"

namespace pss {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

// The output row of each id, or -1.
__global__ void __launch_bounds__(kThreads)
    find_rows(pss_ids ids, int32_t* __restrict__ rows) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < ids.count;
       i += int64_t{gridDim.x} * kThreads) {
    // The last split that is at most i: earlier rows with this split are empty.
    int64_t first = 0, count = ids.rows + 1;
    while (count > 0) {
      const int64_t half = count / 2;
      if (ids.splits[first + half] <= i) {
        first += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    const int64_t row = first - 1;
    rows[i] = row >= 0 && row < ids.rows ? static_cast<int32_t>(row) : -1;
  }
}

// Numbers the pieces and computes their starts; pieces without a row sort last.
__global__ void __launch_bounds__(kThreads)
    number_pieces(Robe robe, pss_ids ids, const int32_t* __restrict__ rows,
                  uint32_t* __restrict__ starts,
                  int32_t* __restrict__ numbers, int64_t total) {
  for (int64_t p = int64_t{blockIdx.x} * kThreads + threadIdx.x; p < total;
       p += int64_t{gridDim.x} * kThreads) {
    const uint32_t number = static_cast<uint32_t>(p);
    const uint32_t i = robe.pieces.quotient(number);
    const int32_t row = rows ? rows[i] : static_cast<int32_t>(i);
    uint32_t start = robe.m;
    if (row >= 0) {
      const Key key = key_of(robe, robe.tables.remainder(row),
                             number - i * robe.pieces.by());
      start = start_of(robe, key, id_at(ids, i));
    }
    starts[p] = start;
    numbers[p] = static_cast<int32_t>(number);
  }
}

// Adds the contributions of the pieces with starts in [from, to) to one element
// per lane, at position `at`. `turn` is the memory size for pieces that wrap
// around the memory's end, and 0 for others.
template <typename T>
__device__ float add_range(const Robe& robe, const pss_ids& ids,
                           const T* __restrict__ upstream,
                           const int32_t* __restrict__ rows,
                           const Pairs& pairs, uint32_t from, uint32_t to,
                           uint32_t at, uint32_t turn, float sum) {
  const int lane = threadIdx.x % 32;
  const uint32_t* starts = pairs.sorted_keys;
  const int64_t first = first_from(starts, pairs.count, from);
  const int64_t last =
      first + first_from(starts + first, pairs.count - first, to);
  for (int64_t next = first; next < last; next += 32) {
    // Each lane reads one piece's data, then broadcasts it to all lanes.
    uint32_t start = 0, number = 0;
    int32_t row = 0;
    float factor = 0;
    if (next + lane < last) {
      start = starts[next + lane];
      number = static_cast<uint32_t>(pairs.sorted_values[next + lane]);
      const uint32_t i = robe.pieces.quotient(number);
      row = rows ? rows[i] : static_cast<int32_t>(i);
      factor = factor_of(robe, ids, robe.tables.remainder(row), i);
    }
    const int n = last - next < 32 ? static_cast<int>(last - next) : 32;
#pragma unroll 4
    for (int k = 0; k < n; ++k) {
      const uint32_t begin = __shfl_sync(kAllLanes, start, k);
      const uint32_t piece_number = __shfl_sync(kAllLanes, number, k);
      const int32_t piece_row = __shfl_sync(kAllLanes, row, k);
      const float piece_factor = __shfl_sync(kAllLanes, factor, k);
      // If the piece begins after the element, this wraps around to a number
      // larger than the length of any piece.
      const uint32_t step = at + turn - begin;
      const uint32_t i = robe.pieces.quotient(piece_number);
      const uint32_t piece = piece_number - i * robe.pieces.by();
      const int64_t column = int64_t{piece} * robe.length.by() + step;
      if (step >= robe.length.by() || column >= robe.d.by()) continue;
      float x = to_float(upstream[int64_t{piece_row} * robe.d.by() + column]);
      if (robe.sign_words) {
        const uint32_t word = static_cast<uint32_t>(column) / 32;
        const Key key = key_of(robe, robe.tables.remainder(piece_row),
                               robe.pieces.by() + word);
        x = with_sign(x, hashed(key, id_at(ids, i)),
                      static_cast<uint32_t>(column));
      }
      sum = __fadd_rn(sum, __fmul_rn(piece_factor, x));
    }
  }
  return sum;
}

// A warp owns 32 elements of the memory. The bound of 4 thread blocks per
// multiprocessor keeps the compiler from spilling registers for more.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    add_sorted(Robe robe, pss_ids ids, const T* __restrict__ upstream,
               const int32_t* __restrict__ rows, Pairs pairs,
               T* __restrict__ out) {
  const uint32_t m = robe.m, reach = robe.length.by() - 1;
  for (int64_t begin = (int64_t{blockIdx.x} * kThreads + threadIdx.x) / 32 * 32;
       begin < m; begin += int64_t{gridDim.x} * kThreads) {
    const uint32_t first = static_cast<uint32_t>(begin);
    const uint32_t at = first + threadIdx.x % 32;
    uint32_t from = first < reach ? 0 : first - reach;
    uint32_t to = m - first < 32 ? m : first + 32, turn = 0;
    float sum = 0;
    // A loop, so that the large `add_range` is inlined only once.
    for (;;) {
      sum = add_range(robe, ids, upstream, rows, pairs, from, to, at, turn,
                      sum);
      if (turn != 0 || first >= reach) break;
      // Pieces that wrap around the memory's end cover its start, too.
      from = m - (reach - first);
      to = m;
      turn = m;
    }
    if (at < m) out[at] = from_float<T>(sum);
  }
}

}  // namespace

cudaError_t take_sorted(const pss_robe& robe, const pss_ids& ids,
                        Scratch* scratch, Sorted* out) {
  *out = {};
  if (ids.count == 0) return cudaSuccess;
  if (ids.splits != nullptr) out->rows = scratch->take<int32_t>(ids.count);
  const int64_t pieces = pss_robe_pieces(robe.output_dim, robe.block_size);
  return take_pairs(ids.count * pieces,
                    static_cast<uint32_t>(robe.memory_size), scratch,
                    &out->pairs);
}

cudaError_t sorted_gradient(const pss_robe& robe, const pss_ids& ids,
                            pss_float type, const void* upstream, void* out,
                            const Sorted& sorted, void* stream) {
  const Pairs& pairs = sorted.pairs;
  if (sorted.rows != nullptr) {
    PSS_RETURN_IF_ERROR(launch(find_rows, blocks_for(ids.count), 0, stream,
                               ids, sorted.rows));
  }
  PSS_RETURN_IF_ERROR(launch(number_pieces, blocks_for(pairs.count), 0, stream,
                             Robe(robe), ids, sorted.rows, pairs.keys,
                             pairs.values, pairs.count));
  PSS_RETURN_IF_ERROR(sort(pairs, stream));
  cudaError_t error = cudaErrorInvalidValue;
  with_type(type, [&](auto number) {
    using T = decltype(number);
    error = launch(add_sorted<T>, blocks_for(robe.memory_size), 0, stream,
                   Robe(robe), ids, static_cast<const T*>(upstream),
                   sorted.rows, pairs, static_cast<T*>(out));
  });
  return error;
}

}  // namespace pss
