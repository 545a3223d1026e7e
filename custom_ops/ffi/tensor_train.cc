// XLA calls of tensor trains on the CPU: ids and cores, or the upstream
// gradient, ids and cores.

#include <string>
#include <vector>

#include "core/lookup.h"
#include "ffi/handlers.h"
#include "ffi/parallel.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

using Sizes = ffi::Span<const int64_t>;

struct Train {
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

constexpr char kRows[] = "rows must be (ids, product of q)";

ffi::Error tensor_train_lookup(ffi::ThreadPool pool, ffi::AnyBuffer ids,
                               ffi::RemainingArgs cores,
                               ffi::Result<Floats> rows, Sizes shapes) {
  Train train;
  const ffi::Error error = train.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!train.fits(*rows)) return Train::refused(kRows);
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_tensor_train_lookup(&train.train, &train.ids,
                                         train.cores.data(),
                                         rows->typed_data(), &parallel));
}

ffi::Error tensor_train_gradient(ffi::ThreadPool pool, Floats upstream,
                                 ffi::AnyBuffer ids, ffi::RemainingArgs cores,
                                 ffi::RemainingRets found, Sizes shapes) {
  Train train;
  const ffi::Error error = train.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!train.fits(upstream)) return Train::refused(kRows);
  constexpr char kShapes[] = "gradients must have the shapes of the cores";
  if (found.size() != cores.size()) return Train::refused(kShapes);
  std::vector<float*> gradients;
  for (size_t k = 0; k < found.size(); ++k) {
    auto gradient = found.get<Floats>(k);
    if (gradient.has_error() ||
        (*gradient)->element_count() != cores.get<Floats>(k)->element_count()) {
      return Train::refused(kShapes);
    }
    gradients.push_back((*gradient)->typed_data());
  }
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_tensor_train_gradient(
      &train.train, &train.ids, train.cores.data(), upstream.typed_data(),
      gradients.data(), &parallel));
}

}  // namespace
}  // namespace keras_pss

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_tensor_train_lookup_cpu, keras_pss::tensor_train_lookup,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Arg<xla::ffi::AnyBuffer>()
        .RemainingArgs()
        .Ret<keras_pss::Floats>()
        .Attr<xla::ffi::Span<const int64_t>>("shapes"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_tensor_train_gradient_cpu, keras_pss::tensor_train_gradient,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Arg<keras_pss::Floats>()
        .Arg<xla::ffi::AnyBuffer>()
        .RemainingArgs()
        .RemainingRets()
        .Attr<xla::ffi::Span<const int64_t>>("shapes"));
