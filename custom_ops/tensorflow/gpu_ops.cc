// The operations on CUDA devices: their kernels for DEVICE_GPU. Checks and
// shapes are those of the CPU; no CUDA header is needed.

#include <cstddef>

#include "core/lookup.h"
#include "cuda/deterministic.h"
#include "cuda/lookup.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/request.h"
#include "tensorflow/types.h"
#include "xla/stream_executor/stream.h"

namespace keras_pss {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::errors::InvalidArgument;

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

// Memory to work in. It may be freed as soon as the work is on its stream: the
// device's allocator hands it on in the order of that stream.
absl::Status lend(OpKernelContext* context, size_t bytes, Tensor* out) {
  if (bytes == 0) return absl::OkStatus();
  return context->allocate_temp(tensorflow::DT_INT8,
                                {static_cast<int64_t>(bytes)}, out);
}

void* data_of(const Tensor& tensor) {
  return tensor.NumElements() ? tensor.data() : nullptr;
}

template <typename T>
class RobeLookup : public OpKernel {
 public:
  explicit RobeLookup(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("output_dim", &output_dim_));
    OP_REQUIRES_OK(context, context->GetAttr("block_size", &block_size_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& memory = context->input(0);
    RobeRequest request;
    OP_REQUIRES_OK(context, request.read(context, memory.NumElements(),
                                         output_dim_, block_size_));
    Tensor* rows;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, {request.ids()->rows, output_dim_}, &rows));
    OP_REQUIRES_OK(context, done(pss_cuda_robe_lookup(
                                request.robe(), request.ids(), kType<T>,
                                memory.data(), rows->data(),
                                stream_of(context))));
  }

 private:
  int64_t output_dim_, block_size_;
};

template <typename T>
class RobeGradient : public OpKernel {
 public:
  explicit RobeGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("memory_size", &memory_size_));
    OP_REQUIRES_OK(context, context->GetAttr("output_dim", &output_dim_));
    OP_REQUIRES_OK(context, context->GetAttr("block_size", &block_size_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    RobeRequest request;
    OP_REQUIRES_OK(context, request.read(context, memory_size_, output_dim_,
                                         block_size_));
    OP_REQUIRES(
        context,
        upstream.dims() == 2 && upstream.dim_size(0) == request.ids()->rows &&
            upstream.dim_size(1) == output_dim_,
        InvalidArgument("The upstream gradient must have the shape of the "
                        "rows, (",
                        request.ids()->rows, ", ", output_dim_,
                        "). Received: shape ",
                        upstream.shape().DebugString()));
    Tensor* gradient;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, {memory_size_}, &gradient));
    const size_t bytes = pss_cuda_robe_gradient_scratch(
        request.robe(), request.ids(), kType<T>, deterministic());
    Tensor scratch;
    OP_REQUIRES_OK(context, lend(context, bytes, &scratch));
    OP_REQUIRES_OK(context,
                   done(pss_cuda_robe_gradient(
                       request.robe(), request.ids(), kType<T>,
                       upstream.data(), gradient->data(), deterministic(),
                       data_of(scratch), bytes, stream_of(context))));
  }

 private:
  int64_t memory_size_, output_dim_, block_size_;
};

// An index outside of the table makes its row not a number: an error would
// have to wait for the device.
class GatherRows : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& table = context->input(0);
    const Tensor& index = context->input(1);
    OP_REQUIRES(context, table.dims() == 2 && index.dims() == 1,
                InvalidArgument("The table must have two axes and the index "
                                "one. Received: shapes ",
                                table.shape().DebugString(), " and ",
                                index.shape().DebugString()));
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {index.dim_size(0), table.dim_size(1)},
                                &rows));
    const pss_ids ids = ids_of(index);
    const int64_t bytes =
        table.dim_size(1) * tensorflow::DataTypeSize(table.dtype());
    OP_REQUIRES_OK(context, done(pss_cuda_gather(
                                &ids, table.data(), table.dim_size(0), bytes,
                                rows->data(), stream_of(context))));
  }
};

template <typename T>
class ScatterRows : public OpKernel {
 public:
  explicit ScatterRows(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rows", &rows_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    const Tensor& index = context->input(1);
    OP_REQUIRES(context,
                upstream.dims() == 2 && index.dims() == 1 &&
                    upstream.dim_size(0) == index.dim_size(0) &&
                    index.dim_size(0) < (int64_t{1} << 31) &&
                    rows_ < (int64_t{1} << 32) - 1,
                InvalidArgument("There must be a row of values for each "
                                "index, fewer than 2^31, and fewer than "
                                "2^32 - 1 rows. Received: values of shape ",
                                upstream.shape().DebugString(),
                                ", index of shape ",
                                index.shape().DebugString(), ", rows=", rows_));
    const int64_t width = upstream.dim_size(1);
    Tensor* gradient;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, {rows_, width}, &gradient));
    const pss_ids ids = ids_of(index);
    const size_t bytes = pss_cuda_scatter_scratch(&ids, rows_);
    Tensor scratch;
    OP_REQUIRES_OK(context, lend(context, bytes, &scratch));
    OP_REQUIRES_OK(context,
                   done(pss_cuda_scatter(
                       &ids, kType<T>, upstream.data(), rows_, width,
                       gradient->data(), data_of(scratch), bytes,
                       stream_of(context))));
  }

 private:
  int64_t rows_;
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>GatherRows").Device(tensorflow::DEVICE_GPU), GatherRows);

#define REGISTER(T)                                           \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>RobeLookup")         \
                              .Device(tensorflow::DEVICE_GPU) \
                              .TypeConstraint<T>("T"),        \
                          RobeLookup<T>);                     \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>RobeGradient")       \
                              .Device(tensorflow::DEVICE_GPU) \
                              .TypeConstraint<T>("T"),        \
                          RobeGradient<T>);                   \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>ScatterRows")        \
                              .Device(tensorflow::DEVICE_GPU) \
                              .TypeConstraint<T>("T"),        \
                          ScatterRows<T>);
REGISTER(float)
REGISTER(Eigen::bfloat16)
REGISTER(Eigen::half)
#undef REGISTER

}  // namespace
}  // namespace keras_pss
