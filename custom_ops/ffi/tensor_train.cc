// XLA calls of tensor trains on the CPU: ids and cores, or the upstream
// gradient, ids and cores.

#include <vector>

#include "core/lookup.h"
#include "ffi/handlers.h"
#include "ffi/parallel.h"
#include "ffi/request.h"
#include "ffi/train_call.h"

namespace keras_pss {
namespace {

ffi::Error tensor_train_lookup(ffi::ThreadPool pool, ffi::AnyBuffer ids,
                               ffi::RemainingArgs cores,
                               ffi::Result<Floats> rows, Sizes shapes) {
  TrainCall train;
  const ffi::Error error = train.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!train.fits(*rows)) return TrainCall::refused(kRows);
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_tensor_train_lookup(&train.train, &train.ids,
                                         train.cores.data(),
                                         rows->typed_data(), &parallel));
}

ffi::Error tensor_train_gradient(ffi::ThreadPool pool, Floats upstream,
                                 ffi::AnyBuffer ids, ffi::RemainingArgs cores,
                                 ffi::RemainingRets found, Sizes shapes) {
  TrainCall train;
  const ffi::Error error = train.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!train.fits(upstream)) return TrainCall::refused(kRows);
  std::vector<float*> gradients;
  const ffi::Error other = gradients_of(cores, found, &gradients);
  if (other.failure()) return other;
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
