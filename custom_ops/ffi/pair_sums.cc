// XLA calls of sums of products of rows of two tables, on the CPU.

#include "core/lookup.h"
#include "ffi/handlers.h"
#include "ffi/parallel.h"
#include "ffi/request.h"

namespace keras_pss {
namespace {

struct PairRequest {
  pss_pair_tables tables;
  pss_ids ids;

  // `rows` are the sums or their gradient.
  ffi::Error read(ffi::AnyBuffer id, Floats first, Floats second, Floats rows,
                  int64_t terms) {
    ids.ids = id.untyped_data();
    ids.count = ids.rows = id.element_count();
    ids.splits = nullptr;
    ids.weights = nullptr;
    const auto x = first.dimensions(), y = second.dimensions();
    if (!id_type(id.element_type(), &ids.type) || x.size() != 2 ||
        y.size() != 2 || x[1] != y[1] || terms < 1 || x[1] % terms != 0 ||
        static_cast<int64_t>(rows.element_count()) !=
            ids.count * (x[1] / terms)) {
      return ffi::Error::InvalidArgument(
          "Pair sums: ids must be int32 or int64, the tables (rows, terms * "
          "rank), and rows (ids, rank).");
    }
    tables = {x[0], y[0], terms, x[1] / terms};
    return ffi::Error::Success();
  }
};

ffi::Error pair_sums(ffi::ThreadPool pool, ffi::AnyBuffer ids, Floats first,
                     Floats second, ffi::Result<Floats> rows, int64_t terms) {
  PairRequest request;
  const ffi::Error error = request.read(ids, first, second, *rows, terms);
  if (error.failure()) return error;
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_pair_sums(&request.tables, &request.ids,
                               first.typed_data(), second.typed_data(),
                               rows->typed_data(), &parallel));
}

ffi::Error pair_sums_gradient(ffi::ThreadPool pool, Floats upstream,
                              ffi::AnyBuffer ids, Floats first, Floats second,
                              ffi::Result<Floats> by_first,
                              ffi::Result<Floats> by_second, int64_t terms) {
  PairRequest request;
  const ffi::Error error = request.read(ids, first, second, upstream, terms);
  if (error.failure()) return error;
  if (by_first->element_count() != first.element_count() ||
      by_second->element_count() != second.element_count()) {
    return ffi::Error::InvalidArgument(
        "Pair sums: gradients must have the shapes of the tables.");
  }
  const pss_parallel parallel = pool_of(pool);
  return checked(pss_pair_sums_gradient(
      &request.tables, &request.ids, first.typed_data(), second.typed_data(),
      upstream.typed_data(), by_first->typed_data(), by_second->typed_data(),
      &parallel));
}

}  // namespace
}  // namespace keras_pss

XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_pair_sums_cpu, keras_pss::pair_sums,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<xla::ffi::AnyBuffer>()
                                  .Arg<keras_pss::Floats>()
                                  .Arg<keras_pss::Floats>()
                                  .Ret<keras_pss::Floats>()
                                  .Attr<int64_t>("terms"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(keras_pss_pair_sums_gradient_cpu,
                              keras_pss::pair_sums_gradient,
                              xla::ffi::Ffi::Bind()
                                  .Ctx<xla::ffi::ThreadPool>()
                                  .Arg<keras_pss::Floats>()
                                  .Arg<xla::ffi::AnyBuffer>()
                                  .Arg<keras_pss::Floats>()
                                  .Arg<keras_pss::Floats>()
                                  .Ret<keras_pss::Floats>()
                                  .Ret<keras_pss::Floats>()
                                  .Attr<int64_t>("terms"));
