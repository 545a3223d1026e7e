// ROBE tables in device code.

#ifndef KERAS_PSS_CUDA_ROBE_H_
#define KERAS_PSS_CUDA_ROBE_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "core/lookup.h"
#include "core/number.h"
#include "core/pss1.h"
#include "cuda/launch.h"

namespace pss {

// The tables, with values derived from their sizes.
struct Robe {
  explicit Robe(const pss_robe& from)
      : m(static_cast<uint32_t>(from.memory_size)),
        share(from.block_size > from.output_dim
                  ? static_cast<uint32_t>(from.block_size / from.output_dim)
                  : 1),
        sign_words(static_cast<uint32_t>(from.sign_words)),
        d(from.output_dim),
        length(std::min(from.block_size, from.output_dim)),
        pieces(pss_robe_pieces(from.output_dim, from.block_size)),
        tables(from.num_tables),
        keys(from.keys),
        scales(from.scales) {}

  uint32_t m;
  uint32_t share;  // number of consecutive ids that share a block of ROBE
  uint32_t sign_words;
  Divisor d;
  Divisor length;  // length of pieces, except for the last one of a row
  Divisor pieces;
  Divisor tables;
  const int32_t* keys;
  const float* scales;
};

// The three words of a key.
struct Key {
  uint32_t a, b, k;
};

__device__ inline Key key_of(const Robe& robe, uint32_t table, uint32_t word) {
  const int64_t words = int64_t{robe.pieces.by()} + robe.sign_words;
  const int32_t* key = robe.keys + (table * words + word) * 3;
  return {static_cast<uint32_t>(key[0]), static_cast<uint32_t>(key[1]),
          static_cast<uint32_t>(key[2])};
}

__device__ inline uint32_t hashed(const Key& key, uint64_t id) {
  const uint32_t high = static_cast<uint32_t>(id >> 32);
  return word(static_cast<uint32_t>(id), high ? mixed_high(high) : 0, key.a,
              key.b, key.k);
}

// Start of a piece of an id's row, from the key of the piece.
__device__ inline uint32_t start_of(const Robe& robe, const Key& key,
                                    uint64_t id) {
  if (robe.share == 1) return reduced(hashed(key, id), robe.m);
  const uint64_t chunk = id >> 32 ? id / robe.share
                                  : static_cast<uint32_t>(id) / robe.share;
  const uint32_t rest = static_cast<uint32_t>(id - chunk * robe.share);
  return turned(reduced(hashed(key, chunk), robe.m), rest * robe.d.by(),
                robe.m);
}

// The number with the sign that the column's bit of a sign word gives.
__device__ inline float with_sign(float x, uint32_t signs, uint32_t column) {
  return float_of(bits_of(x) ^ ((signs << (column % 32)) & 0x80000000u));
}

// No fused multiply-add, so that the bits equal those of the CPU.
__device__ inline float factor_of(const Robe& robe, const pss_ids& ids,
                                  uint32_t table, int64_t id) {
  const float scale = robe.scales ? robe.scales[table] : 1.0f;
  return ids.weights ? __fmul_rn(scale, ids.weights[id]) : scale;
}

// A split, clipped to the range of the ids.
__device__ inline int64_t split_at(const pss_ids& ids, int64_t row) {
  const int64_t split = ids.splits[row];
  return split < 0 ? 0 : split < ids.count ? split : ids.count;
}

// A range of consecutive elements of the row-major output.
struct Span {
  int64_t row;      // row of the first element
  uint32_t column;  // column of the first element
  uint32_t size;
};

__device__ inline Span span_of(const Robe& robe, int64_t begin, int64_t total,
                               uint32_t most) {
  const int64_t row = begin / robe.d.by(), left = total - begin;
  return {row, static_cast<uint32_t>(begin - row * robe.d.by()),
          left < most ? static_cast<uint32_t>(left) : most};
}

// An element of a span.
struct Place {
  uint32_t row;  // relative to the first row of the span
  uint32_t column, piece;
  uint32_t step;  // offset from the start of the piece
};

__device__ inline Place place_of(const Robe& robe, const Span& span,
                                 uint32_t element) {
  // No overflow: columns are below 2^31, and spans are short.
  const uint32_t at = span.column + element;
  const uint32_t row = robe.d.quotient(at), column = at - row * robe.d.by();
  const uint32_t piece = robe.length.quotient(column);
  return {row, column, piece, column - piece * robe.length.by()};
}

// The number of elements that a thread block processes at once, and the numbers
// of their hashes.
struct RobeTile {
  // The largest tile of at most `most` elements whose hashes leave enough
  // shared memory for several thread blocks on a multiprocessor.
  static RobeTile of(const pss_robe& robe, uint32_t most) {
    RobeTile tile = {most, 0, 0};
    for (;; tile.size /= 2) {
      const int64_t rows = tile.size / robe.output_dim + 2;
      const auto words = [&](int64_t length) {
        // The first and the last row can begin or end within a piece.
        return static_cast<uint32_t>(
            std::min<int64_t>(tile.size, tile.size / length + 2 * rows));
      };
      tile.starts = words(std::min(robe.block_size, robe.output_dim));
      tile.signs = robe.sign_words ? words(32) : 0;
      if (tile.bytes() <= 16384 || tile.size <= kThreads) return tile;
    }
  }

  size_t bytes() const { return 4 * (2 * size_t{starts} + signs); }

  uint32_t size;
  uint32_t starts, signs;  // upper bounds
};

// The hashes of a tile, in shared memory.
class Hashes {
 public:
  __device__ Hashes(const Robe& robe, const RobeTile& tile)
      : robe_(robe),
        starts_(shared_words()),
        factors_(starts_ + tile.starts),
        signs_(factors_ + tile.starts) {}

  // Computes the hashes of the elements of a span, one word per thread.
  //   id(row), table(row), factor(row): properties of a row, numbered from the
  //   first row of the span.
  template <typename Id, typename Table, typename Factor>
  __device__ void load(const Span& span, const Id& id, const Table& table,
                       const Factor& factor) {
    first_piece_ = robe_.length.quotient(span.column);
    first_sign_ = span.column / 32;
    const Place last = place_of(robe_, span, span.size - 1);
    const uint32_t starts = piece_index(last) + 1;
    for (uint32_t i = threadIdx.x; i < starts; i += kThreads) {
      const uint32_t row = robe_.pieces.quotient(first_piece_ + i);
      const uint32_t piece = first_piece_ + i - row * robe_.pieces.by();
      starts_[i] = start_of(robe_, key_of(robe_, table(row), piece), id(row));
      factors_[i] = bits_of(factor(row));
    }
    if (robe_.sign_words == 0) return;
    const uint32_t signs = sign_index(last) + 1;
    for (uint32_t i = threadIdx.x; i < signs; i += kThreads) {
      const uint32_t row = (first_sign_ + i) / robe_.sign_words;
      const uint32_t word = first_sign_ + i - row * robe_.sign_words;
      signs_[i] = hashed(
          key_of(robe_, table(row), robe_.pieces.by() + word), id(row));
    }
  }

  // Position of the element in the memory.
  __device__ uint32_t position(const Place& place) const {
    return turned(starts_[piece_index(place)], place.step, robe_.m);
  }

  __device__ float factor(const Place& place) const {
    return float_of(factors_[piece_index(place)]);
  }

  // The sign word of the element.
  __device__ uint32_t signs(const Place& place) const {
    return robe_.sign_words ? signs_[sign_index(place)] : 0;
  }

 private:
  // Intermediate results may wrap around; the final index is exact.
  __device__ uint32_t piece_index(const Place& place) const {
    return place.row * robe_.pieces.by() + place.piece - first_piece_;
  }

  __device__ uint32_t sign_index(const Place& place) const {
    return place.row * robe_.sign_words + place.column / 32 - first_sign_;
  }

  const Robe& robe_;
  uint32_t* const starts_;
  uint32_t* const factors_;
  uint32_t* const signs_;
  uint32_t first_piece_, first_sign_;
};

}  // namespace pss

#endif  // KERAS_PSS_CUDA_ROBE_H_
