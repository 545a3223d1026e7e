// The operations on CUDA devices: their kernels for DEVICE_GPU. Checks and
// shape functions are shared with the CPU; no CUDA header is needed.

#include <cstddef>

#include "core/lookup.h"
#include "cuda/deterministic.h"
#include "cuda/lookup.h"
#include "tensorflow/kernels.h"
#include "tensorflow/train_kernels.h"
#include "xla/stream_executor/stream.h"

namespace keras_pss {
namespace {

void* stream_of(OpKernelContext* context) {
  return context->op_device_context()
      ->stream()
      ->platform_specific_handle()
      .stream;
}

absl::Status done(int error) {
  if (error == 0) return absl::OkStatus();
  return tensorflow::errors::Internal("CUDA: ", pss_cuda_error(error));
}

// Allocates scratch memory. It may be freed as soon as the work is enqueued:
// the device's allocator reuses memory in stream order.
absl::Status lend(OpKernelContext* context, size_t bytes, Tensor* out) {
  if (bytes == 0) return absl::OkStatus();
  return context->allocate_temp(tensorflow::DT_INT8,
                                {static_cast<int64_t>(bytes)}, out);
}

void* data_of(const Tensor& tensor) {
  return tensor.NumElements() ? tensor.data() : nullptr;
}

struct Gpu {
  static absl::Status lookup(OpKernelContext* context,
                             const RobeRequest& request, pss_float type,
                             const Tensor& memory, Tensor* rows) {
    return done(pss_cuda_robe_lookup(request.robe(), request.ids(), type,
                                     memory.data(), rows->data(),
                                     stream_of(context)));
  }

  static absl::Status gradient(OpKernelContext* context,
                               const RobeRequest& request, pss_float type,
                               const Tensor& upstream, Tensor* gradient) {
    const size_t bytes = pss_cuda_robe_gradient_scratch(
        request.robe(), request.ids(), type, deterministic());
    Tensor scratch;
    TF_RETURN_IF_ERROR(lend(context, bytes, &scratch));
    return done(pss_cuda_robe_gradient(
        request.robe(), request.ids(), type, upstream.data(), gradient->data(),
        deterministic(), data_of(scratch), bytes, stream_of(context)));
  }

  // An out-of-range index makes its row NaN: to raise an error, the host would
  // have to wait for the device.
  static absl::Status gather(OpKernelContext* context, const pss_ids& ids,
                             const Tensor& table, int64_t bytes,
                             Tensor* rows) {
    return done(pss_cuda_gather(&ids, table.data(), table.dim_size(0), bytes,
                                rows->data(), stream_of(context)));
  }

  static absl::Status scatter(OpKernelContext* context, const pss_ids& ids,
                              pss_float type, const Tensor& upstream,
                              Tensor* gradient) {
    const int64_t rows = gradient->dim_size(0);
    if (rows >= (int64_t{1} << 32) - 1) {
      return InvalidArgument(
          "A table on a GPU must have fewer than 2^32 - 1 rows. Received: ",
          rows);
    }
    const size_t bytes = pss_cuda_scatter_scratch(&ids, rows);
    Tensor scratch;
    TF_RETURN_IF_ERROR(lend(context, bytes, &scratch));
    return done(pss_cuda_scatter(&ids, type, upstream.data(), rows,
                                 gradient->dim_size(1), gradient->data(),
                                 data_of(scratch), bytes, stream_of(context)));
  }
};

struct TrainGpu {
  static absl::Status lookup(OpKernelContext* context,
                             const TrainRequest& request, float* rows) {
    const size_t bytes =
        pss_cuda_tensor_train_lookup_scratch(request.train(), request.ids());
    Tensor scratch;
    TF_RETURN_IF_ERROR(lend(context, bytes, &scratch));
    return done(pss_cuda_tensor_train_lookup(
        request.train(), request.ids(), request.cores(), rows,
        data_of(scratch), bytes, stream_of(context)));
  }

  static absl::Status gradient(OpKernelContext* context,
                               const TrainRequest& request,
                               const float* upstream,
                               float* const* gradients) {
    const size_t bytes = pss_cuda_tensor_train_gradient_scratch(
        request.train(), request.ids(), deterministic());
    Tensor scratch;
    TF_RETURN_IF_ERROR(lend(context, bytes, &scratch));
    return done(pss_cuda_tensor_train_gradient(
        request.train(), request.ids(), request.cores(), upstream, gradients,
        deterministic(), data_of(scratch), bytes, stream_of(context)));
  }
};

KERAS_PSS_REGISTER(tensorflow::DEVICE_GPU, Gpu)
KERAS_PSS_REGISTER_TRAIN(tensorflow::DEVICE_GPU, TrainGpu)

}  // namespace
}  // namespace keras_pss
