// TensorFlow's thread pool, lent to the core.

#ifndef KERAS_PSS_TENSORFLOW_PARALLEL_H_
#define KERAS_PSS_TENSORFLOW_PARALLEL_H_

#include "core/lookup.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/blocking_counter.h"
#include "tensorflow/core/platform/threadpool.h"

namespace keras_pss {

inline pss_parallel pool_of(tensorflow::OpKernelContext* context) {
  const auto* workers =
      context->device()->tensorflow_cpu_worker_threads();
  pss_parallel parallel;
  parallel.pool = workers->workers;
  parallel.threads = workers->num_threads;
  parallel.run = [](void* pool, int64_t items, void (*work)(void*, int64_t),
                    void* arg) {
    // Items are few and large: a shard each.
    const tensorflow::thread::ThreadPool::SchedulingParams one(
        tensorflow::thread::ThreadPool::SchedulingStrategy::kFixedBlockSize,
        std::nullopt, 1);
    static_cast<tensorflow::thread::ThreadPool*>(pool)->ParallelFor(
        items, one, [work, arg](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) work(arg, i);
        });
  };
  return parallel;
}

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_PARALLEL_H_
