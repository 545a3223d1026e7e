// Code that ROBE lookups and their gradients share.

#ifndef KERAS_PSS_CORE_ROBE_H_
#define KERAS_PSS_CORE_ROBE_H_

#include <algorithm>
#include <cstdint>

#include "lookup.h"
#include "tile.h"

namespace pss {

// Length of all pieces, or 0 if the last one is shorter.
inline int64_t even_length(const pss_robe& robe) {
  const int64_t length = length_of(robe, 0);
  return length_of(robe, pieces_of(robe) - 1) == length ? length : 0;
}

// Whether rows are plain copies: no signs, scales or weights.
inline bool is_plain(const pss_robe& robe, const pss_ids& ids) {
  return !robe.sign_words && !robe.scales && !ids.weights;
}

inline float factor_of(const pss_robe& robe, const pss_ids& ids, int64_t row,
                       int64_t id) {
  const float scale = robe.scales ? robe.scales[row % robe.num_tables] : 1.0f;
  return ids.weights ? scale * ids.weights[id] : scale;
}

// A split, clipped to the range of the ids.
inline int64_t split_of(const pss_ids& ids, int64_t row) {
  return std::min<int64_t>(std::max<int64_t>(ids.splits[row], 0), ids.count);
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_ROBE_H_
