// Reads runs of numbers of a packed table.

#ifndef KERAS_PSS_CORE_PACKED_H_
#define KERAS_PSS_CORE_PACKED_H_

#include <algorithm>
#include <cstdint>

#include "lookup.h"
#include "number.h"

namespace pss {

// Quotients by a number that is often a power of two.
class Divisor {
 public:
  explicit Divisor(int64_t by) : by_(by) {
    if ((by & (by - 1)) == 0) shift_ = __builtin_ctzll(by);
  }
  PSS_INLINE int64_t operator()(int64_t x) const {
    return shift_ < 0 ? x / by_ : x >> shift_;
  }

 private:
  int64_t by_;
  int shift_ = -1;
};

PSS_INLINE int64_t lower_half(int64_t width) { return (width + 1) / 2; }

// A layout whose rows have scales of their own wherever a scale is that of
// several rows: consecutive numbers of eight bits make up longer rows.
inline pss_layout joined(pss_layout layout) {
  if (layout.bits == 8 && layout.block == layout.width) {
    // A group may exceed the table, whose numbers all have one scale then.
    layout.group = std::min(layout.group, std::max<int64_t>(1, layout.rows));
    layout.width *= layout.group;
    layout.block = layout.width;
    layout.rows = (layout.rows - 1) / layout.group + 1;
    layout.group = 1;
  }
  return layout;
}

// The numbers of a packed table with scales of type S.
template <typename S>
class Packed {
 public:
  using Number = S;

  explicit Packed(const pss_packed& table)
      : layout_(joined(table.layout)),
        codes_(table.codes),
        scales_(static_cast<const S*>(table.scales)),
        blocks_((layout_.width - 1) / layout_.block + 1),
        half_(lower_half(layout_.width)),
        by_width_(layout_.width),
        by_group_(layout_.group),
        by_block_(layout_.block) {}

  PSS_INLINE void ask_for(int64_t start, int64_t) const {
    __builtin_prefetch(codes_ + (layout_.bits == 8 ? start : start / 2));
  }

  // Writes the numbers [start, start + (L ? L : n)) of the flattened table.
  template <int L>
  PSS_INLINE void read(int64_t start, int64_t n, S* to) const {
    if (L) n = L;
    int64_t row = by_width_(start), column = start - row * layout_.width;
    if (layout_.bits == 8 && L && column + L <= layout_.block) {
      unpack<L>(codes_ + start, scale(row, 0), n, to);
      return;
    }
    while (n > 0) {
      const int64_t block = blocks_ == 1 ? 0 : by_block_(column);
      int64_t end = std::min(layout_.width, (block + 1) * layout_.block);
      const bool upper = column >= half_;
      if (layout_.bits == 4 && !upper) end = std::min(end, half_);
      const int64_t length = std::min(n, end - column);
      const S own = scale(row, block);
      if (layout_.bits == 8) {
        unpack<0>(codes_ + row * layout_.width + column, own, length, to);
      } else if (upper) {
        unpack_upper(codes_ + row * half_ + column - half_, own, length, to);
      } else {
        unpack_lower(codes_ + row * half_ + column, own, length, to);
      }
      n -= length;
      to += length;
      column += length;
      if (column == layout_.width) column = 0, ++row;
    }
  }

 private:
  PSS_INLINE S scale(int64_t row, int64_t block) const {
    const int64_t group = layout_.group == 1 ? row : by_group_(row);
    return scales_[group * blocks_ + block];
  }

  template <int L>
  static PSS_INLINE void unpack(const int8_t* codes, S scale, int64_t n,
                                S* to) {
    const float factor = to_float(scale);
    for (int64_t t = 0; t < (L ? L : n); ++t) {
      to[t] = from_float<S>(static_cast<float>(codes[t]) * factor);
    }
  }

  static PSS_INLINE void unpack_lower(const int8_t* codes, S scale, int64_t n,
                                      S* to) {
    const float factor = to_float(scale);
    for (int64_t t = 0; t < n; ++t) {
      // The lower four bits, with their sign.
      const int32_t code = ((codes[t] & 15) ^ 8) - 8;
      to[t] = from_float<S>(static_cast<float>(code) * factor);
    }
  }

  static PSS_INLINE void unpack_upper(const int8_t* codes, S scale, int64_t n,
                                      S* to) {
    const float factor = to_float(scale);
    for (int64_t t = 0; t < n; ++t) {
      to[t] = from_float<S>(static_cast<float>(codes[t] >> 4) * factor);
    }
  }

  const pss_layout layout_;
  const int8_t* const codes_;
  const S* const scales_;
  const int64_t blocks_, half_;
  const Divisor by_width_, by_group_, by_block_;
};

}  // namespace pss

#endif  // KERAS_PSS_CORE_PACKED_H_
