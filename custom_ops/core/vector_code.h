// Inner loops of tensor train lookups for one width of vectors: C++ that
// vectors.cc includes once for each instruction set, with PSS_LANES numbers in
// a vector. A tile that needs more registers than a machine has is up to ten
// times slower, so each set has its own tile; function clones would share one.
//
// Every number is the sum of the same products in the same order for any
// width: lanes of `Vector` are separate sums, and a sum over lanes always has
// eight of them.

// No include guard: the file is included several times.

typedef float Vector __attribute__((vector_size(4 * PSS_LANES)));
typedef float Four __attribute__((vector_size(16)));

// Number of vectors of a tile of four rows: its sums fit the registers.
constexpr int kWide = PSS_LANES == 16 ? 5 : 3;

static PSS_INLINE Vector load(const float* from) {
  Vector x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

static PSS_INLINE void store(const Vector& x, float* to) {
  __builtin_memcpy(to, &x, sizeof x);
}

// Eight numbers, as one vector or as two.
#if PSS_LANES >= 8
typedef float Eight __attribute__((vector_size(32)));

static PSS_INLINE Eight load_eight(const float* from) {
  Eight x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

static PSS_INLINE void store_eight(const Eight& x, float* to) {
  __builtin_memcpy(to, &x, sizeof x);
}

static PSS_INLINE Four halves(const Eight& x) {
  Four low, high;
  __builtin_memcpy(&low, &x, 16);
  __builtin_memcpy(&high, reinterpret_cast<const char*>(&x) + 16, 16);
  return low + high;
}
#else
struct Eight {
  Four low, high;
};

static PSS_INLINE Eight operator+(const Eight& x, const Eight& y) {
  return {x.low + y.low, x.high + y.high};
}

static PSS_INLINE Eight operator*(const Eight& x, const Eight& y) {
  return {x.low * y.low, x.high * y.high};
}

static PSS_INLINE Eight operator*(float x, const Eight& y) {
  return {x * y.low, x * y.high};
}

static PSS_INLINE Eight load_eight(const float* from) {
  Eight x;
  __builtin_memcpy(&x.low, from, 16);
  __builtin_memcpy(&x.high, from + 4, 16);
  return x;
}

static PSS_INLINE void store_eight(const Eight& x, float* to) {
  __builtin_memcpy(to, &x.low, 16);
  __builtin_memcpy(to + 4, &x.high, 16);
}

static PSS_INLINE Four halves(const Eight& x) { return x.low + x.high; }
#endif

static PSS_INLINE float total(const Eight& x) {
  const Four h = halves(x);
  return (h[0] + h[2]) + (h[1] + h[3]);
}

// The totals of four vectors, in the same order of additions as `total`.
static PSS_INLINE void totals(const Eight* x, float* to) {
  const Four a = halves(x[0]), b = halves(x[1]);
  const Four c = halves(x[2]), d = halves(x[3]);
  const Four ab =
      PSS_SHUFFLE(a, b, 0, 4, 1, 5) + PSS_SHUFFLE(a, b, 2, 6, 3, 7);
  const Four cd =
      PSS_SHUFFLE(c, d, 0, 4, 1, 5) + PSS_SHUFFLE(c, d, 2, 6, 3, 7);
  const Four sum =
      PSS_SHUFFLE(ab, cd, 0, 1, 4, 5) + PSS_SHUFFLE(ab, cd, 2, 3, 6, 7);
  __builtin_memcpy(to, &sum, 16);
}

// Four rows times N vectors of columns.
template <int N>
static void product_tile(const float* const* rows, const Steps& steps,
                         const float* b, int64_t ldb, float* c, int64_t ldc) {
  Vector sum[4][N];
  for (int m = 0; m < 4; ++m) {
    for (int n = 0; n < N; ++n) sum[m][n] = Vector{};
  }
  for (int64_t part = 0; part < steps.parts; ++part) {
    const int64_t at = part * steps.stride;
    const float *x0 = rows[0] + at, *x1 = rows[1] + at, *x2 = rows[2] + at,
                *x3 = rows[3] + at;
    for (int64_t k = 0; k < steps.length; ++k, b += ldb) {
      const float x[4] = {x0[k], x1[k], x2[k], x3[k]};
      Vector y[N];
      for (int n = 0; n < N; ++n) y[n] = load(b + n * PSS_LANES);
      for (int m = 0; m < 4; ++m) {
        for (int n = 0; n < N; ++n) sum[m][n] += x[m] * y[n];
      }
    }
  }
  for (int m = 0; m < 4; ++m) {
    for (int n = 0; n < N; ++n) store(sum[m][n], c + m * ldc + n * PSS_LANES);
  }
}

// Products of four columns of the rows with N vectors of `y`, summed over rows.
template <int N>
static void outer_tile(const float* const* rows, int64_t count,
                       const int64_t* columns, const float* y, int64_t ldy,
                       bool more, float* const* out) {
  Vector sum[4][N];
  for (int m = 0; m < 4; ++m) {
    for (int n = 0; n < N; ++n) {
      sum[m][n] = more ? load(out[m] + n * PSS_LANES) : Vector{};
    }
  }
  for (int64_t i = 0; i < count; ++i, y += ldy) {
    const float* row = rows[i];
    const float x[4] = {row[columns[0]], row[columns[1]], row[columns[2]],
                        row[columns[3]]};
    Vector z[N];
    for (int n = 0; n < N; ++n) z[n] = load(y + n * PSS_LANES);
    for (int m = 0; m < 4; ++m) {
      for (int n = 0; n < N; ++n) sum[m][n] += x[m] * z[n];
    }
  }
  for (int m = 0; m < 4; ++m) {
    for (int n = 0; n < N; ++n) store(sum[m][n], out[m] + n * PSS_LANES);
  }
}

static void product(const float* const* rows, int64_t count, const Steps& steps,
                    const float* b, int64_t columns, float* c) {
  int64_t left = (columns / PSS_LANES + kWide - 1) / kWide;
  for (int64_t at = 0; at < columns; --left) {
    const int64_t n = ((columns - at) / PSS_LANES + left - 1) / left;
    for (int64_t i = 0; i < count; i += 4) {
      float* to = c + i * columns + at;
      switch (n) {
        case 1:
          product_tile<1>(rows + i, steps, b + at, columns, to, columns);
          break;
        case 2:
          product_tile<2>(rows + i, steps, b + at, columns, to, columns);
          break;
        case 3:
          product_tile<3>(rows + i, steps, b + at, columns, to, columns);
          break;
#if PSS_LANES == 16
        case 4:
          product_tile<4>(rows + i, steps, b + at, columns, to, columns);
          break;
        default:
          product_tile<5>(rows + i, steps, b + at, columns, to, columns);
#endif
      }
    }
    at += n * PSS_LANES;
  }
}

static void outer(const float* const* rows, int64_t count, int64_t length,
                  const float* y, int64_t columns, bool more, float* out) {
  for (int64_t k = 0; k < length; k += 4) {
    // The last tile may repeat a row: it writes the same sums twice.
    int64_t place[4];
    for (int m = 0; m < 4; ++m) place[m] = k + m < length ? k + m : length - 1;
    int64_t left = (columns / PSS_LANES + kWide - 1) / kWide;
    for (int64_t at = 0; at < columns; --left) {
      const int64_t n = ((columns - at) / PSS_LANES + left - 1) / left;
      float* to[4];
      for (int m = 0; m < 4; ++m) to[m] = out + place[m] * columns + at;
      switch (n) {
        case 1:
          outer_tile<1>(rows, count, place, y + at, columns, more, to);
          break;
        case 2:
          outer_tile<2>(rows, count, place, y + at, columns, more, to);
          break;
        case 3:
          outer_tile<3>(rows, count, place, y + at, columns, more, to);
          break;
#if PSS_LANES == 16
        case 4:
          outer_tile<4>(rows, count, place, y + at, columns, more, to);
          break;
        default:
          outer_tile<5>(rows, count, place, y + at, columns, more, to);
#endif
      }
      at += n * PSS_LANES;
    }
  }
}

// X rows of a product's last step, at T columns of the last core.
template <int X, int T>
static PSS_INLINE void dots(const Last& last, const float* c, const float* g,
                            float* out) {
  Eight sum[X][4];
  for (int x = 0; x < X; ++x) {
    for (int t = 0; t < T; ++t) sum[x][t] = Eight{};
  }
  for (int64_t a = 0; a < last.first; ++a) {
    const float* from = c + a * last.columns * last.stride;
    const float* slice = g + a * last.padded;
    for (int64_t k = 0; k < last.padded; k += 8) {
      Eight y[T];
      for (int t = 0; t < T; ++t) {
        y[t] = load_eight(slice + t * last.first * last.padded + k);
      }
      for (int x = 0; x < X; ++x) {
        const Eight z = load_eight(from + x * last.stride + k);
        for (int t = 0; t < T; ++t) sum[x][t] = sum[x][t] + z * y[t];
      }
    }
  }
  for (int x = 0; x < X; ++x) {
    float* to = out + x * last.width;
    if (T == 4) {
      totals(sum[x], to);
    } else {
      for (int t = 0; t < T; ++t) to[t] = total(sum[x][t]);
    }
  }
}

template <int T>
static void last_columns(const Last& last, const float* c, const float* g,
                         float* out) {
  constexpr int kRows = T > 2 ? 2 : 4;
  int64_t x = 0;
  for (; x + kRows <= last.columns; x += kRows) {
    dots<kRows, T>(last, c + x * last.stride, g, out + x * last.width);
  }
  for (; x < last.columns; ++x) {
    dots<1, T>(last, c + x * last.stride, g, out + x * last.width);
  }
}

static void last_step(const Last& last, const float* c, const float* g,
                      float* out) {
  const int64_t size = last.first * last.padded;
  int64_t t = 0;
  for (; t + 4 <= last.width; t += 4) {
    last_columns<4>(last, c, g + t * size, out + t);
  }
  switch (last.width - t) {
    case 1:
      return last_columns<1>(last, c, g + t * size, out + t);
    case 2:
      return last_columns<2>(last, c, g + t * size, out + t);
    case 3:
      return last_columns<3>(last, c, g + t * size, out + t);
  }
}

template <int T>
static void last_gradients(const Last& last, const float* upstream,
                           const float* c, const float* g, float* dc,
                           float* dg) {
  const int64_t size = last.first * last.padded;
  for (int64_t a = 0; a < last.first; ++a) {
    const int64_t from = a * last.columns * last.stride;
    for (int64_t k = 0; k < last.padded; k += 8) {
      const int64_t to = a * last.padded + k;
      Eight y[T], dy[T];
      for (int t = 0; t < T; ++t) {
        y[t] = load_eight(g + t * size + to);
        dy[t] = load_eight(dg + t * size + to);
      }
      for (int64_t x = 0; x < last.columns; ++x) {
        const float* s = upstream + x * last.width;
        const int64_t at = from + x * last.stride + k;
        const Eight z = load_eight(c + at);
        Eight dz = load_eight(dc + at);
        for (int t = 0; t < T; ++t) {
          dz = dz + s[t] * y[t];
          dy[t] = dy[t] + s[t] * z;
        }
        store_eight(dz, dc + at);
      }
      for (int t = 0; t < T; ++t) store_eight(dy[t], dg + t * size + to);
    }
  }
}

static void last_gradient(const Last& last, const float* upstream,
                          const float* c, const float* g, float* dc,
                          float* dg) {
  const int64_t size = last.first * last.padded;
  int64_t t = 0;
  for (; t + 4 <= last.width; t += 4) {
    last_gradients<4>(last, upstream + t, c, g + t * size, dc, dg + t * size);
  }
  g += t * size;
  dg += t * size;
  switch (last.width - t) {
    case 1:
      return last_gradients<1>(last, upstream + t, c, g, dc, dg);
    case 2:
      return last_gradients<2>(last, upstream + t, c, g, dc, dg);
    case 3:
      return last_gradients<3>(last, upstream + t, c, g, dc, dg);
  }
}

static void add_rows(const float* from, int64_t from_stride, int64_t count,
                     int64_t length, float* to, int64_t to_stride) {
  for (int64_t i = 0; i < count; ++i, from += from_stride, to += to_stride) {
    int64_t k = 0;
    for (; k + PSS_LANES <= length; k += PSS_LANES) {
      store(load(to + k) + load(from + k), to + k);
    }
    for (; k < length; ++k) to[k] += from[k];
  }
}

static void copy_rows(const float* from, int64_t from_stride, int64_t count,
                      int64_t length, float* to, int64_t to_stride) {
  for (int64_t i = 0; i < count; ++i, from += from_stride, to += to_stride) {
    int64_t k = 0;
    for (; k + PSS_LANES <= length; k += PSS_LANES) {
      store(load(from + k), to + k);
    }
    for (; k + 4 <= length; k += 4) __builtin_memcpy(to + k, from + k, 16);
    for (; k < length; ++k) to[k] = from[k];
  }
}

static void transpose(const float* from, int64_t rows, int64_t columns,
                      float* to, int64_t to_stride) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const float* x = from + i * columns;
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      Four a, b, c, d;
      __builtin_memcpy(&a, x + j, 16);
      __builtin_memcpy(&b, x + columns + j, 16);
      __builtin_memcpy(&c, x + 2 * columns + j, 16);
      __builtin_memcpy(&d, x + 3 * columns + j, 16);
      const Four ab = PSS_SHUFFLE(a, b, 0, 4, 1, 5);
      const Four cd = PSS_SHUFFLE(c, d, 0, 4, 1, 5);
      const Four ab_high = PSS_SHUFFLE(a, b, 2, 6, 3, 7);
      const Four cd_high = PSS_SHUFFLE(c, d, 2, 6, 3, 7);
      const Four column[4] = {PSS_SHUFFLE(ab, cd, 0, 1, 4, 5),
                              PSS_SHUFFLE(ab, cd, 2, 3, 6, 7),
                              PSS_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5),
                              PSS_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7)};
      for (int n = 0; n < 4; ++n) {
        __builtin_memcpy(to + (j + n) * to_stride + i, &column[n], 16);
      }
    }
    for (; j < columns; ++j) {
      for (int m = 0; m < 4; ++m) {
        to[j * to_stride + i + m] = x[m * columns + j];
      }
    }
  }
  for (; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      to[j * to_stride + i] = from[i * columns + j];
    }
  }
}

static const Vectors kVectors = {PSS_LANES, product,  outer,     last_step,
                                 last_gradient, add_rows, copy_rows, transpose};
