// Sorts work into buckets, so that one thread does the work of each (no
// atomics, the same sums for any number of threads) while its data stay in the
// cache.

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

}  // namespace pss

#endif  // KERAS_PSS_CORE_BUCKETS_H_
