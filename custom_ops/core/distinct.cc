// Finds the distinct ids of a batch, on the CPU.

#include <algorithm>
#include <new>
#include <type_traits>
#include <vector>

#include "lookup.h"
#include "spread.h"
#include "visit.h"

namespace pss {
namespace {

// Numbers the ids by first appearance; returns how many are distinct.
template <typename Id>
int64_t number(const Id* ids, int64_t count, Id* distinct, int32_t* place) {
  // Open addressing: at most half of the slots, which hold numbers, are in use.
  int64_t slots = 16;
  while (slots < 2 * count) slots *= 2;
  std::vector<int32_t> numbers(slots, -1);
  const auto slot_of = [&](Id id) { return spread(id) & (slots - 1); };
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      __builtin_prefetch(numbers.data() + slot_of(ids[i + kAhead]));
    }
    int64_t slot = slot_of(ids[i]);
    while (numbers[slot] >= 0 && distinct[numbers[slot]] != ids[i]) {
      slot = (slot + 1) & (slots - 1);
    }
    if (numbers[slot] < 0) {
      numbers[slot] = static_cast<int32_t>(found);
      distinct[found++] = ids[i];
    }
    place[i] = numbers[slot];
  }
  return found;
}

}  // namespace
}  // namespace pss

extern "C" {

pss_status pss_distinct(const pss_ids* ids, int64_t sample, double most,
                        int64_t size, void* distinct, int32_t* place,
                        int32_t* found) try {
  if (size < ids->count || sample < 0) return PSS_INVALID;
  pss::with_ids(*ids, [&](const auto* id) {
    using Id = std::decay_t<decltype(*id)>;
    Id* out = static_cast<Id*>(distinct);
    const int64_t n = ids->count, first = std::min(sample, n);
    const int64_t of_first = pss::number(id, first, out, place);
    int64_t all = n;
    if (double(of_first) < most * double(first)) {
      all = first < n ? pss::number(id, n, out, place) : of_first;
    } else {
      std::copy(id, id + n, out);
      for (int64_t i = 0; i < n; ++i) place[i] = static_cast<int32_t>(i);
    }
    std::fill(out + all, out + size, n ? id[0] : Id(0));
    *found = static_cast<int32_t>(all);
  });
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
