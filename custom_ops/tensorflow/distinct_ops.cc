// The TensorFlow operation that finds the distinct ids of a batch.

#include "core/lookup.h"
#include "tensorflow/chunks.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/request.h"

namespace keras_pss {
namespace {

using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

REGISTER_OP("KerasPss>DistinctIds")
    .Input("ids: Tid")
    .Output("distinct: Tid")
    .Output("place: int32")
    .Output("found: int32")
    .Attr("Tid: {int32, int64}")
    .Attr("sample: int >= 0")
    .Attr("most: float")
    .Attr("most_chunks: int >= 1")
    .Attr("least_rows: int >= 1")
    .SetShapeFn([](InferenceContext* c) {
      ShapeHandle ids;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &ids));
      int64_t most_chunks, least_rows;
      TF_RETURN_IF_ERROR(c->GetAttr("most_chunks", &most_chunks));
      TF_RETURN_IF_ERROR(c->GetAttr("least_rows", &least_rows));
      if (c->ValueKnown(c->Dim(ids, 0))) {
        const Chunks chunks(c->Value(c->Dim(ids, 0)), most_chunks, least_rows);
        c->set_output(0, c->Matrix(chunks.count, chunks.rows));
      } else {
        c->set_output(0, c->Matrix(c->UnknownDim(), c->UnknownDim()));
      }
      c->set_output(1, ids);
      c->set_output(2, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
The distinct ids of a batch, in the order in which they appear.

ids: (n,).
distinct: (chunks, rows), at least n ids; those after the distinct ones are the
  first id. There are at most `most_chunks` chunks, and at least `least_rows`
  rows in each if there are several.
place: (n,), the index of each id among the distinct ones.
found: The number of distinct ids; or n, with all ids in `distinct`, if at least
  the share `most` of the first `sample` ids is distinct.
)doc");

class DistinctIds : public OpKernel {
 public:
  explicit DistinctIds(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("sample", &sample_));
    OP_REQUIRES_OK(context, context->GetAttr("most", &most_));
    OP_REQUIRES_OK(context, context->GetAttr("most_chunks", &most_chunks_));
    OP_REQUIRES_OK(context, context->GetAttr("least_rows", &least_rows_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& given = context->input(0);
    OP_REQUIRES(context, given.dims() == 1,
                InvalidArgument("Ids must have one axis. Received: shape ",
                                given.shape().DebugString()));
    const pss_ids ids = ids_of(given);
    const Chunks chunks(ids.count, most_chunks_, least_rows_);
    Tensor *distinct, *place, *found;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {chunks.count, chunks.rows}, &distinct));
    OP_REQUIRES_OK(context, context->allocate_output(1, {ids.count}, &place));
    OP_REQUIRES_OK(context, context->allocate_output(2, {}, &found));
    OP_REQUIRES_OK(context, status_of(pss_distinct(
                                &ids, sample_, most_,
                                chunks.count * chunks.rows, distinct->data(),
                                static_cast<int32_t*>(place->data()),
                                static_cast<int32_t*>(found->data()))));
  }

 private:
  int64_t sample_, most_chunks_, least_rows_;
  float most_;
};

REGISTER_KERNEL_BUILDER(
    Name("KerasPss>DistinctIds").Device(tensorflow::DEVICE_CPU), DistinctIds);

}  // namespace
}  // namespace keras_pss
