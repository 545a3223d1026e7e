// Converts 16-bit floats to float32 and back; rounds to nearest, ties to even.

#ifndef KERAS_PSS_CORE_NUMBER_H_
#define KERAS_PSS_CORE_NUMBER_H_

#include <cstdint>
#include <cstring>

#include "pss1.h"

namespace pss {

PSS_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

PSS_INLINE float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

struct BFloat16 {
  uint16_t bits;
};

struct Float16 {
  uint16_t bits;
};

PSS_INLINE float to_float(float x) { return x; }

PSS_INLINE float to_float(BFloat16 x) {
  return float_of(static_cast<uint32_t>(x.bits) << 16);
}

PSS_INLINE float to_float(Float16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7FFF) << 13;
  if (magnitude >= 0x7C00u << 13) {  // infinite or NaN
    return float_of(sign | magnitude | 0x7F800000u);
  }
  // The exponent biases differ by 112; this is exact for subnormals, too.
  const float scaled = float_of(magnitude) * float_of((127u + 112u) << 23);
  return float_of(sign | bits_of(scaled));
}

template <typename T>
PSS_INLINE T from_float(float x);

template <>
PSS_INLINE float from_float<float>(float x) {
  return x;
}

template <>
PSS_INLINE BFloat16 from_float<BFloat16>(float x) {
  const uint32_t bits = bits_of(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
    return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  }
  return {static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16)};
}

template <>
PSS_INLINE Float16 from_float<Float16>(float x) {
  const uint32_t bits = bits_of(x);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t half;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00;
  } else if (magnitude >= 0x477FF000u) {  // 65520 rounds to infinity
    half = 0x7C00;
  } else if (magnitude < 0x38800000u) {
    // Below 2^-14 the spacing is 2^-24, as that of float32 in [0.5, 1).
    half = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  } else {
    const uint32_t rounding = 0xFFFu + ((magnitude >> 13) & 1);
    half = (magnitude + rounding - (112u << 23)) >> 13;
  }
  return {static_cast<uint16_t>(sign | half)};
}

}  // namespace pss

#endif  // KERAS_PSS_CORE_NUMBER_H_
