"""A model that the tests of servers serve."""

import pytest
import served_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    return served_shop.served_shop(tmp_path_factory.mktemp("served"))
