"""Patterns of times written as text, for TensorFlow's regular expressions."""

import re
from typing import NamedTuple

from keras_pss.messages import shown
from keras_pss.serving.raw_rows.layers.present_text import BLANK

_WIDTHS = {"Y": 4, "j": 3} | dict.fromkeys("ymdHMS", 2)
_LONG = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
# Numbers may have blanks before them, and years a sign.
_YEAR = f"{BLANK}*([0-9]{{1,4}}|[+-][0-9]{{1,6}})"
_DIGITS = f"{BLANK}*([0-9]{{1,2}})"
_FRACTION = "(?:[.][0-9]+)?"
_ZONE = f"{BLANK}*([+-][0-9]{{2}}:?[0-9]{{2}}|Z)"
_ISO = (
    f"{_YEAR}-{_DIGITS}-{_DIGITS}(?:[ T]{_DIGITS}:{_DIGITS}"
    f"(?::{_DIGITS}{_FRACTION}(?:{_ZONE})?)?)?"
)


class TimePattern(NamedTuple):
    """A pattern with a group for each part of a time.

    Args:
        pattern: The regular expression, for RE2.
        groups: What each group holds, in order: `"Y"`, `"y"`, `"m"`, `"d"`,
            `"j"`, `"H"`, `"M"` or `"S"` as in strptime, or `"z"` for an
            offset from UTC.
    """

    pattern: str
    groups: tuple[str, ...]


def time_pattern(form: str | None) -> TimePattern:
    """The pattern of a format of strptime.

    Args:
        form: The format, or None for ISO 8601.

    Raises:
        ValueError: The format has a part that TensorFlow cannot read, or no
            whole date.
    """
    if form is None:
        return TimePattern(_ISO, tuple("YmdHMSz"))
    whole = re.sub("%([FTRD])", lambda found: _LONG[found[1]], form)
    parts = re.findall("%[.]f|%.|[^%]+|%", whole)
    # Numbers side by side are told apart by their widths alone.
    exact = bool(re.search("%[a-zA-Z]%[a-zA-Z]", whole))
    pattern, groups = [], []
    for part in parts:
        name = part[1:]
        if not part.startswith("%"):
            pattern.append(re.escape(part))
        elif name == "%":
            pattern.append("%")
        elif name == ".f":
            pattern.append(_FRACTION)
        elif name in _WIDTHS:
            pattern.append(_number(name, exact))
            groups.append(name)
        else:
            _refuse(form, f"{part!r}, which TensorFlow cannot read")
    found = set(groups)
    if len(found) < len(groups):
        _refuse(form, "a part twice")
    year, day = found & set("Yy"), {"m", "d"} <= found or "j" in found
    if len(year) != 1 or not day:
        _refuse(form, "no whole date")
    return TimePattern("".join(pattern), tuple(groups))


def _number(name: str, exact: bool) -> str:
    width = _WIDTHS[name]
    if exact:
        return f"([0-9]{{{width}}})"
    return _YEAR if name == "Y" else f"{BLANK}*([0-9]{{1,{width}}})"


def _refuse(form: str, what: str) -> None:
    raise ValueError(
        "`format` of the timestamp must hold %Y or %y, %m and %d or %j, and "
        "any of %H, %M, %S and %.f, so that raw rows can be served. "
        f"Received: format={shown(form)}, with {what}"
    )
