// Whether sums must not depend on the order in which threads run.

#ifndef KERAS_PSS_CUDA_DETERMINISTIC_H_
#define KERAS_PSS_CUDA_DETERMINISTIC_H_

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace keras_pss {

// Set by KERAS_PSS_DETERMINISTIC=1, or by the variable for TensorFlow's own
// operations. They are read once, so that a process never mixes the two modes.
inline bool deterministic() {
  static const bool wanted = [] {
    for (const char* name : {"KERAS_PSS_DETERMINISTIC",
                             "TF_DETERMINISTIC_OPS"}) {
      const char* value = std::getenv(name);
      if (value != nullptr && (std::strcmp(value, "1") == 0 ||
                               std::strcmp(value, "true") == 0)) {
        return true;
      }
    }
    return false;
  }();
  return wanted;
}

}  // namespace keras_pss

#endif  // KERAS_PSS_CUDA_DETERMINISTIC_H_
