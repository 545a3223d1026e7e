// Kernels that differ only in their device: they check inputs and allocate
// outputs here, and the device's functions fill the outputs.

#ifndef KERAS_PSS_TENSORFLOW_KERNELS_H_
#define KERAS_PSS_TENSORFLOW_KERNELS_H_

#include "core/lookup.h"
#include "tensorflow/names.h"
#include "tensorflow/request.h"

namespace keras_pss {

template <typename Device, typename T>
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
    OP_REQUIRES_OK(context,
                   Device::lookup(context, request, kType<T>, memory, rows));
  }

 private:
  int64_t output_dim_, block_size_;
};

template <typename Device, typename T>
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
    OP_REQUIRES_OK(context, Device::gradient(context, request, kType<T>,
                                             upstream, gradient));
  }

 private:
  int64_t memory_size_, output_dim_, block_size_;
};

template <typename Device>
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
    const int64_t bytes =
        table.dim_size(1) * tensorflow::DataTypeSize(table.dtype());
    OP_REQUIRES_OK(context,
                   Device::gather(context, ids_of(index), table, bytes, rows));
  }
};

template <typename Device, typename T>
class ScatterRows : public OpKernel {
 public:
  explicit ScatterRows(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rows", &rows_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& upstream = context->input(0);
    const Tensor& index = context->input(1);
    OP_REQUIRES_OK(context, check_rows(upstream, index));
    Tensor* gradient;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {rows_, upstream.dim_size(1)}, &gradient));
    OP_REQUIRES_OK(context, Device::scatter(context, ids_of(index), kType<T>,
                                            upstream, gradient));
  }

 private:
  int64_t rows_;
};

// Registers the kernels of the device with the name NAME.
#define KERAS_PSS_REGISTER_TYPE(NAME, DEVICE, T)                          \
  REGISTER_KERNEL_BUILDER(                                                \
      Name("KerasPss>RobeLookup").Device(NAME).TypeConstraint<T>("T"),    \
      RobeLookup<DEVICE, T>);                                             \
  REGISTER_KERNEL_BUILDER(                                                \
      Name("KerasPss>RobeGradient").Device(NAME).TypeConstraint<T>("T"),  \
      RobeGradient<DEVICE, T>);                                           \
  REGISTER_KERNEL_BUILDER(                                                \
      Name("KerasPss>ScatterRows").Device(NAME).TypeConstraint<T>("T"),   \
      ScatterRows<DEVICE, T>);
#define KERAS_PSS_REGISTER(NAME, DEVICE)                              \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>GatherRows").Device(NAME),   \
                          GatherRows<DEVICE>);                        \
  KERAS_PSS_REGISTER_TYPE(NAME, DEVICE, float)                        \
  KERAS_PSS_REGISTER_TYPE(NAME, DEVICE, Eigen::bfloat16)              \
  KERAS_PSS_REGISTER_TYPE(NAME, DEVICE, Eigen::half)

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_KERNELS_H_
