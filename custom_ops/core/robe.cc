// ROBE lookups on the CPU.

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "lookup.h"
#include "packed.h"
#include "parallel.h"
#include "robe.h"
#include "tile.h"
#include "visit.h"

namespace pss {
namespace {

// A memory of floats. It has the functions of `Packed`.
template <typename T>
class Memory {
 public:
  using Number = T;

  explicit Memory(const T* numbers) : numbers_(numbers) {}

  PSS_INLINE void ask_for(int64_t start, int64_t length) const {
    pss::ask_for(numbers_ + start, length);
  }

  template <int L>
  PSS_INLINE void read(int64_t start, int64_t n, T* to) const {
    std::memcpy(to, numbers_ + start, (L ? L : n) * sizeof(T));
  }

 private:
  const T* const numbers_;
};

// Copies the rows of the first n ids of a tile from the memory.
template <int L, typename From, typename T>
PSS_INLINE void copy_rows(const pss_robe& robe, const Tile& tile, int64_t n,
                          const From& memory, T* out) {
  const int64_t pieces = pieces_of(robe), m = robe.memory_size;
  const int64_t d = robe.output_dim, longest = length_of(robe, 0);
  const int64_t last = length_of(robe, pieces - 1);
  for (int64_t c = 0; c < pieces; ++c) {
    const int64_t length = L ? L : c + 1 < pieces ? longest : last;
    const uint32_t* starts = tile.starts(c);
    T* to = out + c * longest;
    for (int64_t i = 0; i < n; ++i, to += d) {
      if (i + kAhead < n) memory.ask_for(starts[i + kAhead], length);
      const int64_t start = starts[i];
      if (start + length <= m) {
        memory.template read<L>(start, length, to);
      } else {
        memory.template read<0>(start, m - start, to);
        memory.template read<0>(0, start + length - m, to + (m - start));
      }
    }
  }
}

template <typename From, typename T>
void copy_rows(const pss_robe& robe, const Tile& tile, int64_t n,
               const From& memory, T* out) {
  with_length(even_length(robe), [&](auto length) {
    copy_rows<decltype(length)::value>(robe, tile, n, memory, out);
  });
}

// Reads the rows of a few ids at a time as float32, with their signs.
template <typename From>
class Rows {
 public:
  using T = typename From::Number;

  Rows(const pss_robe& robe, const pss_ids& ids, const From& memory)
      : robe_(robe),
        ids_(ids),
        memory_(memory),
        tile_(robe),
        most_(std::min(kTile, 1 + (int64_t{1} << 14) / robe.output_dim)),
        copied_(most_ * robe.output_dim),
        row_(robe.output_dim) {}

  // The maximum number of ids per read.
  int64_t most() const { return most_; }

  // Reads the ids [begin, begin + n); `row` gives their rows, as in `Tile`.
  void read(int64_t begin, int64_t n, const int32_t* row) {
    tile_.load(ids_, begin, n, row);
    copy_rows(robe_, tile_, n, memory_, copied_.data());
  }

  // The row of the i-th id of the last read.
  const float* at(int64_t i) {
    const int64_t d = robe_.output_dim;
    const T* from = copied_.data() + i * d;
    for (int64_t j = 0; j < d; ++j) row_[j] = to_float(from[j]);
    for (int64_t w = 0; w < robe_.sign_words; ++w) {
      turn_signs(tile_.signs(w)[i], 0, std::min<int64_t>(32, d - 32 * w),
                 row_.data() + 32 * w);
    }
    return row_.data();
  }

 private:
  const pss_robe& robe_;
  const pss_ids& ids_;
  const From& memory_;
  Tile tile_;
  const int64_t most_;
  std::vector<T> copied_;
  std::vector<float> row_;
};

// Rows that are plain copies of the memory's elements.
template <typename From>
void plain_rows(const pss_robe& robe, const pss_ids& ids, const From& memory,
                typename From::Number* out, int64_t begin, int64_t end) {
  Tile tile(robe);
  for (int64_t at = begin; at < end; at += kTile) {
    const int64_t n = std::min(kTile, end - at);
    tile.load(ids, at, n, nullptr);
    copy_rows(robe, tile, n, memory, out + at * robe.output_dim);
  }
}

template <typename From>
void single_rows(const pss_robe& robe, const pss_ids& ids, const From& memory,
                 typename From::Number* out, int64_t begin, int64_t end) {
  using T = typename From::Number;
  const int64_t d = robe.output_dim;
  Rows<From> rows(robe, ids, memory);
  for (int64_t at = begin; at < end; at += rows.most()) {
    const int64_t n = std::min(rows.most(), end - at);
    rows.read(at, n, nullptr);
    for (int64_t i = 0; i < n; ++i) {
      const float* row = rows.at(i);
      const float factor = factor_of(robe, ids, at + i, at + i);
      T* to = out + (at + i) * d;
      for (int64_t j = 0; j < d; ++j) to[j] = from_float<T>(factor * row[j]);
    }
  }
}

template <typename From>
void pooled_rows(const pss_robe& robe, const pss_ids& ids, const From& memory,
                 typename From::Number* out, int64_t begin, int64_t end) {
  using T = typename From::Number;
  const int64_t d = robe.output_dim;
  Rows<From> rows(robe, ids, memory);
  std::vector<float> sum(d);
  std::vector<int32_t> of(rows.most());
  const int64_t last_id = split_of(ids, end);
  int64_t read = 0, read_end = 0;  // the range of ids of the last read
  for (int64_t r = begin; r < end; ++r) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    const int64_t last = split_of(ids, r + 1);
    for (int64_t i = split_of(ids, r); i < last; ++i) {
      if (i < read || i >= read_end) {
        read = i;
        read_end = std::max(i + 1, std::min(last_id, i + rows.most()));
        int64_t next = r;
        for (int64_t j = i; j < read_end; ++j) {
          while (next + 1 < end && j >= split_of(ids, next + 1)) ++next;
          of[j - i] = static_cast<int32_t>(next);
        }
        rows.read(i, read_end - i, of.data());
      }
      const float* row = rows.at(i - read);
      const float factor = factor_of(robe, ids, r, i);
      for (int64_t j = 0; j < d; ++j) sum[j] += factor * row[j];
    }
    for (int64_t j = 0; j < d; ++j) out[r * d + j] = from_float<T>(sum[j]);
  }
}

template <typename From>
void lookup(const pss_robe& robe, const pss_ids& ids, const From& memory,
            void* out, const pss_parallel& parallel) {
  const Ranges ranges(parallel, ids.rows, kTile);
  for_items(parallel, ranges.count(), [&](int64_t i) {
    const auto rows = ids.splits            ? pooled_rows<From>
                      : is_plain(robe, ids) ? plain_rows<From>
                                            : single_rows<From>;
    rows(robe, ids, memory, static_cast<typename From::Number*>(out),
         ranges.begin(i), ranges.end(i));
  });
}

}  // namespace
}  // namespace pss

extern "C" {

const char* pss_robe_check(const pss_robe* robe, const pss_ids* ids) {
  const int64_t largest = (int64_t{1} << 31) - 1;
  const int64_t m = robe->memory_size, d = robe->output_dim;
  const int64_t z = robe->block_size;
  if (m < 1 || m > largest) return "the memory must have 1 to 2^31 - 1 numbers";
  if (d < 1 || d > m) return "output_dim must be in [1, memory size]";
  if (z < 1 || z > m) return "block_size must be in [1, memory size]";
  if (z > d && z % d) return "block_size must be a multiple of output_dim";
  if (robe->num_tables < 1 || robe->num_tables > largest) {
    return "there must be at least one table";
  }
  if (robe->sign_words != 0 && robe->sign_words != (d + 31) / 32) {
    return "signs must be one bit for each number of a row";
  }
  if (robe->keys == nullptr) return "there must be keys";
  if (ids->type != PSS_INT32 && ids->type != PSS_INT64) {
    return "ids must be int32 or int64";
  }
  if (ids->count < 0 || ids->count > largest / pss_robe_pieces(d, z)) {
    return "all ids together must have fewer than 2^31 pieces";
  }
  if (ids->rows < 0 || ids->rows > largest) {
    return "there must be fewer than 2^31 rows";
  }
  if (ids->splits == nullptr && ids->rows != ids->count) {
    return "without splits there must be a row for each id";
  }
  if (ids->count > 0 && ids->ids == nullptr) return "there must be ids";
  return nullptr;
}

int64_t pss_robe_pieces(int64_t output_dim, int64_t block_size) {
  if (block_size > output_dim) return 1;
  return (output_dim - 1) / block_size + 1;
}

pss_status pss_robe_lookup(const pss_robe* robe, const pss_ids* ids,
                           pss_float type, const void* memory, void* out,
                           const pss_parallel* parallel) try {
  if (pss_robe_check(robe, ids) != nullptr) return PSS_INVALID;
  pss::with_type(type, [&](auto number) {
    using T = decltype(number);
    const pss::Memory<T> numbers(static_cast<const T*>(memory));
    pss::lookup(*robe, *ids, numbers, out, *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

pss_status pss_robe_lookup_packed(const pss_robe* robe, const pss_ids* ids,
                                  const pss_packed* memory, void* out,
                                  const pss_parallel* parallel) try {
  const pss_layout& layout = memory->layout;
  if (pss_robe_check(robe, ids) != nullptr ||
      pss_packed_check(memory) != nullptr ||
      robe->memory_size > layout.rows * layout.width) {
    return PSS_INVALID;
  }
  pss::with_type(memory->type, [&](auto number) {
    const pss::Packed<decltype(number)> numbers(*memory);
    pss::lookup(*robe, *ids, numbers, out, *parallel);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
