// Converts XLA's buffers to the structs of tensor trains.

#ifndef KERAS_PSS_FFI_TRAIN_CALL_H_
#define KERAS_PSS_FFI_TRAIN_CALL_H_

#include <string>
#include <vector>

#include "core/lookup.h"
#include "ffi/request.h"

namespace keras_pss {

using Sizes = ffi::Span<const int64_t>;

struct TrainCall {
  pss_tensor_train train;
  pss_ids ids;
  std::vector<const float*> cores;
  int64_t columns = 1;

  ffi::Error read(ffi::AnyBuffer id, ffi::RemainingArgs given, Sizes shapes) {
    const int64_t count = static_cast<int64_t>(given.size());
    train = {count, shapes.begin()};
    ids.ids = id.untyped_data();
    ids.count = ids.rows = id.element_count();
    ids.splits = nullptr;
    ids.weights = nullptr;
    const char* rule = nullptr;
    if (!id_type(id.element_type(), &ids.type)) {
      rule = "ids must be int32 or int64";
    } else if (static_cast<int64_t>(shapes.size()) != 4 * count) {
      rule = "there must be four sizes for each core";
    } else {
      rule = pss_tensor_train_check(&train, &ids);
    }
    for (int64_t k = 0; rule == nullptr && k < count; ++k) {
      const auto core = given.get<Floats>(k);
      const int64_t* shape = shapes.begin() + 4 * k;
      if (core.has_error() ||
          static_cast<int64_t>(core->element_count()) !=
              shape[0] * shape[1] * shape[2] * shape[3]) {
        rule = "cores must have the float32 elements that their shapes say";
      } else {
        cores.push_back(core->typed_data());
        columns *= shape[2];
      }
    }
    return refused(rule);
  }

  static ffi::Error refused(const char* rule) {
    if (rule == nullptr) return ffi::Error::Success();
    return ffi::Error::InvalidArgument(std::string("Tensor train: ") + rule +
                                       ".");
  }

  bool fits(Floats rows) const {
    return static_cast<int64_t>(rows.element_count()) == ids.count * columns;
  }
};

inline constexpr char kRows[] = "rows must be (ids, product of q)";

// The gradients of the cores, which have their shapes.
inline ffi::Error gradients_of(ffi::RemainingArgs cores,
                               ffi::RemainingRets found,
                               std::vector<float*>* out) {
  constexpr char kShapes[] = "gradients must have the shapes of the cores";
  if (found.size() != cores.size()) return TrainCall::refused(kShapes);
  for (size_t k = 0; k < found.size(); ++k) {
    auto gradient = found.get<Floats>(k);
    if (gradient.has_error() ||
        (*gradient)->element_count() != cores.get<Floats>(k)->element_count()) {
      return TrainCall::refused(kShapes);
    }
    out->push_back((*gradient)->typed_data());
  }
  return ffi::Error::Success();
}

}  // namespace keras_pss

#endif  // KERAS_PSS_FFI_TRAIN_CALL_H_
