// Shapes of the cores of tensor trains and rings, as in
// keras_pss/ops/methods/core_factors.py and
// keras_pss/layers/base/tensor_core_shapes.py.

import { ceilDivide, compare, largest, product, sum } from "./integers.mjs";

const CORES = 3;
const rowShapes = new Map();

/** TT-Rec's factors of a number of rows, as equal as possible. */
export function balancedRowShape(rows) {
  if (rowShapes.has(rows)) return rowShapes.get(rows);
  const steps = Array.from(String(rows), (_, power) => 10 ** power);
  const numbers = steps.map((step) => ceilDivide(rows, step) * step);
  // Most of the many products cannot exceed the entropy of a simple one.
  const known = Math.max(...numbers.map((n) => entropy(nearEqual(n, CORES))));
  let best = [-Infinity, []];
  for (const number of numbers) {
    for (const shape of factorizations(number, CORES, known - 1e-9)) {
      const found = entropy(shape);
      // Rounding errors must not decide between equal entropies.
      if (found > best[0] + 1e-12) best = [found, shape];
    }
  }
  const shape = best[1].toSorted((a, b) => a - b);
  rowShapes.set(rows, shape);
  return shape;
}

/** Exact factors of the row length, the largest last. */
export function columnShape(columns) {
  let best = null;
  for (const shape of factorizations(columns, CORES, -Infinity)) {
    const rank = [sum(shape), ...shape];
    if (best === null || compare(rank, best) < 0) best = rank;
  }
  return best.slice(1).toSorted((a, b) => a - b);
}

/** Ranks r_0 .. r_D; one rank is lowered where it exceeds the bound. */
function ranksOf(rank, rows, columns, ring) {
  if (ring) {
    const each = Array.isArray(rank) ? rank : rows.map(() => rank);
    return [...each, each[0]];
  }
  if (Array.isArray(rank)) return [1, ...rank, 1];
  const sizes = rows.map((p, k) => p * columns[k]);
  const inner = sizes
    .slice(1)
    .map((_, k) =>
      Math.min(
        rank,
        product(sizes.slice(0, k + 1)),
        product(sizes.slice(k + 1)),
      ),
    );
  return [1, ...inner, 1];
}

/** What `TTEmbedding` or `TensorRingEmbedding` is with a rank or ranks. */
export function coresWith(rank, inputDim, outputDim, ring) {
  const rows = balancedRowShape(inputDim);
  const columns = columnShape(outputDim);
  const ranks = ranksOf(rank, rows, columns, ring);
  const each = rows.map((p, k) => p * ranks[k] * columns[k] * ranks[k + 1]);
  return { rows, columns, ranks, size: sum(each) };
}

/** The largest ranks within a size, as equal as possible. */
export function ranksWithin(size, inputDim, outputDim, ring) {
  const made = (rank) => coresWith(rank, inputDim, outputDim, ring);
  const fits = (rank) => made(rank).size <= size;
  const most = ring ? Math.floor(Math.sqrt(size)) : inputDim * outputDim;
  const low = largest(1, most, fits);
  const inner = (ranks) => (ring ? ranks.slice(0, -1) : ranks.slice(1, -1));
  const found = inner(made(low).ranks);
  // A rank is of no use above the number of entries on either side of it.
  const useful = inner(made(most).ranks);
  const equal = [...found];
  const free = new Set(found.keys());
  while (free.size) {
    const k = [...free].sort((a, b) => found[a] - found[b] || a - b)[0];
    found[k] += 1;
    if (found[k] > useful[k] || !fits(found)) {
      found[k] -= 1;
      free.delete(k);
    }
  }
  return compare(found, equal) === 0 ? low : found;
}

function entropy(shape) {
  const total = sum(shape);
  return -sum(shape.map((f) => (f / total) * Math.log(f / total)));
}

/** Factors of a number, each as close to a root as a divisor can be. */
function nearEqual(number, count) {
  const found = [];
  for (let left = count; left > 0; left--) {
    const root = Math.round(number ** (1 / left) * 1e9) / 1e9;
    const below = divisors(number).filter((d) => d <= root || d === 1);
    found.push(left === 1 ? number : below.at(-1));
    number /= found.at(-1);
  }
  return found;
}

const knownDivisors = new Map();

/** All divisors of a number, ascending. */
function divisors(number) {
  if (knownDivisors.has(number)) return knownDivisors.get(number);
  const small = [];
  const large = [];
  for (let d = 1; d * d <= number; d++) {
    if (number % d === 0) {
      small.push(d);
      if (d * d !== number) large.push(number / d);
    }
  }
  const found = [...small, ...large.reverse()];
  knownDivisors.set(number, found);
  return found;
}

/** An upper bound on the entropy of factors that begin with `head`. */
function entropyBound(head, number, count) {
  if (!head.length) return Infinity;
  const total = sum(head);
  const inner = entropy(head);
  const others = count * number ** (1 / count);
  // The entropy is largest at one share of the others in the sum of all
  // factors; their share is at least that of equal factors.
  const share = Math.max(
    others / (total + others),
    count / (count + Math.exp(inner)),
  );
  const parts =
    -share * Math.log(share) - (1 - share) * Math.log(1 - share);
  return parts + (1 - share) * inner + share * Math.log(count);
}

/** Ascending arrays of `count` factors whose product is `number`. */
function* factorizations(number, count, leastEntropy, head = []) {
  const least = head.at(-1) ?? 1;
  if (count === 1) {
    if (number >= least) yield [...head, number];
    return;
  }
  if (entropyBound(head, number, count) < leastEntropy) return;
  for (const factor of divisors(number)) {
    if (factor ** count > number) return;
    if (factor >= least) {
      const rest = number / factor;
      yield* factorizations(rest, count - 1, leastEntropy, [...head, factor]);
    }
  }
}
