// Spreads ids evenly, for tables that are addressed by a hash.

#ifndef KERAS_PSS_CORE_SPREAD_H_
#define KERAS_PSS_CORE_SPREAD_H_

#include <cstdint>

namespace pss {

// Hashes ids evenly over all 64-bit integers.
inline uint64_t spread(int64_t id) {
  uint64_t x = static_cast<uint64_t>(id) * 0x9E3779B97F4A7C15ull;
  return (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ull;
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_SPREAD_H_
