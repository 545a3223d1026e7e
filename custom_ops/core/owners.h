// Divides an output among threads, each of which owns one range of it.
//
// A gradient adds many short pieces at random positions. The owner of a range
// goes through all pieces in order and adds those that overlap the range: no
// atomics, the same sums for any number of threads. Finding them costs less
// than half a nanosecond for each piece and owner, which is less than sorting
// the pieces by ranges as long as there are few owners.

#ifndef KERAS_PSS_CORE_OWNERS_H_
#define KERAS_PSS_CORE_OWNERS_H_

#include <algorithm>
#include <cstdint>

#include "parallel.h"

namespace pss {

// The number of ranges for an output of `size` numbers of type T, to which
// `added` numbers are added. There is at most one for each thread, and none so
// small that waking a thread costs more than it does; but 16-bit outputs need
// float32 sums beside them, of at most 32 MiB for each range.
template <typename T>
int64_t owners_of(const pss_parallel& parallel, int64_t size, int64_t added) {
  const int64_t useful = std::min(size, (size + added) >> 15);
  const int64_t most = std::min<int64_t>(parallel.threads, 32);
  const int64_t sums = sizeof(T) < sizeof(float) ? size >> 22 : 0;
  return std::max<int64_t>({1, sums, std::min(most, useful)});
}

// Calls visit(first, found, count) for consecutive blocks of the numbers
// [0, size), with the `count` offsets from `first` of those that are inside.
//   flag(first, n, inside): sets inside[i] to whether number first + i is, as 0
//   or 1.
template <typename Flag, typename Visit>
void select(int64_t size, const Flag& flag, const Visit& visit) {
  constexpr int64_t kBlock = 2048;  // the arrays fit the L1 cache
  uint8_t inside[kBlock];
  int32_t found[kBlock];
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t n = std::min(kBlock, size - first);
    flag(first, n, inside);
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {  // a branch could not be predicted
      found[count] = static_cast<int32_t>(i);
      count += inside[i];
    }
    visit(first, static_cast<const int32_t*>(found), count);
  }
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_OWNERS_H_
