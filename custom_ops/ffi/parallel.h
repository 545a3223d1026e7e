// Adapts XLA's thread pool to the core.

#ifndef KERAS_PSS_FFI_PARALLEL_H_
#define KERAS_PSS_FFI_PARALLEL_H_

#include <algorithm>

#include "core/items.h"
#include "core/lookup.h"
#include "xla/ffi/api/ffi.h"

namespace keras_pss {

inline pss_parallel pool_of(xla::ffi::ThreadPool& pool) {
  pss_parallel parallel;
  parallel.pool = &pool;
  parallel.threads = std::max<int64_t>(1, pool.num_threads());
  parallel.run = [](void* given, int64_t count, void (*work)(void*, int64_t),
                    void* arg) {
    auto& pool = *static_cast<xla::ffi::ThreadPool*>(given);
    pss::share_items(
        std::max<int64_t>(1, pool.num_threads()), count, work, arg,
        [&pool](auto helper) { pool.Schedule(std::move(helper)); });
  };
  return parallel;
}

}  // namespace keras_pss

#endif  // KERAS_PSS_FFI_PARALLEL_H_
