"""The column that says which rows belong together."""

from keras_pss.features.checks.checked import Text, checked


@checked
class Group:
    """The column that says which rows belong together, such as the user.

    A split can keep groups whole, or leave the last rows of each one out. Runs
    report the AUC within groups (gAUC). The column is an input of models only
    if it is a feature's column as well. Rows without a value are one group.

    Args:
        column: Column of the log.

    Raises:
        ValueError: If `column` is missing or not a text.

    Example:

    ```python
    from keras_pss.features import Group

    group = Group("user_id")
    ```
    """

    column: Text
