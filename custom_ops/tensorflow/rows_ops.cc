// Checks of ids, rows of tables and sums of equal rows as TensorFlow
// operations.

#include <string>
#include <vector>

#include "core/lookup.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/parallel.h"
#include "tensorflow/request.h"
#include "tensorflow/types.h"

namespace keras_pss {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::errors::InvalidArgument;
using tensorflow::errors::ResourceExhausted;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("KerasPss>CheckIds")
    .Input("ids: Tid")
    .Output("checked: Tid")
    .Attr("Tid: {int32, int64}")
    .Attr("limits: list(int)")
    .Attr("message: string")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
The ids, or an error that names the first one without a row.

limits: Number of rows for each index of the last axis, or one for all; -1
  where any id from 0 on has a row.
message: The rule, and what to do.
)doc");

REGISTER_OP("KerasPss>GatherRows")
    .Input("table: T")
    .Input("index: Tid")
    .Output("rows: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle table, index;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &table));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &index));
      c->set_output(0, c->Matrix(c->Dim(index, 0), c->Dim(table, 1)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Rows of a table.

table: (rows, width).
index: (n,), in range.
rows: (n, width).
)doc");

REGISTER_OP("KerasPss>ScatterRows")
    .Input("upstream: T")
    .Input("index: Tid")
    .Output("gradient: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .Attr("rows: int >= 0")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle upstream;
      int64_t rows;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &upstream));
      TF_RETURN_IF_ERROR(c->GetAttr("rows", &rows));
      c->set_output(0, c->Matrix(rows, c->Dim(upstream, 1)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradient of `GatherRows` by its table, dense, the same for any thread count.

upstream: (n, width).
gradient: (rows, width).
)doc");

REGISTER_OP("KerasPss>SumEqual")
    .Input("values: T")
    .Input("index: Tid")
    .Output("sums: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .SetShapeFn(tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
Sums the rows of equal indices at the first of them; the others become 0.

values: (n, width).
index: (n,).
)doc");

absl::Status checked(pss_status status) {
  if (status == PSS_OK) return absl::OkStatus();
  return ResourceExhausted("No memory left.");
}

// That the values are (n, width) for (n) indices, fewer than 2^31.
absl::Status check_rows(const Tensor& values, const Tensor& index) {
  if (values.dims() == 2 && index.dims() == 1 &&
      values.dim_size(0) == index.dim_size(0) &&
      index.dim_size(0) < (int64_t{1} << 31)) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "There must be a row of values for each index, fewer than 2^31. "
      "Received: values of shape ",
      values.shape().DebugString(), ", index of shape ",
      index.shape().DebugString());
}

class CheckIds : public OpKernel {
 public:
  explicit CheckIds(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("limits", &limits_));
    OP_REQUIRES_OK(context, context->GetAttr("message", &message_));
    OP_REQUIRES(context, !limits_.empty(),
                InvalidArgument("There must be a limit."));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& input = context->input(0);
    const int64_t tables = limits_.size();
    OP_REQUIRES(context,
                tables == 1 || (input.dims() > 0 &&
                                input.dim_size(input.dims() - 1) == tables),
                InvalidArgument("The last axis of the ids must have ", tables,
                                " entries. Received: shape ",
                                input.shape().DebugString()));
    const pss_ids ids = ids_of(input);
    const int64_t at = pss_first_invalid(&ids, limits_.data(), tables);
    if (at >= 0) {
      const int64_t id = ids.type == PSS_INT32
                             ? static_cast<const int32_t*>(ids.ids)[at]
                             : static_cast<const int64_t*>(ids.ids)[at];
      std::string table;
      if (tables > 1) {
        table = absl::StrCat(" (table ", at % tables, ", input_dim=",
                             limits_[at % tables], ")");
      }
      context->SetStatus(InvalidArgument(message_, " Received: id ", id, table,
                                         ", the first of ", ids.count,
                                         " ids that has no row"));
      return;
    }
    context->set_output(0, input);
  }

 private:
  std::vector<int64_t> limits_;
  std::string message_;
};

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
    const pss_parallel parallel = pool_of(context);
    const int64_t bytes =
        table.dim_size(1) * tensorflow::DataTypeSize(table.dtype());
    const int64_t at = pss_gather(&ids, table.data(), table.dim_size(0), bytes,
                                  rows->data(), &parallel);
    OP_REQUIRES(context, at < 0,
                InvalidArgument("Indices must be in [0, ", table.dim_size(0),
                                "). Received: another one at place ", at));
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
    OP_REQUIRES_OK(context, check_rows(upstream, index));
    const int64_t width = upstream.dim_size(1);
    Tensor* gradient;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, {rows_, width}, &gradient));
    const pss_ids ids = ids_of(index);
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context, checked(pss_scatter(&ids, kType<T>, upstream.data(),
                                                rows_, width, gradient->data(),
                                                &parallel)));
  }

 private:
  int64_t rows_;
};

template <typename T>
class SumEqual : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    const Tensor& values = context->input(0);
    const Tensor& index = context->input(1);
    OP_REQUIRES_OK(context, check_rows(values, index));
    Tensor* sums;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, values.shape(), &sums));
    const pss_ids ids = ids_of(index);
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context, checked(pss_sum_equal(&ids, kType<T>, values.data(),
                                                  values.dim_size(1),
                                                  sums->data(), &parallel)));
  }
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>CheckIds").Device(tensorflow::DEVICE_CPU), CheckIds);
REGISTER_KERNEL_BUILDER(
    Name("KerasPss>GatherRows").Device(tensorflow::DEVICE_CPU), GatherRows);

#define REGISTER(T)                                           \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>ScatterRows")        \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          ScatterRows<T>);                    \
  REGISTER_KERNEL_BUILDER(Name("KerasPss>SumEqual")           \
                              .Device(tensorflow::DEVICE_CPU) \
                              .TypeConstraint<T>("T"),        \
                          SumEqual<T>);
REGISTER(float)
REGISTER(Eigen::bfloat16)
REGISTER(Eigen::half)
#undef REGISTER

}  // namespace
}  // namespace keras_pss
