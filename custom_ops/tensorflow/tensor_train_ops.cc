// TensorFlow operations of tensor trains: rows, and the gradients of cores.

#include <vector>

#include "core/lookup.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/parallel.h"
#include "tensorflow/request.h"
#include "tensorflow/shapes.h"

namespace keras_pss {
namespace {

using tensorflow::shape_inference::InferenceContext;

REGISTER_OP("KerasPss>TensorTrainLookup")
    .Input("ids: Tid")
    .Input("cores: num_cores * float")
    .Output("rows: float")
    .Attr("Tid: {int32, int64}")
    .Attr("num_cores: int >= 2")
    .Attr("shapes: list(int)")
    .SetShapeFn([](InferenceContext* c) { return train_shape(c); })
    .Doc(R"doc(
Rows of a table in the format of a tensor train or tensor ring.

ids: (n,); an id outside of the table has its first or last row.
cores: The cores, of any shape with p r q r' elements.
shapes: p, r, q, r' of each core.
rows: (n, product of q).
)doc");

REGISTER_OP("KerasPss>TensorTrainGradient")
    .Input("upstream: float")
    .Input("ids: Tid")
    .Input("cores: num_cores * float")
    .Output("gradients: num_cores * float")
    .Attr("Tid: {int32, int64}")
    .Attr("num_cores: int >= 2")
    .Attr("shapes: list(int)")
    .SetShapeFn([](InferenceContext* c) {
      for (int k = 0; k < c->num_outputs(); ++k) {
        c->set_output(k, c->input(2 + k));
      }
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradients of `TensorTrainLookup` by its cores, dense, the same for any thread
count.

upstream: (n, product of q).
gradients: Of the shapes of the cores.
)doc");

// The cores from input `first` on, and the ids in the input before them.
class Train {
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

absl::Status checked(pss_status status) {
  if (status == PSS_OK) return absl::OkStatus();
  if (status == PSS_NO_MEMORY) return ResourceExhausted("No memory left.");
  return InvalidArgument("The arguments do not fit each other.");
}

class TensorTrainLookup : public OpKernel {
 public:
  explicit TensorTrainLookup(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
  }

  void Compute(OpKernelContext* context) override {
    Train train;
    OP_REQUIRES_OK(context, train.read(context, shapes_, 1));
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {train.ids()->count, train.columns()},
                                &rows));
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context, checked(pss_tensor_train_lookup(
                                train.train(), train.ids(), train.cores(),
                                static_cast<float*>(rows->data()), &parallel)));
  }

 private:
  std::vector<int64_t> shapes_;
};

class TensorTrainGradient : public OpKernel {
 public:
  explicit TensorTrainGradient(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
  }

  void Compute(OpKernelContext* context) override {
    Train train;
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
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(
        context,
        checked(pss_tensor_train_gradient(
            train.train(), train.ids(), train.cores(),
            static_cast<const float*>(upstream.data()), gradients.data(),
            &parallel)));
  }

 private:
  std::vector<int64_t> shapes_;
};

#define REGISTER(OP)                                                   \
  REGISTER_KERNEL_BUILDER(                                             \
      Name("KerasPss>" #OP).Device(tensorflow::DEVICE_CPU), OP)
REGISTER(TensorTrainLookup);
REGISTER(TensorTrainGradient);
#undef REGISTER

}  // namespace
}  // namespace keras_pss
