// Runs work items on the caller's threads.

#ifndef KERAS_PSS_CORE_PARALLEL_H_
#define KERAS_PSS_CORE_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>

#include "lookup.h"

namespace pss {

// Calls work(i) for each i in [0, items). Exceptions must not cross the pool:
// std::bad_alloc is caught in the worker and thrown again here.
template <typename Work>
void for_items(const pss_parallel& parallel, int64_t items, const Work& work) {
  if (items <= 1 || parallel.threads <= 1) {
    for (int64_t i = 0; i < items; ++i) work(i);
    return;
  }
  struct Call {
    const Work& work;
    std::atomic<bool> failed;
  } call{work, {false}};
  const auto run = [](void* arg, int64_t item) {
    Call* call = static_cast<Call*>(arg);
    try {
      call->work(item);
    } catch (const std::bad_alloc&) {
      call->failed = true;
    }
  };
  parallel.run(parallel.pool, items, run, &call);
  if (call.failed) throw std::bad_alloc();
}

// Splits [0, size) into ranges of at least `least`, a few for each thread.
class Ranges {
 public:
  Ranges(const pss_parallel& parallel, int64_t size, int64_t least)
      : size_(size) {
    const int64_t most = parallel.threads > 1 ? 4 * parallel.threads : 1;
    count_ = std::max<int64_t>(1, std::min(most, size / least));
  }
  int64_t count() const { return count_; }
  int64_t begin(int64_t i) const { return size_ * i / count_; }
  int64_t end(int64_t i) const { return begin(i + 1); }

 private:
  int64_t size_, count_;
};

}  // namespace pss

#endif  // KERAS_PSS_CORE_PARALLEL_H_
