// Unpacks rows of packed tables, and slices of packed cores.

#include "packed.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "clones.h"
#include "lookup.h"
#include "parallel.h"
#include "tensor_train.h"
#include "visit.h"

namespace pss {
namespace {

template <int L, typename S, typename Id>
PSS_INLINE int64_t unpack_rows(const Packed<S>& table, const Id* ids,
                               int64_t valid, int64_t given, S* out,
                               int64_t begin, int64_t end) {
  const int64_t count = L ? L : given;
  int64_t invalid = -1;
  for (int64_t i = begin; i < end; ++i) {
    if (i + kAhead < end && ids[i + kAhead] >= 0 && ids[i + kAhead] < valid) {
      table.ask_for(ids[i + kAhead] * count, count);
    }
    if (ids[i] >= 0 && ids[i] < valid) {
      table.template read<L>(ids[i] * count, count, out + i * count);
    } else if (invalid < 0) {
      invalid = i;
    }
  }
  return invalid;
}

template <typename S, typename Id>
PSS_INLINE int64_t unpack_range(const Packed<S>& table, const Id* ids,
                                int64_t valid, int64_t count, S* out,
                                int64_t begin, int64_t end) {
  switch (count) {
#define PSS_COUNT(L) \
  case L:            \
    return unpack_rows<L>(table, ids, valid, count, out, begin, end);
    PSS_COUNT(1)
    PSS_COUNT(8)
    PSS_COUNT(16)
    PSS_COUNT(32)
    PSS_COUNT(64)
    PSS_COUNT(128)
#undef PSS_COUNT
    default:
      return unpack_rows<0>(table, ids, valid, count, out, begin, end);
  }
}

// Code for several instruction sets cannot be that of a template.
PSS_CLONES int64_t unpack_floats(const Packed<float>& table,
                                 const int32_t* ids, int64_t valid,
                                 int64_t count, float* out, int64_t begin,
                                 int64_t end) {
  return unpack_range(table, ids, valid, count, out, begin, end);
}

PSS_CLONES int64_t unpack_floats(const Packed<float>& table,
                                 const int64_t* ids, int64_t valid,
                                 int64_t count, float* out, int64_t begin,
                                 int64_t end) {
  return unpack_range(table, ids, valid, count, out, begin, end);
}

template <typename S, typename Id>
int64_t unpack(const Packed<S>& table, const Id* ids, int64_t valid,
               int64_t count, S* out, int64_t begin, int64_t end) {
  if constexpr (std::is_same_v<S, float>) {
    return unpack_floats(table, ids, valid, count, out, begin, end);
  } else {
    return unpack_rows<0>(table, ids, valid, count, out, begin, end);
  }
}

// The slices of each core that ids read, whose digits are most significant
// first.
std::vector<std::vector<int64_t>> read_slices(const pss_tensor_train& train,
                                              const pss_ids& ids) {
  const int64_t cores = train.num_cores;
  int64_t rows = 1;
  std::vector<std::vector<bool>> read(cores);
  for (int64_t k = 0; k < cores; ++k) {
    rows *= train.shapes[4 * k];
    read[k].resize(train.shapes[4 * k]);
  }
  with_ids(ids, [&](const auto* id) {
    for (int64_t i = 0; i < ids.count; ++i) {
      // As in the plan of a lookup, an id outside has the first or last row.
      int64_t left = std::min<int64_t>(std::max<int64_t>(id[i], 0), rows - 1);
      for (int64_t k = cores; k-- > 0;) {
        const int64_t above = left / train.shapes[4 * k];
        read[k][left - above * train.shapes[4 * k]] = true;
        left = above;
      }
    }
  });
  std::vector<std::vector<int64_t>> slices(cores);
  for (int64_t k = 0; k < cores; ++k) {
    for (int64_t p = 0; p < train.shapes[4 * k]; ++p) {
      if (read[k][p]) slices[k].push_back(p);
    }
  }
  return slices;
}

void unpack_slices(const pss_packed& core, const std::vector<int64_t>& slices,
                   int64_t length, float* out, const pss_parallel& parallel) {
  const Packed<float> table(core);
  const Ranges ranges(parallel, static_cast<int64_t>(slices.size()), 8);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    for (int64_t i = ranges.begin(range); i < ranges.end(range); ++i) {
      table.read<0>(slices[i] * length, length, out + slices[i] * length);
    }
  });
}

}  // namespace
}  // namespace pss

extern "C" {

const char* pss_packed_check(const pss_packed* table) {
  const pss_layout& layout = table->layout;
  const int64_t rows = layout.rows, width = layout.width;
  if (layout.bits != 8 && layout.bits != 4) return "codes must be of 8 or 4 bits";
  if (rows < 1 || width < 1 || rows > (int64_t{1} << 62) / width) {
    return "there must be 1 to 2^62 numbers";
  }
  if (layout.group < 1) return "group must be positive";
  if (layout.block < 1 || layout.block > width) {
    return "block must be in [1, width]";
  }
  const int64_t bytes = layout.bits == 8 ? width : pss::lower_half(width);
  if (table->codes == nullptr || table->num_codes < rows * bytes) {
    return "there must be codes for all numbers";
  }
  const int64_t groups = (rows - 1) / layout.group + 1;
  const int64_t blocks = (width - 1) / layout.block + 1;
  if (table->scales == nullptr || table->num_scales / blocks < groups) {
    return "there must be scales for all numbers";
  }
  return nullptr;
}

int64_t pss_unpack(const pss_ids* ids, const pss_packed* table, int64_t count,
                   void* out, const pss_parallel* parallel) {
  if (count == 0) return -1;
  const int64_t valid = table->layout.rows * table->layout.width / count;
  const pss::Ranges ranges(*parallel, ids->count, 1024);
  std::atomic<int64_t> first{ids->count};
  pss::for_items(*parallel, ranges.count(), [&](int64_t range) {
    int64_t invalid = -1;
    pss::with_type(table->type, [&](auto number) {
      using S = decltype(number);
      const pss::Packed<S> packed(*table);
      invalid = pss::with_ids(*ids, [&](const auto* id) {
        return pss::unpack(packed, id, valid, count, static_cast<S*>(out),
                           ranges.begin(range), ranges.end(range));
      });
    });
    if (invalid < 0) return;
    int64_t known = first;
    while (invalid < known && !first.compare_exchange_weak(known, invalid)) {
    }
  });
  return first == ids->count ? -1 : first.load();
}

pss_status pss_tensor_train_lookup_packed(const pss_tensor_train* train,
                                          const pss_ids* ids,
                                          const pss_packed* cores, float* out,
                                          const pss_parallel* parallel) try {
  if (pss_tensor_train_check(train, ids) != nullptr) return PSS_INVALID;
  std::vector<pss::Floats> floats;
  std::vector<const float*> starts;
  const auto slices = pss::read_slices(*train, *ids);
  for (int64_t k = 0; k < train->num_cores; ++k) {
    const int64_t* shape = train->shapes + 4 * k;
    const int64_t length = shape[1] * shape[2] * shape[3];
    const pss_layout& layout = cores[k].layout;
    if (cores[k].type != PSS_FLOAT32 ||
        layout.rows * layout.width < shape[0] * length ||
        pss_packed_check(&cores[k]) != nullptr) {
      return PSS_INVALID;
    }
    floats.emplace_back(shape[0] * length);
    pss::unpack_slices(cores[k], slices[k], length, floats.back().data(),
                       *parallel);
    starts.push_back(floats.back().data());
  }
  return pss_tensor_train_lookup(train, ids, starts.data(), out, parallel);
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
