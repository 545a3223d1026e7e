// Sorts the ids of a batch by their digits.

#include <limits>

#include "tensor_train.h"
#include "visit.h"

namespace pss {
namespace {

// Keys in the upper half, numbers from 0 on in the lower half.
using Records = std::vector<uint64_t>;

int bits_of_number(uint64_t x) {
  int bits = 0;
  for (; x; x >>= 1) ++bits;
  return bits;
}

// Sorts by key; equal keys keep their order. Keys are below `bound`.
void sort(Records* records, int64_t bound) {
  const int64_t n = static_cast<int64_t>(records->size());
  if (n < 512) {  // the counters of the other way cost more
    std::sort(records->begin(), records->end());
    return;
  }
  const int bits = bits_of_number(static_cast<uint64_t>(bound - 1));
  const int passes = std::max(1, (bits + 11) / 12);
  const int each = (bits + passes - 1) / passes;
  const uint64_t mask = (uint64_t{1} << each) - 1;
  std::vector<int32_t> next(passes << each);
  for (const uint64_t record : *records) {
    for (int pass = 0; pass < passes; ++pass) {
      ++next[(pass << each) + (record >> (32 + pass * each) & mask)];
    }
  }
  Records other(n);
  for (int pass = 0; pass < passes; ++pass) {
    int32_t* begin = next.data() + (pass << each);
    int32_t total = 0;
    for (uint64_t digit = 0; digit <= mask; ++digit) {
      const int32_t count = begin[digit];
      begin[digit] = total;
      total += count;
    }
    const int shift = 32 + pass * each;
    for (const uint64_t record : *records) {
      other[begin[record >> shift & mask]++] = record;
    }
    records->swap(other);
  }
}

// x / divisor for 0 <= x < 2^31: the double is never off by one.
struct Quotient {
  explicit Quotient(int64_t divisor) : inverse(1.0 / double(divisor)) {}
  int32_t operator()(int32_t x) const {
    return static_cast<int32_t>((double(x) + 0.5) * inverse);
  }
  double inverse;
};

// Orders prefixes of a level by their last digit: the number of a prefix,
// i_1 .. i_k in the mixed radix, becomes that of i_k, i_1 .. i_{k-1}.
class Order {
 public:
  Order(const Cores& cores, int64_t level)
      : rows_(static_cast<int32_t>(cores.of_level(level).rows)),
        below_(static_cast<int32_t>(cores.prefixes(level - 1))),
        quotient_(rows_) {}
  int32_t operator()(int32_t prefix) const {
    const int32_t rest = quotient_(prefix);
    return (prefix - rest * rows_) * below_ + rest;
  }

 private:
  const int32_t rows_, below_;
  const Quotient quotient_;
};

void add_prefix(const Cores& cores, int64_t level, int32_t key,
                Prefixes* prefixes, std::vector<int32_t>* below) {
  const int32_t size = static_cast<int32_t>(cores.prefixes(level - 1));
  prefixes->digit.push_back(key / size);
  below->push_back(key % size);
}

// Makes the prefixes of a level unique, and those of the levels below it;
// prefix i of the level above is `below[i]`, and then its index.
void plan_level(const Cores& cores, int64_t level, std::vector<int32_t>* above,
                std::vector<Prefixes>* levels) {
  if (level <= 1) return;  // prefixes are digits, and need no list
  const Order order(cores, level);
  Records records(above->size());
  for (size_t i = 0; i < above->size(); ++i) {
    const uint32_t key = static_cast<uint32_t>(order((*above)[i]));
    records[i] = uint64_t{key} << 32 | i;
  }
  sort(&records, cores.prefixes(level));
  Prefixes& prefixes = (*levels)[level];
  std::vector<int32_t> below;
  int64_t last = -1;
  for (const uint64_t record : records) {
    const int32_t key = static_cast<int32_t>(record >> 32);
    if (key != last) add_prefix(cores, level, key, &prefixes, &below);
    last = key;
    (*above)[static_cast<uint32_t>(record)] =
        static_cast<int32_t>(prefixes.count() - 1);
  }
  plan_level(cores, level - 1, &below, levels);
  prefixes.parent = std::move(below);
}

Records records_of(const Cores& cores, const pss_ids& ids) {
  const int64_t largest = cores.rows() - 1;
  const int32_t last = static_cast<int32_t>(cores.last().rows);
  const Quotient quotient(last);
  const Order order(cores, cores.last_level());
  Records records(ids.count);
  with_ids(ids, [&](const auto* id) {
    for (int64_t i = 0; i < ids.count; ++i) {
      const int32_t x = static_cast<int32_t>(
          std::min<int64_t>(std::max<int64_t>(id[i], 0), largest));
      const int32_t prefix = quotient(x);
      const uint32_t key =
          static_cast<uint32_t>(order(prefix) * last + (x - prefix * last));
      records[i] = uint64_t{key} << 32 | static_cast<uint64_t>(i);
    }
  });
  return records;
}

}  // namespace

Plan plan(const Cores& cores, const pss_ids& ids) {
  Records records = records_of(cores, ids);
  sort(&records, cores.rows());
  const int64_t level = cores.last_level();
  Plan plan;
  plan.level.resize(level + 1);
  plan.place.resize(ids.count);
  Prefixes& prefixes = plan.level[level];
  std::vector<int32_t> below;
  const int64_t last_rows = cores.last().rows;
  int64_t last = -1, first_of_prefix = -last_rows;
  for (int64_t i = 0; i < ids.count; ++i) {
    const int64_t key = static_cast<int64_t>(records[i] >> 32);
    plan.place[i] = static_cast<int32_t>(records[i]);
    if (key == last) continue;
    last = key;
    if (key >= first_of_prefix + last_rows) {
      const int64_t prefix = key / last_rows;
      first_of_prefix = prefix * last_rows;
      plan.begin.push_back(static_cast<int32_t>(plan.leaves()));
      add_prefix(cores, level, static_cast<int32_t>(prefix), &prefixes, &below);
    }
    plan.digit.push_back(static_cast<int32_t>(key - first_of_prefix));
    plan.found.push_back(static_cast<int32_t>(i));
  }
  plan.begin.push_back(static_cast<int32_t>(plan.leaves()));
  plan.found.push_back(static_cast<int32_t>(ids.count));
  plan_level(cores, level - 1, &below, &plan.level);
  prefixes.parent = std::move(below);
  return plan;
}

std::vector<int64_t> ranges_of(const Cores& cores, const Plan& plan,
                               int64_t level, int64_t count) {
  const int64_t prefixes = plan.level[level].count();
  const Core& core = cores.of_level(level);
  const int64_t of_prefix =
      level > 1 ? cores.height(level - 1) * core.left * cores.packed(level)
                : cores.matrix(level);
  const Last last = cores.last_step();
  const int64_t of_leaf =
      level == cores.last_level() ? last.columns * last.slice() : 0;
  const auto cost = [&](int64_t i) {
    return double(i) * double(of_prefix) +
           (of_leaf ? double(plan.begin[i]) * double(of_leaf) : 0.0);
  };
  std::vector<int64_t> borders(count + 1, 0);
  for (int64_t part = 1; part <= count; ++part) {
    const double wanted = cost(prefixes) * double(part) / double(count);
    int64_t low = borders[part - 1], high = prefixes;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (cost(middle) < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    borders[part] = low;
  }
  borders[count] = prefixes;
  return borders;
}

}  // namespace pss
