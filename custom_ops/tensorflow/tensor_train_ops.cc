// TensorFlow operations of tensor trains: rows, and the gradients of cores.

#include <vector>

#include "core/lookup.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/names.h"
#include "tensorflow/parallel.h"
#include "tensorflow/request.h"
#include "tensorflow/shapes.h"
#include "tensorflow/train_kernels.h"

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

struct TrainCpu {
  static absl::Status lookup(OpKernelContext* context,
                             const TrainRequest& request, float* rows) {
    const pss_parallel parallel = pool_of(context);
    return status_of(pss_tensor_train_lookup(request.train(), request.ids(),
                                             request.cores(), rows,
                                             &parallel));
  }

  static absl::Status gradient(OpKernelContext* context,
                               const TrainRequest& request,
                               const float* upstream,
                               float* const* gradients) {
    const pss_parallel parallel = pool_of(context);
    return status_of(pss_tensor_train_gradient(request.train(), request.ids(),
                                               request.cores(), upstream,
                                               gradients, &parallel));
  }
};

KERAS_PSS_REGISTER_TRAIN(tensorflow::DEVICE_CPU, TrainCpu)

}  // namespace
}  // namespace keras_pss
