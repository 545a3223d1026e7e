"""Damage to JSON documents, and what comes of it."""


def places(value, path=()):
    """Paths to all values of a JSON document."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(document, path, value):
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def outcome(function, path):
    """What a function returns, or the text of the one error that it has."""
    try:
        return function(path), ""
    except (ValueError, FileNotFoundError) as error:
        return None, str(error)
