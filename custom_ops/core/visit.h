// Dispatches from a type or length known at run time to code compiled for it.

#ifndef KERAS_PSS_CORE_VISIT_H_
#define KERAS_PSS_CORE_VISIT_H_

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "lookup.h"
#include "number.h"
#include "zeros.h"

namespace pss {

// Calls visit(number) with a value of the type.
template <typename Visit>
void with_type(pss_float type, const Visit& visit) {
  switch (type) {
    case PSS_FLOAT32:
      return visit(float());
    case PSS_BFLOAT16:
      return visit(BFloat16());
    case PSS_FLOAT16:
      return visit(Float16());
  }
}

// Calls visit(ids) with a typed pointer to the ids.
template <typename Visit>
auto with_ids(const pss_ids& ids, const Visit& visit) {
  if (ids.type == PSS_INT32) return visit(static_cast<const int32_t*>(ids.ids));
  return visit(static_cast<const int64_t*>(ids.ids));
}

// Calls visit(std::integral_constant<int, L>()), where L is the length, or 0 if
// no code is specialized for the length.
template <typename Visit>
void with_length(int64_t length, const Visit& visit) {
  switch (length) {
#define PSS_LENGTH(L) \
  case L:             \
    return visit(std::integral_constant<int, L>());
    PSS_LENGTH(1)
    PSS_LENGTH(2)
    PSS_LENGTH(4)
    PSS_LENGTH(8)
    PSS_LENGTH(16)
    PSS_LENGTH(32)
    PSS_LENGTH(64)
    PSS_LENGTH(128)
#undef PSS_LENGTH
    default:
      return visit(std::integral_constant<int, 0>());
  }
}

// Adds n numbers, or L if L is not 0.
template <int L, typename T>
PSS_INLINE void add(const T* from, int64_t n, float* to) {
  const int64_t count = L ? L : n;
  int64_t t = 0;
  if constexpr (std::is_same_v<T, float>) {
    // Explicit vectors: compilers must assume that the two arrays overlap.
    typedef float Four __attribute__((vector_size(16)));
    for (; t + 4 <= count; t += 4) {
      Four sum, more;
      std::memcpy(&sum, to + t, 16);
      std::memcpy(&more, from + t, 16);
      sum += more;
      std::memcpy(to + t, &sum, 16);
    }
  }
  for (; t < count; ++t) to[t] += to_float(from[t]);
}

// Prefetches the first cache lines of data that is needed soon.
template <typename T>
PSS_INLINE void ask_for(const T* from, int64_t length) {
  __builtin_prefetch(from);
  if (length > 1) __builtin_prefetch(from + (length < 16 ? length : 16) - 1);
}

// How many iterations ahead to prefetch.
constexpr int64_t kAhead = 16;

// float32 accumulators for a range of an output of type T.
template <typename T>
class Sums {
 public:
  Sums(void* out, int64_t begin, int64_t end, bool)
      : out_(static_cast<T*>(out) + begin), sums_(end - begin) {}
  float* data() { return sums_.data(); }
  void store() {
    for (size_t i = 0; i < sums_.size(); ++i) out_[i] = from_float<T>(sums_[i]);
  }

 private:
  T* out_;
  std::vector<float> sums_;
};

template <>
class Sums<float> {
 public:
  Sums(void* out, int64_t begin, int64_t end, bool streamed)
      : out_(static_cast<float*>(out) + begin) {
    zero(out_, end - begin, streamed);
  }
  float* data() { return out_; }
  void store() {}

 private:
  float* out_;
};

}  // namespace pss

#endif  // KERAS_PSS_CORE_VISIT_H_
