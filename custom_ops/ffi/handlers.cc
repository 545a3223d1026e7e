// Calls of the core on the CPU.

#include "ffi/handlers.h"

#include "core/lookup.h"
#include "ffi/parallel.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

ffi::Error robe_lookup(ffi::ThreadPool pool, ffi::AnyBuffer memory,
                       ffi::AnyBuffer ids, Words keys, Floats scales,
                       Words splits, Floats weights,
                       ffi::Result<ffi::AnyBuffer> rows, int64_t output_dim,
                       int64_t block_size) {
  Request request;
  ffi::Error error = request.read(memory, *rows, ids, keys, scales, splits,
                                  weights, output_dim, block_size);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_robe_lookup(&request.robe, &request.ids, request.type,
                                 memory.untyped_data(), rows->untyped_data(),
                                 &parallel));
}

ffi::Error robe_gradient(ffi::ThreadPool pool, ffi::AnyBuffer upstream,
                         ffi::AnyBuffer ids, Words keys, Floats scales,
                         Words splits, Floats weights,
                         ffi::Result<ffi::AnyBuffer> gradient,
                         int64_t output_dim, int64_t block_size) {
  Request request;
  ffi::Error error = request.read(*gradient, upstream, ids, keys, scales,
                                  splits, weights, output_dim, block_size);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_robe_gradient(
      &request.robe, &request.ids, request.type, upstream.untyped_data(),
      gradient->untyped_data(), &parallel));
}

// That a table and rows of it are matrices of one type and width.
ffi::Error check_rows(ffi::AnyBuffer table, ffi::AnyBuffer rows,
                      ffi::AnyBuffer index, pss_float* type, pss_ids* ids) {
  const int64_t count = index.element_count();
  if (!number_type(table.element_type(), type) ||
      rows.element_type() != table.element_type() ||
      !id_type(index.element_type(), &ids->type) ||
      table.dimensions().size() != 2 || rows.dimensions().size() != 2 ||
      rows.dimensions()[1] != table.dimensions()[1] ||
      rows.dimensions()[0] != count || count >= (int64_t{1} << 31)) {
    return ffi::Error::InvalidArgument(
        "There must be a row of the table's type and width for each index.");
  }
  *ids = {ids->type, index.untyped_data(), count, nullptr, nullptr, count};
  return ffi::Error::Success();
}

ffi::Error gather_rows(ffi::ThreadPool pool, ffi::AnyBuffer table,
                       ffi::AnyBuffer index,
                       ffi::Result<ffi::AnyBuffer> rows) {
  pss_ids ids;
  pss_float type;
  ffi::Error error = check_rows(table, *rows, index, &type, &ids);
  if (error.failure()) return error;
  const int64_t height = table.dimensions()[0], width = table.dimensions()[1];
  const int64_t bytes = width * (type == PSS_FLOAT32 ? 4 : 2);
  const pss_parallel parallel = pool_of(pool);
  const int64_t invalid = pss_gather(&ids, table.untyped_data(), height, bytes,
                                     rows->untyped_data(), &parallel);
  if (invalid < 0) return ffi::Error::Success();
  return ffi::Error::InvalidArgument("An index is not in the table.");
}

ffi::Error scatter_rows(ffi::ThreadPool pool, ffi::AnyBuffer upstream,
                        ffi::AnyBuffer index,
                        ffi::Result<ffi::AnyBuffer> gradient) {
  pss_ids ids;
  pss_float type;
  ffi::Error error = check_rows(*gradient, upstream, index, &type, &ids);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_scatter(&ids, type, upstream.untyped_data(),
                             gradient->dimensions()[0],
                             gradient->dimensions()[1],
                             gradient->untyped_data(), &parallel));
}

ffi::Error sum_equal(ffi::ThreadPool pool, ffi::AnyBuffer values,
                     ffi::AnyBuffer index, ffi::Result<ffi::AnyBuffer> sums) {
  pss_ids ids;
  pss_float type;
  ffi::Error error = check_rows(values, *sums, index, &type, &ids);
  if (error.failure()) return error;
  if (values.dimensions()[0] != ids.count) {
    return ffi::Error::InvalidArgument("There must be a row for each index.");
  }
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_sum_equal(&ids, type, values.untyped_data(),
                               values.dimensions()[1], sums->untyped_data(),
                               &parallel));
}

}  // namespace
}  // namespace keras_pss

#define KERAS_PSS_ROBE(NAME)                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_##NAME##_cpu, keras_pss::NAME,   \
                                xla::ffi::Ffi::Bind()                      \
                                    .Ctx<xla::ffi::ThreadPool>()           \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Arg<keras_pss::Words>()               \
                                    .Arg<keras_pss::Floats>()              \
                                    .Arg<keras_pss::Words>()               \
                                    .Arg<keras_pss::Floats>()              \
                                    .Ret<xla::ffi::AnyBuffer>()            \
                                    .Attr<int64_t>("output_dim")           \
                                    .Attr<int64_t>("block_size"))

KERAS_PSS_ROBE(robe_lookup);
KERAS_PSS_ROBE(robe_gradient);

#define KERAS_PSS_ROWS(NAME)                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_##NAME##_cpu, keras_pss::NAME,   \
                                xla::ffi::Ffi::Bind()                      \
                                    .Ctx<xla::ffi::ThreadPool>()           \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Arg<xla::ffi::AnyBuffer>()            \
                                    .Ret<xla::ffi::AnyBuffer>())

KERAS_PSS_ROWS(gather_rows);
KERAS_PSS_ROWS(scatter_rows);
KERAS_PSS_ROWS(sum_equal);
