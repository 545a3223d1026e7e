"""Debian's Chromium, and the built site on a port of this machine."""

import functools
import json
import os
import shutil
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SITE = Path(os.environ.get("SITE", Path(__file__).parents[1] / "site"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """Serves a folder; gives its address."""
    handler = functools.partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def chromium(profile, width=1280, height=1400):
    """A browser that logs what its pages print and request.

    Args:
        profile: An empty folder.
        width, height: The size of the window, in pixels.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium")
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
    ):
        options.add_argument(flag)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    driver = webdriver.Chrome(options, Service(found("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def found(program):
    path = shutil.which(program)
    assert path, f"Install {program}: apt-get install chromium chromium-driver"
    return path


def requests(driver):
    """The addresses that the pages have asked for since the last call."""
    logged = driver.get_log("performance")
    messages = [json.loads(entry["message"])["message"] for entry in logged]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def failures(driver):
    """Errors and warnings that the pages have printed since the last call."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]
