// XLA's thread pool, lent to the core.

#ifndef KERAS_PSS_FFI_PARALLEL_H_
#define KERAS_PSS_FFI_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "core/lookup.h"
#include "xla/ffi/api/ffi.h"

namespace keras_pss {

// Items that threads take one after another. The caller takes part, so that
// none of them waits for a thread that the pool does not have; a helper that
// comes late finds nothing left.
class Items {
 public:
  Items(int64_t count, void (*work)(void*, int64_t), void* arg)
      : count_(count), left_(count), work_(work), arg_(arg) {}

  void take() {
    for (int64_t i; (i = next_++) < count_;) {
      work_(arg_, i);
      if (--left_ == 0) {
        const std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_all();
      }
    }
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  const int64_t count_;
  std::atomic<int64_t> next_{0}, left_;
  void (*const work_)(void*, int64_t);
  void* const arg_;
  std::mutex mutex_;
  std::condition_variable done_;
};

inline pss_parallel pool_of(xla::ffi::ThreadPool& pool) {
  pss_parallel parallel;
  parallel.pool = &pool;
  parallel.threads = std::max<int64_t>(1, pool.num_threads());
  parallel.run = [](void* given, int64_t count, void (*work)(void*, int64_t),
                    void* arg) {
    auto& pool = *static_cast<xla::ffi::ThreadPool*>(given);
    const auto items = std::make_shared<Items>(count, work, arg);
    const int64_t helpers =
        std::min<int64_t>(count, std::max<int64_t>(1, pool.num_threads())) - 1;
    for (int64_t i = 0; i < helpers; ++i) {
      pool.Schedule([items] { items->take(); });
    }
    items->take();
    items->wait();
  };
  return parallel;
}

}  // namespace keras_pss

#endif  // KERAS_PSS_FFI_PARALLEL_H_
