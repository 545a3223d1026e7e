// What tables become within a budget, by method: the sizes of
// `keras_pss.EmbeddingCollection(tables, dim, method, budget)`.
// keras_pss/layers/composite/allocation.py divides the budget.

import { feasible, InputError, parametersOf } from "./budget.mjs";
import { sum } from "./integers.mjs";
import { LARGEST_DIM, SINGLE, TOGETHER } from "./methods.mjs";

// By default the smallest tables stay uncompressed, as long as together they
// take no more than this share of the budget.
const FULL_SHARE = 0.25;
const BYTES = 4;

export const METHODS = [
  "robe",
  "popularity",
  "mixed_dimension",
  "tt",
  "tensor_ring",
  "fpd",
  "qr",
  "hash",
  "sketch",
  "memcom",
  "clustered",
  "deep_hash",
  "quantized",
  "full",
];

/** Slots that an optimizer of Keras keeps for a parameter. */
export const SLOTS = { adam: 2, adagrad: 1, sgd: 0 };

/**
 * Plans tables by one method.
 *
 * @param {number[]} dims Numbers of ids.
 * @param {number} d Columns of all tables.
 * @param {object} budget What `parseBudget` returns.
 * @param {string} method One of METHODS.
 * @param {number} slots Slots of the optimizer.
 * @returns {object} {method, parameters, bytes, indexBytes, slotBytes,
 *     trainingBytes, ratio, full, parts}, where `full` has the indices of
 *     uncompressed tables and each part {tables, text, arguments, parameters,
 *     bytes}; or {method, refused} with the reason.
 */
export function planMethod(dims, d, budget, method, slots) {
  const whole = sum(dims) * d;
  if (!Number.isSafeInteger(whole * BYTES)) {
    throw new InputError(
      "All tables together have more than 2^51 numbers, beyond what this " +
        "page computes exactly.",
    );
  }
  const divided = allocate(dims, d, budget, method, whole);
  if (divided.refused) return { method, ...divided };
  const refused = divided.units.length && SINGLE[method]?.refuses?.(d);
  if (refused) return { method, refused };
  const parts = divided.units.map((unit, k) => {
    const size = divided.sizes[k];
    const made = TOGETHER[method]
      ? TOGETHER[method].within(size, unit.map((t) => dims[t]), d, budget)
      : SINGLE[method].within(size, dims[unit[0]], d);
    const index = made.indexBytes ?? 0;
    const bytes = (made.served ?? BYTES * made.parameters) + index;
    return { ...made, tables: unit, indexBytes: index, bytes };
  });
  const kept = sum(divided.full.map((t) => dims[t] * d));
  const parameters = kept + sum(parts.map((part) => part.parameters));
  const indexBytes = sum(parts.map((part) => part.indexBytes));
  const slotBytes = slots * BYTES * parameters;
  return {
    method,
    parameters,
    indexBytes,
    bytes: BYTES * kept + sum(parts.map((part) => part.bytes)),
    slotBytes,
    // Weights, gradients, slots and index tables.
    trainingBytes: 2 * BYTES * parameters + slotBytes + indexBytes,
    ratio: whole / parameters,
    full: divided.full,
    parts,
  };
}

/** Plans by all methods; `auto` names what counts would not change. */
export function planAll(dims, d, budget, slots) {
  const whole = sum(dims) * d;
  return {
    whole,
    allowed: parametersOf(budget, whole),
    auto: whole <= parametersOf(budget, whole) ? "full" : "robe",
    plans: METHODS.map((each) => planMethod(dims, d, budget, each, slots)),
  };
}

/** Divides a budget among tables without ever exceeding it. */
function allocate(dims, d, budget, method, whole) {
  const everything = [...dims.keys()];
  const allowed = parametersOf(budget, whole);
  if (method === "full" || whole <= allowed) {
    return { full: everything, units: [], sizes: [] };
  }
  const together = TOGETHER[method];
  const smallest = (unit) =>
    together
      ? together.smallest(unit.map((t) => dims[t]), d, budget)
      : SINGLE[method].smallest(dims[unit[0]], d);
  const unitsOf = (full) => {
    const rest = everything.filter((t) => !full.has(t));
    if (!together) return rest.map((t) => [t]);
    return rest.length ? [rest] : [];
  };
  const choice = (share) => {
    const full = new Set();
    let spent = 0;
    const limit = share * allowed;
    const order = everything.toSorted((a, b) => dims[a] - dims[b]);
    for (const table of order) {
      const size = dims[table] * d;
      if (spent + size <= limit || smallest([table]) >= size) {
        full.add(table);
        spent += size;
      }
    }
    return { full, spent, least: unitsOf(full).map(smallest) };
  };
  let { full, spent, least } = choice(FULL_SHARE);
  if (spent + sum(least) > allowed) {
    // Full tables leave too little for the others, so compress them all.
    ({ full, spent, least } = choice(0));
  }
  const needed = spent + sum(least);
  if (needed > allowed) {
    return {
      needed,
      refused: `needs a budget of at least ${feasible(needed, whole)}`,
    };
  }
  const units = unitsOf(full);
  let sizes = [allowed - spent];
  if (together) {
    sizes = units.length ? [Math.min(sizes[0], LARGEST_DIM)] : [];
  } else {
    const weights = units.map((unit) => dims[unit[0]] * d);
    sizes = divide(allowed - spent, weights, least);
  }
  return { full: everything.filter((t) => full.has(t)), units, sizes };
}

/** Divides a total in proportion to weights, with a least size for each. */
function divide(total, weights, least) {
  const sizes = [...least];
  const open = new Set(weights.keys());
  while (open.size) {
    const left = total - sum(sizes.filter((_, part) => !open.has(part)));
    const scale = left / sum([...open].map((part) => weights[part]));
    const short = [...open].filter((p) => weights[p] * scale < least[p]);
    if (!short.length) {
      for (const part of open) {
        sizes[part] = Math.max(
          least[part],
          Math.trunc(weights[part] * scale),
        );
      }
      break;
    }
    short.forEach((part) => open.delete(part));
  }
  return sizes;
}
