// Hashes a tile of ids, with one vectorized loop per word.

#ifndef KERAS_PSS_CORE_TILE_H_
#define KERAS_PSS_CORE_TILE_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "clones.h"
#include "lookup.h"
#include "pss1.h"

namespace pss {

// Number of ids in a tile; their working set fits the L1 cache.
constexpr int64_t kTile = 256;

inline int64_t pieces_of(const pss_robe& robe) {
  return pss_robe_pieces(robe.output_dim, robe.block_size);
}

// Length of a piece of a row; the last one may be shorter than the others.
inline int64_t length_of(const pss_robe& robe, int64_t piece) {
  if (robe.block_size > robe.output_dim) return robe.output_dim;
  return std::min(robe.block_size, robe.output_dim - piece * robe.block_size);
}

class Tile {
 public:
  explicit Tile(const pss_robe& robe);

  // Hashes the ids [begin, begin + n), with n up to kTile. The i-th of them
  // belongs to table row[i] mod F, or (begin + i) mod F if `row` is NULL.
  void load(const pss_ids& ids, int64_t begin, int64_t n, const int32_t* row);

  // Starts of the given piece of each id.
  const uint32_t* starts(int64_t piece) const {
    return found_.data() + piece * kTile;
  }

  // Words whose bits, highest first, are the signs of 32 elements of a row.
  const uint32_t* signs(int64_t word) const {
    return found_.data() + (pieces_ + word) * kTile;
  }

 private:
  void hash(int64_t first, int64_t last, bool has_high, int64_t begin,
            int64_t n, const int32_t* row);
  void divide(int64_t n);

  const pss_robe& robe_;
  const int64_t pieces_, words_, tables_, stride_;
  std::vector<int64_t> id_;
  std::vector<uint32_t> low_, high_, rest_;
  std::vector<uint32_t> key_;    // (words, 3, stride)
  std::vector<uint32_t> found_;  // (words, kTile): starts, words of signs
};

// Applies the signs of bits [begin, end) of a word to the elements from `x` on.
void turn_signs(uint32_t word, int64_t begin, int64_t end, float* x);

}  // namespace pss

#endif  // KERAS_PSS_CORE_TILE_H_
