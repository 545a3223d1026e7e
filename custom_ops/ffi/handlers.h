// The core as XLA FFI calls, for JAX and for TensorFlow under XLA.

#ifndef KERAS_PSS_FFI_HANDLERS_H_
#define KERAS_PSS_FFI_HANDLERS_H_

#include "xla/ffi/api/ffi.h"

XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_distinct_ids_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_pair_sums_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_pair_sums_gradient_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_robe_lookup_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_robe_gradient_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_tensor_train_lookup_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_tensor_train_gradient_cpu);

#ifdef KERAS_PSS_CUDA
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_robe_lookup_cuda);
XLA_FFI_DECLARE_HANDLER_SYMBOL(keras_pss_robe_gradient_cuda);
#endif  // KERAS_PSS_CUDA

#endif  // KERAS_PSS_FFI_HANDLERS_H_
