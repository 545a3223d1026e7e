// The hash `pss1` for one word; keras_pss/ops/hash_families/pss1.py is its definition.

#ifndef KERAS_PSS_CORE_PSS1_H_
#define KERAS_PSS_CORE_PSS1_H_

#include <cstdint>

#if defined(__CUDACC__)
#define PSS_INLINE __host__ __device__ __forceinline__
#else
#define PSS_INLINE inline __attribute__((always_inline))
#endif

namespace pss {

constexpr uint32_t kC1 = 0xC88E6327u;
constexpr uint32_t kC2 = 0xC86B9CDBu;

// Arithmetic shift: all supported compilers shift signed integers that way.
PSS_INLINE uint32_t shifted(uint32_t x, int bits) {
  return static_cast<uint32_t>(static_cast<int32_t>(x) >> bits);
}

PSS_INLINE uint32_t mixed(uint32_t x) {
  x += shifted(x, 15);
  x *= x + x + kC1;
  x += shifted(x, 15);
  x *= x + x + kC2;
  return x + shifted(x, 17);
}

PSS_INLINE uint32_t mixed_high(uint32_t y) {
  y *= y + y + kC1;
  y += shifted(y, 15);
  return y * (y + y + kC2);
}

// The hash word of the id `high * 2^32 + low` for the key (a, b, k). The mixed
// upper half of a 32-bit id is 0.
PSS_INLINE uint32_t word(uint32_t low, uint32_t high_mixed, uint32_t a,
                         uint32_t b, uint32_t k) {
  return mixed(low * a + high_mixed * b + k);
}

// Maps words evenly onto [0, size), with size below 2^31.
PSS_INLINE uint32_t reduced(uint32_t x, uint32_t size) {
  return static_cast<uint32_t>(
      (static_cast<uint64_t>(x + 0x80000000u) * size) >> 32);
}

// (start + step) mod m for start, step < m < 2^31.
PSS_INLINE uint32_t turned(uint32_t start, uint32_t step, uint32_t m) {
  const uint32_t at = start + step;
  return at >= m ? at - m : at;
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_PSS1_H_
