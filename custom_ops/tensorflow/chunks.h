// How the rows of a batch are divided, for loops whose length is found out.

#ifndef KERAS_PSS_TENSORFLOW_CHUNKS_H_
#define KERAS_PSS_TENSORFLOW_CHUNKS_H_

#include <algorithm>
#include <cstdint>

namespace keras_pss {

// The same as `distinct_ids` in keras_pss/native/jax_kernels.py.
struct Chunks {
  Chunks(int64_t size, int64_t most, int64_t least_rows)
      : count(std::max<int64_t>(1, std::min(most, size / least_rows))),
        rows((size + count - 1) / count) {}
  int64_t count, rows;
};

}  // namespace keras_pss

#endif  // KERAS_PSS_TENSORFLOW_CHUNKS_H_
