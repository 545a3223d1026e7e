// Checks, random numbers and a thread pool for the core's tests.

#ifndef KERAS_PSS_TESTS_CHECKS_H_
#define KERAS_PSS_TESTS_CHECKS_H_

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/lookup.h"

namespace pss {

inline int failures = 0;

inline void check(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  ++failures;
}

inline pss_parallel threads(int64_t count) {
  pss_parallel parallel;
  parallel.pool = reinterpret_cast<void*>(count);
  parallel.threads = count;
  parallel.run = [](void* pool, int64_t items, void (*work)(void*, int64_t),
                    void* arg) {
    const int64_t count = reinterpret_cast<int64_t>(pool);
    std::vector<std::thread> running;
    for (int64_t t = 0; t < count; ++t) {
      // In reverse order, to find code that relies on an order of items.
      running.emplace_back([=] {
        for (int64_t i = items - 1; i >= 0; --i) {
          if (i % count == t) work(arg, i);
        }
      });
    }
    for (auto& thread : running) thread.join();
  };
  return parallel;
}

inline int64_t between(std::mt19937_64& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

template <typename T>
bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
  const size_t bytes = x.size() * sizeof(T);
  return bytes == 0 || std::memcmp(x.data(), y.data(), bytes) == 0;
}

// Packed tables against floats; see packed_test.cc.
void test_packed();

// Tensor trains against sums in double precision; see tensor_train_test.cc.
void test_tensor_trains();

}  // namespace pss

#endif  // KERAS_PSS_TESTS_CHECKS_H_
