"""The built site in Debian's Chromium: planner, dark mode, narrow screens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import keras_pss

pytest.importorskip("selenium")
from browser import SITE, chromium, failures, requests, served
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[2]
PAGES = ("", "quickstart/", "methods/robe/", "planner/", "api/keras_pss/")


@pytest.fixture(scope="module")
def address():
    assert (SITE / "index.html").is_file(), "Build the site: make docs"
    with served(SITE) as found:
        yield found


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def field(driver, name):
    return driver.find_element(By.ID, f"planner-{name}")


def type_into(driver, name, text):
    """Types with the keyboard, and waits until the page has answered."""
    element = field(driver, name)
    element.send_keys(Keys.CONTROL, "a")
    element.send_keys(text)
    # The page keeps what it has read in its address.
    answered = "return new URLSearchParams(location.hash.slice(1)).get(%r)"
    WebDriverWait(driver, 30).until(
        lambda d: d.execute_script(answered % name) == text
    )


def shown(driver):
    """Cells of the table of methods, by method."""
    rows = driver.find_elements(By.CSS_SELECTOR, "#planner-methods tr")
    cells = [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
        for row in rows
    ]
    return {head.split()[0]: rest for head, *rest in cells}


@pytest.mark.parametrize("page", PAGES)
def test_pages_ask_no_other_server_and_print_no_errors(driver, address, page):
    requests(driver), failures(driver)
    driver.get(f"{address}/{page}")
    asked = requests(driver)
    assert asked
    assert not [url for url in asked if not url.startswith(address)]
    assert not failures(driver)


def test_the_planner_shows_the_sizes_of_the_layers(driver, address):
    driver.get(f"{address}/planner/")
    type_into(driver, "tables", "user,50000\nitem,7_000\nlocale,12")
    type_into(driver, "dim", "8")
    type_into(driver, "budget", "30x")
    found = shown(driver)
    tables = {"user": 50_000, "item": 7_000, "locale": 12}
    for method in ("robe", "tt", "fpd", "qr", "hash", "popularity"):
        layer = keras_pss.EmbeddingCollection(tables, 8, method, "30x")
        layer.build()
        assert found[method][0] == f"{layer.count_params():,}"
    # A row of each table, and a number for each of its ids.
    assert "needs a budget of at least 57," in found["memcom"][0]


def test_the_keyboard_chooses_a_method_and_its_code_runs(driver, address):
    driver.get(
        f"{address}/planner/#tables=user%2C50000%0Aitem%2C7000&budget=20kB"
    )
    driver.refresh()
    assert field(driver, "budget").get_attribute("value") == "20kB"
    first = driver.find_element(By.ID, "planner-method-robe")
    assert first.is_selected()
    first.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    chosen = driver.switch_to.active_element
    assert chosen.get_attribute("id") == "planner-method-tt"
    assert chosen.is_selected()
    code = field(driver, "python").get_attribute("textContent")
    scope = {}
    exec(code, scope)
    assert scope["tables"].method == "tt"
    scope["tables"].build()
    size = scope["tables"].count_params()
    assert shown(driver)["tt"][0] == f"{size:,}"
    rows = driver.find_elements(By.CSS_SELECTOR, "#planner-detail tr")
    assert [row.text.split()[0] for row in rows] == ["user", "item"]
    out = scope["tables"]({"user": np.array([1]), "item": np.array([6_999])})
    assert out.shape == (1, 2, 16)


def test_the_shell_lines_print_the_plan(driver, address, tmp_path):
    driver.get(f"{address}/planner/")
    field(driver, "example").click()
    lines = field(driver, "shell").get_attribute("textContent")
    assert shown(driver)["robe"][0] == "5,402,012"
    here = tmp_path / "keras-pss"
    here.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m keras_pss_cli "$@" --json\n'
    )
    here.chmod(0o755)
    printed = subprocess.run(
        ["sh", "-c", lines],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(printed.stdout)["plan"]
    assert plan["parameters"] == 5_402_012
    assert plan["method"] == "robe"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("budget", "0.5x", "The budget must be a ratio of at least 1"),
        ("dim", "0", "The dimension must be an integer from 1 to 65536"),
        ("tables", "user,many", "Line 1: “user,many” is no number of ids"),
    ],
)
def test_a_mistake_has_a_message_at_its_field(
    driver, address, name, text, message
):
    driver.get(f"{address}/planner/")
    type_into(driver, name, text)
    said = field(driver, f"{name}-error")
    WebDriverWait(driver, 10).until(lambda d: said.text)
    assert said.text.startswith(message)
    element = field(driver, name)
    assert element.get_attribute("aria-invalid") == "true"
    assert f"planner-{name}-error" in element.get_attribute("aria-describedby")
    assert not field(driver, "result").is_displayed()
    assert not failures(driver)


def test_each_control_of_the_planner_has_a_label(driver, address):
    driver.get(f"{address}/planner/")
    unnamed = driver.execute_script(
        """
        const controls = document.querySelectorAll(
          ".planner :is(input, textarea, select)");
        return [...controls].filter((c) => !c.labels.length).map((c) => c.id);
        """
    )
    assert unnamed == []


def contrast(driver, selector):
    """The smallest contrast of texts to their ground, as WCAG defines it."""
    return driver.execute_script(
        """
        const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
        const light = (color) => {
          const parts = numbers(color).slice(0, 3).map((c) => {
            const v = c / 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          });
          return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const over = (top, below) => {
          const [r, g, b, a = 1] = numbers(top);
          const [R, G, B] = numbers(below);
          return `rgb(${a * r + (1 - a) * R}, ${a * g + (1 - a) * G}, ` +
            `${a * b + (1 - a) * B})`;
        };
        const ground = (element) => {
          const own = getComputedStyle(element).backgroundColor;
          if (!element.parentElement) return over(own, "rgb(255, 255, 255)");
          return over(own, ground(element.parentElement));
        };
        const ratios = [...document.querySelectorAll(arguments[0])].map((e) => {
          const below = ground(e);
          const a = light(over(getComputedStyle(e).color, below));
          const b = light(below);
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        });
        return Math.min(...ratios);
        """,
        selector,
    )


def choose_scheme(driver, scheme):
    """Sets the colors, and waits until those of links have changed."""
    driver.execute_script(
        "document.body.setAttribute('data-md-color-scheme', arguments[0])",
        scheme,
    )
    WebDriverWait(driver, 10).until(
        lambda d: d.execute_script(
            "return !document.getAnimations().some("
            "(each) => each instanceof CSSTransition)"
        )
    )


@pytest.mark.parametrize("scheme", ["default", "slate"])
def test_texts_are_legible_in_light_and_dark(driver, address, scheme):
    driver.get(f"{address}/planner/")
    type_into(driver, "tables", "12,345")
    choose_scheme(driver, scheme)
    WebDriverWait(driver, 10).until(
        lambda d: field(d, "tables-error").text.startswith("Line 1")
    )
    # 4.5 is what WCAG asks of texts at level AA; hints are theme grey.
    assert contrast(driver, ".planner label, .planner .error") > 4.5
    assert contrast(driver, ".planner input, .planner textarea") > 4.5
    type_into(driver, "tables", "12 345")
    assert contrast(driver, ".sizes :is(td, th), .planner button") > 4.5
    for page, selector in {
        "methods/robe/": "article p, article li, article a:not(.headerlink)",
        "": "article p, article a:not(.headerlink), article a > code",
    }.items():
        driver.get(f"{address}/{page}")
        choose_scheme(driver, scheme)
        assert contrast(driver, selector) > 4.5


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_wider_than_a_phone(driver, address, page):
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        driver.get(f"{address}/{page}")
        wide = driver.execute_script(
            "return document.documentElement.scrollWidth"
        )
        assert wide <= 360
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_search_finds_a_method(driver, address):
    driver.get(f"{address}/")
    box = driver.find_element(By.CSS_SELECTOR, "input[name=query]")
    box.send_keys("tensor train")
    WebDriverWait(driver, 20).until(
        lambda d: d.find_elements(
            By.CSS_SELECTOR, ".md-search-result__link[href*='methods/tt']"
        )
    )
