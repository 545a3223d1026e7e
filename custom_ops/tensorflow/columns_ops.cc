// TensorFlow operations that split and join the columns of several tables.

#include <vector>

#include "core/lookup.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/parallel.h"

namespace keras_pss {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("KerasPss>SplitColumns")
    .Input("columns: T")
    .Output("first: T")
    .Output("second: T")
    .Attr("T: {float, bfloat16, half, int32, int64}")
    .Attr("chosen: list(int)")
    .Attr("width: int >= 0")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle columns;
      std::vector<int64_t> chosen;
      int64_t width;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &columns));
      TF_RETURN_IF_ERROR(c->GetAttr("chosen", &chosen));
      TF_RETURN_IF_ERROR(c->GetAttr("width", &width));
      const DimensionHandle rows = c->Dim(columns, 0), d = c->Dim(columns, 2);
      const int64_t count = chosen.size();
      c->set_output(0, c->MakeShape({rows, c->MakeDim(count), d}));
      c->set_output(1, c->MakeShape({rows, c->MakeDim(width - count), d}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The chosen columns of `(n, width, d)`, increasing, and the others.
)doc");

REGISTER_OP("KerasPss>JoinColumns")
    .Input("first: T")
    .Input("second: T")
    .Output("columns: T")
    .Attr("T: {float, bfloat16, half, int32, int64}")
    .Attr("chosen: list(int)")
    .Attr("width: int >= 0")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle first;
      int64_t width;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &first));
      TF_RETURN_IF_ERROR(c->GetAttr("width", &width));
      c->set_output(0, c->MakeShape({c->Dim(first, 0), c->MakeDim(width),
                                     c->Dim(first, 2)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
The inverse of `SplitColumns`.
)doc");

// The chosen columns and the other columns.
class Columns : public OpKernel {
 public:
  explicit Columns(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("chosen", &chosen_));
    OP_REQUIRES_OK(context, context->GetAttr("width", &width_));
    int64_t last = -1;
    for (const int64_t column : chosen_) {
      OP_REQUIRES(context, column > last && column < width_,
                  InvalidArgument("Columns must increase and be in [0, ",
                                  width_, "). Received: ", column));
      for (++last; last < column; ++last) others_.push_back(last);
    }
    for (++last; last < width_; ++last) others_.push_back(last);
  }

 protected:
  const std::vector<int64_t>& columns(int part) const {
    return part ? others_ : chosen_;
  }

  std::vector<int64_t> chosen_, others_;
  int64_t width_;
};

class SplitColumns : public Columns {
 public:
  using Columns::Columns;

  void Compute(OpKernelContext* context) override {
    const Tensor& from = context->input(0);
    OP_REQUIRES(context, from.dims() == 3 && from.dim_size(1) == width_,
                InvalidArgument("There must be ", width_, " columns. ",
                                "Received: shape ",
                                from.shape().DebugString()));
    const int64_t rows = from.dim_size(0), d = from.dim_size(2);
    const pss_parallel parallel = pool_of(context);
    for (int part = 0; part < 2; ++part) {
      const int64_t count = columns(part).size();
      Tensor* to;
      OP_REQUIRES_OK(context,
                     context->allocate_output(part, {rows, count, d}, &to));
      pss_copy_columns(from.data(), to->data(), columns(part).data(), count,
                       width_, rows, d * DataTypeSize(from.dtype()), 1,
                       &parallel);
    }
  }
};

class JoinColumns : public Columns {
 public:
  using Columns::Columns;

  void Compute(OpKernelContext* context) override {
    OP_REQUIRES(context, context->input(0).dims() == 3,
                InvalidArgument("Parts must have three axes. Received: shape ",
                                context->input(0).shape().DebugString()));
    const int64_t rows = context->input(0).dim_size(0);
    const int64_t d = context->input(0).dim_size(2);
    for (int part = 0; part < 2; ++part) {
      const Tensor& from = context->input(part);
      const int64_t count = columns(part).size();
      OP_REQUIRES(context,
                  from.dims() == 3 && from.dim_size(0) == rows &&
                      from.dim_size(1) == count && from.dim_size(2) == d,
                  InvalidArgument("Part ", part, " must be (", rows, ", ",
                                  count, ", ", d, "). Received: shape ",
                                  from.shape().DebugString()));
    }
    Tensor* to;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, {rows, width_, d}, &to));
    const pss_parallel parallel = pool_of(context);
    for (int part = 0; part < 2; ++part) {
      const Tensor& from = context->input(part);
      pss_copy_columns(from.data(), to->data(), columns(part).data(),
                       columns(part).size(), width_, rows,
                       d * DataTypeSize(from.dtype()), 0, &parallel);
    }
  }
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>SplitColumns").Device(tensorflow::DEVICE_CPU), SplitColumns);
REGISTER_KERNEL_BUILDER(
    Name("KerasPss>JoinColumns").Device(tensorflow::DEVICE_CPU), JoinColumns);

}  // namespace
}  // namespace keras_pss
