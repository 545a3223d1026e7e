// Compiles vector_code.h for each instruction set and selects one at run time.
//
// The code is within regions of a target rather than in files with flags of
// their own: functions of the standard library that such a file instantiates
// could replace those of the other files, and then fail on older machines.

#include "vectors.h"

#include <atomic>

#include "lookup.h"
#include "pss1.h"

#if defined(__clang__) || __GNUC__ >= 12
#define PSS_SHUFFLE(x, y, i, j, k, l) __builtin_shufflevector(x, y, i, j, k, l)
#else
typedef int PssFourWords __attribute__((vector_size(16)));
#define PSS_SHUFFLE(x, y, i, j, k, l) \
  __builtin_shuffle(x, y, PssFourWords{i, j, k, l})
#endif

#if defined(__GNUC__) && !defined(__clang__)
// Vectors wider than the machine's are never passed between functions.
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace pss {

#define PSS_LANES 4
namespace lanes4 {
#include "vector_code.h"
}
#undef PSS_LANES

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PSS_WIDE_VECTORS
#pragma GCC push_options
#pragma GCC target("avx2")
#define PSS_LANES 8
namespace lanes8 {
#include "vector_code.h"
}
#undef PSS_LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw")
#define PSS_LANES 16
namespace lanes16 {
#include "vector_code.h"
}
#undef PSS_LANES
#pragma GCC pop_options
#endif

namespace {

std::atomic<int64_t> most_lanes{16};

int64_t lanes_of_machine() {
#ifdef PSS_WIDE_VECTORS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    return 16;
  }
  if (__builtin_cpu_supports("avx2")) return 8;
#endif
  return 4;
}

}  // namespace

const Vectors& vectors() {
#ifdef PSS_WIDE_VECTORS
  static const int64_t machine = lanes_of_machine();
  const int64_t lanes = machine < most_lanes ? machine : most_lanes.load();
  if (lanes == 16) return lanes16::kVectors;
  if (lanes == 8) return lanes8::kVectors;
#endif
  return lanes4::kVectors;
}

}  // namespace pss

extern "C" int64_t pss_limit_vectors(int64_t lanes) {
  pss::most_lanes = lanes;
  return pss::vectors().lanes;
}
