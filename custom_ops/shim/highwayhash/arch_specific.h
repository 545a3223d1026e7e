// Declarations of highwayhash, whose headers TensorFlow's package lacks.
//
// xla/printer.h declares a class with a hasher as a member. It is never
// instantiated here, so that an empty class is enough.

#ifndef KERAS_PSS_SHIM_ARCH_SPECIFIC_H_
#define KERAS_PSS_SHIM_ARCH_SPECIFIC_H_

#define HH_TARGET_PREFERRED 0

namespace highwayhash {

template <int>
class HighwayHashCatT {};

}  // namespace highwayhash

#endif  // KERAS_PSS_SHIM_ARCH_SPECIFIC_H_
