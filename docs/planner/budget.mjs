// Budgets, as in keras_pss/layers/base/budget.py: "1000x" (ratio), a number of
// parameters, or "10MB" (bytes). The unit of a size is a parameter of four bytes.

const UNITS = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};
export const BYTES_A_PARAMETER = 4;

/** An error that the user can mend; its message says how. */
export class InputError extends Error {}

/** Parses a budget. Returns {form, ratio, absolute, isBytes}. */
export function parseBudget(text) {
  const given = text.trim();
  const whole = /^\d[\d_]*$/.test(given) && Number(given.replaceAll("_", ""));
  if (whole !== false && whole > 0 && Number.isSafeInteger(whole)) {
    return { form: whole, ratio: null, absolute: whole, isBytes: false };
  }
  const match = given.match(/^(\d+(?:\.\d+)?)\s*([a-z]+)$/i);
  if (match) {
    const value = Number(match[1]);
    const unit = match[2].toUpperCase();
    if (unit === "X" && value >= 1 && Number.isFinite(value)) {
      return { form: given, ratio: value, absolute: null, isBytes: false };
    }
    if (Object.hasOwn(UNITS, unit) && value > 0) {
      const bytes = Math.floor(value * UNITS[unit]);
      const absolute = Math.floor(bytes / BYTES_A_PARAMETER);
      if (Number.isSafeInteger(bytes)) {
        return { form: given, ratio: null, absolute, isBytes: true };
      }
    }
  }
  throw new InputError(
    "The budget must be a ratio of at least 1 (1000x), a positive number of " +
      `parameters (50000) or bytes (10MB, 64KiB), not “${given}”.`,
  );
}

/** The largest number of parameters that a budget allows. */
export function parametersOf(budget, full) {
  return budget.absolute ?? Math.floor(full / budget.ratio);
}

/** Text of a smallest feasible budget: "500 parameters (2.8x)". */
export function feasible(smallest, full) {
  const text = `${smallest} parameters`;
  if (full < smallest) return text;
  // Round down: a ratio that is rounded up would be infeasible itself.
  const places = Math.max(0, 2 - Math.trunc(Math.log10(full / smallest)));
  const scale = 10 ** places;
  let digits = Math.floor((full / smallest) * scale);
  while (Math.floor(full / (digits / scale)) < smallest) digits -= 1;
  const ratio = (digits / scale).toFixed(6).replace(/\.?0+$/, "");
  return `${text} (${ratio}x)`;
}
