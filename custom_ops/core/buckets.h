// Sorts work by the range of the output that it updates.
//
// A gradient adds many short pieces at random positions. After sorting them by
// ranges of the output, one thread owns each range (no atomics, the same sums
// for any number of threads), and the range stays in the cache.

#ifndef KERAS_PSS_CORE_BUCKETS_H_
#define KERAS_PSS_CORE_BUCKETS_H_

#include <cstdint>
#include <vector>

#include "parallel.h"

namespace pss {

class Buckets {
 public:
  // Puts the numbers [0, size) into buckets, which keep their order.
  //   each(i, put): calls put(b) for each bucket b that number i belongs to.
  template <typename Each>
  Buckets(const pss_parallel& parallel, int64_t size, int64_t buckets,
          const Each& each)
      : begin_(buckets + 1) {
    const Ranges ranges(parallel, size, 4096);
    const int64_t parts = ranges.count();
    std::vector<int64_t> place(parts * buckets);
    for_items(parallel, parts, [&](int64_t part) {
      int64_t* count = place.data() + part * buckets;
      const int64_t end = ranges.end(part);
      for (int64_t i = ranges.begin(part); i < end; ++i) {
        each(i, [&](int64_t bucket) { ++count[bucket]; });
      }
    });
    int64_t total = 0;
    for (int64_t bucket = 0; bucket < buckets; ++bucket) {
      begin_[bucket] = total;
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t count = place[part * buckets + bucket];
        place[part * buckets + bucket] = total;
        total += count;
      }
    }
    begin_[buckets] = total;
    found_.resize(total);
    for_items(parallel, parts, [&](int64_t part) {
      int64_t* next = place.data() + part * buckets;
      int32_t* found = found_.data();
      const int64_t end = ranges.end(part);
      for (int64_t i = ranges.begin(part); i < end; ++i) {
        each(i, [&](int64_t bucket) {
          found[next[bucket]++] = static_cast<int32_t>(i);
        });
      }
    });
  }

  const int32_t* begin(int64_t bucket) const {
    return found_.data() + begin_[bucket];
  }
  const int32_t* end(int64_t bucket) const {
    return found_.data() + begin_[bucket + 1];
  }

 private:
  std::vector<int64_t> begin_;
  std::vector<int32_t> found_;
};

// Ranges of 2^shift elements of the output: small enough for the cache and
// enough for all threads, but not so many that the counting sort gets slow.
inline int shift_of_ranges(const pss_parallel& parallel, int64_t size,
                           int64_t least, int64_t bytes) {
  const int64_t fits = (int64_t{128} << 10) / std::max<int64_t>(bytes, 1);
  const int64_t shared = parallel.threads > 1 ? size / (4 * parallel.threads)
                                              : size;
  const int64_t wanted = std::max(
      {std::min(fits, shared), least, size / 2048, int64_t{1}});
  int shift = 0;
  while ((int64_t{1} << shift) < wanted) ++shift;
  return shift;
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_BUCKETS_H_
