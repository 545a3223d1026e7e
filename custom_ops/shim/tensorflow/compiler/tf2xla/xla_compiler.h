// Declares XlaCompiler alone, which xla_op_kernel.h names. TensorFlow's header
// takes most of the time of a build.

#ifndef KERAS_PSS_SHIM_XLA_COMPILER_H_
#define KERAS_PSS_SHIM_XLA_COMPILER_H_

namespace tensorflow {
class XlaCompiler;
}

#endif  // KERAS_PSS_SHIM_XLA_COMPILER_H_
