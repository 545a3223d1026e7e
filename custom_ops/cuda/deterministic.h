// Whether sums must not depend on the order in which threads run.

#ifndef KERAS_PSS_CUDA_DETERMINISTIC_H_
#define KERAS_PSS_CUDA_DETERMINISTIC_H_

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace keras_pss {

// Asked for by KERAS_PSS_DETERMINISTIC=1, or as for all of TensorFlow's own
// operations. Read once, so that a process never mixes the two.
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
