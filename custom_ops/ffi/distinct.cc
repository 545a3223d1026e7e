// The XLA call that finds the distinct ids of a batch, on the CPU.

#include "core/lookup.h"
#include "ffi/handlers.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

ffi::Error distinct_ids(ffi::AnyBuffer id, ffi::Result<ffi::AnyBuffer> distinct,
                        ffi::Result<Words> place, ffi::Result<Words> found,
                        int64_t sample, float most) {
  pss_ids ids;
  ids.ids = id.untyped_data();
  ids.count = ids.rows = id.element_count();
  ids.splits = nullptr;
  ids.weights = nullptr;
  if (!id_type(id.element_type(), &ids.type) ||
      distinct->element_type() != id.element_type()) {
    return ffi::Error::InvalidArgument(
        "Distinct ids: ids must be int32 or int64, and distinct ones alike.");
  }
  if (place->element_count() != id.element_count() ||
      found->element_count() != 1) {
    return ffi::Error::InvalidArgument(
        "Distinct ids: there must be a place of each id, and one number.");
  }
  return checked(pss_distinct(
      &ids, sample, most, static_cast<int64_t>(distinct->element_count()),
      distinct->untyped_data(), place->typed_data(), found->typed_data()));
}

}  // namespace
}  // namespace keras_pss

XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_distinct_ids_cpu,
                              keras_pss::distinct_ids,
                              xla::ffi::Ffi::Bind()
                                  .Arg<xla::ffi::AnyBuffer>()
                                  .Ret<xla::ffi::AnyBuffer>()
                                  .Ret<keras_pss::Words>()
                                  .Ret<keras_pss::Words>()
                                  .Attr<int64_t>("sample")
                                  .Attr<float>("most"));
