// Converts XLA's buffers to the structs of the core.

#ifndef KERAS_PSS_FFI_REQUEST_H_
#define KERAS_PSS_FFI_REQUEST_H_

#include <string>

#include "core/lookup.h"
#include "xla/ffi/api/ffi.h"

namespace keras_pss {

namespace ffi = xla::ffi;
using Words = ffi::Buffer<ffi::S32>;
using Floats = ffi::Buffer<ffi::F32>;
using Codes = ffi::Buffer<ffi::S8>;

inline ffi::Error checked(pss_status status) {
  if (status == PSS_OK) return ffi::Error::Success();
  if (status == PSS_NO_MEMORY) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "No memory left.");
  }
  return ffi::Error::InvalidArgument("The arguments do not fit each other.");
}

// Returns false for a type that the core does not support.
inline bool number_type(ffi::DataType type, pss_float* out) {
  if (type == ffi::F32) return *out = PSS_FLOAT32, true;
  if (type == ffi::BF16) return *out = PSS_BFLOAT16, true;
  if (type == ffi::F16) return *out = PSS_FLOAT16, true;
  return false;
}

inline bool id_type(ffi::DataType type, pss_int* out) {
  if (type == ffi::S32) return *out = PSS_INT32, true;
  if (type == ffi::S64) return *out = PSS_INT64, true;
  return false;
}

// A packed table, given the five numbers of its layout; its scales have a type
// that the core supports.
inline const char* read_packed(Codes codes, ffi::AnyBuffer scales,
                               const int64_t* layout, pss_packed* table) {
  table->layout = {layout[0], layout[1], layout[2], layout[3], layout[4]};
  table->codes = codes.typed_data();
  table->num_codes = codes.element_count();
  table->scales = scales.untyped_data();
  table->num_scales = scales.element_count();
  if (!number_type(scales.element_type(), &table->type)) {
    return "scales must be float32, bfloat16 or float16";
  }
  return pss_packed_check(table);
}

struct Request {
  pss_robe robe;
  pss_ids ids;
  pss_float type;

  // `rows` and `memory` have the same type; either of them can be the input.
  // With `packed`, a number of elements, `memory` has the scales of codes.
  ffi::Error read(ffi::AnyBuffer memory, ffi::AnyBuffer rows,
                  ffi::AnyBuffer id, Words keys, Floats scales, Words splits,
                  Floats weights, int64_t output_dim, int64_t block_size,
                  int64_t packed = 0) {
    const char* rule = nullptr;
    if (!number_type(memory.element_type(), &type) ||
        rows.element_type() != memory.element_type()) {
      rule = "the memory must be float32, bfloat16 or float16, and rows alike";
    } else if (!id_type(id.element_type(), &ids.type)) {
      rule = "ids must be int32 or int64";
    } else if (keys.dimensions().size() != 3 || keys.dimensions()[2] != 3) {
      rule = "keys must be (tables, words, 3)";
    } else if (output_dim < 1 || block_size < 1) {
      rule = "output_dim and block_size must be positive";
    }
    if (rule == nullptr) {
      const int64_t tables = keys.dimensions()[0];
      robe.memory_size = packed ? packed : memory.element_count();
      robe.output_dim = output_dim;
      robe.block_size = block_size;
      robe.num_tables = tables;
      robe.sign_words =
          keys.dimensions()[1] - pss_robe_pieces(output_dim, block_size);
      robe.keys = keys.typed_data();
      robe.scales = scales.element_count() ? scales.typed_data() : nullptr;
      ids.ids = id.untyped_data();
      ids.count = id.element_count();
      ids.splits = splits.element_count() ? splits.typed_data() : nullptr;
      ids.weights = weights.element_count() ? weights.typed_data() : nullptr;
      ids.rows = ids.splits
                     ? static_cast<int64_t>(splits.element_count()) - 1
                     : ids.count;
      rule = pss_robe_check(&robe, &ids);
      if (rule == nullptr && robe.scales &&
          static_cast<int64_t>(scales.element_count()) != tables) {
        rule = "there must be a scale for each table, or none";
      }
      if (rule == nullptr && ids.weights &&
          static_cast<int64_t>(weights.element_count()) != ids.count) {
        rule = "there must be a weight for each id, or none";
      }
      if (rule == nullptr && static_cast<int64_t>(rows.element_count()) !=
                                 ids.rows * output_dim) {
        rule = "rows must be (rows, output_dim)";
      }
    }
    if (rule == nullptr) return ffi::Error::Success();
    return ffi::Error::InvalidArgument(std::string("ROBE: ") + rule + ".");
  }
};

}  // namespace keras_pss

#endif  // KERAS_PSS_FFI_REQUEST_H_
