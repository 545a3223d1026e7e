"""The site has an environment of its own: `make test-docs` runs these tests."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("mkdocs") else ["*_test.py"]
