// The lines that give the same tables in Python and on the command line.

const quoted = (form) => (typeof form === "number" ? form : `"${form}"`);

/** A Python expression of the tables: a list, or a dict by name. */
function inPython(dims, names) {
  const each = dims.map((n, k) =>
    names ? `${JSON.stringify(names[k])}: ${n}` : `${n}`,
  );
  const [open, close] = names ? "{}" : "[]";
  const line = `${open}${each.join(", ")}${close}`;
  if (line.length <= 60) return line;
  return `${open}\n${each.map((e) => `        ${e},\n`).join("")}    ${close}`;
}

/** Python that creates the tables of a plan. */
export function pythonCall(dims, names, d, budget, method) {
  return [
    "import keras_pss",
    "",
    "tables = keras_pss.EmbeddingCollection(",
    `    ${inPython(dims, names)},`,
    `    ${d},`,
    `    method="${method}",`,
    `    budget=${quoted(budget.form)},`,
    ")",
    "print(keras_pss.memory_report(tables))",
    "",
  ].join("\n");
}

/** Shell lines that print the plan of `method="auto"` for these tables. */
export function shellCommand(dims, names, d, budget) {
  // Not by JSON.stringify of an object, which would sort names such as "7".
  const pairs = names?.map((name, k) => `${JSON.stringify(name)}: ${dims[k]}`);
  const tables = names ? `{${pairs.join(", ")}}` : JSON.stringify(dims);
  const form = String(budget.form).replaceAll(/\s/g, "");
  return [
    "cat > tables.json <<'END'",
    tables,
    "END",
    `keras-pss plan --cardinalities tables.json --dim ${d} --budget ${form}`,
    "",
  ].join("\n");
}
