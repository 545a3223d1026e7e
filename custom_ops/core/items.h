// Work items that a caller shares with helper threads from a thread pool.

#ifndef KERAS_PSS_CORE_ITEMS_H_
#define KERAS_PSS_CORE_ITEMS_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace pss {

// A queue of items. The caller processes items too, so that none waits for a
// thread that the pool does not have; a helper that starts late finds the queue
// empty.
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

// Processes all items; `schedule(helper)` submits a function to the pool.
template <typename Schedule>
void share_items(int64_t threads, int64_t count, void (*work)(void*, int64_t),
                 void* arg, const Schedule& schedule) {
  const auto items = std::make_shared<Items>(count, work, arg);
  // The caller is one of the threads.
  const int64_t helpers = std::min(count, threads) - 1;
  for (int64_t i = 0; i < helpers; ++i) {
    schedule([items] { items->take(); });
  }
  items->take();
  items->wait();
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_ITEMS_H_
