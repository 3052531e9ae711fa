"""The page of a run in a real browser: no broken image, and nothing wider than the screen of a phone or a desktop.

Needs Debian's chromium and chromium-driver, and skips without them. The driver is spoken to in its own words (W3C
WebDriver), which takes no package.
"""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pyro_vds.cli import main as cli

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
pytestmark = pytest.mark.skipif(not (DRIVER and BROWSER), reason="chromium and chromium-driver are not installed")

SIZES = {"phone": (375, 667), "desktop": (1280, 800)}
MEASURE = """
const images = [...document.images];
const root = document.documentElement;
const scrolls = element => element.closest('.scroll');
const wide = [...document.body.querySelectorAll('*')].filter(
  e => !scrolls(e) && e.getBoundingClientRect().right > root.clientWidth + 1);
return {
  images: images.length,
  broken: images.filter(image => !image.complete || image.naturalWidth === 0).length,
  scrollWidth: root.scrollWidth,
  clientWidth: root.clientWidth,
  wide: wide.map(e => e.outerHTML.slice(0, 80)),
};
"""


class Chromium:
    """One headless browser, through its driver."""

    def __init__(self, port: int, profile: Path) -> None:
        self.base = f"http://127.0.0.1:{port}"
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
        ]  # fmt: skip
        options = {"binary": BROWSER, "args": flags}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.session = f"/session/{self.call('/session', wanted)['sessionId']}"

    def call(self, path: str, content: Any = None, method: str = "POST") -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page: Path, width: int, height: int) -> None:
        # A window may not be as narrow as a phone: the screen is emulated.
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": screen}
        self.call(f"{self.session}/goog/cdp/execute", command)
        self.call(f"{self.session}/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        return self.call(f"{self.session}/execute/sync", {"script": script, "args": []})

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call(f"{self.session}/screenshot", method="GET"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Chromium]:
    assert DRIVER is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            for _ in range(100):
                try:
                    chromium = Chromium(port, tmp_path_factory.mktemp("profile"))
                    break
                except urllib.error.URLError as error:
                    if isinstance(error, urllib.error.HTTPError):
                        raise
                    time.sleep(0.2)
            else:
                pytest.fail("chromedriver does not answer")
            yield chromium
            chromium.call(chromium.session, method="DELETE")
        finally:
            driver.terminate()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The pages of a run over depth, and of one over depth and width, whose tables are the widest."""
    torch.set_default_dtype(torch.float32)
    folder, pages = tmp_path_factory.mktemp("pages"), {}
    brief = ["--num-points", "60", "--max-epochs", "2", "--progress", "false"]
    for name, options in (("depth", []), ("width", ["--widths", "[2, 4, 8, 16]", "--max-depth", "3"])):
        cli.main(["fit", "spirals", *brief, *options, "--out", str(folder / name)])
        cli.main(["report", str(folder / name)])
        pages[name] = folder / name / "report.html"
    torch.set_default_dtype(torch.float64)
    return pages


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["depth", "width"])
def test_images_load_and_nothing_overflows(browser, pages, name, size, tmp_path):
    browser.open(pages[name], *SIZES[size])
    found = browser.run(MEASURE)
    assert found["images"] >= 3
    assert found["broken"] == 0
    assert SIZES[size][0] - 20 <= found["clientWidth"] <= SIZES[size][0]  # a scroll bar beside the page
    assert found["scrollWidth"] <= found["clientWidth"]
    assert found["wide"] == []
    assert browser.screenshot().startswith(b"\x89PNG")


READABLE = """
const luminance = colour => {
  const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255);
  const linear = parts.map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const page = luminance(getComputedStyle(document.body).backgroundColor);
const contrast = element => {
  const own = luminance(getComputedStyle(element).color);
  return (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05);
};
const words = [...document.querySelectorAll('h1, h2, p:not(.note), a, td, th, caption, figcaption')];
return {
  page: page,
  contrast: Math.min(...words.map(contrast)),
  cards: [...document.querySelectorAll('.picture')].map(e => luminance(getComputedStyle(e).backgroundColor)),
  inches: [...document.images].map(image => image.getBoundingClientRect().width / (image.naturalWidth / 150)),
};
"""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_figures_are_readable_in_light_and_dark(browser, pages, theme, size):
    """Contrast of at least 4.5 (WCAG AA); figures lie on white; their text of 10 points has at least 8 pixels."""
    features = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.call(f"{browser.session}/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": features})
    browser.open(pages["depth"], *SIZES[size])
    found = browser.run(READABLE)
    assert (found["page"] < 0.05) == (theme == "dark")
    assert found["contrast"] >= 4.5
    assert found["cards"] == [1, 1, 1, 1]
    assert min(found["inches"]) * 10 / 72 > 8


def test_a_broken_and_wide_page_is_noticed(browser, tmp_path):
    """The control: the checks above can fail."""
    page = tmp_path / "broken.html"
    page.write_text('<!DOCTYPE html><img src="none.png"><div style="width: 3000px">wide</div>')
    browser.open(page, *SIZES["phone"])
    found = browser.run(MEASURE)
    assert found["broken"] == 1
    assert len(found["wide"]) == 1
    assert found["scrollWidth"] > SIZES["phone"][0]
