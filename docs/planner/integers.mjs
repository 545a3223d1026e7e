// Arithmetic of integers that are exact in float64, up to 2^53.

export const sum = (values) => values.reduce((a, b) => a + b, 0);
export const product = (values) => values.reduce((a, b) => a * b, 1);
export const ceilDivide = (a, b) => Math.ceil(a / b);

/** The integer part of a square root. */
export function integerRoot(n) {
  let root = Math.floor(Math.sqrt(n));
  while (root * root > n) root -= 1;
  while ((root + 1) * (root + 1) <= n) root += 1;
  return root;
}

/** The largest integer from `low` to `high` that fits; `low` is taken to. */
export function largest(low, high, fits) {
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2);
    if (fits(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Compares arrays of numbers, element by element. */
export function compare(a, b) {
  for (let k = 0; k < Math.min(a.length, b.length); k++) {
    if (a[k] !== b[k]) return a[k] - b[k];
  }
  return a.length - b.length;
}
