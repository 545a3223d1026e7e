"""How the files of a log are written."""

from typing import Annotated, Literal

from pydantic import Field

from keras_pss.features.checks.checked import Flag, Text, Texts, checked
from keras_pss.messages import shown

Quote = Annotated[str, Field(min_length=1, max_length=1)]
_BREAKS = ("\n", "\r")


@checked
class Format:
    """How the files of a log are written.

    Args:
        kind: `"csv"` (any text with separators), `"ndjson"`, `"parquet"`,
            `"ipc"` (Arrow) or `"tfrecord"`. By default, the files' content
            says it.
        separator: Text between two columns of `"csv"`.
        header: Whether the first line of each file names the columns.
        columns: The columns' names in the order of the file. Needed by, and
            only allowed with, `header=False`.
        quote: Character around a field that holds the separator, or None if
            quotes have no such meaning.
        missing: Texts that mean a missing value.
        strip: Whether blanks around a field are dropped.

    Raises:
        ValueError: If an argument has the wrong type or contradicts another
            one.

    Example:

    ```python
    from keras_pss.features import Format

    tabs = Format(separator="\\t", header=False, columns=("click", "city"))
    ```
    """

    kind: Literal["auto", "csv", "ndjson", "parquet", "ipc", "tfrecord"] = (
        "auto"
    )
    separator: Text = ","
    header: Flag = True
    columns: tuple[Text, ...] | None = None
    quote: Quote | None = '"'
    missing: Texts = ("",)
    strip: Flag = False

    def __post_init__(self) -> None:
        self._check_columns()
        for name in ("separator", "quote"):
            value = getattr(self, name) or ""
            if any(mark in value for mark in _BREAKS):
                raise ValueError(
                    f"`{name}` must not hold a line break. "
                    f"Received: {name}={value!r}"
                )
        if self.quote is not None and self.quote in self.separator:
            raise ValueError(
                "`quote` must not be part of `separator`. Received: "
                f"quote={self.quote!r}, separator={self.separator!r}"
            )

    def _check_columns(self) -> None:
        if self.kind not in ("auto", "csv") and not self.header:
            raise ValueError(
                f"`header` must be True with kind={self.kind!r}, whose files "
                f"name their columns. Received: header={self.header}"
            )
        if self.header and self.columns is not None:
            raise ValueError(
                "`columns` needs header=False: the header names the columns. "
                f"Received: columns={shown(self.columns)}, header=True"
            )
        if not self.header and not self.columns:
            raise ValueError(
                "`columns` must name the columns of files without a header. "
                f"Received: columns={self.columns}, header=False"
            )
        seen: set[str] = set()
        for column in self.columns or ():
            if column in seen:
                raise ValueError(
                    "`columns` must not repeat a name. "
                    f"Received: {column!r} twice"
                )
            seen.add(column)
