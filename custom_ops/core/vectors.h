// Inner loops of tensor train lookups, for the widest vectors of this machine.

#ifndef KERAS_PSS_CORE_VECTORS_H_
#define KERAS_PSS_CORE_VECTORS_H_

#include <cstdint>

namespace pss {

// The sum of a product runs over `parts` runs of a row, each of `length`
// consecutive numbers, which begin `stride` numbers apart.
struct Steps {
  int64_t parts, length, stride;
};

// The last step of a row, out[x, t] = sum over (a, k) of C[a, x, k] G[t, a, k].
struct Last {
  int64_t first;    // the left rank of the first core, that of a; 1 for trains
  int64_t columns;  // the number of x
  int64_t width;    // the number of t
  int64_t padded;   // the number of k, rounded up to a multiple of 8 by zeros
  int64_t stride;   // numbers between the rows C[a, x] and C[a, x + 1]

  int64_t slice() const { return width * first * padded; }
};

struct Vectors {
  // Numbers in a vector; the columns of products are a multiple of it.
  int64_t lanes;

  // c = rows b for a multiple of four rows; b and c have `columns` columns.
  void (*product)(const float* const* rows, int64_t count, const Steps& steps,
                  const float* b, int64_t columns, float* c);

  // out[k] = sum over i of rows[i][k] y[i], added to out[k] if `more`; y and
  // out have `columns` columns.
  void (*outer)(const float* const* rows, int64_t count, int64_t length,
                const float* y, int64_t columns, bool more, float* out);

  void (*last_step)(const Last& last, const float* c, const float* g,
                    float* out);

  // Adds the gradients of `last_step` by C and G to `dc` and `dg`.
  void (*last_gradient)(const Last& last, const float* upstream,
                        const float* c, const float* g, float* dc, float* dg);

  // Adds `count` rows of `length` numbers to others.
  void (*add_rows)(const float* from, int64_t from_stride, int64_t count,
                   int64_t length, float* to, int64_t to_stride);

  // Copies `count` rows of `length` numbers.
  void (*copy_rows)(const float* from, int64_t from_stride, int64_t count,
                    int64_t length, float* to, int64_t to_stride);

  // Writes a matrix, (rows, columns), transposed.
  void (*transpose)(const float* from, int64_t rows, int64_t columns,
                    float* to, int64_t to_stride);
};

// The code for this machine, or that of narrower vectors for tests.
const Vectors& vectors();

}  // namespace pss

#endif  // KERAS_PSS_CORE_VECTORS_H_
