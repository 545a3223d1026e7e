// Shapes of rows that several operations return.

#ifndef KERAS_PSS_TENSORFLOW_SHAPES_H_
#define KERAS_PSS_TENSORFLOW_SHAPES_H_

#include <vector>

#include "tensorflow/core/framework/shape_inference.h"

namespace keras_pss {

// Rows of ROBE: one per bag, or one per id without splits.
inline absl::Status rows_shape(
    tensorflow::shape_inference::InferenceContext* c, int ids, int splits,
    tensorflow::shape_inference::DimensionHandle* rows) {
  tensorflow::shape_inference::ShapeHandle id_shape, split_shape;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(ids), 1, &id_shape));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(splits), 1, &split_shape));
  const auto size = c->Dim(split_shape, 0);
  if (!c->ValueKnown(size)) {
    *rows = c->UnknownDim();
  } else if (c->Value(size) == 0) {
    *rows = c->Dim(id_shape, 0);
  } else {
    TF_RETURN_IF_ERROR(c->Subtract(size, 1, rows));
  }
  return absl::OkStatus();
}

// Rows of tensor trains, whose ids are the first input.
inline absl::Status train_shape(
    tensorflow::shape_inference::InferenceContext* c) {
  tensorflow::shape_inference::ShapeHandle ids;
  std::vector<int64_t> shapes;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &ids));
  TF_RETURN_IF_ERROR(c->GetAttr("shapes", &shapes));
  int64_t columns = 1;
  for (size_t j = 2; j < shapes.size(); j += 4) columns *= shapes[j];
  c->set_output(0, c->Matrix(c->Dim(ids, 0), columns));
  return absl::OkStatus();
}

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_SHAPES_H_
