// The planner page: reads the form, shows the plans.

import { InputError, parseBudget } from "./budget.mjs";
import { pythonCall, shellCommand } from "./commands.mjs";
import { parseDim, parseTables } from "./input.mjs";
import { planAll, SLOTS } from "./plan.mjs";
import { CRITEO_KAGGLE } from "./presets.mjs";

const $ = (id) => document.getElementById(`planner-${id}`);
const FIELDS = ["tables", "dim", "budget", "optimizer"];
const grouped = new Intl.NumberFormat("en-US");
const three = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
let method = null; // the one that the user chose; else that of `auto`

/** Bytes as "1.5 MB". */
function inBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let place = 0;
  while (bytes >= 999.5 && place < units.length - 1) {
    bytes /= 1000;
    place += 1;
  }
  return `${three.format(bytes)} ${units[place]}`;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function cell(text, number = false) {
  return element("td", { className: number ? "number" : "" }, text);
}

/** Shows what is wrong with a field, or clears it. */
function report(field, message) {
  $(`${field}-error`).textContent = message;
  $(field).setAttribute("aria-invalid", message ? "true" : "false");
}

/** What a field says; reports a mistake and returns null. */
function read(field, parse) {
  try {
    const found = parse($(field).value);
    report(field, "");
    return found;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    report(field, error.message);
    return null;
  }
}

function update() {
  remember();
  const tables = read("tables", parseTables);
  const d = read("dim", parseDim);
  const budget = read("budget", parseBudget);
  $("result").hidden = !(tables && d && budget);
  if ($("result").hidden) return;
  let found;
  try {
    found = planAll(tables.dims, d, budget, SLOTS[$("optimizer").value]);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    report("tables", error.message);
    $("result").hidden = true;
    return;
  }
  show(tables, d, budget, found);
}

function show({ dims, names }, d, budget, found) {
  const count = dims.length === 1 ? "One table" : `${dims.length} tables`;
  $("summary").textContent =
    `${count}: ${grouped.format(found.whole)} parameters uncompressed, ` +
    `${inBytes(4 * found.whole)}. The budget allows ` +
    `${grouped.format(found.allowed)} parameters, ` +
    `${inBytes(4 * found.allowed)}.`;
  const fits = found.plans.filter((plan) => !plan.refused);
  const chosen =
    fits.find((plan) => plan.method === method) ??
    fits.find((plan) => plan.method === found.auto) ??
    fits[0];
  const rows = found.plans.map((plan) => {
    const picked = plan === chosen;
    return methodRow(plan, picked, found.auto, () => {
      method = plan.method;
      show({ dims, names }, d, budget, found);
      $(`method-${plan.method}`).focus();
    });
  });
  $("methods").replaceChildren(...rows);
  $("detail-title").textContent = `Tables with ${chosen.method}`;
  $("detail").replaceChildren(...tableRows(chosen, dims, names, d));
  $("python").textContent = pythonCall(dims, names, d, budget, chosen.method);
  $("shell").textContent = shellCommand(dims, names, d, budget);
}

function methodRow(plan, picked, auto, choose) {
  const id = `planner-method-${plan.method}`;
  const radio = element("input", {
    type: "radio",
    name: "method",
    id,
    checked: picked,
    disabled: Boolean(plan.refused),
  });
  radio.addEventListener("change", choose);
  const label = element("label", { htmlFor: id }, plan.method);
  if (plan.method === auto) label.append(" (auto without counts)");
  const row = element("tr", { className: picked ? "picked" : "" });
  row.append(element("th", { scope: "row" }, radio, label));
  if (plan.refused) {
    const why = plan.refused.replace(/\d{4,}/g, (n) => grouped.format(n));
    row.append(element("td", { colSpan: 5 }, why));
    return row;
  }
  row.append(
    cell(grouped.format(plan.parameters), true),
    cell(`${three.format(plan.ratio)}x`, true),
    cell(inBytes(plan.bytes), true),
    cell(inBytes(plan.slotBytes), true),
    cell(inBytes(plan.trainingBytes), true),
  );
  return row;
}

function tableRows(plan, dims, names, d) {
  const rows = dims.map(() => ["uncompressed", null]);
  for (const part of plan.parts) {
    part.tables.forEach((table, k) => {
      const kept = part.rows && `rows for ${grouped.format(part.rows[k])} ids`;
      const alone = part.tables.length === 1;
      rows[table] = [
        alone ? part.text : `${kept ?? "shares"} (${part.text})`,
        alone ? part.parameters : "shared",
      ];
    });
  }
  return rows.map(([text, size], k) => {
    const shown = size ?? dims[k] * d;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, names?.[k] ?? String(k)),
      cell(grouped.format(dims[k]), true),
      cell(text),
      cell(shown === "shared" ? shown : grouped.format(shown), true),
    );
  });
}

/** Keeps the fields in the address, so that it can be sent to others. */
function remember() {
  const fields = FIELDS.map((field) => [field, $(field).value]);
  const hash = `#${new URLSearchParams(fields)}`;
  if (hash.length < 8000) history.replaceState(null, "", hash);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const field of FIELDS) {
    const value = given.get(field);
    if (value === null) continue;
    if (field !== "optimizer" || Object.hasOwn(SLOTS, value)) {
      $(field).value = value;
    }
  }
}

async function copy(button) {
  const text = $(button.dataset.copies).textContent;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without a secure context there is no clipboard: select the text.
    getSelection().selectAllChildren($(button.dataset.copies));
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => {
    button.textContent = before;
  }, 2000);
}

recall();
let waiting;
for (const field of FIELDS) {
  $(field).addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 150);
  });
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(waiting);
  update();
});
$("example").addEventListener("click", () => {
  $("tables").value = CRITEO_KAGGLE.join("\n");
  update();
});
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button));
}
update();
