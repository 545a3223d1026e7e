// The gradient of ROBE lookups on CUDA devices, with atomic additions.

#include <cuda_runtime.h>

#include <type_traits>

#include "core/visit.h"
#include "cuda/launch.h"
#include "cuda/lookup.h"
#include "cuda/robe.h"
#include "cuda/robe_sorted.h"

namespace pss {
namespace {

// Number of rows of one table that a thread block processes at once. It sums
// the rows of equal ids before the atomic additions, where hot ids would
// contend.
constexpr int kEntries = 128;
constexpr int kSlots = 2 * kEntries;

// Finds equal ids: a hash table with one slot per id, which is the head of a
// chain of entries.
struct Chains {
  uint64_t id[kEntries];
  int next[kEntries];   // the next entry of the same id, or -1
  int slots[kEntries];  // the slots in use
  int owner[kSlots];    // an entry of the slot's id, or -1
  int first[kSlots];    // the first entry of the slot's id
  int used;

  __device__ void clear() {
    for (int i = threadIdx.x; i < kSlots; i += kThreads) {
      owner[i] = -1;
      first[i] = -1;
    }
    if (threadIdx.x == 0) used = 0;
  }

  // Adds an entry to the chain of its id; `id` must be filled already.
  __device__ void insert(int entry) {
    const uint64_t wanted = id[entry];
    int slot = static_cast<int>((wanted * 0x9E3779B97F4A7C15ull) >> 32) &
               (kSlots - 1);
    for (;; slot = (slot + 1) & (kSlots - 1)) {
      const int other = atomicCAS(&owner[slot], -1, entry);
      if (other == -1) slots[atomicAdd(&used, 1)] = slot;
      if (other == -1 || id[other] == wanted) break;
    }
    next[entry] = atomicExch(&first[slot], entry);
  }
};

// Adds the rows of single ids. A tile is up to `entries` rows of one table; a
// part is a span of the elements of the tile's distinct ids.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    add_single(Robe robe, pss_ids ids, const T* __restrict__ upstream,
               float* __restrict__ sums, int entries, uint32_t tables,
               int64_t tiles, RobeTile part) {
  __shared__ Chains chains;
  Hashes hashes(robe, part);
  const int64_t stride = robe.tables.by();
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const uint32_t table = static_cast<uint32_t>(tile % tables);
    const int64_t begin = table + tile / tables * entries * stride;
    // The tile's rows are begin, begin + F, ..., below the number of ids.
    const int64_t left =
        begin < ids.count ? (ids.count - begin - 1) / stride + 1 : 0;
    const int n = left < entries ? static_cast<int>(left) : entries;
    __syncthreads();  // other threads may still read the last tile
    chains.clear();
    for (int i = threadIdx.x; i < n; i += kThreads) {
      chains.id[i] = id_at(ids, begin + i * stride);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += kThreads) chains.insert(i);
    __syncthreads();
    const int64_t total = int64_t{chains.used} * robe.d.by();
    for (int64_t done = 0; done < total; done += part.size) {
      const Span span = span_of(robe, done, total, part.size);
      const auto first = [&](uint32_t row) {
        return chains.first[chains.slots[span.row + row]];
      };
      __syncthreads();  // other threads may still read the last part
      hashes.load(
          span, [&](uint32_t row) { return chains.id[first(row)]; },
          [&](uint32_t) { return table; }, [](uint32_t) { return 1.0f; });
      __syncthreads();
      for (uint32_t e = threadIdx.x; e < span.size; e += kThreads) {
        const Place place = place_of(robe, span, e);
        float sum = 0;
        for (int i = first(place.row); i >= 0; i = chains.next[i]) {
          const int64_t row = begin + i * stride;
          sum += factor_of(robe, ids, table, row) *
                 to_float(upstream[row * robe.d.by() + place.column]);
        }
        atomicAdd(sums + hashes.position(place),
                  with_sign(sum, hashes.signs(place), place.column));
      }
    }
  }
}

// Adds the rows of bags, with one thread per element.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    add_pooled(Robe robe, pss_ids ids, const T* __restrict__ upstream,
               float* __restrict__ sums, int64_t total) {
  for (int64_t begin = int64_t{blockIdx.x} * kThreads; begin < total;
       begin += int64_t{gridDim.x} * kThreads) {
    const Span span = span_of(robe, begin, total, kThreads);
    if (threadIdx.x >= span.size) continue;
    const Place place = place_of(robe, span, threadIdx.x);
    const int64_t row = span.row + place.row;
    const uint32_t table = robe.tables.remainder(static_cast<uint32_t>(row));
    const Key start_key = key_of(robe, table, place.piece);
    Key sign_key = {};
    if (robe.sign_words) {
      sign_key = key_of(robe, table, robe.pieces.by() + place.column / 32);
    }
    const float x = to_float(upstream[begin + threadIdx.x]);
    const int64_t last = split_at(ids, row + 1);
#pragma unroll 2
    for (int64_t i = split_at(ids, row); i < last; ++i) {
      const uint64_t id = id_at(ids, i);
      const uint32_t start = start_of(robe, start_key, id);
      const uint32_t signs = robe.sign_words ? hashed(sign_key, id) : 0;
      atomicAdd(sums + turned(start, place.step, robe.m),
                factor_of(robe, ids, table, i) *
                    with_sign(x, signs, place.column));
    }
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    round_sums(const float* __restrict__ sums, int64_t total,
               T* __restrict__ out) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < total;
       i += int64_t{gridDim.x} * kThreads) {
    out[i] = from_float<T>(sums[i]);
  }
}

template <typename T>
cudaError_t add_rows(const pss_robe& robe, const pss_ids& ids,
                     const T* upstream, float* sums, void* stream) {
  const int64_t d = robe.output_dim, total = ids.rows * d;
  if (ids.splits != nullptr) {
    return launch(add_pooled<T>, blocks_for(total), 0, stream, Robe(robe), ids,
                  upstream, sums, total);
  }
  // With fewer rows than tables, the last tables have no rows.
  const int64_t tables = std::min(robe.num_tables, ids.count);
  if (tables == 0) return cudaSuccess;
  const int64_t batch = (ids.count - 1) / robe.num_tables + 1;
  int64_t processors;
  PSS_RETURN_IF_ERROR(count_processors(&processors));
  // Fewer rows per thread block if not all multiprocessors would get work.
  int entries = kEntries;
  while (entries > 8 && batch / entries * tables < 4 * processors) {
    entries /= 2;
  }
  const int64_t tiles = tables * ((batch + entries - 1) / entries);
  const RobeTile part = RobeTile::of(robe, 8192);
  return launch(add_single<T>, tiles, part.bytes(), stream, Robe(robe), ids,
                upstream, sums, entries, static_cast<uint32_t>(tables), tiles,
                part);
}

template <typename T>
cudaError_t gradient(const pss_robe& robe, const pss_ids& ids,
                     const T* upstream, T* out, float* sums, void* stream) {
  const int64_t m = robe.memory_size;
  constexpr bool kDirect = std::is_same_v<T, float>;
  if constexpr (kDirect) sums = out;
  PSS_RETURN_IF_ERROR(cudaMemsetAsync(sums, 0, m * sizeof(float),
                                      static_cast<cudaStream_t>(stream)));
  PSS_RETURN_IF_ERROR(add_rows(robe, ids, upstream, sums, stream));
  if constexpr (kDirect) return cudaSuccess;
  return launch(round_sums<T>, blocks_for(m), 0, stream, sums, m, out);
}

// Scratch memory of both variants.
struct Work {
  Sorted sorted;
  float* sums;  // or NULL if the output holds the sums
};

cudaError_t take_work(const pss_robe& robe, const pss_ids& ids, pss_float type,
                      bool deterministic, Scratch* scratch, Work* out) {
  *out = {};
  if (pss_robe_check(&robe, &ids) != nullptr) return cudaErrorInvalidValue;
  if (deterministic) return take_sorted(robe, ids, scratch, &out->sorted);
  if (type != PSS_FLOAT32) {
    out->sums = scratch->take<float>(robe.memory_size);
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace pss

extern "C" {

size_t pss_cuda_robe_gradient_scratch(const pss_robe* robe, const pss_ids* ids,
                                      pss_float type, int deterministic) {
  pss::Scratch scratch(nullptr);
  pss::Work work;
  const cudaError_t error = pss::take_work(*robe, *ids, type, deterministic,
                                           &scratch, &work);
  return error == cudaSuccess ? scratch.bytes() : 0;
}

int pss_cuda_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* upstream, void* out,
                           int deterministic, void* scratch,
                           size_t scratch_bytes, void* stream) {
  pss::Scratch parts(scratch);
  pss::Work work;
  PSS_RETURN_IF_ERROR(
      pss::take_work(*robe, *ids, type, deterministic, &parts, &work));
  if (parts.bytes() > scratch_bytes || !pss::is_aligned(scratch, 16)) {
    return cudaErrorInvalidValue;
  }
  cudaError_t error = cudaErrorInvalidValue;
  pss::with_type(type, [&](auto number) {
    using T = decltype(number);
    const bool adds = ids->count > 0 && ids->rows > 0;
    if (deterministic && adds) {
      error = pss::sorted_gradient(*robe, *ids, type, upstream, out,
                                   work.sorted, stream);
    } else if (!adds) {
      error = cudaMemsetAsync(out, 0, robe->memory_size * sizeof(T),
                              static_cast<cudaStream_t>(stream));
    } else {
      error = pss::gradient(*robe, *ids, static_cast<const T*>(upstream),
                            static_cast<T*>(out), work.sums, stream);
    }
  });
  return error;
}

}  // extern "C"
