"""A real browser that looks at TensorBoard's pages, where Chromium and playwright are installed."""

from __future__ import annotations

import io
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """Headless Chromium at one server's pages, from ``with`` to the end of the block.

    Args:
        url: the server's.
        tags: a regular expression for the tags to show on the Time Series page.

    Skips the test where there is no Chromium, or no playwright to drive it.
    """

    def __init__(self, url: str, tags: str = "") -> None:
        if _CHROMIUM is None:
            pytest.skip("no chromium on PATH")
        self._playwright = pytest.importorskip("playwright.sync_api").sync_playwright()
        self._url = url
        self._tags = tags
        self._dashboard = ""
        self.page: Any = None

    def __enter__(self) -> Browser:
        self._chromium = self._playwright.__enter__().chromium
        self._launch()
        return self

    def _launch(self) -> None:
        arguments = ["--no-sandbox", "--disable-gpu"]
        self._browser = self._chromium.launch(executable_path=_CHROMIUM, args=arguments)
        self.page = self._browser.new_page(viewport={"width": 1300, "height": 1600})

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._playwright.__exit__()

    def open(self, dashboard: str, anew: bool = False) -> None:
        """Show a page, such as ``images``, unless it is there already.

        With `anew`, in a new browser: the old one goes on drawing the pages that it had.
        """
        if anew:
            self._browser.close()
            self._launch()
        if anew or not self._dashboard:
            # Time Series draws cards that are not asked for as well, which takes seconds.
            self.page.goto(f"{self._url}?darkMode=false&tagFilter={self._tags}#{dashboard}")
        elif dashboard != self._dashboard:
            # Not goto(): that loads everything anew.
            self.page.evaluate("hash => { location.hash = hash; }", dashboard)
        self._dashboard = dashboard

    def find(self, card: str, text: str, part: str) -> Any:
        """Return the first `part`, once it is visible, of the first `card` that has the text."""
        cards = self.page.locator(card).filter(has_text=text)
        found = cards.locator(part).first
        found.wait_for(timeout=15_000)
        return found


def is_drawn(element: Any) -> bool:
    """Tell whether an element has colours: a chart without data is grey lines on white."""
    with Image.open(io.BytesIO(element.screenshot())) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return bool((np.ptp(pixels, axis=-1) > 25).sum() > 20)
