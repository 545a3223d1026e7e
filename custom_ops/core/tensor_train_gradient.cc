// Gradients of tensor trains: the products are computed again, block by block.
//
// Prefixes are divided into chunks whose number depends on the sizes only, and
// a chunk has its own sums of what several chunks add to. These are then added
// in the order of the chunks, so that the bits do not depend on the threads.

#include "tensor_train.h"

namespace pss {
namespace {

constexpr int64_t kChunks = 8;

// The gradients of the matrices of one level, with their strides.
struct Chunk {
  int64_t digit = -1;  // the digit that the chunk before it begins with
  Floats partial;      // its gradient of the slice of that digit
  Floats last;         // gradients of all slices of the last core, packed
  Floats below;        // gradients of the matrices of the level below
};

// Where a level's prefixes add to the gradients of the level below: each chunk
// has its own sums if these are small, else each prefix has its own numbers.
struct Below {
  Below(const Cores& cores, const Plan& plan, int64_t level, int64_t chunks)
      : level(level - 1),
        count(level == 2 ? cores.core(0).rows : plan.level[level - 1].count()),
        size(cores.matrix(level - 1)),
        height(cores.height(level - 1)),
        width(cores.of_level(level - 1).right),
        by_chunk(count * chunks <= plan.level[level].count() || chunks == 1) {
    if (!by_chunk) of_prefix = Floats(plan.level[level].count() * height * width);
  }
  const int64_t level, count, size, height, width;
  const bool by_chunk;
  Floats of_prefix;  // (prefixes, height, width)
};

// Writes a packed gradient as that of a slice.
void unpack(const Core& core, const float* packed, int64_t stride, float* out) {
  vectors().copy_rows(packed, stride, core.left * core.width, core.right, out,
                      core.right);
}

// The last step's gradients of the distinct ids of some prefixes.
class Leaves {
 public:
  Leaves(const Cores& cores, const Plan& plan, const LastSlices& slices,
         const float* upstream, Floats* sums)
      : plan_(plan),
        slices_(slices),
        vectors_(vectors()),
        last_(cores.last_step()),
        output_dim_(cores.output_dim()),
        upstream_(upstream),
        sums_(sums->data()),
        row_(output_dim_),
        scratch_(slices.slice()) {}

  void add(int64_t prefix, int64_t last_leaf, const float* matrix,
           float* gradient) {
    for (int64_t j = plan_.begin[prefix]; j < plan_.begin[prefix + 1]; ++j) {
      if (j + kRowsAhead < last_leaf) {
        __builtin_prefetch(row(plan_.found[j + kRowsAhead]));
      }
      if (j + kAhead < last_leaf) {
        const int64_t digit = plan_.digit[j + kAhead];
        slices_.ask_for(digit);
        const float* sum = sums_ + digit * slices_.slice();
        for (int64_t k = 0; k < slices_.slice(); k += 16) {
          __builtin_prefetch(sum + k, 1);
        }
      }
      const int64_t digit = plan_.digit[j];
      vectors_.last_gradient(last_, summed(j), matrix,
                             slices_.at(digit, scratch_.data()), gradient,
                             sums_ + digit * slices_.slice());
    }
  }

 private:
  static constexpr int64_t kAhead = 2, kRowsAhead = 6;

  const float* row(int64_t i) const {
    return upstream_ + plan_.place[i] * output_dim_;
  }

  // The upstream gradient of a distinct id, summed over its places.
  const float* summed(int64_t j) {
    const int64_t begin = plan_.found[j], end = plan_.found[j + 1];
    if (end - begin == 1) return row(begin);
    std::memcpy(row_.data(), row(begin), output_dim_ * sizeof(float));
    for (int64_t i = begin + 1; i < end; ++i) {
      vectors_.add_rows(row(i), 0, 1, output_dim_, row_.data(), 0);
    }
    return row_.data();
  }

  const Plan& plan_;
  const LastSlices& slices_;
  const Vectors& vectors_;
  const Last last_;
  const int64_t output_dim_;
  const float* upstream_;
  float* sums_;
  Floats row_, scratch_;
};

// One chunk's gradients of the slices of a level above 1, and of the matrices
// of the level below, given those of its own matrices.
class Backward {
 public:
  Backward(const Cores& cores, const Plan& plan, int64_t level, Chunk* chunk,
           Below* below, float* gradient)
      : core_(cores.of_level(level)),
        prefixes_(plan.level[level]),
        vectors_(vectors()),
        height_(cores.height(level - 1)),
        stride_(cores.stride(level)),
        stride_below_(cores.stride(level - 1)),
        columns_(cores.packed(level)),
        padded_(rounded_up(core_.left, vectors_.lanes)),
        chunk_(chunk),
        below_(below),
        gradient_(gradient),
        sums_(core_.left * columns_),
        transposed_(core_.width * core_.right * padded_) {
    transposed_.clear();  // zeros pad its rows
    const int64_t rows = rounded_up(block_of(cores, level) * height_, 4);
    rows_.resize(rows);
    product_ = Floats(rows * padded_);
    if (below_->by_chunk) {
      chunk_->below = Floats(below_->count * below_->size);
      chunk_->below.clear();
    }
  }

  // Begins with the slice of a digit.
  void take(const float* core, int64_t digit) {
    finish();
    digit_ = digit;
    more_ = false;
    vectors_.transpose(core + digit * core_.slice(), core_.left,
                       core_.width * core_.right, transposed_.data(), padded_);
  }

  // Adds the gradients that follow from those of the prefixes [begin, end);
  // `rows` are the rows of the matrices of the level below.
  void add(int64_t begin, int64_t end, const float* const* rows,
           const float* matrices) {
    const int64_t count = (end - begin) * height_;
    vectors_.outer(rows, count, core_.left, matrices, columns_, more_,
                   sums_.data());
    more_ = true;
    for (int64_t m = 0; m < rounded_up(count, 4); ++m) {
      rows_[m] = matrices + std::min(m, count - 1) * columns_;
    }
    const Steps steps = {core_.width, core_.right, stride_};
    vectors_.product(rows_.data(), rounded_up(count, 4), steps,
                     transposed_.data(), padded_, product_.data());
    for (int64_t i = begin; i < end; ++i) {
      const float* from = product_.data() + (i - begin) * height_ * padded_;
      if (below_->by_chunk) {
        vectors_.add_rows(
            from, padded_, height_, core_.left,
            chunk_->below.data() + prefixes_.parent[i] * below_->size,
            stride_below_);
      } else {
        float* to = below_->of_prefix.data() + i * height_ * core_.left;
        vectors_.copy_rows(from, padded_, height_, core_.left, to, core_.left);
      }
    }
  }

  // Stores the gradient of the slice. The chunk before this one may have begun
  // with the same slice.
  void finish() {
    if (digit_ < 0) return;
    float* to = gradient_ + digit_ * core_.slice();
    if (digit_ == chunk_->digit) {
      chunk_->partial = Floats(core_.slice());
      to = chunk_->partial.data();
    }
    unpack(core_, sums_.data(), stride_, to);
    digit_ = -1;
  }

 private:
  const Core& core_;
  const Prefixes& prefixes_;
  const Vectors& vectors_;
  const int64_t height_, stride_, stride_below_, columns_, padded_;
  Chunk* chunk_;
  Below* below_;
  float* gradient_;
  int64_t digit_ = -1;
  bool more_ = false;  // whether a block has added to the sums of this slice
  Floats sums_, transposed_, product_;
  std::vector<const float*> rows_;
};

class Gradient {
 public:
  Gradient(const Cores& cores, const pss_ids& ids, const float* const* core,
           const float* upstream, float* const* gradients,
           const pss_parallel& parallel)
      : cores_(cores),
        core_(core),
        upstream_(upstream),
        gradients_(gradients),
        parallel_(parallel),
        plan_(plan(cores, ids)),
        slices_(cores, core[cores.last_level()], plan_.leaves(), parallel),
        matrices_(cores, plan_, core, parallel) {}

  void run() {
    const int64_t last = cores_.last_level();
    for (int64_t level = last > 1 ? 2 : 1; level <= last; ++level) {
      zero_others(level);
    }
    if (last == 1) return two_cores();
    Floats matrices;  // gradients of those of the level
    for (int64_t level = last; level > 1; --level) {
      const int64_t chunks = chunks_of(level);
      std::vector<Chunk> chunk(chunks);
      Below below(cores_, plan_, level, chunks);
      const auto borders = ranges_of(cores_, plan_, level, chunks);
      for_items(parallel_, chunks, [&](int64_t i) {
        const int64_t begin = borders[i], end = borders[i + 1];
        const Prefixes& prefixes = plan_.level[level];
        if (begin > 0 && begin < end &&
            prefixes.digit[begin] == prefixes.digit[begin - 1]) {
          chunk[i].digit = prefixes.digit[begin];
        }
        if (level == last) {
          last_level(begin, end, &chunk[i], &below);
        } else {
          inner_level(level, begin, end, matrices.data(), &chunk[i], &below);
        }
      });
      add_partial(level, chunk);
      if (level == last) add_last(chunk);
      matrices = add_below(level, &below, chunk);
    }
  }

 private:
  int64_t chunks_of(int64_t level) const {
    const int64_t wanted = level == cores_.last_level()
                               ? plan_.leaves() / cores_.last().rows / 2
                               : plan_.level[level].count() / 16;
    return std::max<int64_t>(1, std::min(kChunks, wanted));
  }

  // Slices that no prefix reads have no gradient.
  void zero_others(int64_t level) {
    const Core& core = cores_.of_level(level);
    const std::vector<int32_t>& digits = plan_.level[level].digit;
    const Ranges ranges(parallel_, core.rows, 32);
    for_items(parallel_, ranges.count(), [&](int64_t range) {
      int64_t i = ranges.begin(range);
      auto next = std::lower_bound(digits.begin(), digits.end(), i);
      for (; i < ranges.end(range); ++i) {
        float* to = gradients_[level - 1] + i * core.slice();
        if (next == digits.end() || *next != i) {
          std::fill(to, to + core.slice(), 0.0f);
        }
        while (next != digits.end() && *next == i) ++next;
      }
    });
  }

  Leaves leaves(Chunk* chunk) const {
    chunk->last = Floats(cores_.last().rows * slices_.slice());
    chunk->last.clear();
    return Leaves(cores_, plan_, slices_, upstream_, &chunk->last);
  }

  void last_level(int64_t from, int64_t to, Chunk* chunk, Below* below) {
    const int64_t level = cores_.last_level();
    const Prefixes& prefixes = plan_.level[level];
    const int64_t size = cores_.matrix(level);
    const int64_t last_leaf = plan_.begin[to];
    Block block(cores_, plan_, matrices_, level);
    Backward backward(cores_, plan_, level, chunk, below,
                      gradients_[level - 1]);
    Leaves leaf = leaves(chunk);
    Floats gradient(block.most() * size);
    int64_t digit = -1;
    each_block(prefixes, from, to, block.most(),
               [&](int64_t begin, int64_t end) {
                 if (prefixes.digit[begin] != digit) {
                   digit = prefixes.digit[begin];
                   block.take(core_, digit);
                   backward.take(core_[level - 1], digit);
                 }
                 block.multiply(begin, end);
                 std::fill(gradient.data(),
                           gradient.data() + (end - begin) * size, 0.0f);
                 for (int64_t i = begin; i < end; ++i) {
                   leaf.add(i, last_leaf, block.at(i - begin),
                            gradient.data() + (i - begin) * size);
                 }
                 backward.add(begin, end, block.rows(), gradient.data());
               });
    backward.finish();
  }

  void inner_level(int64_t level, int64_t from, int64_t to,
                   const float* matrices, Chunk* chunk, Below* below) {
    const Prefixes& prefixes = plan_.level[level];
    Block block(cores_, plan_, matrices_, level);
    Backward backward(cores_, plan_, level, chunk, below,
                      gradients_[level - 1]);
    int64_t digit = -1;
    each_block(prefixes, from, to, block.most(),
               [&](int64_t begin, int64_t end) {
                 if (prefixes.digit[begin] != digit) {
                   digit = prefixes.digit[begin];
                   backward.take(core_[level - 1], digit);
                 }
                 block.find_rows(begin, end);
                 backward.add(begin, end, block.rows(),
                              matrices + begin * cores_.matrix(level));
               });
    backward.finish();
  }

  void two_cores() {
    const int64_t chunks = chunks_of(1);
    const Prefixes& prefixes = plan_.level[1];
    const Core& core = cores_.core(0);
    std::vector<Chunk> chunk(chunks);
    const auto borders = ranges_of(cores_, plan_, 1, chunks);
    for_items(parallel_, chunks, [&](int64_t c) {
      Block block(cores_, plan_, matrices_, 1);
      Leaves leaf = leaves(&chunk[c]);
      Floats gradient(cores_.matrix(1));
      const int64_t last_leaf = plan_.begin[borders[c + 1]];
      for (int64_t i = borders[c]; i < borders[c + 1]; ++i) {
        block.take(core_, prefixes.digit[i]);
        gradient.clear();
        leaf.add(i, last_leaf, block.at(0), gradient.data());
        unpack(core, gradient.data(), cores_.stride(1),
               gradients_[0] + prefixes.digit[i] * core.slice());
      }
    });
    add_last(chunk);
  }

  void add_partial(int64_t level, const std::vector<Chunk>& chunks) {
    const int64_t size = cores_.of_level(level).slice();
    for (const Chunk& chunk : chunks) {
      if (chunk.digit < 0) continue;
      vectors().add_rows(chunk.partial.data(), 0, 1, size,
                         gradients_[level - 1] + chunk.digit * size, 0);
    }
  }

  // The gradient of the last core, from (width, right, left padded).
  void add_last(const std::vector<Chunk>& chunks) {
    const Core& core = cores_.last();
    const Last last = cores_.last_step();
    const int64_t size = last.slice();
    const Ranges ranges(parallel_, core.rows, 32);
    for_items(parallel_, ranges.count(), [&](int64_t range) {
      Floats sum(size);
      for (int64_t i = ranges.begin(range); i < ranges.end(range); ++i) {
        sum.clear();
        for (const Chunk& chunk : chunks) {
          vectors().add_rows(chunk.last.data() + i * size, 0, 1, size,
                             sum.data(), 0);
        }
        float* to = gradients_[cores_.last_level()] + i * core.slice();
        const int64_t columns = core.width * core.right;
        for (int64_t k = 0; k < core.left; ++k) {
          for (int64_t n = 0; n < columns; ++n) {
            *to++ = sum.data()[n * last.padded + k];
          }
        }
      }
    });
  }

  // The gradients of the matrices of the level below. Those of level 1 are
  // the gradient of the first core.
  Floats add_below(int64_t level, Below* below,
                   const std::vector<Chunk>& chunks) {
    Floats found(level == 2 ? 0 : below->count * below->size);
    float* out = level == 2 ? gradients_[0] : found.data();
    const Children children(below->by_chunk ? nullptr : &plan_.level[level],
                            below->count);
    const Ranges ranges(parallel_, below->count, 32);
    for_items(parallel_, ranges.count(), [&](int64_t range) {
      for (int64_t i = ranges.begin(range); i < ranges.end(range); ++i) {
        float* to = out + i * below->size;
        std::fill(to, to + below->size, 0.0f);
        if (below->by_chunk) {
          for (const Chunk& chunk : chunks) {
            vectors().add_rows(chunk.below.data() + i * below->size, 0, 1,
                               below->size, to, 0);
          }
        } else {
          children.each(i, [&](int64_t child) {
            vectors().add_rows(
                below->of_prefix.data() + child * below->height * below->width,
                below->width, below->height, below->width, to,
                cores_.stride(below->level));
          });
        }
      }
    });
    return found;
  }

  // The prefixes of a level by their parents, in order.
  class Children {
   public:
    Children(const Prefixes* prefixes, int64_t parents) {
      if (prefixes == nullptr) return;
      begin_.resize(parents + 1);
      found_.resize(prefixes->parent.size());
      for (const int32_t parent : prefixes->parent) ++begin_[parent + 1];
      for (int64_t i = 0; i < parents; ++i) begin_[i + 1] += begin_[i];
      std::vector<int32_t> next(begin_.begin(), begin_.end() - 1);
      for (int64_t i = 0; i < prefixes->count(); ++i) {
        found_[next[prefixes->parent[i]]++] = static_cast<int32_t>(i);
      }
    }
    template <typename Visit>
    void each(int64_t parent, const Visit& visit) const {
      for (int64_t j = begin_[parent]; j < begin_[parent + 1]; ++j) {
        visit(found_[j]);
      }
    }

   private:
    std::vector<int32_t> begin_, found_;
  };

  const Cores& cores_;
  const float* const* core_;
  const float* upstream_;
  float* const* gradients_;
  const pss_parallel& parallel_;
  const Plan plan_;
  const LastSlices slices_;
  const Matrices matrices_;
};

}  // namespace
}  // namespace pss

extern "C" pss_status pss_tensor_train_gradient(
    const pss_tensor_train* train, const pss_ids* ids,
    const float* const* cores, const float* upstream, float* const* gradients,
    const pss_parallel* parallel) try {
  if (pss_tensor_train_check(train, ids) != nullptr) return PSS_INVALID;
  const pss::Cores shapes(*train);
  pss::Gradient(shapes, *ids, cores, upstream, gradients, *parallel).run();
  return PSS_OK;
} catch (const std::bad_alloc&) {
  return PSS_NO_MEMORY;
}
