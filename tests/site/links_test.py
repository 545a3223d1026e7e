"""The built site: every link leads to a file or anchor that exists."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import SITE

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """The ids and the links of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.unnamed = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.links += [given[n] for n in ("href", "src") if given.get(n)]
        if tag == "img" and not given.get("alt"):
            self.unnamed.append(given.get("src"))


@pytest.fixture(scope="module")
def pages():
    found = {path: Page(path) for path in SITE.rglob("*.html")}
    assert len(found) > 60, "Build the site: make docs"
    return found


def broken(path, link, pages):
    """Why a link of a page leads nowhere; None if it does not."""
    split = urlsplit(link)
    if split.scheme or split.netloc:
        return None
    here = unquote(split.path)
    if here.startswith("/"):
        target = SITE / here.lstrip("/")
    else:
        target = (path.parent / here).resolve() if here else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    anchor = unquote(split.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "no such anchor"
    return None


def test_every_link_leads_somewhere(pages):
    found = {
        (str(path.relative_to(SITE)), link): why
        for path, page in pages.items()
        for link in page.links
        # The page of a missing address is at any address.
        if path.name != "404.html" and (why := broken(path, link, pages))
    }
    assert not found


def test_a_broken_link_is_found(pages):
    path = SITE / "faq" / "index.html"
    assert broken(path, "../nowhere/", pages) == "no such file"
    assert broken(path, "../planner/#nowhere", pages) == "no such anchor"
    assert broken(path, "../planner/#planner-dim", pages) is None


def test_files_of_examples_have_pages(pages):
    linked = {
        (SITE / "servers" / link).resolve()
        for link in pages[SITE / "servers" / "index.html"].links
    }
    text = (SITE / "examples/serving/predict.c/index.html").read_text("utf-8")
    assert "TF_LoadSessionFromSavedModel" in text
    for path in sorted((ROOT / "examples" / "serving").iterdir()):
        if path.name != "__pycache__":
            name = path.name.removesuffix(".py")
            page = SITE / "examples" / "serving" / name
            assert (page / "index.html").is_file()
            assert page in linked, path


def test_every_picture_has_a_text(pages):
    assert not [page.unnamed for page in pages.values() if page.unnamed]


def test_no_page_takes_a_script_or_style_from_elsewhere(pages):
    for path, page in pages.items():
        for link in page.links:
            if link.split("?")[0].endswith((".js", ".mjs", ".css")):
                assert not urlsplit(link).netloc, (path, link)
