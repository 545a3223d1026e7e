"""Folders of versions: which is served, and which is written next."""

import pytest

from keras_pss.serving.versions import (
    find_version,
    name_of,
    next_version,
    versions,
)


def saved(folder):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"")
    return folder


@pytest.fixture
def shop(tmp_path):
    for name in ("1", "2", "10", "007", ".11.part", "²", "old"):
        saved(tmp_path / "shop" / name)
    (tmp_path / "shop" / "12").mkdir()  # half of a copy
    (tmp_path / "shop" / "13").write_text("")
    return tmp_path / "shop"


def test_versions_are_numbers_with_a_model(shop):
    assert list(versions(shop).items()) == [
        (number, shop / str(number)) for number in (1, 2, 10)
    ]
    assert versions(shop / "nothing") == {}


def test_the_latest_is_served_or_the_one_asked_for(shop):
    assert find_version(shop) == (10, shop / "10")
    assert find_version(shop, 2) == (2, shop / "2")
    assert find_version(shop / "2") == (2, shop / "2")
    assert find_version(shop / "old") == (1, shop / "old")
    with pytest.raises(ValueError, match="must be one of 1, 2, 10, which"):
        find_version(shop, 12)
    with pytest.raises(ValueError, match="must be one of 2, which"):
        find_version(shop / "2", 1)
    with pytest.raises(ValueError, match=r"a SavedModel, or a folder with"):
        find_version(shop / "12")


def test_no_number_is_written_twice(shop, tmp_path):
    assert next_version(shop) == shop / "14"
    assert next_version(tmp_path / "new") == tmp_path / "new" / "1"
    for wrong in (shop / "old", shop / "2", shop / "99"):
        with pytest.raises(ValueError, match="Give the folder above"):
            next_version(wrong)
    with pytest.raises(ValueError, match="but it is a file"):
        next_version(shop / "old" / "saved_model.pb")


def test_a_model_has_the_name_of_its_folder(shop):
    saved(shop.parent / "run" / "saved_model")
    assert name_of(shop) == name_of(shop / "2") == "shop"
    assert name_of(shop / "old") == "old"
    assert name_of(shop.parent / "run" / "saved_model") == "run"
