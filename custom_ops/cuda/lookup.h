/* Lookups and their gradients on CUDA devices: the C interface of the kernels.
 *
 * The structs are those of core/lookup.h, which defines what is computed; here
 * every pointer in them, and every one passed beside them, is of the device's
 * memory. Functions only put work on `stream`, a cudaStream_t, and return a
 * cudaError_t, 0 if all is well. No id, split or address can make a kernel
 * read or write outside of the arrays whose sizes it is told.
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

/* What an error that a function returned means. */
const char* pss_cuda_error(int error);

/* Rows to `out`, (rows, d), with the same bits as those of pss_robe_lookup. */
int pss_cuda_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                         pss_float type, const void* memory, void* out,
                         void* stream);

/* Bytes of device memory that pss_cuda_robe_gradient has to be lent, aligned
 * to 16; 0 if none are needed or if no gradient can be taken. */
size_t pss_cuda_robe_gradient_scratch(const pss_robe* robe, const pss_ids* ids,
                                      pss_float type, int deterministic);

/* The memory's gradient to `out`, (memory_size), by float32 sums. Unless it is
 * to be deterministic, the order of additions differs from call to call. */
int pss_cuda_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* upstream, void* out,
                           int deterministic, void* scratch,
                           size_t scratch_bytes, void* stream);

/* `table[ids]`, rows of `bytes` each, to `out`. A stream has no one to tell of
 * an id outside [0, table_rows): each byte of its row becomes 255, which is
 * not a number in any type. */
int pss_cuda_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                    int64_t bytes, void* out, void* stream);

/* Bytes of device memory that pss_cuda_scatter has to be lent, aligned to 16;
 * 0 if none are needed or if nothing can be summed. */
size_t pss_cuda_scatter_scratch(const pss_ids* ids, int64_t table_rows);

/* The gradient of `table[ids]` to `out`, (table_rows, width), fewer than
 * 2^31 ids and 2^32 - 1 rows, with the same bits as that of pss_scatter. */
int pss_cuda_scatter(const pss_ids* ids, pss_float type, const void* upstream,
                     int64_t table_rows, int64_t width, void* out,
                     void* scratch, size_t scratch_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* KERAS_PSS_CUDA_LOOKUP_H_ */
