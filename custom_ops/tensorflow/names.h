// Names of TensorFlow that every file in this folder uses.

#ifndef KERAS_PSS_TENSORFLOW_NAMES_H_
#define KERAS_PSS_TENSORFLOW_NAMES_H_

#include "core/lookup.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/types.h"

namespace keras_pss {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::errors::InvalidArgument;
using tensorflow::errors::ResourceExhausted;

// Maps TensorFlow's number types to those of the core.
template <typename T>
constexpr pss_float kType = PSS_FLOAT32;
template <>
inline constexpr pss_float kType<Eigen::bfloat16> = PSS_BFLOAT16;
template <>
inline constexpr pss_float kType<Eigen::half> = PSS_FLOAT16;

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_NAMES_H_
