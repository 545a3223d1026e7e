// Declarations of farmhash, whose headers TensorFlow's package lacks.
// TensorFlow uses them only in functions that are never called here.

#ifndef KERAS_PSS_SHIM_FARMHASH_H_
#define KERAS_PSS_SHIM_FARMHASH_H_

#include <cstddef>
#include <cstdint>
#include <utility>

namespace util {

typedef std::pair<uint64_t, uint64_t> uint128_t;

uint32_t Fingerprint32(const char* text, size_t size);
uint64_t Fingerprint64(const char* text, size_t size);
uint128_t Fingerprint128(const char* text, size_t size);
uint64_t Uint128Low64(uint128_t x);
uint64_t Uint128High64(uint128_t x);

}  // namespace util

#endif  // KERAS_PSS_SHIM_FARMHASH_H_
