// The deterministic gradient of ROBE lookups, without atomic additions.

#ifndef KERAS_PSS_CUDA_ROBE_SORTED_H_
#define KERAS_PSS_CUDA_ROBE_SORTED_H_

#include <cuda_runtime.h>

#include "core/lookup.h"
#include "cuda/sort.h"

namespace pss {

// Scratch memory of the gradient: the pieces by start, and the row of each id.
struct Sorted {
  Pairs pairs;
  int32_t* rows;  // or NULL if row i is id i
};

cudaError_t take_sorted(const pss_robe& robe, const pss_ids& ids,
                        Scratch* scratch, Sorted* out);

cudaError_t sorted_gradient(const pss_robe& robe, const pss_ids& ids,
                            pss_float type, const void* upstream, void* out,
                            const Sorted& sorted, void* stream);

}  // namespace pss

#endif  // KERAS_PSS_CUDA_ROBE_SORTED_H_
