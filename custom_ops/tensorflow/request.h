// Converts TensorFlow's inputs to the structs of the core. It reads only their
// sizes, so that the inputs may be in any device's memory.

#ifndef KERAS_PSS_TENSORFLOW_REQUEST_H_
#define KERAS_PSS_TENSORFLOW_REQUEST_H_

#include "core/lookup.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace keras_pss {

inline absl::Status status_of(pss_status status) {
  if (status == PSS_OK) return absl::OkStatus();
  if (status == PSS_NO_MEMORY) {
    return tensorflow::errors::ResourceExhausted("No memory left.");
  }
  return tensorflow::errors::InvalidArgument(
      "The arguments do not fit each other.");
}

// Ids or indices without bags: one row for each.
inline pss_ids ids_of(const tensorflow::Tensor& index) {
  const bool narrow = index.dtype() == tensorflow::DT_INT32;
  const int64_t count = index.NumElements();
  return {narrow ? PSS_INT32 : PSS_INT64, index.data(), count, nullptr,
          nullptr, count};
}

// Checks that values are (n, width) for (n) indices, with n below 2^31.
inline absl::Status check_rows(const tensorflow::Tensor& values,
                               const tensorflow::Tensor& index) {
  if (values.dims() == 2 && index.dims() == 1 &&
      values.dim_size(0) == index.dim_size(0) &&
      index.dim_size(0) < (int64_t{1} << 31)) {
    return absl::OkStatus();
  }
  return tensorflow::errors::InvalidArgument(
      "There must be a row of values for each index, fewer than 2^31. "
      "Received: values of shape ",
      values.shape().DebugString(), ", index of shape ",
      index.shape().DebugString());
}

// A packed table, given the five numbers of its layout.
inline absl::Status packed_of(const tensorflow::Tensor& codes,
                              const tensorflow::Tensor& scales,
                              const int64_t* layout, pss_packed* table) {
  const auto type = scales.dtype();
  table->layout = {layout[0], layout[1], layout[2], layout[3], layout[4]};
  table->codes = static_cast<const int8_t*>(codes.data());
  table->num_codes = codes.NumElements();
  table->type = type == tensorflow::DT_FLOAT      ? PSS_FLOAT32
                : type == tensorflow::DT_BFLOAT16 ? PSS_BFLOAT16
                                                  : PSS_FLOAT16;
  table->scales = scales.data();
  table->num_scales = scales.NumElements();
  const char* rule = pss_packed_check(table);
  if (rule == nullptr) return absl::OkStatus();
  return tensorflow::errors::InvalidArgument(
      "Packed table: ", rule, ". Received: codes of shape ",
      codes.shape().DebugString(), ", scales of shape ",
      scales.shape().DebugString(), ", layout of ", layout[0], " rows of ",
      layout[1], " numbers, ", layout[2], " bits, group ", layout[3],
      ", block ", layout[4]);
}

// The tables and ids in five inputs of the operations, from `first` on.
class RobeRequest {
 public:
  absl::Status read(tensorflow::OpKernelContext* context, int64_t memory_size,
                    int64_t output_dim, int64_t block_size, int first = 1) {
    const tensorflow::Tensor& ids = context->input(first);
    const tensorflow::Tensor& keys = context->input(first + 1);
    const tensorflow::Tensor& scales = context->input(first + 2);
    const tensorflow::Tensor& splits = context->input(first + 3);
    const tensorflow::Tensor& weights = context->input(first + 4);
    for (int i = first; i < first + 5; ++i) {
      const int rank = i == first + 1 ? 3 : 1;
      if (context->input(i).dims() != rank) {
        return tensorflow::errors::InvalidArgument(
            "Input ", i, " must have ", rank, " axes. Received: shape ",
            context->input(i).shape().DebugString());
      }
    }
    const int64_t words = keys.dim_size(1);
    robe_.memory_size = memory_size;
    robe_.output_dim = output_dim;
    robe_.block_size = block_size;
    robe_.num_tables = keys.dim_size(0);
    robe_.sign_words = words - pss_robe_pieces(output_dim, block_size);
    robe_.keys = keys.flat<int32_t>().data();
    robe_.scales =
        scales.NumElements() ? scales.flat<float>().data() : nullptr;
    ids_ = ids_of(ids);
    ids_.splits =
        splits.NumElements() ? splits.flat<int32_t>().data() : nullptr;
    ids_.weights =
        weights.NumElements() ? weights.flat<float>().data() : nullptr;
    ids_.rows = ids_.splits ? splits.NumElements() - 1 : ids_.count;
    const char* rule = pss_robe_check(&robe_, &ids_);
    if (rule == nullptr && keys.dim_size(2) != 3) {
      rule = "a key must have three numbers";
    }
    if (rule == nullptr && robe_.scales &&
        scales.NumElements() != robe_.num_tables) {
      rule = "there must be a scale for each table, or none";
    }
    if (rule == nullptr && ids_.weights &&
        weights.NumElements() != ids_.count) {
      rule = "there must be a weight for each id, or none";
    }
    if (rule == nullptr) return absl::OkStatus();
    return tensorflow::errors::InvalidArgument(
        "ROBE: ", rule, ". Received: memory of ", memory_size, ", output_dim=",
        output_dim, ", block_size=", block_size, ", keys of shape ",
        keys.shape().DebugString(), ", ", scales.NumElements(), " scales, ",
        ids_.count, " ids, ", splits.NumElements(), " splits, ",
        weights.NumElements(), " weights");
  }

  const pss_robe* robe() const { return &robe_; }
  const pss_ids* ids() const { return &ids_; }

 private:
  pss_robe robe_;
  pss_ids ids_;
};

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_REQUEST_H_
