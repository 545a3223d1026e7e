/* Lookups and their gradients on CUDA devices: the C interface of the kernels.
 *
 * The structs are those of core/lookup.h, which defines what is computed. Here
 * every pointer, in a struct or passed directly, is to device memory, except
 * those of a tensor train's shapes and where a function says so. Functions
 * only enqueue work on `stream`, a cudaStream_t, and return a cudaError_t, 0 on
 * success. No value of an id or a split can make a kernel read or write out of
 * bounds of the arrays passed to it.
 *
 * No CUDA header is needed to call these.
 */

#ifndef KERAS_PSS_CUDA_LOOKUP_H_
#define KERAS_PSS_CUDA_LOOKUP_H_

#include <stddef.h>
#include <stdint.h>

#include "core/lookup.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Describes an error that a function returned. */
const char* pss_cuda_error(int error);

/* Writes the rows to `out`, (rows, d): the same bits as pss_robe_lookup. */
int pss_cuda_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                         pss_float type, const void* memory, void* out,
                         void* stream);

/* Bytes of scratch memory that pss_cuda_robe_gradient needs on the device,
 * aligned to 16; 0 if it needs none or if the arguments are invalid. */
size_t pss_cuda_robe_gradient_scratch(const pss_robe* robe, const pss_ids* ids,
                                      pss_float type, int deterministic);

/* Writes the memory's gradient, accumulated in float32, to `out`,
 * (memory_size). Unless `deterministic`, the order of additions varies. */
int pss_cuda_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* upstream, void* out,
                           int deterministic, void* scratch,
                           size_t scratch_bytes, void* stream);

/* Writes `table[ids]`, rows of `bytes` each, to `out`. A kernel cannot report
 * an id outside [0, table_rows), so each byte of its row becomes 255, which is
 * NaN in every type. */
int pss_cuda_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                    int64_t bytes, void* out, void* stream);

/* Bytes of scratch memory that pss_cuda_scatter needs on the device, aligned
 * to 16; 0 if it needs none or if the arguments are invalid. */
size_t pss_cuda_scatter_scratch(const pss_ids* ids, int64_t table_rows);

/* Writes the gradient of `table[ids]` to `out`, (table_rows, width): the same
 * bits as pss_scatter. There must be fewer than 2^31 ids and 2^32 - 1 rows. */
int pss_cuda_scatter(const pss_ids* ids, pss_float type, const void* upstream,
                     int64_t table_rows, int64_t width, void* out,
                     void* scratch, size_t scratch_bytes, void* stream);

/* Bytes of scratch memory that pss_cuda_tensor_train_lookup needs on the
 * device, aligned to 16; 0 if it needs none or the arguments are invalid. */
size_t pss_cuda_tensor_train_lookup_scratch(const pss_tensor_train* train,
                                            const pss_ids* ids);

/* Writes the rows of the ids to `out`, (count, product of q), like
 * pss_tensor_train_lookup. `cores` is an array on the host. */
int pss_cuda_tensor_train_lookup(const pss_tensor_train* train,
                                 const pss_ids* ids, const float* const* cores,
                                 float* out, void* scratch,
                                 size_t scratch_bytes, void* stream);

/* The same for pss_cuda_tensor_train_gradient. */
size_t pss_cuda_tensor_train_gradient_scratch(const pss_tensor_train* train,
                                              const pss_ids* ids,
                                              int deterministic);

/* Writes the gradient of each core, given that of the rows. Unless
 * `deterministic`, the order of additions varies. `cores` and `gradients` are
 * arrays on the host. */
int pss_cuda_tensor_train_gradient(const pss_tensor_train* train,
                                   const pss_ids* ids,
                                   const float* const* cores,
                                   const float* upstream,
                                   float* const* gradients, int deterministic,
                                   void* scratch, size_t scratch_bytes,
                                   void* stream);

#ifdef __cplusplus
}
#endif

#endif /* KERAS_PSS_CUDA_LOOKUP_H_ */
