// Kernels of tensor trains that differ only in their device; see kernels.h.

#ifndef KERAS_PSS_TENSORFLOW_TRAIN_KERNELS_H_
#define KERAS_PSS_TENSORFLOW_TRAIN_KERNELS_H_

#include <vector>

#include "core/lookup.h"
#include "tensorflow/names.h"
#include "tensorflow/request.h"

namespace keras_pss {

// The cores from input `first` on, and the ids in the input before them.
class TrainRequest {
 public:
  absl::Status read(OpKernelContext* context,
                    const std::vector<int64_t>& shapes, int first) {
    const Tensor& ids = context->input(first - 1);
    const int64_t count = context->num_inputs() - first;
    ids_ = ids_of(ids);
    train_ = {count, shapes.data()};
    const char* rule =
        static_cast<int64_t>(shapes.size()) != 4 * count
            ? "there must be four sizes for each core"
            : pss_tensor_train_check(&train_, &ids_);
    if (rule == nullptr && ids.dims() != 1) rule = "ids must have one axis";
    for (int64_t k = 0; rule == nullptr && k < count; ++k) {
      const Tensor& core = context->input(first + k);
      const int64_t* shape = shapes.data() + 4 * k;
      if (core.NumElements() != shape[0] * shape[1] * shape[2] * shape[3]) {
        rule = "cores must have the elements that their shapes say";
      }
      cores_.push_back(static_cast<const float*>(core.data()));
    }
    if (rule == nullptr) return absl::OkStatus();
    return InvalidArgument("Tensor train: ", rule, ". Received: ", count,
                           " cores, ids of shape ", ids.shape().DebugString(),
                           ", ", shapes.size(), " sizes");
  }

  const pss_tensor_train* train() const { return &train_; }
  const pss_ids* ids() const { return &ids_; }
  const float* const* cores() const { return cores_.data(); }
  int64_t columns() const {
    int64_t found = 1;
    for (int64_t k = 0; k < train_.num_cores; ++k) {
      found *= train_.shapes[4 * k + 2];
    }
    return found;
  }

 private:
  pss_tensor_train train_;
  pss_ids ids_;
  std::vector<const float*> cores_;
};

template <typename Device>
class TensorTrainLookup : public OpKernel {
 public:
  explicit TensorTrainLookup(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
  }

  void Compute(OpKernelContext* context) override {
    TrainRequest train;
    OP_REQUIRES_OK(context, train.read(context, shapes_, 1));
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {train.ids()->count, train.columns()},
                                &rows));
    OP_REQUIRES_OK(context, Device::lookup(context, train,
                                           static_cast<float*>(rows->data())));
  }

 private:
  std::vector<int64_t> shapes_;
};

template <typename Device>
class TensorTrainGradient : public OpKernel {
 public:
  explicit TensorTrainGradient(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
  }

  void Compute(OpKernelContext* context) override {
    TrainRequest train;
    OP_REQUIRES_OK(context, train.read(context, shapes_, 2));
    const Tensor& upstream = context->input(0);
    OP_REQUIRES(context,
                upstream.dims() == 2 &&
                    upstream.dim_size(0) == train.ids()->count &&
                    upstream.dim_size(1) == train.columns(),
                InvalidArgument("The upstream gradient must have the shape of "
                                "the rows, (",
                                train.ids()->count, ", ", train.columns(),
                                "). Received: shape ",
                                upstream.shape().DebugString()));
    std::vector<float*> gradients;
    for (int k = 0; k < context->num_outputs(); ++k) {
      Tensor* gradient;
      OP_REQUIRES_OK(context,
                     context->allocate_output(k, context->input(2 + k).shape(),
                                              &gradient));
      gradients.push_back(static_cast<float*>(gradient->data()));
    }
    OP_REQUIRES_OK(
        context, Device::gradient(context, train,
                                  static_cast<const float*>(upstream.data()),
                                  gradients.data()));
  }

 private:
  std::vector<int64_t> shapes_;
};

// Registers the kernels of the device with the name NAME.
#define KERAS_PSS_REGISTER_TRAIN(NAME, DEVICE)                              \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>TensorTrainLookup").Device(NAME),  \
                          TensorTrainLookup<DEVICE>);                       \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>TensorTrainGradient").Device(NAME),\
                          TensorTrainGradient<DEVICE>);

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_TRAIN_KERNELS_H_
