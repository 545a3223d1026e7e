"""The columns of a Criteo click log.

A row is `label \\t I1..I13 \\t C1..C26`: a label 0 or 1, thirteen signed
integers and twenty-six 32-bit categories in hexadecimal. There is no
header, and an empty field is a missing value.
"""

NUM_INTEGERS = 13
NUM_CATEGORIES = 26
LABEL = "label"
INTEGERS = tuple(f"I{i + 1}" for i in range(NUM_INTEGERS))
CATEGORIES = tuple(f"C{i + 1}" for i in range(NUM_CATEGORIES))
COLUMNS = (LABEL, *INTEGERS, *CATEGORIES)
NUM_COLUMNS = len(COLUMNS)
