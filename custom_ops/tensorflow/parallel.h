// Adapts TensorFlow's thread pool to the core.

#ifndef KERAS_PSS_TENSORFLOW_PARALLEL_H_
#define KERAS_PSS_TENSORFLOW_PARALLEL_H_

#include "core/items.h"
#include "core/lookup.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/threadpool.h"

namespace keras_pss {

inline pss_parallel pool_of(tensorflow::OpKernelContext* context) {
  const auto* workers = context->device()->tensorflow_cpu_worker_threads();
  pss_parallel parallel;
  parallel.pool = workers->workers;
  parallel.threads = workers->num_threads;
  // The pool's ParallelFor would wake a thread for each item.
  parallel.run = [](void* given, int64_t count, void (*work)(void*, int64_t),
                    void* arg) {
    auto* pool = static_cast<tensorflow::thread::ThreadPool*>(given);
    pss::share_items(
        pool->NumThreads(), count, work, arg,
        [pool](auto helper) { pool->Schedule(std::move(helper)); });
  };
  return parallel;
}

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_PARALLEL_H_
