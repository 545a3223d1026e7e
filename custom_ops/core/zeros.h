// Zeroes an output before a few numbers are added to it.

#ifndef KERAS_PSS_CORE_ZEROS_H_
#define KERAS_PSS_CORE_ZEROS_H_

#include <algorithm>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__linux__)
#include <unistd.h>
#endif

namespace pss {

// Whether an array is so large that most of it leaves the caches before it is
// read: it exceeds 32 MiB and half of the last cache.
inline bool outlasts_cache(int64_t bytes) {
#if defined(__linux__) && defined(_SC_LEVEL3_CACHE_SIZE)
  static const int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
  constexpr int64_t cache = 0;
#endif
  return bytes > std::max(cache / 2, int64_t{32} << 20);
}

// Zeroes n numbers, past the caches if `streamed`: other stores read each line
// of the memory before they replace it, which takes twice as long.
inline void zero(float* x, int64_t n, bool streamed) {
#if defined(__SSE2__)
  if (streamed) {
    const __m128 zeros = _mm_setzero_ps();
    for (; n > 0 && reinterpret_cast<uintptr_t>(x) % 64; --n) *x++ = 0.0f;
    for (; n >= 16; n -= 16, x += 16) {
      for (int k = 0; k < 16; k += 4) _mm_stream_ps(x + k, zeros);
    }
    _mm_sfence();
  }
#endif
  std::fill(x, x + n, 0.0f);
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_ZEROS_H_
