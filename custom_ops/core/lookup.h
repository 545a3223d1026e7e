/* Lookups and their gradients on the CPU: the C interface of the core.
 *
 * It depends on no framework: the caller passes its thread pool. Results do not
 * depend on the number of threads, since each range of an output has one owner,
 * which adds to it in the order of the ids. No value of an id or a split can
 * make a function read or write out of bounds of the arrays passed to it.
 *
 * ROBE: a row of a table consists of pieces, each of them consecutive elements
 * of one circular memory from a hashed start on. A piece is a block of ROBE, or
 * one row of a block where blocks are longer than rows. The definition is in
 * keras_pss/ops/methods/robe.py.
 */

#ifndef KERAS_PSS_CORE_LOOKUP_H_
#define KERAS_PSS_CORE_LOOKUP_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { PSS_FLOAT32, PSS_BFLOAT16, PSS_FLOAT16 } pss_float;
typedef enum { PSS_INT32, PSS_INT64 } pss_int;

/* Whether a function succeeded, or why it failed. */
typedef enum {
  PSS_OK,
  PSS_INVALID,   /* inconsistent arguments; see pss_robe_check */
  PSS_NO_MEMORY, /* a temporary array could not be allocated */
} pss_status;

/* A thread pool: `run` calls work(arg, i) for each i in [0, items), in any
 * order and by any threads, and returns when all are done. */
typedef struct {
  void* pool;
  int64_t threads;
  void (*run)(void* pool, int64_t items, void (*work)(void* arg, int64_t item),
              void* arg);
} pss_parallel;

/* Tables that share one memory, all with the same row length. */
typedef struct {
  int64_t memory_size; /* m, in [1, 2^31) */
  int64_t output_dim;  /* d, in [1, m] */
  int64_t block_size;  /* Z, in [1, m]; a multiple of d if above d */
  int64_t num_tables;  /* F */
  int64_t sign_words;  /* ceil(d / 32), or 0 without signs */
  const int32_t* keys; /* (F, pieces + sign_words, 3): pss1 keys (a, b, k) */
  const float* scales; /* (F), the factor of each table's rows; or NULL */
} pss_robe;

/* Ids and their bags. Without splits, output row r is the row of id r; with
 * splits, it is the sum over the ids [splits[r], splits[r + 1]). In both cases
 * output row r belongs to table r mod F. Splits never decrease. */
typedef struct {
  pss_int type;
  const void* ids;       /* (count) */
  int64_t count;         /* count times pieces per row is below 2^31 */
  const int32_t* splits; /* (rows + 1), or NULL */
  const float* weights;  /* (count), the factor of each id's row; or NULL */
  int64_t rows;          /* number of output rows; count without splits */
} pss_ids;

/* NULL if the tables and ids are valid, else the rule that they violate. */
const char* pss_robe_check(const pss_robe* robe, const pss_ids* ids);

/* Number of pieces per row: ceil(d / Z), or 1 if Z is above d. */
int64_t pss_robe_pieces(int64_t output_dim, int64_t block_size);

/* Writes the rows to `out`, (rows, d), with the memory's type. Sums are
 * accumulated in float32. */
pss_status pss_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* memory, void* out,
                           const pss_parallel* parallel);

/* Writes the starts of the pieces of each id to `starts`, (count, pieces). */
pss_status pss_robe_starts(const pss_robe* robe, const pss_ids* ids,
                           int32_t* starts, const pss_parallel* parallel);

/* Writes the memory's gradient to `out`, (memory_size): the upstream gradient,
 * (rows, d), is added in float32 at the positions of the pieces, in the order
 * of the ids. Both have the memory's type. */
pss_status pss_robe_gradient(const pss_robe* robe, const pss_ids* ids,
                             pss_float type, const void* upstream, void* out,
                             const pss_parallel* parallel);

/* Returns the index i of the first id outside [0, limits[i mod num_limits]),
 * or -1 if there is none. A limit of -1 allows every non-negative id. */
int64_t pss_first_invalid(const pss_ids* ids, const int64_t* limits,
                          int64_t num_limits);

/* Writes `table[ids]`, rows of `bytes` each, to `out`. The row of an id outside
 * [0, table_rows) is not written; returns the index of the first such id, or -1
 * if there is none. */
int64_t pss_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                   int64_t bytes, void* out, const pss_parallel* parallel);

/* How a table of codes is packed, each code with a scale that several share:
 * number c of row r is its code times
 *
 *     scales[r / group * ceil(width / block) + c / block].
 *
 * Codes of eight bits follow each other. A byte of codes of four bits holds one
 * of the first half of a row, rounded up, in its lower bits and one of the
 * second half in its upper bits, so that a row is ceil(width / 2) bytes. The
 * definitions are in keras_pss/ops/packing.py. */
typedef struct {
  int64_t rows, width;  /* rows times width is below 2^62 */
  int64_t bits;         /* 8 or 4 */
  int64_t group, block; /* group >= 1, block in [1, width] */
} pss_layout;

/* A packed table. Its numbers have the type of its scales. */
typedef struct {
  pss_layout layout;
  const int8_t* codes;
  int64_t num_codes; /* bytes */
  pss_float type;
  const void* scales;
  int64_t num_scales;
} pss_packed;

/* NULL if the layout fits the arrays, else the rule that they violate. */
const char* pss_packed_check(const pss_packed* table);

/* Unpacks, for each id, the numbers [id * count, (id + 1) * count) of the
 * flattened table to `out`, (ids, count), with the type of the scales. Numbers
 * that are not there are not written; returns the index of the first id with
 * such numbers, or -1 if there is none. The table is valid. */
int64_t pss_unpack(const pss_ids* ids, const pss_packed* table, int64_t count,
                   void* out, const pss_parallel* parallel);

/* `pss_robe_lookup` in a packed memory, whose flattened table begins with it. */
pss_status pss_robe_lookup_packed(const pss_robe* robe, const pss_ids* ids,
                                  const pss_packed* memory, void* out,
                                  const pss_parallel* parallel);

/* Writes the gradient of `table[ids]` to `out`, (table_rows, width): float32
 * sums of the upstream rows of equal ids, in order. Skips out-of-range ids. */
pss_status pss_scatter(const pss_ids* ids, pss_float type,
                       const void* upstream, int64_t table_rows, int64_t width,
                       void* out, const pss_parallel* parallel);

/* Sums the rows of equal ids at the first of them; duplicates become 0. */
pss_status pss_sum_equal(const pss_ids* ids, pss_float type, const void* rows,
                         int64_t width, void* out,
                         const pss_parallel* parallel);

/* Writes the distinct ids to `distinct`, (size) with size >= count, in the order
 * in which they appear; the index of each id among them to `place`, (count); and
 * their number to `found`. The rest of `distinct` is filled with the first id.
 * If the share of distinct ids among the first `sample` is not below `most`, no
 * duplicates are looked for: `distinct` has all ids, and `found` is count. */
pss_status pss_distinct(const pss_ids* ids, int64_t sample, double most,
                        int64_t size, void* distinct, int32_t* place,
                        int32_t* found);

/* Copies columns between matrices with entries of `bytes` each: column j of
 * `from`, (rows, count), to column columns[j] of `to`, (rows, width). If
 * `gather` is not 0, copies column columns[j] of `from`, (rows, width), to
 * column j of `to`, (rows, count). Columns are in [0, width). */
void pss_copy_columns(const void* from, void* to, const int64_t* columns,
                      int64_t count, int64_t width, int64_t rows,
                      int64_t bytes, int gather, const pss_parallel* parallel);

/* Two tables whose rows are multiplied: id i reads row i / second_rows of the
 * first and row i % second_rows of the second one. */
typedef struct {
  int64_t first_rows;  /* all four are in [1, 2^31) */
  int64_t second_rows;
  int64_t terms;
  int64_t rank;
} pss_pair_tables;

/* Writes the sum over terms of the products of the two rows, (terms, rank) each,
 * of each id to `out`, (count, rank). An id outside of the tables reads their
 * first or last rows. */
pss_status pss_pair_sums(const pss_pair_tables* tables, const pss_ids* ids,
                         const float* first, const float* second, float* out,
                         const pss_parallel* parallel);

/* Writes the gradient of each table, given that of the sums. */
pss_status pss_pair_sums_gradient(const pss_pair_tables* tables,
                                  const pss_ids* ids, const float* first,
                                  const float* second, const float* upstream,
                                  float* first_gradient,
                                  float* second_gradient,
                                  const pss_parallel* parallel);

/* A table in the format of a tensor train or tensor ring: an element is the
 * product of one slice of each core, or its trace. The definition is in
 * keras_pss/ops/methods/tensor_train.py. */
typedef struct {
  int64_t num_cores;     /* D, in [2, 32] */
  const int64_t* shapes; /* (D, 4): p, r, q, r' of each core, as it is stored;
                            the left rank of the first equals the right one of
                            the last, which is 1 in a train */
} pss_tensor_train;

/* NULL if the cores and ids are valid, else the rule that they violate. Ids
 * have neither splits nor weights. */
const char* pss_tensor_train_check(const pss_tensor_train* train,
                                   const pss_ids* ids);

/* Writes the rows of the ids to `out`, (count, product of q). An id outside of
 * the table has its first or last row. */
pss_status pss_tensor_train_lookup(const pss_tensor_train* train,
                                   const pss_ids* ids,
                                   const float* const* cores, float* out,
                                   const pss_parallel* parallel);

/* The same for packed cores with float32 scales, whose rows are slices: layouts
 * of p rows of r q r' numbers. It unpacks the slices that the ids read. */
pss_status pss_tensor_train_lookup_packed(const pss_tensor_train* train,
                                          const pss_ids* ids,
                                          const pss_packed* cores, float* out,
                                          const pss_parallel* parallel);

/* Writes the gradient of each core, given that of the rows. */
pss_status pss_tensor_train_gradient(const pss_tensor_train* train,
                                     const pss_ids* ids,
                                     const float* const* cores,
                                     const float* upstream,
                                     float* const* gradients,
                                     const pss_parallel* parallel);

/* Limits the vectors of tensor trains to 4, 8 or 16 numbers; returns how many
 * they have then. For tests: all have the same bits. */
int64_t pss_limit_vectors(int64_t lanes);

#ifdef __cplusplus
}
#endif

#endif /* KERAS_PSS_CORE_LOOKUP_H_ */
