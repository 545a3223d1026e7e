// Gathers rows of a table and sums their gradients, on the CPU.

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include "buckets.h"
#include "lookup.h"
#include "owners.h"
#include "parallel.h"
#include "visit.h"

namespace pss {
namespace {

// Copies rows whose length is a compile-time constant, or any if Bytes = 0.
template <int64_t Bytes, typename Id>
int64_t copy_rows(const Id* ids, const char* table, int64_t table_rows,
                  int64_t bytes, char* out, int64_t begin, int64_t end) {
  const int64_t length = Bytes ? Bytes : bytes;
  int64_t invalid = -1;
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end && ids[i + kAhead] >= 0 &&
        ids[i + kAhead] < table_rows) {
      ask_for(table + ids[i + kAhead] * length, 4 * length);
    }
    if (ids[i] >= 0 && ids[i] < table_rows) {
      if (length == 0) continue;  // the array may be NULL
      std::memcpy(out + i * length, table + ids[i] * length, length);
    } else if (invalid < 0) {
      invalid = i;
    }
  }
  return invalid;
}

template <typename Id>
int64_t copy_range(const Id* ids, const char* table, int64_t table_rows,
                   int64_t bytes, char* out, int64_t begin, int64_t end) {
  switch (bytes) {
#define PSS_BYTES(N) \
  case N:            \
    return copy_rows<N>(ids, table, table_rows, bytes, out, begin, end);
    PSS_BYTES(4)
    PSS_BYTES(16)
    PSS_BYTES(32)
    PSS_BYTES(64)
    PSS_BYTES(128)
    PSS_BYTES(256)
    PSS_BYTES(512)
#undef PSS_BYTES
    default:
      return copy_rows<0>(ids, table, table_rows, bytes, out, begin, end);
  }
}

template <typename T, typename Id>
void scatter(const Id* ids, int64_t count, const T* upstream,
             int64_t table_rows, int64_t width, void* out,
             const pss_parallel& parallel) {
  const int64_t size = table_rows * width;
  const int64_t owners = owners_of<T>(parallel, size, count * width);
  for_items(parallel, owners, [&](int64_t owner) {
    const int64_t begin = table_rows * owner / owners;
    const int64_t rows = table_rows * (owner + 1) / owners - begin;
    Sums<T> sums(out, begin * width, (begin + rows) * width,
                 outlasts_cache(size * sizeof(T)));
    float* const to = sums.data();
    const auto row_of = [=](int64_t i) {
      return static_cast<uint64_t>(ids[i]) - static_cast<uint64_t>(begin);
    };
    with_length(width, [&](auto length) {
      select(
          count,
          [&](int64_t first, int64_t n, uint8_t* inside) {
            for (int64_t i = 0; i < n; ++i) {
              inside[i] = row_of(first + i) < static_cast<uint64_t>(rows);
            }
          },
          [&](int64_t first, const int32_t* found, int64_t n) {
            for (int64_t k = 0; k < n; ++k) {
              if (k + kAhead < n) {
                const int64_t next = first + found[k + kAhead];
                ask_for(upstream + next * width, width);
                ask_for(to + row_of(next) * width, width);
              }
              const int64_t i = first + found[k];
              add<decltype(length)::value>(upstream + i * width, width,
                                           to + row_of(i) * width);
            }
          });
    });
    sums.store();
  });
}

// Copies columns whose size is a compile-time constant, or any if Bytes = 0.
template <int64_t Bytes>
void copy_columns(const char* from, char* to, const int64_t* columns,
                  int64_t count, int64_t width, int64_t given, bool gather,
                  int64_t begin, int64_t end) {
  const int64_t bytes = Bytes ? Bytes : given;
  for (int64_t i = begin; i < end; ++i) {
    const char* row = from + i * (gather ? width : count) * bytes;
    char* out = to + i * (gather ? count : width) * bytes;
    for (int64_t j = 0; j < count; ++j) {
      const int64_t column = columns[j] * bytes, own = j * bytes;
      std::memcpy(out + (gather ? own : column), row + (gather ? column : own),
                  bytes);
    }
  }
}

// Hashes ids evenly over all 64-bit integers.
inline uint64_t spread(int64_t id) {
  uint64_t x = static_cast<uint64_t>(id) * 0x9E3779B97F4A7C15ull;
  return (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ull;
}

template <typename T, typename Id>
void sum_equal(const Id* ids, int64_t count, const T* rows, int64_t width,
               void* out, const pss_parallel& parallel) {
  // Equal ids fall into the same part. Larger parts read their rows more nearly
  // in order, as long as their working set fits the cache.
  const int64_t most = std::max<int64_t>(
      64, (int64_t{256} << 10) / (8 + width * sizeof(float)));
  int bits = 0;
  while ((count >> bits) > most && bits < 12) ++bits;
  const Buckets buckets(parallel, count, int64_t{1} << bits,
                        [&](int64_t i, const auto& put) {
                          put(bits ? spread(ids[i]) >> (64 - bits) : 0);
                        });
  for_items(parallel, int64_t{1} << bits, [&](int64_t part) {
    const int32_t* begin = buckets.begin(part);
    const int64_t n = buckets.end(part) - begin;
    // Open addressing: at most half of the slots are in use. A slot holds the
    // position, within the part, of the first occurrence of an id.
    int64_t slots = 16;
    while (slots < 2 * n) slots *= 2;
    std::vector<int32_t> first(slots, -1);
    std::vector<float> sums(n * width);
    for (int64_t k = 0; k < n; ++k) {
      const int64_t i = begin[k];
      int64_t slot = spread(ids[i]) & (slots - 1);
      while (first[slot] >= 0 && ids[begin[first[slot]]] != ids[i]) {
        slot = (slot + 1) & (slots - 1);
      }
      if (first[slot] < 0) first[slot] = static_cast<int32_t>(k);
      float* sum = sums.data() + first[slot] * width;
      for (int64_t j = 0; j < width; ++j) {
        sum[j] += to_float(rows[i * width + j]);
      }
    }
    for (int64_t k = 0; k < n; ++k) {
      T* to = static_cast<T*>(out) + begin[k] * width;
      for (int64_t j = 0; j < width; ++j) {
        to[j] = from_float<T>(sums[k * width + j]);
      }
    }
  });
}

}  // namespace
}  // namespace pss

extern "C" {

int64_t pss_first_invalid(const pss_ids* ids, const int64_t* limits,
                          int64_t num_limits) {
  return pss::with_ids(*ids, [&](const auto* id) -> int64_t {
    for (int64_t begin = 0; begin < ids->count; begin += num_limits) {
      const int64_t n = std::min(num_limits, ids->count - begin);
      bool invalid = false;
      for (int64_t k = 0; k < n; ++k) {
        const int64_t value = id[begin + k], limit = limits[k];
        invalid |= value < 0 || (limit >= 0 && value >= limit);
      }
      for (int64_t k = 0; invalid && k < n; ++k) {
        const int64_t value = id[begin + k], limit = limits[k];
        if (value < 0 || (limit >= 0 && value >= limit)) return begin + k;
      }
    }
    return -1;
  });
}

int64_t pss_gather(const pss_ids* ids, const void* table, int64_t table_rows,
                   int64_t bytes, void* out, const pss_parallel* parallel) {
  const pss::Ranges ranges(*parallel, ids->count, 1024);
  std::atomic<int64_t> first{ids->count};
  pss::for_items(*parallel, ranges.count(), [&](int64_t range) {
    const int64_t invalid = pss::with_ids(*ids, [&](const auto* id) {
      return pss::copy_range(id, static_cast<const char*>(table), table_rows,
                             bytes, static_cast<char*>(out),
                             ranges.begin(range), ranges.end(range));
    });
    if (invalid < 0) return;
    int64_t known = first;
    while (invalid < known && !first.compare_exchange_weak(known, invalid)) {
    }
  });
  return first == ids->count ? -1 : first.load();
}

void pss_copy_columns(const void* from, void* to, const int64_t* columns,
                      int64_t count, int64_t width, int64_t rows,
                      int64_t bytes, int gather,
                      const pss_parallel* parallel) {
  if (bytes == 0) return;
  const pss::Ranges ranges(*parallel, rows, 256);
  const auto copy = bytes == 4     ? pss::copy_columns<4>
                    : bytes == 8   ? pss::copy_columns<8>
                    : bytes == 64  ? pss::copy_columns<64>
                    : bytes == 128 ? pss::copy_columns<128>
                                   : pss::copy_columns<0>;
  pss::for_items(*parallel, ranges.count(), [&](int64_t range) {
    copy(static_cast<const char*>(from), static_cast<char*>(to), columns,
         count, width, bytes, gather, ranges.begin(range), ranges.end(range));
  });
}

pss_status pss_scatter(const pss_ids* ids, pss_float type,
                       const void* upstream, int64_t table_rows, int64_t width,
                       void* out, const pss_parallel* parallel) try {
  pss::with_ids(*ids, [&](const auto* id) {
    pss::with_type(type, [&](auto number) {
      using T = decltype(number);
      pss::scatter(id, ids->count, static_cast<const T*>(upstream), table_rows,
                   width, out, *parallel);
    });
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

pss_status pss_sum_equal(const pss_ids* ids, pss_float type, const void* rows,
                         int64_t width, void* out,
                         const pss_parallel* parallel) try {
  pss::with_ids(*ids, [&](const auto* id) {
    pss::with_type(type, [&](auto number) {
      using T = decltype(number);
      pss::sum_equal(id, ids->count, static_cast<const T*>(rows), width, out,
                     *parallel);
    });
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
