#include "tensor_train.h"

namespace pss {

LastSlices::LastSlices(const Cores& cores, const float* core, int64_t leaves,
                       const pss_parallel& parallel)
    : core_(cores.last()),
      from_(core),
      padded_(cores.last_step().padded),
      slice_(cores.last_step().slice()) {
  if (4 * leaves < core_.rows) return;
  all_ = Floats(core_.rows * slice_);
  const Ranges ranges(parallel, core_.rows, 64);
  for_items(parallel, ranges.count(), [&](int64_t range) {
    for (int64_t i = ranges.begin(range); i < ranges.end(range); ++i) {
      pack_last(i, all_.data() + i * slice_);
    }
  });
}

const float* LastSlices::at(int64_t digit, float* scratch) const {
  if (all_.size()) return all_.data() + digit * slice_;
  pack_last(digit, scratch);
  return scratch;
}

void LastSlices::ask_for(int64_t digit) const {
  if (!all_.size()) return;
  const float* from = all_.data() + digit * slice_;
  for (int64_t k = 0; k < slice_; k += 16) __builtin_prefetch(from + k);
}

void LastSlices::pack_last(int64_t digit, float* out) const {
  const int64_t columns = core_.width * core_.right;
  if (padded_ != core_.left) std::fill(out, out + slice_, 0.0f);
  vectors().transpose(from_ + digit * core_.slice(), core_.left, columns, out,
                      padded_);
}

int64_t block_of(const Cores& cores, int64_t level) {
  return std::max<int64_t>(1, (int64_t{1} << 12) / cores.matrix(level));
}

Block::Block(const Cores& cores, const Plan& plan, const Matrices& matrices,
             int64_t level)
    : cores_(cores),
      prefixes_(plan.level[level]),
      matrices_(matrices),
      vectors_(vectors()),
      level_(level),
      matrix_(cores.matrix(level)),
      most_(block_of(cores, level)) {
  // Zeros pad the rows of slices; only what is within them is written later.
  if (level == 1) {
    product_ = Floats(most_ * matrix_);
    product_.clear();
    return;
  }
  const int64_t rows = rounded_up(most_ * cores.height(level - 1), 4);
  rows_.resize(rows);
  slice_ = Floats(cores.of_level(level).left * cores.packed(level));
  slice_.clear();
  product_ = Floats(rows * cores.packed(level));
}

void Block::take(const float* const* core, int64_t digit) {
  const Core& shape = cores_.of_level(level_);
  const float* slice = core[level_ - 1] + digit * shape.slice();
  // With two cores, there is no product before the last step.
  Floats& to = level_ > 1 ? slice_ : product_;
  vectors_.copy_rows(slice, shape.right, shape.left * shape.width, shape.right,
                     to.data(), cores_.stride(level_));
}

void Block::find_rows(int64_t begin, int64_t end) {
  const int64_t height = cores_.height(level_ - 1);
  const int64_t stride = cores_.stride(level_ - 1);
  const float** row = rows_.data();
  for (int64_t i = begin; i < end; ++i) {
    const float* from = matrices_.at(level_ - 1, prefixes_.parent[i]);
    for (int64_t m = 0; m < height; ++m) *row++ = from + m * stride;
  }
  const int64_t rows = rounded_up((end - begin) * height, 4);
  for (; row < rows_.data() + rows; ++row) *row = row[-1];
}

void Block::multiply(int64_t begin, int64_t end) {
  if (level_ == 1) return;
  find_rows(begin, end);
  const int64_t rows =
      rounded_up((end - begin) * cores_.height(level_ - 1), 4);
  const Steps steps = {1, cores_.of_level(level_).left, 0};
  vectors_.product(rows_.data(), rows, steps, slice_.data(),
                   cores_.packed(level_), product_.data());
}

Matrices::Matrices(const Cores& cores, const Plan& plan,
                   const float* const* core, const pss_parallel& parallel)
    : cores_(cores), from_{nullptr, core[0]} {
  for (int64_t level = 2; level < cores.last_level(); ++level) {
    const Prefixes& prefixes = plan.level[level];
    const int64_t size = cores.matrix(level);
    stored_.emplace_back(prefixes.count() * size);
    float* to = stored_.back().data();
    const Ranges ranges(parallel, prefixes.count(), 16);
    for_items(parallel, ranges.count(), [&](int64_t range) {
      Block block(cores, plan, *this, level);
      int64_t digit = -1;
      each_block(prefixes, ranges.begin(range), ranges.end(range),
                 block.most(), [&](int64_t begin, int64_t end) {
                   if (prefixes.digit[begin] != digit) {
                     digit = prefixes.digit[begin];
                     block.take(core, digit);
                   }
                   block.multiply(begin, end);
                   std::memcpy(to + begin * size, block.at(0),
                               (end - begin) * size * sizeof(float));
                 });
    });
    from_[level] = to;
  }
}

namespace {

// Writes the rows of the distinct ids of some prefixes.
class Rows {
 public:
  Rows(const Cores& cores, const Plan& plan, const LastSlices& slices,
       float* out)
      : plan_(plan),
        slices_(slices),
        vectors_(vectors()),
        last_(cores.last_step()),
        output_dim_(cores.output_dim()),
        out_(out),
        scratch_(slices.slice()) {}

  void write(int64_t prefix, int64_t last_leaf, const float* matrix) {
    for (int64_t j = plan_.begin[prefix]; j < plan_.begin[prefix + 1]; ++j) {
      if (j + kAhead < last_leaf) {
        slices_.ask_for(plan_.digit[j + kAhead]);
        __builtin_prefetch(row(plan_.found[j + kAhead]), 1);
      }
      float* first = row(plan_.found[j]);
      vectors_.last_step(last_, matrix,
                         slices_.at(plan_.digit[j], scratch_.data()), first);
      for (int64_t i = plan_.found[j] + 1; i < plan_.found[j + 1]; ++i) {
        std::memcpy(row(i), first, output_dim_ * sizeof(float));
      }
    }
  }

 private:
  static constexpr int64_t kAhead = 2;

  float* row(int64_t i) { return out_ + plan_.place[i] * output_dim_; }

  const Plan& plan_;
  const LastSlices& slices_;
  const Vectors& vectors_;
  const Last last_;
  const int64_t output_dim_;
  float* out_;
  Floats scratch_;
};

void lookup(const Cores& cores, const pss_ids& ids, const float* const* core,
            float* out, const pss_parallel& parallel) {
  const Plan plan = pss::plan(cores, ids);
  const int64_t level = cores.last_level();
  const Prefixes& prefixes = plan.level[level];
  const LastSlices slices(cores, core[level], plan.leaves(), parallel);
  const Matrices matrices(cores, plan, core, parallel);
  const Ranges parts(parallel, plan.leaves(), 64);
  const auto borders = ranges_of(cores, plan, level, parts.count());
  for_items(parallel, parts.count(), [&](int64_t part) {
    Block block(cores, plan, matrices, level);
    Rows rows(cores, plan, slices, out);
    const int64_t last_leaf = plan.begin[borders[part + 1]];
    int64_t digit = -1;
    each_block(prefixes, borders[part], borders[part + 1], block.most(),
               [&](int64_t begin, int64_t end) {
                 if (prefixes.digit[begin] != digit) {
                   digit = prefixes.digit[begin];
                   block.take(core, digit);
                 }
                 block.multiply(begin, end);
                 for (int64_t i = begin; i < end; ++i) {
                   rows.write(i, last_leaf, block.at(i - begin));
                 }
               });
  });
}

const char* check(const pss_tensor_train& train, const pss_ids& ids) {
  const int64_t largest = (int64_t{1} << 31) - 1;
  if (train.num_cores < 2 || train.num_cores > kMostCores) {
    return "there must be 2 to 32 cores";
  }
  if (train.shapes == nullptr) return "there must be shapes";
  int64_t rows = 1, columns = 1;
  for (int64_t k = 0; k < train.num_cores; ++k) {
    const int64_t* shape = train.shapes + 4 * k;
    int64_t size = 1;
    for (int64_t j = 0; j < 4; ++j) {
      if (shape[j] < 1 || shape[j] > largest / size) {
        return "each core must have 1 to 2^31 - 1 numbers";
      }
      size *= shape[j];
    }
    const int64_t next = k + 1 < train.num_cores ? k + 1 : 0;
    if (shape[3] != train.shapes[4 * next + 1]) {
      return "the ranks of cores must match those of their neighbors";
    }
    if (shape[0] > largest / rows) {
      return "the table must have fewer than 2^31 rows";
    }
    if (shape[2] > largest / columns) {
      return "a row must have fewer than 2^31 columns";
    }
    rows *= shape[0];
    columns *= shape[2];
    // Matrices of all levels are products of at most these.
    if (columns > largest / train.shapes[1] / (shape[3] + 16)) {
      return "the product of some cores must have fewer than 2^31 numbers";
    }
  }
  if (ids.type != PSS_INT32 && ids.type != PSS_INT64) {
    return "ids must be int32 or int64";
  }
  if (ids.count < 0 || ids.count > largest) {
    return "there must be fewer than 2^31 ids";
  }
  if (ids.splits || ids.weights || ids.rows != ids.count) {
    return "there must be a row for each id";
  }
  if (ids.count > 0 && ids.ids == nullptr) return "there must be ids";
  return nullptr;
}

}  // namespace
}  // namespace pss

extern "C" {

const char* pss_tensor_train_check(const pss_tensor_train* train,
                                   const pss_ids* ids) {
  return pss::check(*train, *ids);
}

pss_status pss_tensor_train_lookup(const pss_tensor_train* train,
                                   const pss_ids* ids,
                                   const float* const* cores, float* out,
                                   const pss_parallel* parallel) try {
  if (pss::check(*train, *ids) != nullptr) return PSS_INVALID;
  pss::lookup(pss::Cores(*train), *ids, cores, out, *parallel);
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}

}  // extern "C"
