"""Translates messages of the library into the terms of the command line.

The library's messages name Python arguments, but a user of the command line has
options. One translation covers all messages, so the library does not need to
know its caller.
"""

import ast
import re
from collections.abc import Callable
from typing import Any

# Arguments whose option has another name or belongs to another function.
OTHER_NAMES = (
    ("path", "out"),
    ("options", "option"),
    ("model_options", "model_option"),
    ("jit_compile", "jit"),
    ("run", "set"),
    ("only_report", "report_only"),
    ("sources", "data"),
    ("sources", "file"),
    ("layers", "layer"),
)
FUNCTIONS = {
    "`criteo.prepare`": "`keras-pss prepare`",
    "`training.train`": "`keras-pss train`",
    "`beam_options`": "What follows `--`",
}
_VALUE = r"""'[^']*'|"[^"]*"|\{[^{}]*\}|\[[^\[\]]*\]|[^\s,;:()]*[^\s,;:().]"""
# Temporary names of `keras_pss.files`: `.NAME.TOKEN.tmp` and paths within, or
# `.TOKEN.tmp.NAME`.
_TEMPORARY = re.compile(
    r"(?<=/)\.(?P<a>[^/'\"]+)\.[\w-]+\.tmp(?=[/'\"]|$)(/[^'\"]*)?"
    r"|(?<=/)\.[\w-]+\.tmp\.(?P<b>[^/'\"]+)"
)


def options_of(command: Any) -> dict[str, str]:
    """The options of a command, by argument name.

    A positional argument is in capitals, as in the usage line.
    """
    found = {}
    for parameter in getattr(command, "params", ()):
        longest = max(parameter.opts, key=len)
        option = longest if longest.startswith("-") else longest.upper()
        found[parameter.name] = option
        found[longest.removeprefix("--").replace("-", "_")] = option
    for name, other in OTHER_NAMES:
        if name not in found and other in found:
            found[name] = found[other]
    return found


def in_options(message: str, options: dict[str, str]) -> str:
    """Replaces Python arguments in a message by options.

    Args:
        message: Such as ``"`min_count` must be 1. Received: min_count=0"``.
        options: The result of `options_of`.

    Returns:
        The message, such as `"--min-count must be 1. Received: --min-count 0"`.
    """
    for words, others in FUNCTIONS.items():
        message = message.replace(words, others)
    names = "|".join(map(re.escape, options))
    if names:
        replace = _replacement(options)
        message = re.sub(
            rf"`(?P<bare>{names})`"
            rf"|(?P<with>\bwith )?(?<![\w.`-])(?P<name>{names})="
            rf"(?P<value>{_VALUE})",
            replace,
            message,
        )
    return _TEMPORARY.sub(lambda found: found["a"] or found["b"], message)


def _replacement(options: dict[str, str]) -> Callable[[re.Match[str]], str]:
    def replace(found: re.Match[str]) -> str:
        before = found["with"] or ""
        if found["bare"]:
            return options[found["bare"]]
        option = options[found["name"]]
        if found["value"] == "True":
            return before + option
        if found["value"] == "False":
            return f"without {option}"
        return f"{before}{option} {_plain(found['value'])}"

    return replace


def _plain(value: str) -> str:
    """A Python value as one types it in a shell: no quotes, name=value."""
    try:
        content = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    if isinstance(content, str):
        return content or "''"
    if isinstance(content, dict):
        return " ".join(f"{k}={v}" for k, v in content.items()) or "(none)"
    return value
