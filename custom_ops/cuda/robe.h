// ROBE tables as kernels see them.

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

// The tables, with what follows from their sizes.
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
  uint32_t share;  // consecutive ids that lie in one chunk
  uint32_t sign_words;
  Divisor d;
  Divisor length;  // of the pieces of a row, of which the last may be shorter
  Divisor pieces;
  Divisor tables;
  const int32_t* keys;
  const float* scales;
};

// The three numbers of a key.
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

// Where a piece of an id's row starts, from that piece's key.
__device__ inline uint32_t start_of(const Robe& robe, const Key& key,
                                    uint64_t id) {
  if (robe.share == 1) return reduced(hashed(key, id), robe.m);
  const uint64_t chunk = id >> 32 ? id / robe.share
                                  : static_cast<uint32_t>(id) / robe.share;
  const uint32_t rest = static_cast<uint32_t>(id - chunk * robe.share);
  return turned(reduced(hashed(key, chunk), robe.m), rest * robe.d.by(),
                robe.m);
}

// The number, or its negative, as the bit of a word of signs says.
__device__ inline float with_sign(float x, uint32_t signs, uint32_t column) {
  return float_of(bits_of(x) ^ ((signs << (column % 32)) & 0x80000000u));
}

// Never a fused multiplication and addition: the bits are the CPU's.
__device__ inline float factor_of(const Robe& robe, const pss_ids& ids,
                                  uint32_t table, int64_t id) {
  const float scale = robe.scales ? robe.scales[table] : 1.0f;
  return ids.weights ? __fmul_rn(scale, ids.weights[id]) : scale;
}

// A split, moved to within the ids.
__device__ inline int64_t split_at(const pss_ids& ids, int64_t row) {
  const int64_t split = ids.splits[row];
  return split < 0 ? 0 : split < ids.count ? split : ids.count;
}

// Consecutive elements of rows that lie one after another.
struct Span {
  int64_t row;      // of the first of them
  uint32_t column;  // of the first of them
  uint32_t size;
};

__device__ inline Span span_of(const Robe& robe, int64_t begin, int64_t total,
                               uint32_t most) {
  const int64_t row = begin / robe.d.by(), left = total - begin;
  return {row, static_cast<uint32_t>(begin - row * robe.d.by()),
          left < most ? static_cast<uint32_t>(left) : most};
}

// One of them.
struct Place {
  uint32_t row;  // from the span's first one on
  uint32_t column, piece;
  uint32_t step;  // from the piece's start
};

__device__ inline Place place_of(const Robe& robe, const Span& span,
                                 uint32_t element) {
  // Below 2^32: columns are below 2^31, and spans are short.
  const uint32_t at = span.column + element;
  const uint32_t row = robe.d.quotient(at), column = at - row * robe.d.by();
  const uint32_t piece = robe.length.quotient(column);
  return {row, column, piece, column - piece * robe.length.by()};
}

// How many elements a block takes, and what it keeps about them.
struct Tile {
  // The largest tile of at most `most` elements whose hashes are few enough
  // for several blocks to reside on a processor.
  static Tile of(const pss_robe& robe, uint32_t most) {
    Tile tile = {most, 0, 0};
    for (;; tile.size /= 2) {
      const int64_t rows = tile.size / robe.output_dim + 2;
      const auto words = [&](int64_t length) {
        // Of the first and last row, it may have a part of a piece only.
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
  uint32_t starts, signs;  // at most
};

// The hashes of a tile, in the block's memory.
class Hashes {
 public:
  __device__ Hashes(const Robe& robe, const Tile& tile)
      : robe_(robe),
        starts_(shared_words()),
        factors_(starts_ + tile.starts),
        signs_(factors_ + tile.starts) {}

  // Hashes what the elements of a span need, a thread a word.
  //   id(row), table(row), factor(row): about a row, from the span's first on.
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

  // Where the element is in the memory.
  __device__ uint32_t position(const Place& place) const {
    return turned(starts_[piece_index(place)], place.step, robe_.m);
  }

  __device__ float factor(const Place& place) const {
    return float_of(factors_[piece_index(place)]);
  }

  // The word of signs of the element.
  __device__ uint32_t signs(const Place& place) const {
    return robe_.sign_words ? signs_[sign_index(place)] : 0;
  }

 private:
  // Sums and products wrap, but what they end at does not.
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
