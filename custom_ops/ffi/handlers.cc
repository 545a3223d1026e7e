// XLA calls of the core on the CPU.

#include "ffi/handlers.h"

#include "core/lookup.h"
#include "ffi/parallel.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

ffi::Error robe_lookup(ffi::ThreadPool pool, ffi::AnyBuffer memory,
                       ffi::AnyBuffer ids, Words keys, Floats scales,
                       Words splits, Floats weights,
                       ffi::Result<ffi::AnyBuffer> rows, int64_t output_dim,
                       int64_t block_size) {
  Request request;
  ffi::Error error = request.read(memory, *rows, ids, keys, scales, splits,
                                  weights, output_dim, block_size);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_robe_lookup(&request.robe, &request.ids, request.type,
                                 memory.untyped_data(), rows->untyped_data(),
                                 &parallel));
}

ffi::Error robe_gradient(ffi::ThreadPool pool, ffi::AnyBuffer upstream,
                         ffi::AnyBuffer ids, Words keys, Floats scales,
                         Words splits, Floats weights,
                         ffi::Result<ffi::AnyBuffer> gradient,
                         int64_t output_dim, int64_t block_size) {
  Request request;
  ffi::Error error = request.read(*gradient, upstream, ids, keys, scales,
                                  splits, weights, output_dim, block_size);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_robe_gradient(
      &request.robe, &request.ids, request.type, upstream.untyped_data(),
      gradient->untyped_data(), &parallel));
}

}  // namespace
}  // namespace keras_pss

#define KERAS_PSS_ROBE(NAME)                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_##NAME##_cpu, keras_pss::NAME,   \
                                xla::ffi::Ffi::Bind()                      \
                                    .Ctx<xla::ffi::ThreadPool>()           \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Arg<keras_pss::Words>()               \
                                    .Arg<keras_pss::Floats>()              \
                                    .Arg<keras_pss::Words>()               \
                                    .Arg<keras_pss::Floats>()              \
                                    .Ret<xla::ffi::AnyBuffer>()            \
                                    .Attr<int64_t>("output_dim")           \
                                    .Attr<int64_t>("block_size"))

KERAS_PSS_ROBE(robe_lookup);
KERAS_PSS_ROBE(robe_gradient);
