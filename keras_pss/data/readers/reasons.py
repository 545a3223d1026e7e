"""Why rows of any log are rejected; rejects are counted under these words."""

TOO_LONG = "line too long"
BAD_ARCHIVE = "archive truncated or corrupt, the rest of it is missing"
WRONG_FIELDS = "wrong number of fields"
NOT_UTF8 = "not UTF-8"
NOT_CLOSED = "quote is not closed"
BAD_QUOTES = "text after a closing quote"
NOT_JSON = "not a JSON object"
NOT_EXAMPLE = "not a tf.Example of the file's types"
WRONG_TYPE = "value of another type"
MANY_VALUES = "more than one value"
NO_LABEL = "label is missing"
BAD_CLASS = "label is neither 0 nor 1"
BAD_INTEGER = "not an integer"
TOO_LARGE = "out of range"
NOT_WHOLE = "not a whole number"
NOT_A_NUMBER = "not a number"
BAD_HEX = "not 1 to 8 hex digits"
WRONG_LENGTH = "list of another length"
NO_TIME = "time is missing"
BAD_TIME = "not a time of the format"

FIXES = {
    TOO_LONG: "the file is probably no text in lines",
    BAD_ARCHIVE: "download or compress the file again",
    WRONG_FIELDS: "write as many fields as the file has columns",
    NOT_UTF8: "save the file as UTF-8",
    NOT_CLOSED: "close the quote, or set the format's `quote` to None",
    BAD_QUOTES: "double the quotes within a field, or set the format's "
    "`quote` to None",
    NOT_JSON: "write one JSON object a line",
    NOT_EXAMPLE: "write serialized tf.Examples whose features have one type",
    WRONG_TYPE: "write lists for lists of categories and vectors, and texts or "
    "numbers for all other columns",
    MANY_VALUES: "declare the column as MultiCategorical",
    NO_LABEL: "write a label, or remove the row",
    BAD_CLASS: "write 0 or 1, or give `positive`, `negative` or `threshold` of "
    "the schema's Label",
    BAD_INTEGER: "write an optional sign and decimal digits, or leave the "
    "field empty",
    TOO_LARGE: "integers must lie in [-2^63, 2^63 - 1]",
    NOT_WHOLE: "write categories as texts or integers",
    NOT_A_NUMBER: "write a finite decimal number, or leave the field empty",
    BAD_HEX: "categories are 32-bit values in hexadecimal without a prefix",
    WRONG_LENGTH: "write one weight for each element, and vectors of the "
    "declared `size`",
    NO_TIME: "write a time, or remove the row",
    BAD_TIME: "give the `format` of the schema's Timestamp as it is written",
}
