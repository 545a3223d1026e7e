// TensorFlow operations that look up packed tables: rows, ROBE, tensor trains.

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
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("KerasPss>UnpackRows")
    .Input("codes: int8")
    .Input("scales: T")
    .Input("index: Tid")
    .Output("rows: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .Attr("layout: list(int) >= 5")
    .Attr("width: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle index;
      int64_t width;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 1, &index));
      TF_RETURN_IF_ERROR(c->GetAttr("width", &width));
      c->set_output(0, c->Matrix(c->Dim(index, 0), width));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Rows of a packed table.

codes, scales: The table, as `layout` says.
index: (n,), in range.
layout: rows, width, bits, group, block; see core/lookup.h.
width: Consecutive numbers that make up a row.
rows: (n, width).
)doc");

REGISTER_OP("KerasPss>PackedRobeLookup")
    .Input("codes: int8")
    .Input("memory_scales: T")
    .Input("ids: Tid")
    .Input("keys: int32")
    .Input("scales: float")
    .Input("splits: int32")
    .Input("weights: float")
    .Output("rows: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .Attr("layout: list(int) >= 5")
    .Attr("memory_size: int >= 1")
    .Attr("output_dim: int >= 1")
    .Attr("block_size: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      tensorflow::shape_inference::DimensionHandle rows;
      TF_RETURN_IF_ERROR(rows_shape(c, 2, 5, &rows));
      int64_t output_dim;
      TF_RETURN_IF_ERROR(c->GetAttr("output_dim", &output_dim));
      c->set_output(0, c->Matrix(rows, output_dim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
`RobeLookup` in a packed memory.

codes, memory_scales: The memory, as `layout` says.
layout: rows, width, bits, group, block; see core/lookup.h.
)doc");

REGISTER_OP("KerasPss>PackedTensorTrainLookup")
    .Input("ids: Tid")
    .Input("codes: num_cores * int8")
    .Input("scales: num_cores * float")
    .Output("rows: float")
    .Attr("Tid: {int32, int64}")
    .Attr("num_cores: int >= 2")
    .Attr("layout: list(int)")
    .Attr("shapes: list(int)")
    .SetShapeFn([](InferenceContext* c) { return train_shape(c); })
    .Doc(R"doc(
`TensorTrainLookup` with packed cores.

codes, scales: The cores, as `layout` says.
layout: rows, width, bits, group, block of each core; see core/lookup.h.
shapes: p, r, q, r' of each core.
)doc");

class UnpackRows : public OpKernel {
 public:
  explicit UnpackRows(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("layout", &layout_));
    OP_REQUIRES_OK(context, context->GetAttr("width", &width_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& index = context->input(2);
    pss_packed table;
    OP_REQUIRES_OK(context, packed_of(context->input(0), context->input(1),
                                      layout_.data(), &table));
    OP_REQUIRES(context, index.dims() == 1,
                InvalidArgument("The index must have one axis. Received: shape ",
                                index.shape().DebugString()));
    Tensor* rows;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {index.dim_size(0), width_}, &rows));
    const pss_ids ids = ids_of(index);
    const pss_parallel parallel = pool_of(context);
    const int64_t at =
        pss_unpack(&ids, &table, width_, rows->data(), &parallel);
    OP_REQUIRES(
        context, at < 0,
        InvalidArgument("Indices must be in [0, ",
                        layout_[0] * layout_[1] / width_,
                        "). Received: another one at place ", at));
  }

 private:
  std::vector<int64_t> layout_;
  int64_t width_;
};

class PackedRobeLookup : public OpKernel {
 public:
  explicit PackedRobeLookup(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("layout", &layout_));
    OP_REQUIRES_OK(context, context->GetAttr("memory_size", &memory_size_));
    OP_REQUIRES_OK(context, context->GetAttr("output_dim", &output_dim_));
    OP_REQUIRES_OK(context, context->GetAttr("block_size", &block_size_));
  }

  void Compute(OpKernelContext* context) override {
    RobeRequest request;
    OP_REQUIRES_OK(context, request.read(context, memory_size_, output_dim_,
                                         block_size_, 2));
    pss_packed memory;
    OP_REQUIRES_OK(context, packed_of(context->input(0), context->input(1),
                                      layout_.data(), &memory));
    Tensor* rows;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, {request.ids()->rows, output_dim_}, &rows));
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context, status_of(pss_robe_lookup_packed(
                                request.robe(), request.ids(), &memory,
                                rows->data(), &parallel)));
  }

 private:
  std::vector<int64_t> layout_;
  int64_t memory_size_, output_dim_, block_size_;
};

class PackedTensorTrainLookup : public OpKernel {
 public:
  explicit PackedTensorTrainLookup(OpKernelConstruction* context)
      : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("layout", &layout_));
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
    const int64_t cores = (context->num_inputs() - 1) / 2;
    OP_REQUIRES(context,
                static_cast<int64_t>(layout_.size()) == 5 * cores &&
                    static_cast<int64_t>(shapes_.size()) == 4 * cores,
                InvalidArgument("There must be a layout of five numbers and "
                                "four sizes for each of ",
                                cores, " cores."));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& index = context->input(0);
    const int64_t count = (context->num_inputs() - 1) / 2;
    const pss_ids ids = ids_of(index);
    const pss_tensor_train train = {count, shapes_.data()};
    const char* rule = pss_tensor_train_check(&train, &ids);
    if (rule == nullptr && index.dims() != 1) rule = "ids must have one axis";
    std::vector<pss_packed> cores(count);
    int64_t columns = 1;
    for (int64_t k = 0; rule == nullptr && k < count; ++k) {
      OP_REQUIRES_OK(context, packed_of(context->input(1 + k),
                                        context->input(1 + count + k),
                                        layout_.data() + 5 * k, &cores[k]));
      const int64_t* shape = shapes_.data() + 4 * k;
      const pss_layout& layout = cores[k].layout;
      if (layout.rows * layout.width < shape[0] * shape[1] * shape[2] * shape[3]) {
        rule = "cores must have the numbers that their shapes say";
      }
      columns *= shape[2];
    }
    OP_REQUIRES(context, rule == nullptr,
                InvalidArgument("Tensor train: ", rule, "."));
    Tensor* rows;
    OP_REQUIRES_OK(context,
                   context->allocate_output(0, {ids.count, columns}, &rows));
    const pss_parallel parallel = pool_of(context);
    OP_REQUIRES_OK(context,
                   status_of(pss_tensor_train_lookup_packed(
                       &train, &ids, cores.data(),
                       static_cast<float*>(rows->data()), &parallel)));
  }

 private:
  std::vector<int64_t> layout_, shapes_;
};

#define REGISTER(OP)                                                   \
  REGISTER_KERNEL_BUILDER(                                             \
      Name("KerasPss>" #OP).Device(tensorflow::DEVICE_CPU), OP)
REGISTER(UnpackRows);
REGISTER(PackedRobeLookup);
REGISTER(PackedTensorTrainLookup);
#undef REGISTER

}  // namespace
}  // namespace keras_pss
