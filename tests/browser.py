"""Debian's Chromium, and the built site on a port of this machine."""

import functools
import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SITE = Path(os.environ.get("SITE", Path(__file__).parents[1] / "site"))

PATIENCE = 300  # seconds


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

    It is started here rather than by its driver, which gives up after a
    minute, as it may take on a busy machine.

    Args:
        profile: Path of an empty folder.
        width, height: The size of the window, in pixels.
    """
    command = [
        found("chromium"),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        f"--window-size={width},{height}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:
        try:
            options = webdriver.ChromeOptions()
            options.debugger_address = f"127.0.0.1:{port(profile, browser)}"
            options.set_capability(
                "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
            )
            driver = webdriver.Chrome(options, Service(found("chromedriver")))
            try:
                yield driver
            finally:
                driver.quit()
        finally:
            browser.terminate()


def port(profile, browser):
    """The port of the browser's debugger, which it writes when it is ready."""
    file = Path(profile) / "DevToolsActivePort"
    end = time.monotonic() + PATIENCE
    while not file.is_file() or not file.read_text().strip():
        assert browser.poll() is None, "Chromium has ended"
        assert time.monotonic() < end, "Chromium does not start"
        time.sleep(0.1)
    return file.read_text().split()[0]


def found(program):
    path = shutil.which(program)
    assert path, f"Install {program}: apt-get install chromium chromium-driver"
    return path


def requests(driver):
    """Addresses of servers that the pages have asked since the last call."""
    logged = driver.get_log("performance")
    messages = [json.loads(entry["message"])["message"] for entry in logged]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if url.startswith(("http", "ws"))]


def failures(driver):
    """Errors and warnings that the pages have printed since the last call."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]
