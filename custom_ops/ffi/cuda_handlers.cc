// XLA calls of the kernels on CUDA devices. Buffers are in device memory: only
// kernels may read their contents.

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/lookup.h"
#include "cuda/deterministic.h"
#include "cuda/lookup.h"
#include "ffi/handlers.h"
#include "ffi/request.h"
#include "ffi/train_call.h"

namespace keras_pss {
namespace {

ffi::Error done(int error) {
  if (error == 0) return ffi::Error::Success();
  return ffi::Error::Internal(std::string("CUDA: ") + pss_cuda_error(error));
}

// Allocates scratch memory for this call: XLA reuses it in stream order.
ffi::Error lend(ffi::ScratchAllocator& allocator, size_t bytes, void** out) {
  *out = nullptr;
  if (bytes == 0) return ffi::Error::Success();
  const std::optional<void*> memory = allocator.Allocate(bytes, 256);
  if (!memory.has_value()) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "No memory left.");
  }
  *out = *memory;
  return ffi::Error::Success();
}

ffi::Error robe_lookup_cuda(void* stream, ffi::AnyBuffer memory,
                            ffi::AnyBuffer ids, Words keys, Floats scales,
                            Words splits, Floats weights,
                            ffi::Result<ffi::AnyBuffer> rows,
                            int64_t output_dim, int64_t block_size) {
  Request request;
  ffi::Error error = request.read(memory, *rows, ids, keys, scales, splits,
                                  weights, output_dim, block_size);
  if (error.failure()) return error;
  return done(pss_cuda_robe_lookup(&request.robe, &request.ids, request.type,
                                   memory.untyped_data(),
                                   rows->untyped_data(), stream));
}

ffi::Error robe_gradient_cuda(void* stream, ffi::ScratchAllocator allocator,
                              ffi::AnyBuffer upstream, ffi::AnyBuffer ids,
                              Words keys, Floats scales, Words splits,
                              Floats weights,
                              ffi::Result<ffi::AnyBuffer> gradient,
                              int64_t output_dim, int64_t block_size) {
  Request request;
  ffi::Error error = request.read(*gradient, upstream, ids, keys, scales,
                                  splits, weights, output_dim, block_size);
  if (error.failure()) return error;
  const size_t bytes = pss_cuda_robe_gradient_scratch(
      &request.robe, &request.ids, request.type, deterministic());
  void* scratch;
  error = lend(allocator, bytes, &scratch);
  if (error.failure()) return error;
  return done(pss_cuda_robe_gradient(
      &request.robe, &request.ids, request.type, upstream.untyped_data(),
      gradient->untyped_data(), deterministic(), scratch, bytes, stream));
}

ffi::Error tensor_train_lookup_cuda(void* stream,
                                    ffi::ScratchAllocator allocator,
                                    ffi::AnyBuffer ids,
                                    ffi::RemainingArgs cores,
                                    ffi::Result<Floats> rows, Sizes shapes) {
  TrainCall request;
  ffi::Error error = request.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!request.fits(*rows)) return TrainCall::refused(kRows);
  const size_t bytes =
      pss_cuda_tensor_train_lookup_scratch(&request.train, &request.ids);
  void* scratch;
  error = lend(allocator, bytes, &scratch);
  if (error.failure()) return error;
  return done(pss_cuda_tensor_train_lookup(
      &request.train, &request.ids, request.cores.data(), rows->typed_data(),
      scratch, bytes, stream));
}

ffi::Error tensor_train_gradient_cuda(void* stream,
                                      ffi::ScratchAllocator allocator,
                                      Floats upstream, ffi::AnyBuffer ids,
                                      ffi::RemainingArgs cores,
                                      ffi::RemainingRets found, Sizes shapes) {
  TrainCall request;
  ffi::Error error = request.read(ids, cores, shapes);
  if (error.failure()) return error;
  if (!request.fits(upstream)) return TrainCall::refused(kRows);
  std::vector<float*> gradients;
  error = gradients_of(cores, found, &gradients);
  if (error.failure()) return error;
  const size_t bytes = pss_cuda_tensor_train_gradient_scratch(
      &request.train, &request.ids, deterministic());
  void* scratch;
  error = lend(allocator, bytes, &scratch);
  if (error.failure()) return error;
  return done(pss_cuda_tensor_train_gradient(
      &request.train, &request.ids, request.cores.data(),
      upstream.typed_data(), gradients.data(), deterministic(), scratch, bytes,
      stream));
}

auto on_stream() {
  return ffi::Ffi::Bind().Ctx<ffi::PlatformStream<void*>>();
}

auto with_scratch() { return on_stream().Ctx<ffi::ScratchAllocator>(); }

// Binds the arguments that both calls share.
template <typename Binding>
auto robe_arguments(Binding binding) {
  return std::move(binding)
      .template Arg<ffi::AnyBuffer>()
      .template Arg<ffi::AnyBuffer>()
      .template Arg<Words>()
      .template Arg<Floats>()
      .template Arg<Words>()
      .template Arg<Floats>()
      .template Ret<ffi::AnyBuffer>()
      .template Attr<int64_t>("output_dim")
      .template Attr<int64_t>("block_size");
}

}  // namespace
}  // namespace keras_pss

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_robe_lookup_cuda, keras_pss::robe_lookup_cuda,
    keras_pss::robe_arguments(keras_pss::on_stream()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_robe_gradient_cuda, keras_pss::robe_gradient_cuda,
    keras_pss::robe_arguments(keras_pss::with_scratch()));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_tensor_train_lookup_cuda, keras_pss::tensor_train_lookup_cuda,
    keras_pss::with_scratch()
        .Arg<xla::ffi::AnyBuffer>()
        .RemainingArgs()
        .Ret<keras_pss::Floats>()
        .Attr<keras_pss::Sizes>("shapes"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_tensor_train_gradient_cuda,
    keras_pss::tensor_train_gradient_cuda,
    keras_pss::with_scratch()
        .Arg<keras_pss::Floats>()
        .Arg<xla::ffi::AnyBuffer>()
        .RemainingArgs()
        .RemainingRets()
        .Attr<keras_pss::Sizes>("shapes"));
