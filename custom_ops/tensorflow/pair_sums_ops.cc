// TensorFlow operations of sums of products of rows of two tables.

#include "core/lookup.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/parallel.h"
#include "tensorflow/request.h"

namespace keras_pss {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("KerasPss>PairSums")
    .Input("ids: Tid")
    .Input("first: float")
    .Input("second: float")
    .Output("rows: float")
    .Attr("Tid: {int32, int64}")
    .Attr("terms: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle ids, first;
      DimensionHandle rank;
      int64_t terms;
      TF_RETURN_IF_ERROR(c->GetAttr("terms", &terms));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &ids));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &first));
      TF_RETURN_IF_ERROR(c->Divide(c->Dim(first, 1), terms, true, &rank));
      c->set_output(0, c->Matrix(c->Dim(ids, 0), rank));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Sums over terms of the products of a row of each of two tables.

ids: (n,); id i reads row i / n2 of the first table and i % n2 of the second, and
  an id outside of them the first or last pair.
first: (n1, terms rank).
second: (n2, terms rank).
rows: (n, rank).
)doc");

REGISTER_OP("KerasPss>PairSumsGradient")
    .Input("upstream: float")
    .Input("ids: Tid")
    .Input("first: float")
    .Input("second: float")
    .Output("by_first: float")
    .Output("by_second: float")
    .Attr("Tid: {int32, int64}")
    .Attr("terms: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->input(2));
      c->set_output(1, c->input(3));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradients of `PairSums` by its tables, dense, the same for any thread count.

upstream: (n, rank).
)doc");

// The tables from input `first` on, and the ids in the input before them.
class PairRequest {
 public:
  absl::Status read(OpKernelContext* context, int64_t terms, int first) {
    const Tensor& ids = context->input(first - 1);
    const Tensor& x = context->input(first);
    const Tensor& y = context->input(first + 1);
    if (ids.dims() != 1 || x.dims() != 2 || y.dims() != 2 ||
        x.dim_size(1) != y.dim_size(1) || x.dim_size(1) % terms != 0) {
      return InvalidArgument(
          "Pair sums: ids must be (n,), and the tables (rows, terms * rank). "
          "Received: shapes ",
          ids.shape().DebugString(), ", ", x.shape().DebugString(), " and ",
          y.shape().DebugString(), ", terms=", terms);
    }
    ids_ = ids_of(ids);
    tables_ = {x.dim_size(0), y.dim_size(0), terms, x.dim_size(1) / terms};
    first_ = static_cast<const float*>(x.data());
    second_ = static_cast<const float*>(y.data());
    return absl::OkStatus();
  }

  const pss_pair_tables* tables() const { return &tables_; }
  const pss_ids* ids() const { return &ids_; }
  const float* first() const { return first_; }
  const float* second() const { return second_; }

 private:
  pss_pair_tables tables_;
  pss_ids ids_;
  const float *first_, *second_;
};

class PairSums : public OpKernel {
 public:
  explicit PairSums(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("terms", &terms_));
  }

  void Compute(OpKernelContext* context) override {
    PairRequest request;
    OP_REQUIRES_OK(context, request.read(context, terms_, 1));
    Tensor* rows;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, {request.ids()->count, request.tables()->rank},
                       &rows));
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context, status_of(pss_pair_sums(
                                request.tables(), request.ids(),
                                request.first(), request.second(),
                                static_cast<float*>(rows->data()), &parallel)));
  }

 private:
  int64_t terms_;
};

class PairSumsGradient : public OpKernel {
 public:
  explicit PairSumsGradient(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("terms", &terms_));
  }

  void Compute(OpKernelContext* context) override {
    PairRequest request;
    OP_REQUIRES_OK(context, request.read(context, terms_, 2));
    const Tensor& upstream = context->input(0);
    OP_REQUIRES(context,
                upstream.dims() == 2 &&
                    upstream.dim_size(0) == request.ids()->count &&
                    upstream.dim_size(1) == request.tables()->rank,
                InvalidArgument("The upstream gradient must have the shape of "
                                "the rows, (",
                                request.ids()->count, ", ",
                                request.tables()->rank, "). Received: shape ",
                                upstream.shape().DebugString()));
    Tensor *by_first, *by_second;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, context->input(2).shape(), &by_first));
    OP_REQUIRES_OK(context, context->allocate_output(
                                1, context->input(3).shape(), &by_second));
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(
        context,
        status_of(pss_pair_sums_gradient(
            request.tables(), request.ids(), request.first(), request.second(),
            static_cast<const float*>(upstream.data()),
            static_cast<float*>(by_first->data()),
            static_cast<float*>(by_second->data()), &parallel)));
  }

 private:
  int64_t terms_;
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>PairSums").Device(tensorflow::DEVICE_CPU), PairSums);
REGISTER_KERNEL_BUILDER(
    Name("KerasPss>PairSumsGradient").Device(tensorflow::DEVICE_CPU),
    PairSumsGradient);

}  // namespace
}  // namespace keras_pss
