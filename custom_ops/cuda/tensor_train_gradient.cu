// Gradients of tensor trains and rings on CUDA devices: the matrices are
// computed again, tile by tile. How they are added up is in cuda/train_sums.h.

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/lookup.h"
#include "cuda/tensor_train.h"
#include "cuda/train_sums.h"

namespace pss {
namespace {

constexpr int64_t kChunks = 256;
constexpr int64_t kCopyFloats = int64_t{1} << 26;  // of all chunks

// Calls visit(i, e) for the elements e of `count` slices i of one size, in
// parallel; without atomic additions, an element e of all slices has one
// thread, since slices may be the same.
template <bool kAtomic, typename Visit>
__device__ void each_element(int count, int size, const Visit& visit) {
  if constexpr (kAtomic) {
    for (int n = threadIdx.x; n < count * size; n += kThreads) {
      const int i = n / size;
      visit(i, n - i * size);
    }
  } else {
    for (int e = threadIdx.x; e < size; e += kThreads) {
      for (int i = 0; i < count; ++i) visit(i, e);
    }
  }
}

// Sums the upstream gradients of equal ids, in the order of the batch.
__device__ void sum_upstream(const Train& train, const TrainTile& tile,
                             const float* __restrict__ upstream, float* out) {
  const int dim = train.output_dim;
  for (int i = threadIdx.x; i < tile.ids * dim; i += kThreads) {
    const int id = i / dim, j = i - id * dim;
    float sum = 0;
    for (int p = tile.found[id]; p < tile.found[id + 1]; ++p) {
      sum += upstream[int64_t{tile.place[p]} * dim + j];
    }
    out[i] = sum;
  }
}

// The gradients of the last step by the matrices of level D - 1 and by the
// slices of the last core.
template <bool kAtomic>
__device__ void last_gradient(const Train& train, const TrainTile& tile,
                              const TrainWork& work,
                              const Slopes<kAtomic>& slopes) {
  const TrainCore& last = train.last();
  const int dim = train.output_dim, columns = dim / last.width;
  const int matrix = train.matrix(train.count - 1);
  const float* upstream = work.upstream();
  for (int i = threadIdx.x; i < tile.prefixes * matrix; i += kThreads) {
    const int prefix = i / matrix, element = i - prefix * matrix;
    const int row = element / last.left, k = element - row * last.left;
    const int a = row / columns, x = row - a * columns;
    float sum = 0;
    for (int id = tile.begin[prefix]; id < tile.begin[prefix + 1]; ++id) {
      const float* slice = last.at(tile.last[id]) + k * last.columns() + a;
      const float* from = upstream + id * dim + x * last.width;
      for (int y = 0; y < last.width; ++y) {
        sum += from[y] * slice[y * train.first];
      }
    }
    work.slopes()[i] = sum;
  }
  each_element<kAtomic>(tile.ids, last.slice(), [&](int id, int element) {
    const int k = element / last.columns(), rest = element - k * last.columns();
    const int y = rest / train.first, a = rest - y * train.first;
    const float* from = work.matrices(train.count - 1) +
                        tile.prefix[id] * matrix + a * columns * last.left + k;
    float sum = 0;
    for (int x = 0; x < columns; ++x) {
      sum += from[x * last.left] * upstream[id * dim + x * last.width + y];
    }
    add<kAtomic>(slopes.at(train.count - 1, tile.last[id]) + element, sum);
  });
}

// The gradients of the slices that a level multiplies by, and of the matrices
// of the level below, which take their place.
template <bool kAtomic>
__device__ void level_gradient(const Train& train, const TrainTile& tile,
                               const TrainWork& work,
                               const Slopes<kAtomic>& slopes,
                               int level, const float* upstream) {
  const TrainCore& core = train.core[level - 1];
  const int height = train.height[level - 1], columns = core.columns();
  const int* digit = tile.digit[level - 1];
  float* below = work.matrices(level - 1);
  each_run(digit, tile.prefixes, [&](int begin, int end) {
    const int rows = (end - begin) * height;
    const float* x = below + begin * height * core.left;
    const Strided from = {upstream + begin * height * columns, columns, 1};
    float* to = slopes.at(level - 1, digit[begin]);
    product(core.left, columns, rows, {x, 1, core.left}, from,
            [&](int k, int j, float sum) {
              add<kAtomic>(to + k * columns + j, sum);
            });
  });
  __syncthreads();  // the matrices are read no more
  each_run(digit, tile.prefixes, [&](int begin, int end) {
    const int rows = (end - begin) * height;
    const Strided slice = work.slice(core, digit[begin], rows);
    const Strided from = {upstream + begin * height * columns, columns, 1};
    float* out = below + begin * height * core.left;
    product(rows, core.left, columns, from, {slice.data, 1, slice.row},
            [&](int i, int k, float sum) { out[i * core.left + k] = sum; });
  });
  __syncthreads();
}

template <bool kAtomic>
__global__ void __launch_bounds__(kThreads)
    train_gradient(Train train, TrainLayout layout, Pairs pairs,
                   const float* __restrict__ upstream, TrainSums sums,
                   float* outside, int64_t tiles, int64_t chunks) {
  __shared__ TrainTile tile;
  const TrainWork work(layout, outside);
  for (int64_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const int64_t first = chunk * tiles / chunks;
    const int64_t end = (chunk + 1) * tiles / chunks;
    const Slopes<kAtomic> slopes(train, sums, pairs, chunk,
                                 first * layout.places);
    for (int64_t t = first; t < end; ++t) {
      const int64_t begin = t * layout.places, left = pairs.count - begin;
      tile.load(train, pairs, begin,
                left < layout.places ? static_cast<int>(left) : layout.places);
      sum_upstream(train, tile, upstream, work.upstream());
      multiply(train, tile, work);
      last_gradient(train, tile, work, slopes);
      __syncthreads();
      for (int level = train.count - 1; level > 1; --level) {
        level_gradient(train, tile, work, slopes, level,
                       level == train.count - 1 ? work.slopes()
                                                : work.matrices(level));
      }
      const float* matrices =
          train.count > 2 ? work.matrices(1) : work.slopes();
      const int size = train.matrix(1);
      each_element<kAtomic>(tile.prefixes, size, [&](int prefix, int element) {
        add<kAtomic>(slopes.at(0, tile.digit[0][prefix]) + element,
                     matrices[prefix * size + element]);
      });
    }
  }
}

struct Gradient {
  Gradient(const pss_tensor_train& from, const float* const* data,
           float* const* gradients)
      : train(from, data), layout(train, true) {
    for (int k = 0; k < train.count; ++k) {
      sums.gradient[k] = gradients ? gradients[k] : nullptr;
    }
  }

  cudaError_t take(const pss_ids& ids, bool deterministic, Scratch* scratch) {
    if (ids.count == 0) return cudaSuccess;
    tiles = chunks = tiles_of(layout, ids.count);
    if (deterministic) {
      for (int k = 0; k < train.count; ++k) {
        sums.at[k] = sums.copy;
        sums.copy += k == train.count - 2 ? train.core[k].slice() : size(k);
      }
      const int64_t most = std::min(kChunks, kCopyFloats / sums.copy);
      chunks = std::max<int64_t>(1, std::min(tiles, most));
      sums.copies = scratch->take<float>(chunks * sums.copy);
      sums.begun = scratch->take<int32_t>(chunks);
    }
    blocks = std::min(chunks, layout.most_blocks());
    outside = scratch->take<float>(layout.floats(blocks));
    return take_pairs(ids.count, train.rows - 1, scratch, &pairs);
  }

  template <bool kAtomic>
  cudaError_t run(const pss_ids& ids, const float* upstream, void* stream) {
    const auto clear = [&](float* data, int64_t floats) {
      return cudaMemsetAsync(data, 0, floats * sizeof(float),
                             static_cast<cudaStream_t>(stream));
    };
    const int middle = train.count - 2;
    for (int k = 0; k < train.count; ++k) {
      // The sum of copies writes the other gradients.
      if (!kAtomic && k != middle && ids.count > 0) continue;
      PSS_RETURN_IF_ERROR(clear(sums.gradient[k], size(k)));
    }
    if (ids.count == 0) return cudaSuccess;
    PSS_RETURN_IF_ERROR(sort_ids(train, ids, pairs, stream));
    if (!kAtomic) PSS_RETURN_IF_ERROR(clear(sums.copies, chunks * sums.copy));
    PSS_RETURN_IF_ERROR(launch(train_gradient<kAtomic>, blocks,
                               layout.shared_bytes(), stream, train, layout,
                               pairs, upstream, sums, outside, tiles, chunks));
    return kAtomic ? cudaSuccess : add_up(stream);
  }

  // Adds the copies of all chunks.
  cudaError_t add_up(void* stream) {
    for (int k = 0; k < train.count; ++k) {
      if (k == train.count - 2) {
        const int64_t slice = train.core[k].slice();
        PSS_RETURN_IF_ERROR(launch(add_begun, blocks_for(slice), 0, stream,
                                   sums, k, slice, chunks));
      } else {
        PSS_RETURN_IF_ERROR(launch(add_copies, blocks_for(size(k)), 0, stream,
                                   sums, k, size(k), chunks));
      }
    }
    return cudaSuccess;
  }

  int64_t size(int core) const {
    return int64_t{train.core[core].rows} * train.core[core].slice();
  }

  Train train;
  TrainLayout layout;
  TrainSums sums = {};
  Pairs pairs = {};
  int64_t tiles = 0, chunks = 0, blocks = 0;
  float* outside = nullptr;
};

}  // namespace
}  // namespace pss

extern "C" {

size_t pss_cuda_tensor_train_gradient_scratch(const pss_tensor_train* train,
                                              const pss_ids* ids,
                                              int deterministic) {
  if (pss_tensor_train_check(train, ids) != nullptr) return 0;
  pss::Scratch scratch(nullptr);
  pss::Gradient gradient(*train, nullptr, nullptr);
  const cudaError_t error =
      gradient.take(*ids, deterministic != 0, &scratch);
  return error == cudaSuccess ? scratch.bytes() : 0;
}

int pss_cuda_tensor_train_gradient(
    const pss_tensor_train* train, const pss_ids* ids,
    const float* const* cores, const float* upstream, float* const* gradients,
    int deterministic, void* scratch, size_t scratch_bytes, void* stream) {
  if (pss_tensor_train_check(train, ids) != nullptr) {
    return cudaErrorInvalidValue;
  }
  pss::Scratch parts(scratch);
  pss::Gradient gradient(*train, cores, gradients);
  PSS_RETURN_IF_ERROR(gradient.take(*ids, deterministic != 0, &parts));
  if (parts.bytes() > scratch_bytes || !pss::is_aligned(scratch, 16)) {
    return cudaErrorInvalidValue;
  }
  return deterministic ? gradient.run<false>(*ids, upstream, stream)
                       : gradient.run<true>(*ids, upstream, stream);
}

}  // extern "C"
