"""One Chromium for all tests of pages, and viewers in it that write down everything a page complains about."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, expect, sync_playwright

from tests.product.browser import ARGUMENTS, CHROMIUM
from tests.serving.served import Served

# For a busy machine; nothing here waits for time to pass.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
# What a browser says of a connection that a test cut on purpose.
CUT = (
    "WebSocket connection to",
    "WebSocket is already in CLOSING or CLOSED state",
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_CONNECTION_RESET",
    "ERR_EMPTY_RESPONSE",
)


@dataclass
class Viewer:
    """One tab that looks at one server."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    patient: bool = False
    """A cut connection is no complaint."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        # Whatever is not asked of the server itself is not to be had, as without a network.
        self.page.route("**/*", self._only_own)

    def go(self, path: str, *texts: str) -> Page:
        """Open a page and wait until it is connected and shows `texts`."""
        self.page.goto(self.base + path)
        self.page.wait_for_function("window.did_handshake === true")
        for text in texts:
            expect(self.page.get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)
        return self.page

    def see(self, selector: str) -> Locator:
        """What a CSS selector finds."""
        return self.page.locator(selector)

    @property
    def too_wide(self) -> int:
        """Pixels that the page is wider than its window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return max(0, width)

    def leave(self) -> None:
        """Close the tab; a second time does nothing."""
        if not self.page.is_closed():
            self.page.context.close()

    def _console(self, message: ConsoleMessage) -> None:
        cut = self.patient and any(one in message.text for one in CUT)
        if message.type == "error" and not cut:
            self.complaints.append(f"console: {message.text}")

    def _only_own(self, route: Route, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"data", "blob"} or parts.netloc == urlsplit(self.base).netloc:
            route.continue_()
        else:
            self.outside.append(request.url)
            route.abort()


# No longer than a file: while Playwright's loop runs in the main thread nothing else can run one there, and other tests
# of the same worker do.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Skips where there is none, unless CI says that there must be one."""
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not there; on Debian install the package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


OpenViewer = Callable[..., Viewer]


@pytest.fixture
def viewer(chromium: Browser) -> Iterator[OpenViewer]:
    """`viewer(server, width=390, dark=True, zone="Asia/Tokyo")`: a tab of its own.

    At the end no tab may have complained, and none may have asked anybody but its server.
    """
    opened: list[Viewer] = []

    def open_viewer(
        server: Served | str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        zone: str = "Europe/Zurich",
        **options: object,
    ) -> Viewer:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            timezone_id=zone,
            **options,  # type: ignore[arg-type]  # Playwright checks them
        )
        base = server if isinstance(server, str) else str(server.base_url)
        one = Viewer(context.new_page(), base.rstrip("/"))
        opened.append(one)
        if isinstance(server, Served):
            # A page that is still connected, or connecting, complains of a server that stops.
            server.before_stop.callback(one.leave)
        return one

    yield open_viewer
    for one in opened:
        one.leave()
    assert [complaint for one in opened for complaint in one.complaints] == []
    assert [address for one in opened for address in one.outside] == []
