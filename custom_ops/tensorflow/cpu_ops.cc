// The operations on the CPU.

#include "core/lookup.h"
#include "tensorflow/kernels.h"
#include "tensorflow/parallel.h"

namespace keras_pss {
namespace {

struct Cpu {
  static absl::Status lookup(OpKernelContext* context,
                             const RobeRequest& request, pss_float type,
                             const Tensor& memory, Tensor* rows) {
    const pss_parallel parallel = pool_of(context);
    return status_of(pss_robe_lookup(request.robe(), request.ids(), type,
                                     memory.data(), rows->data(), &parallel));
  }

  static absl::Status gradient(OpKernelContext* context,
                               const RobeRequest& request, pss_float type,
                               const Tensor& upstream, Tensor* gradient) {
    const pss_parallel parallel = pool_of(context);
    return status_of(pss_robe_gradient(request.robe(), request.ids(), type,
                                       upstream.data(), gradient->data(),
                                       &parallel));
  }

  static absl::Status gather(OpKernelContext* context, const pss_ids& ids,
                             const Tensor& table, int64_t bytes,
                             Tensor* rows) {
    const pss_parallel parallel = pool_of(context);
    const int64_t at = pss_gather(&ids, table.data(), table.dim_size(0), bytes,
                                  rows->data(), &parallel);
    if (at < 0) return absl::OkStatus();
    return InvalidArgument("Indices must be in [0, ", table.dim_size(0),
                           "). Received: another one at place ", at);
  }

  static absl::Status scatter(OpKernelContext* context, const pss_ids& ids,
                              pss_float type, const Tensor& upstream,
                              Tensor* gradient) {
    const pss_parallel parallel = pool_of(context);
    return status_of(pss_scatter(&ids, type, upstream.data(),
                                 gradient->dim_size(0), gradient->dim_size(1),
                                 gradient->data(), &parallel));
  }
};

KERAS_PSS_REGISTER(tensorflow::DEVICE_CPU, Cpu)

}  // namespace
}  // namespace keras_pss
