// Reads what the user typed: numbers of ids, with or without names.

import { InputError } from "./budget.mjs";
import { LARGEST_DIM } from "./methods.mjs";

const MOST_TABLES = 1000;
const INTEGER = /^\d[\d_]*$/;
const GROUPED = /^\d{1,3}([,.'\u00a0\u202f]\d{3})+$/;

/**
 * Parses tables: a number a line, a list, lines of "name,number", or JSON.
 *
 * @param {string} text
 * @returns {{dims: number[], names: string[] | null}} `names` if tables have
 *     names.
 */
export function parseTables(text) {
  const given = text.trim();
  if (!given) {
    throw new InputError(
      "Give the number of ids of each table, one a line: 1000000, or " +
        "user,1000000.",
    );
  }
  const tables = /^[[{]/.test(given) ? fromJson(given) : fromLines(given);
  if (tables.length > MOST_TABLES) {
    throw new InputError(
      `This page plans up to ${MOST_TABLES} tables, not ${tables.length}. ` +
        "Use `keras-pss plan` for more.",
    );
  }
  const named = tables.filter(({ name }) => name !== null);
  if (named.length && named.length < tables.length) {
    const bare = tables.find(({ name }) => name === null);
    throw new InputError(
      `${bare.where} has no name, but other tables have one. Name all ` +
        "tables or none.",
    );
  }
  const seen = new Set();
  for (const { name, where } of named) {
    if (seen.has(name)) {
      throw new InputError(
        `${where}: the name “${name}” is that of an earlier table. Names ` +
          "must differ.",
      );
    }
    seen.add(name);
  }
  return {
    dims: tables.map(({ rows }) => rows),
    names: named.length ? tables.map(({ name }) => name) : null,
  };
}

/** Parses the length of a row. */
export function parseDim(text) {
  const d = Number(text.trim());
  if (!/^\d+$/.test(text.trim()) || d < 1 || d > 2 ** 16) {
    throw new InputError(
      `The dimension must be an integer from 1 to 65536, not “${text}”.`,
    );
  }
  return d;
}

function fromJson(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`This begins like JSON, but is none: ${error.message}`);
  }
  const pairs = Array.isArray(value)
    ? value.map((rows) => [null, rows])
    : Object.entries(value);
  if (!pairs.length) throw new InputError("The JSON value has no tables.");
  return pairs.map(([name, rows], place) => {
    const where = `Table ${name === null ? place : `“${name}”`}`;
    if (!Number.isInteger(rows)) {
      throw new InputError(
        `${where}: ${JSON.stringify(rows)} is no number of ids.`,
      );
    }
    return { name, rows: checked(rows, where), where };
  });
}

function fromLines(text) {
  const lines = text
    .split(/\r?\n/)
    .map((line, k) => ({ line: line.trim(), where: `Line ${k + 1}` }))
    .filter(({ line }) => line);
  if (lines.length > 1 && isHeader(lines[0].line)) lines.shift();
  return lines.flatMap(({ line, where }) => fromLine(line, where));
}

/** Whether a first line such as "name,count" says what the columns are. */
function isHeader(line) {
  const fields = line.split(/[,;\t]/).map((field) => field.trim());
  return fields.length === 2 && fields.every((f) => f && !/\d/.test(f));
}

function fromLine(line, where) {
  if (GROUPED.test(line)) {
    const digits = line.replaceAll(/\D/g, "");
    const apart = line.replaceAll(/\D/g, " ");
    throw new InputError(
      `${where}: “${line}” may be one number or several. Write ${digits}, ` +
        `or ${apart} for several tables.`,
    );
  }
  const words = line.split(/[,;\s]+/).filter(Boolean);
  if (words.every((word) => INTEGER.test(word))) {
    return words.map((word) => ({
      name: null,
      rows: checked(Number(word.replaceAll("_", "")), where),
      where,
    }));
  }
  const match = line.match(/^(.*\S)\s*[,;\t]\s*(\S+)$/);
  const name = match?.[1].replace(/^"(.*)"$/, "$1").trim();
  const count = match?.[2].replace(/^"(.*)"$/, "$1");
  if (!name || !INTEGER.test(count)) {
    throw new InputError(
      `${where}: “${line}” is no number of ids. Write digits, such as ` +
        "1000000, or a name and digits: user,1000000.",
    );
  }
  const rows = checked(Number(count.replaceAll("_", "")), where);
  return [{ name, rows, where }];
}

function checked(rows, where) {
  if (rows < 1 || rows > LARGEST_DIM) {
    throw new InputError(
      `${where}: a table must have 1 to ${LARGEST_DIM} ids, not ${rows}.`,
    );
  }
  return rows;
}
