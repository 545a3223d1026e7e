// XLA calls on the CPU that look up packed tables: ROBE and tensor trains.

#include <string>
#include <vector>

#include "core/lookup.h"
#include "ffi/handlers.h"
#include "ffi/parallel.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

using Numbers = ffi::Span<const int64_t>;

ffi::Error wrong(const char* rule) {
  return ffi::Error::InvalidArgument(std::string("Packed table: ") + rule +
                                     ".");
}

ffi::Error packed_robe_lookup(ffi::ThreadPool pool, Codes codes,
                              ffi::AnyBuffer memory_scales, ffi::AnyBuffer ids,
                              Words keys, Floats scales, Words splits,
                              Floats weights,
                              ffi::Result<ffi::AnyBuffer> rows, Numbers layout,
                              int64_t memory_size, int64_t output_dim,
                              int64_t block_size) {
  if (layout.size() != 5) return wrong("a layout has five numbers");
  if (memory_size < 1) return wrong("memory_size must be positive");
  pss_packed memory;
  const char* rule =
      read_packed(codes, memory_scales, layout.begin(), &memory);
  if (rule != nullptr) return wrong(rule);
  Request request;
  const ffi::Error error =
      request.read(memory_scales, *rows, ids, keys, scales, splits, weights,
                   output_dim, block_size, memory_size);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_robe_lookup_packed(&request.robe, &request.ids, &memory,
                                        rows->untyped_data(), &parallel));
}

// The codes of all cores, then their scales.
ffi::Error packed_tensor_train_lookup(ffi::ThreadPool pool, ffi::AnyBuffer id,
                                      ffi::RemainingArgs given,
                                      ffi::Result<Floats> rows, Numbers layout,
                                      Numbers shapes) {
  const int64_t count = static_cast<int64_t>(given.size()) / 2;
  if (static_cast<int64_t>(layout.size()) != 5 * count ||
      static_cast<int64_t>(shapes.size()) != 4 * count) {
    return wrong("there must be a layout and a shape for each core");
  }
  pss_ids ids;
  ids.ids = id.untyped_data();
  ids.count = ids.rows = id.element_count();
  ids.splits = nullptr;
  ids.weights = nullptr;
  if (!id_type(id.element_type(), &ids.type)) {
    return wrong("ids must be int32 or int64");
  }
  const pss_tensor_train train = {count, shapes.begin()};
  if (const char* rule = pss_tensor_train_check(&train, &ids)) {
    return wrong(rule);
  }
  std::vector<pss_packed> cores(count);
  int64_t columns = 1;
  for (int64_t k = 0; k < count; ++k) {
    const auto codes = given.get<Codes>(k);
    const auto scales = given.get<Floats>(count + k);
    if (codes.has_error() || scales.has_error()) {
      return wrong("cores must be int8 codes with float32 scales");
    }
    const char* rule =
        read_packed(*codes, *given.get<ffi::AnyBuffer>(count + k),
                    layout.begin() + 5 * k, &cores[k]);
    if (rule != nullptr) return wrong(rule);
    columns *= shapes.begin()[4 * k + 2];
  }
  if (static_cast<int64_t>(rows->element_count()) != ids.count * columns) {
    return wrong("rows must be (ids, product of q)");
  }
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_tensor_train_lookup_packed(
      &train, &ids, cores.data(), rows->typed_data(), &parallel));
}

}  // namespace
}  // namespace keras_pss

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_packed_robe_lookup_cpu, keras_pss::packed_robe_lookup,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Arg<keras_pss::Codes>()
        .Arg<xla::ffi::AnyBuffer>()
        .Arg<xla::ffi::AnyBuffer>()
        .Arg<keras_pss::Words>()
        .Arg<keras_pss::Floats>()
        .Arg<keras_pss::Words>()
        .Arg<keras_pss::Floats>()
        .Ret<xla::ffi::AnyBuffer>()
        .Attr<xla::ffi::Span<const int64_t>>("layout")
        .Attr<int64_t>("memory_size")
        .Attr<int64_t>("output_dim")
        .Attr<int64_t>("block_size"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    keras_pss_packed_tensor_train_lookup_cpu,
    keras_pss::packed_tensor_train_lookup,
    xla::ffi::Ffi::Bind()
        .Ctx<xla::ffi::ThreadPool>()
        .Arg<xla::ffi::AnyBuffer>()
        .RemainingArgs()
        .Ret<keras_pss::Floats>()
        .Attr<xla::ffi::Span<const int64_t>>("layout")
        .Attr<xla::ffi::Span<const int64_t>>("shapes"));
