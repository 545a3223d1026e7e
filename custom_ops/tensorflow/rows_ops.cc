// TensorFlow operations that check ids, gather rows of tables and sum rows of
// equal ids.

#include <string>
#include <vector>

#include "core/lookup.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/parallel.h"
#include "tensorflow/request.h"

namespace keras_pss {
namespace {

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
    const pss_status status =
        pss_sum_equal(&ids, kType<T>, values.data(), values.dim_size(1),
                      sums->data(), &parallel);
    OP_REQUIRES(context, status == PSS_OK,
                ResourceExhausted("No memory left."));
  }
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>CheckIds").Device(tensorflow::DEVICE_CPU), CheckIds);
#define REGISTER(T)                                           \
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
