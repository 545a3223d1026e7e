"""A reader of delimited logs that goes line by line in plain Python.

It is written from the rules of the documentation and shares nothing with the
package but the schema and the reasons' names.
"""

import math
import re
from datetime import UTC, datetime

from keras_pss.data.readers import reasons as why
from keras_pss.features import Categorical, Cross, Dense, MultiCategorical


class Reject(Exception):
    """A row is rejected: reason and column."""


def split_record(lines, i, separator, quote):
    """(fields or a reason, index of the next line) of the record at `i`."""
    start, line, at, found = i, lines[i], 0, []
    while True:
        value = ""
        if quote and line.startswith(quote, at):
            at += 1
            while True:
                if at >= len(line):
                    i += 1
                    if i >= len(lines):
                        return why.NOT_CLOSED, start + 1
                    line, at, value = lines[i], 0, value + "\n"
                elif line.startswith(quote * 2, at):
                    at, value = at + 2, value + quote
                elif line[at] == quote:
                    at += 1
                    break
                else:
                    at, value = at + 1, value + line[at]
        else:
            end = line.find(separator, at)
            end = len(line) if end < 0 else end
            value, at = line[at:end], end
        found.append(value)
        if at == len(line):
            return found, i + 1
        if not line.startswith(separator, at):
            return why.BAD_QUOTES, start + 1
        at += len(separator)


def is_text(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def integer(text):
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise Reject(why.BAD_INTEGER)
    if len(text.lstrip("+-").lstrip("0")) > 20:
        raise Reject(why.TOO_LARGE)
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise Reject(why.TOO_LARGE)
    return value


def number(text):
    form = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
    if not re.fullmatch(form, text) or math.isinf(float(text)):
        raise Reject(why.NOT_A_NUMBER)
    return float(text)


def category(text, kind):
    if kind == "integer":
        return str(integer(text))
    if kind == "hex":
        if not re.fullmatch("[0-9a-fA-F]{1,8}", text):
            raise Reject(why.BAD_HEX)
        return text.lower().zfill(8)
    return text


def label(text, rule):
    if text is None:
        raise Reject(why.NO_LABEL)
    if rule.threshold is not None:
        return int(number(text) >= rule.threshold)
    positive = rule.positive or ("1", "1.0", "true", "True", "TRUE")
    negative = rule.negative
    if rule.positive is None:
        negative = ("0", "0.0", "false", "False", "FALSE")
    if text in positive:
        return 1
    if negative is not None and text not in negative:
        raise Reject(why.BAD_CLASS)
    return 0


def time(text, rule):
    if text is None:
        raise Reject(why.NO_TIME)
    unit = {"epoch_s": 10**6, "epoch_ms": 1000}.get(rule.format)
    if unit:
        value = integer(text) * unit
        if abs(value) >= 2**63:
            raise Reject(why.TOO_LARGE)
        return value
    form, stamp = rule.format, text
    if "%H" in form and "%M" not in form:
        form, stamp = form + "%M", text + "00"
    if form.startswith("%y%m%d%H") and len(stamp) != 10:
        raise Reject(why.BAD_TIME)
    try:
        moment = datetime.strptime(stamp, form).replace(tzinfo=UTC)
    except ValueError:
        raise Reject(why.BAD_TIME) from None
    return int(moment.timestamp()) * 10**6


class Oracle:
    """Reads the text of one file.

    `rows` holds a dictionary for each valid row, `rejects` (line, reason,
    column) of the others.
    """

    def __init__(self, schema, data, labelled=True):
        self.schema, self.form = schema, schema.format
        self.labelled = labelled
        text = data.removeprefix(b"\xef\xbb\xbf")
        lines = text.decode(errors="surrogateescape").split("\n")
        if not lines[-1]:
            lines.pop()
        lines = [line.rstrip("\r") for line in lines]
        self.lines = len(lines)
        self.rows, self.rejects = [], []
        names, i = self.form.columns, 0
        if names is None and lines:
            names, i = self.split(lines, 0)
        if not labelled and self.form.columns and lines:
            found, _ = self.split(lines, 0)
            if len(found) == len(names) - 1:
                names = [n for n in names if n != schema.label.column]
        while i < len(lines):
            fields, after = self.split(lines, i)
            try:
                if isinstance(fields, str):
                    raise Reject(fields, "")
                if not all(map(is_text, fields)):
                    raise Reject(why.NOT_UTF8, "")
                if len(fields) != len(names):
                    raise Reject(why.WRONG_FIELDS, "")
                row = dict(zip(names, fields, strict=True))
                self.rows.append(self.convert(row))
            except Reject as reject:
                self.rejects.append((i + 1, *reject.args))
            i = after

    def split(self, lines, i):
        return split_record(lines, i, self.form.separator, self.form.quote)

    def clean(self, text):
        """None for what means a missing value."""
        # Python alone counts some control characters as blanks.
        text = text.strip(" \t\n\r\xa0") if self.form.strip else text
        return None if text in ("", *self.form.missing) else text

    def convert(self, row):
        """The values of a row."""
        schema, made = self.schema, {}
        text = {name: self.clean(value) for name, value in row.items()}

        def cast(name, column, function, *args):
            try:
                made[name] = function(text[column], *args)
            except Reject as reject:
                raise Reject(reject.args[0], column) from None

        if self.labelled and schema.label:
            cast("label", schema.label.column, label, schema.label)
        for feature in schema.features:
            if isinstance(feature, Categorical):
                missing = "0" * 8 if feature.dtype == "hex" else ""
                made[feature.name] = missing
                if text[feature.column] is not None:
                    cast(feature.name, feature.column, category, feature.dtype)
            elif isinstance(feature, Dense):
                made[feature.name] = None
                if text[feature.column] is not None:
                    whole = feature.dtype == "integer"
                    read = integer if whole else number
                    cast(feature.name, feature.column, read)
            elif isinstance(feature, MultiCategorical):
                self.convert_list(feature, text, made)
        if schema.timestamp:
            cast("time", schema.timestamp.column, time, schema.timestamp)
            moment = datetime.fromtimestamp(made["time"] // 10**6, UTC)
            parts = {
                "hour": moment.hour,
                "weekday": moment.isoweekday(),
                "weekend": int(moment.isoweekday() > 5),
            }
            for part in schema.timestamp.features:
                made[part] = str(parts[part])
        for feature in schema.features:
            if isinstance(feature, Cross):
                pair = [made[name] for name in feature.columns]
                made[feature.name] = "\x1f".join(pair)
        others = {f"key:{key}": key for key in schema.keys}
        if self.labelled and schema.group:
            others["group"] = schema.group.column
        if self.labelled and schema.split.column:
            others["split"] = schema.split.column
        for name, column in others.items():
            made[name] = text[column] or ""
        return made

    def convert_list(self, feature, text, made):
        def elements(column):
            whole = text[column]
            parts = whole.split(feature.separator) if whole is not None else []
            return [self.clean(part) for part in parts]

        ids = elements(feature.column)
        try:
            ids = [x and category(x, feature.dtype) for x in ids]
        except Reject as reject:
            raise Reject(reject.args[0], feature.column) from None
        kept = [i for i, x in enumerate(ids) if x is not None]
        if feature.keep == "first":
            kept = kept[: feature.max_length]
        else:
            kept = kept[-feature.max_length :]
        made[feature.name] = [ids[i] for i in kept]
        if feature.weights is None:
            return
        weights = elements(feature.weights)
        if len(weights) != len(ids):
            raise Reject(why.WRONG_LENGTH, feature.weights)
        try:
            weights = [
                x if i is None and x is None else number(x or "")
                for i, x in zip(ids, weights, strict=True)
            ]
        except Reject as reject:
            raise Reject(reject.args[0], feature.weights) from None
        made[f"{feature.name}:weights"] = [weights[i] for i in kept]
