// The sizes of each method, as in keras_pss/layers/embedding/*.py, with the
// defaults of all arguments that a budget does not determine.
//
// A method has
//   smallest(n, d)      its smallest size, in parameters of four bytes;
//   within(size, n, d)  the layer within a size: {text, parameters,
//                       [indexBytes], [served]}, where `served` is given if the
//                       layer is served in fewer bytes than it trains.

import { ceilDivide, integerRoot, largest } from "./integers.mjs";
import { coresWith, ranksWithin } from "./cores.mjs";

export const LARGEST_DIM = 2 ** 31 - 1;
const grouped = new Intl.NumberFormat("en-US");
const shown = (n) => grouped.format(n);
const listed = (values) => `(${values.join(", ")})`;
const ranked = (rank) => (Array.isArray(rank) ? listed(rank) : rank);

function cores(ring) {
  return {
    smallest: (n, d) => coresWith(1, n, d, ring).size,
    within(size, n, d) {
      const rank = ranksWithin(size, n, d, ring);
      const { rows, columns, size: parameters } = coresWith(rank, n, d, ring);
      const shape = `rows ${rows.join(" × ")}, columns ${columns.join(" × ")}`;
      return {
        arguments: { rank },
        text: `rank ${ranked(rank)}; ${shape}`,
        parameters,
      };
    },
  };
}

/** Number of values of a digit of FPD. */
const side = (n) => 8 * Math.ceil((integerRoot(n - 1) + 1) / 8);
const fpdSize = (n, d, rank, terms) => rank * (2 * terms * side(n) + d);

const fpd = {
  smallest: (n, d) => fpdSize(n, d, 1, 1),
  within(size, n, d) {
    // Among the pairs that use the budget well, the rank nearest to 8.
    const pairs = [];
    for (let rank = 1; rank <= d; rank++) {
      const most = Math.floor(
        (Math.floor(size / rank) - d) / (2 * side(n)),
      );
      const terms = Math.min(most, side(n));
      if (terms >= 1) pairs.push([fpdSize(n, d, rank, terms), rank, terms]);
    }
    const best = Math.max(...pairs.map(([used]) => used));
    const far = (rank) => Math.abs(Math.log(rank / 8));
    const [[parameters, rank, terms]] = pairs
      .filter(([used]) => used >= 0.98 * best)
      .sort((a, b) => far(a[1]) - far(b[1]) || b[0] - a[0]);
    return {
      arguments: { rank, terms },
      text: `rank ${rank}, ${terms} ${terms === 1 ? "term" : "terms"}`,
      parameters,
    };
  },
};

const qrRows = (n, buckets) => buckets + ceilDivide(n, buckets);
const qrLimit = (n) => Math.max(1, n - 1);

const qr = {
  smallest(n, d) {
    const root = Math.round(Math.sqrt(n));
    const last = Math.min(root + 2, qrLimit(n));
    let least = Infinity;
    for (let c = Math.max(1, Math.min(root - 2, last)); c <= last; c++) {
      least = Math.min(least, qrRows(n, c));
    }
    return d * least;
  },
  within(size, n, d) {
    const rows = Math.floor(size / d);
    let buckets = Math.min(rows - 1, qrLimit(n));
    while (qrRows(n, buckets) > rows) buckets -= 1;
    const quotients = ceilDivide(n, buckets);
    return {
      arguments: { num_buckets: buckets },
      text: `${shown(buckets)} remainders, ${shown(quotients)} quotients`,
      parameters: d * (buckets + quotients),
    };
  },
};

const bucketsWithin = (most) => ({
  smallest: (n, d) => d,
  within(size, n, d) {
    const buckets = Math.min(Math.floor(size / d), most(n));
    return {
      arguments: { num_buckets: buckets },
      text: `${shown(buckets)} buckets`,
      parameters: buckets * d,
    };
  },
});

const memcom = {
  smallest: (n, d) => n + d,
  within(size, n, d) {
    const buckets = Math.min(Math.floor((size - n) / d), n);
    return {
      arguments: { num_buckets: buckets },
      text: `${shown(buckets)} shared rows, ${shown(n)} multipliers`,
      parameters: buckets * d + n,
    };
  },
};

const mixedDimension = {
  smallest: (n, d) => n + (d > 1 ? d : 0),
  within(size, n, d) {
    const inner = Math.floor(size / (n + d));
    const k = size >= n * d ? d : Math.max(1, Math.min(inner, d - 1));
    return {
      arguments: { inner_dim: k },
      text: `${k} of ${d} ${d === 1 ? "column" : "columns"}`,
      parameters: k === d ? n * d : k * (n + d),
    };
  },
};

const STORAGES = ["float16", "int8", "int4"];

function packedBytes(n, d, storage) {
  const row = { float16: 2 * d, int8: d + 4, int4: 4 + Math.ceil(d / 2) };
  return n * row[storage];
}

const quantized = {
  // A table of one column takes fewer bytes in float16 than in int4.
  smallest: (n, d) =>
    Math.min(...STORAGES.map((s) => Math.ceil(packedBytes(n, d, s) / 4))),
  within(size, n, d) {
    const storage = STORAGES.find(
      (each) => Math.ceil(packedBytes(n, d, each) / 4) <= size,
    );
    return {
      arguments: { storage },
      text: `all rows, ${storage}`,
      parameters: n * d,
      served: packedBytes(n, d, storage),
    };
  },
};

const hashNetwork = (width, d) => (2 * width + 2) * width + (width + 1) * d;

const deepHash = {
  smallest: (n, d) => hashNetwork(1, d),
  within(size, n, d) {
    const width = largest(1, size, (w) => hashNetwork(w, d) <= size);
    return {
      arguments: { hidden_units: [width, width], num_hashes: width },
      text: `${shown(width)} hashes, two layers of ${shown(width)} units`,
      parameters: hashNetwork(width, d),
    };
  },
};

const COLUMNS = 4;
const pointerBytes = (n) => 2 * COLUMNS * n + 4;

const clustered = {
  index: (n) => ceilDivide(pointerBytes(n), 4),
  smallest: (n, d) => 2 * d + clustered.index(n),
  refuses: (d) =>
    d % COLUMNS ? `needs a multiple of ${COLUMNS} columns` : null,
  within(size, n, d) {
    const fits = Math.floor((size - clustered.index(n)) / (2 * d));
    const k = Math.min(fits, n, 2 ** 16);
    return {
      arguments: { num_clusters: k },
      text: `${shown(k)} clusters, ${COLUMNS} pointers an id`,
      parameters: 2 * k * d,
      indexBytes: pointerBytes(n),
    };
  },
};

/** All methods but the two whose tables share one size. */
export const SINGLE = {
  tt: cores(false),
  tensor_ring: cores(true),
  fpd,
  qr,
  hash: bucketsWithin((n) => n),
  sketch: bucketsWithin(() => LARGEST_DIM),
  memcom,
  mixed_dimension: mixedDimension,
  quantized,
  deep_hash: deepHash,
  clustered,
};

const robe = {
  smallest: (dims, d) => d,
  within(size, dims, d) {
    const memory = Math.min(size, LARGEST_DIM);
    return {
      arguments: { memory_size: memory },
      text: `one memory of ${shown(memory)} numbers`,
      parameters: memory,
    };
  },
};

// keras_pss/layers/fused/popular/popular_sizes.py, without counts.
const IDS_PER_ROW = 16;
const WORD = 32;

function popularitySizes(d, bits) {
  const numbers = (count) => 8 * Math.ceil((count * bits) / 8);
  const fixed = (k) => WORD * ((k < d ? k * d : 0) + (bits < WORD ? 1 : 0));
  const smallest = (tables, k) =>
    Math.ceil((fixed(k) + numbers(tables * k)) / WORD);
  return { numbers, fixed, smallest };
}

/** Divides a total into nearly equal parts, none above its room. */
function alike(total, room) {
  const parts = room.map(() => 0);
  const order = [...room.keys()].sort((a, b) => room[a] - room[b]);
  order.forEach((k, place) => {
    parts[k] = Math.min(room[k], Math.floor(total / (order.length - place)));
    total -= parts[k];
  });
  return parts;
}

const popularity = {
  bits: (budget) => (budget.isBytes ? 4 : WORD),
  smallest: (dims, d, budget) =>
    popularitySizes(d, popularity.bits(budget)).smallest(dims.length, 1),
  within(size, dims, d, budget) {
    const bits = popularity.bits(budget);
    const { numbers, fixed, smallest } = popularitySizes(d, bits);
    const total = dims.reduce((a, b) => a + b, 0);
    const room = size * WORD;
    const wanted = Math.floor((IDS_PER_ROW * room) / (total * bits));
    let k = Math.max(1, Math.min(d, wanted));
    while (k > 1 && size < smallest(dims.length, k)) k -= 1;
    const count = Math.floor(
      (8 * Math.floor((room - fixed(k)) / 8)) / (k * bits),
    );
    const rows = alike(
      Math.min(Math.max(dims.length, count), total),
      dims,
    );
    const kept = rows.reduce((a, b) => a + b, 0);
    const precision = bits === 4 ? "int4" : "float32";
    return {
      arguments: { num_rows: rows, inner_dim: k },
      text: `rows of ${k} ${precision} for ${shown(kept)} ids`,
      parameters: kept * k + (k < d ? k * d : 0),
      served: (fixed(k) + numbers(kept * k)) / 8,
      rows,
    };
  },
};

/** Methods whose tables share one size in a collection. */
export const TOGETHER = { robe, popularity };
