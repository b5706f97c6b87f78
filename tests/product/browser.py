"""A browser for tests: Debian's Chromium, quiet, with everything it complains about written down."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 20_000


@dataclass
class Browser:
    """One tab, and what it had to complain about."""

    page: Page
    base: str
    shots: Path
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._request)

    def open(self, address: str, *texts: str, shot: str) -> str:
        """Open a page, wait until it shows all `texts`, take a picture, and return all its visible text.

        A page is opened anew until it shows them: some of them ask once and are not told what comes later.
        """
        try:
            for last in (False, False, True):
                self.page.goto(self.base + address)
                try:
                    for text in texts:
                        expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)
                    break
                except AssertionError:
                    if last:
                        raise
        finally:
            self.page.screenshot(path=self.shots / f"{shot}.png")
        return self.page.inner_text("body")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != urlsplit(self.base).netloc:
            self.complaints.append(f"asked another host: {request.url}")


@contextmanager
def chromium(base: str, shots: Path) -> Iterator[Browser]:
    """A browser on `base`. Skips the test where there is no Chromium, unless CI says that there must be one."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not there; on Debian install the package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield Browser(browser.new_page(viewport={"width": 1600, "height": 2200}), base, shots)
        finally:
            browser.close()
