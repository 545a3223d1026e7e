// The TensorFlow operations of ROBE lookups and their gradient.

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/shapes.h"

namespace keras_pss {
namespace {

using tensorflow::shape_inference::InferenceContext;

REGISTER_OP("KerasPss>RobeLookup")
    .Input("memory: T")
    .Input("ids: Tid")
    .Input("keys: int32")
    .Input("scales: float")
    .Input("splits: int32")
    .Input("weights: float")
    .Output("rows: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .Attr("output_dim: int >= 1")
    .Attr("block_size: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      tensorflow::shape_inference::DimensionHandle rows;
      TF_RETURN_IF_ERROR(rows_shape(c, 1, 4, &rows));
      int64_t output_dim;
      TF_RETURN_IF_ERROR(c->GetAttr("output_dim", &output_dim));
      c->set_output(0, c->Matrix(rows, output_dim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Rows of ROBE tables, hashed, gathered, and pooled where there are splits.

memory: The circular memory, of any shape with m elements.
ids: (n,), non-negative; row r belongs to table r mod F.
keys: (F, pieces + sign words, 3), keys of the hash `pss1`.
scales: (F,), a factor for each table, or empty.
splits: (rows + 1,), never decreasing, or empty: row r sums the ids from
  splits[r] up to splits[r + 1].
weights: (n,), a factor for each id, or empty.
rows: (rows, output_dim).
)doc");

REGISTER_OP("KerasPss>RobeGradient")
    .Input("upstream: T")
    .Input("ids: Tid")
    .Input("keys: int32")
    .Input("scales: float")
    .Input("splits: int32")
    .Input("weights: float")
    .Output("gradient: T")
    .Attr("T: {float, bfloat16, half}")
    .Attr("Tid: {int32, int64}")
    .Attr("memory_size: int >= 1")
    .Attr("output_dim: int >= 1")
    .Attr("block_size: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      int64_t memory_size;
      TF_RETURN_IF_ERROR(c->GetAttr("memory_size", &memory_size));
      c->set_output(0, c->Vector(memory_size));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradient of `RobeLookup` by its memory, dense, the same for any thread count.

upstream: (rows, output_dim).
gradient: (memory_size,).
)doc");

}  // namespace
}  // namespace keras_pss
