// Names that TensorFlow's headers mention, of a library they do not bring.
//
// xla/printer.h declares a class with a hasher as a member; nothing here ever
// makes one, so that a declaration is all it takes.

#ifndef KERAS_PSS_SHIM_ARCH_SPECIFIC_H_
#define KERAS_PSS_SHIM_ARCH_SPECIFIC_H_

#define HH_TARGET_PREFERRED 0

namespace highwayhash {

template <int>
class HighwayHashCatT {};

}  // namespace highwayhash

#endif  // KERAS_PSS_SHIM_ARCH_SPECIFIC_H_
