// Lookups of tensor trains and rings on CUDA devices.

#include "cuda/tensor_train.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/lookup.h"

namespace pss {
namespace {

// Floats of shared memory that a tile may use, so that several thread blocks
// fit on a multiprocessor; and those of a copied slice. They are the same for
// any device, and thus the order of additions.
constexpr int64_t kSharedFloats = 10240;
constexpr int64_t kSliceFloats = 4096;

// Floats of work memory outside of shared memory, of all thread blocks.
constexpr int64_t kOutsideFloats = int64_t{1} << 27;

__global__ void __launch_bounds__(kThreads)
    number_ids(Divisor last, Divisor middle, uint32_t below, uint32_t rows,
               pss_ids ids, uint32_t* __restrict__ keys,
               int32_t* __restrict__ places) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < ids.count;
       i += int64_t{gridDim.x} * kThreads) {
    // An id outside of the table has its first or last row.
    const int64_t id = static_cast<int64_t>(id_at(ids, i));
    const uint32_t row =
        id < 0 ? 0 : id < rows ? static_cast<uint32_t>(id) : rows - 1;
    const uint32_t prefix = last.quotient(row);
    const uint32_t rest = middle.quotient(prefix);
    keys[i] = ((prefix - rest * middle.by()) * below + rest) * last.by() +
              (row - prefix * last.by());
    places[i] = static_cast<int32_t>(i);
  }
}

// The last step: one thread for each number of a row.
__global__ void __launch_bounds__(kThreads)
    train_rows(Train train, TrainLayout layout, Pairs pairs,
               float* __restrict__ out, float* outside, int64_t tiles) {
  __shared__ TrainTile tile;
  const TrainWork work(layout, outside);
  const TrainCore& last = train.last();
  const int dim = train.output_dim, columns = dim / last.width;
  const int matrix = train.matrix(train.count - 1);
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t begin = t * layout.places, left = pairs.count - begin;
    tile.load(train, pairs, begin,
              left < layout.places ? static_cast<int>(left) : layout.places);
    multiply(train, tile, work);
    for (int i = threadIdx.x; i < tile.ids * dim; i += kThreads) {
      const int id = i / dim, j = i - id * dim;
      const int x = j / last.width, y = j - x * last.width;
      const float* from =
          work.matrices(train.count - 1) + tile.prefix[id] * matrix;
      const float* slice = last.at(tile.last[id]);
      float sum = 0;
      for (int a = 0; a < train.first; ++a) {
        const float* row = from + (a * columns + x) * last.left;
        for (int k = 0; k < last.left; ++k) {
          sum += row[k] * slice[(k * last.width + y) * train.first + a];
        }
      }
      for (int p = tile.found[id]; p < tile.found[id + 1]; ++p) {
        out[int64_t{tile.place[p]} * dim + j] = sum;
      }
    }
  }
}

struct Lookup {
  Lookup(const pss_tensor_train& from, const float* const* data)
      : train(from, data), layout(train, false) {}

  cudaError_t take(const pss_ids& ids, Scratch* scratch) {
    if (ids.count == 0) return cudaSuccess;
    tiles = tiles_of(layout, ids.count);
    blocks = std::min(tiles, layout.most_blocks());
    outside = scratch->take<float>(layout.floats(blocks));
    return take_pairs(ids.count, train.rows - 1, scratch, &pairs);
  }

  Train train;
  TrainLayout layout;
  Pairs pairs = {};
  int64_t tiles = 0, blocks = 0;
  float* outside = nullptr;
};

}  // namespace

Train::Train(const pss_tensor_train& from, const float* const* data)
    : count(static_cast<int32_t>(from.num_cores)),
      first(static_cast<int32_t>(from.shapes[1])) {
  int64_t columns = 1, prefixes = 1;
  for (int k = 0; k < count; ++k) {
    const int64_t* shape = from.shapes + 4 * k;
    core[k] = {static_cast<int32_t>(shape[0]), static_cast<int32_t>(shape[1]),
               static_cast<int32_t>(shape[2]), static_cast<int32_t>(shape[3]),
               data ? data[k] : nullptr};
    columns *= shape[2];
    if (k + 1 < kCores) height[k + 1] = static_cast<int32_t>(first * columns);
    if (k == count - 2) below = static_cast<uint32_t>(prefixes);
    prefixes *= shape[0];
  }
  output_dim = static_cast<int32_t>(columns);
  rows = static_cast<uint32_t>(prefixes);
}

TrainLayout::TrainLayout(const Train& train, bool gradient) : slice(0) {
  for (int k = 1; k + 1 < train.count; ++k) {
    const int64_t copy =
        int64_t{train.core[k].left} * (train.core[k].columns() | 1);
    if (copy <= kSliceFloats) slice = std::max<int>(slice, copy);
  }
  for (places = kPlaces;; places /= 2) {
    size = 0;
    const auto take = [&](int64_t each) {
      const int64_t begin = size;
      size += places * each;
      return begin;
    };
    for (int level = 1; level < train.count; ++level) {
      at[level] = take(train.matrix(level));
    }
    slopes = take(gradient ? train.matrix(train.count - 1) : 0);
    upstream = take(gradient ? train.output_dim : 0);
    shared = slice + size <= kSharedFloats;
    if (shared) return;
    // Tiles of fewer places would gain little from shared memory.
    if (places <= 4 && (places == 1 || size <= kOutsideFloats / 8)) return;
  }
}

int64_t TrainLayout::most_blocks() const {
  if (shared) return int64_t{1} << 31;
  return std::max<int64_t>(1, std::min<int64_t>(1024, kOutsideFloats / size));
}

cudaError_t sort_ids(const Train& train, const pss_ids& ids, const Pairs& pairs,
                     void* stream) {
  PSS_RETURN_IF_ERROR(
      launch(number_ids, blocks_for(ids.count), 0, stream,
             Divisor(train.last().rows),
             Divisor(train.core[train.count - 2].rows), train.below, train.rows, ids, pairs.keys, pairs.values));
  return sort(pairs, stream);
}

}  // namespace pss

extern "C" {

size_t pss_cuda_tensor_train_lookup_scratch(const pss_tensor_train* train,
                                            const pss_ids* ids) {
  if (pss_tensor_train_check(train, ids) != nullptr) return 0;
  pss::Scratch scratch(nullptr);
  pss::Lookup lookup(*train, nullptr);
  return lookup.take(*ids, &scratch) == cudaSuccess ? scratch.bytes() : 0;
}

int pss_cuda_tensor_train_lookup(const pss_tensor_train* train,
                                 const pss_ids* ids, const float* const* cores,
                                 float* out, void* scratch,
                                 size_t scratch_bytes, void* stream) {
  if (pss_tensor_train_check(train, ids) != nullptr) {
    return cudaErrorInvalidValue;
  }
  pss::Scratch parts(scratch);
  pss::Lookup lookup(*train, cores);
  PSS_RETURN_IF_ERROR(lookup.take(*ids, &parts));
  if (parts.bytes() > scratch_bytes || !pss::is_aligned(scratch, 16)) {
    return cudaErrorInvalidValue;
  }
  if (ids->count == 0) return cudaSuccess;
  PSS_RETURN_IF_ERROR(
      pss::sort_ids(lookup.train, *ids, lookup.pairs, stream));
  return pss::launch(pss::train_rows, lookup.blocks,
                     lookup.layout.shared_bytes(), stream, lookup.train,
                     lookup.layout, lookup.pairs, out, lookup.outside,
                     lookup.tiles);
}

}  // extern "C"
