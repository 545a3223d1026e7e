/* Lookups and their gradients on the CPU: the C interface of the core.
 *
 * Nothing here knows a framework: the caller lends its thread pool. Results do
 * not depend on the number of threads, since each part of an output has one
 * owner, which adds to it id after id. No id, split or address can make a
 * function read or write outside of the arrays whose sizes it is told.
 *
 * ROBE: row j of table e is cut into pieces of consecutive elements of one
 * circular memory, each at a hashed start. keras_pss/ops/robe.py is the
 * definition.
 */

#ifndef KERAS_PSS_CORE_LOOKUP_H_
#define KERAS_PSS_CORE_LOOKUP_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { PSS_FLOAT32, PSS_BFLOAT16, PSS_FLOAT16 } pss_float;
typedef enum { PSS_INT32, PSS_INT64 } pss_int;

/* Why a function did not do its work. */
typedef enum {
  PSS_OK,
  PSS_INVALID,   /* the arguments do not fit each other; see pss_robe_check */
  PSS_NO_MEMORY, /* none to work in */
} pss_status;

/* A thread pool: `run` calls work(arg, i) for each i in [0, items), in any
 * order and by any threads, and returns when all are done. */
typedef struct {
  void* pool;
  int64_t threads;
  void (*run)(void* pool, int64_t items, void (*work)(void* arg, int64_t item),
              void* arg);
} pss_parallel;

/* Tables in one memory, all with rows of the same length. */
typedef struct {
  int64_t memory_size; /* m, in [1, 2^31) */
  int64_t output_dim;  /* d, in [1, m] */
  int64_t block_size;  /* Z, in [1, m]; above d a multiple of d */
  int64_t num_tables;  /* F */
  int64_t sign_words;  /* 0 without signs, else ceil(d / 32) */
  const int32_t* keys; /* (F, pieces + sign_words, 3): pss1 keys (a, b, k) */
  const float* scales; /* (F), a factor of each table's rows; or NULL */
} pss_robe;

/* Ids, and how they are pooled. Without splits, row r is that of id r alone;
 * with them, row r is the sum over the ids [splits[r], splits[r + 1]). Row r
 * belongs to table r mod F either way. Splits never decrease. */
typedef struct {
  pss_int type;
  const void* ids;       /* (count) */
  int64_t count;         /* times the pieces of a row below 2^31 */
  const int32_t* splits; /* (rows + 1), or NULL */
  const float* weights;  /* (count), a factor of each id's row; or NULL */
  int64_t rows;          /* count where there are no splits */
} pss_ids;

/* NULL if the tables and ids fit each other, else the rule they break. */
const char* pss_robe_check(const pss_robe* robe, const pss_ids* ids);

/* Pieces that a row is cut into: ceil(d / Z), or 1 where Z is above d. */
int64_t pss_robe_pieces(int64_t output_dim, int64_t block_size);

/* Rows to `out`, (rows, d), of the memory's type. Sums are taken in float32. */
pss_status pss_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* memory, void* out,
                           const pss_parallel* parallel);

/* Starts of the pieces of each id to `starts`, (count, pieces). */
pss_status pss_robe_starts(const pss_robe* robe, const pss_ids* ids,
                           int32_t* starts, const pss_parallel* parallel);

/* The memory's gradient to `out`, (memory_size): the upstream gradient,
 * (rows, d), added in float32 where the pieces lie, id after id. Both are of
 * the memory's type. */
pss_status pss_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                             pss_float type, const void* upstream, void* out,
                             const pss_parallel* parallel);

/* Finds the first id outside [0, limits[i mod num_limits]); -1 if there is
 * none. A limit of -1 allows any id from 0 on. */
int64_t pss_first_invalid(const pss_ids* ids, const int64_t* limits,
                          int64_t num_limits);

/* `table[ids]`, rows of `bytes` each, to `out`. An id outside [0, table_rows)
 * leaves its row alone, and the first one is returned; -1 if there is none. */
int64_t pss_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                   int64_t bytes, void* out, const pss_parallel* parallel);

/* The gradient of `table[ids]` to `out`, (table_rows, width): float32 sums of
 * the upstream rows of equal ids, id after id. Passes over other ids. */
pss_status pss_scatter(const pss_ids* ids, pss_float type,
                       const void* upstream, int64_t table_rows, int64_t width,
                       void* out, const pss_parallel* parallel);

/* Sums the rows of equal ids at the first of them; the others become 0. */
pss_status pss_sum_equal(const pss_ids* ids, pss_float type, const void* rows,
                         int64_t width, void* out,
                         const pss_parallel* parallel);

/* Columns of a matrix, each of `bytes`, put into those of another one: column
 * j of `from`, (rows, count), to column columns[j] of `to`, (rows, width); or
 * back, where `gather` is not 0. Columns are in [0, width). */
void pss_copy_columns(const void* from, void* to, const int64_t* columns,
                      int64_t count, int64_t width, int64_t rows,
                      int64_t bytes, int gather, const pss_parallel* parallel);

#ifdef __cplusplus
}
#endif

#endif /* KERAS_PSS_CORE_LOOKUP_H_ */
