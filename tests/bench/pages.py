"""How long a person waits for a page of a server that knows many devices, with nothing in the browser's cache."""

import time
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.settings import load_settings
from tests.bench.figures import Figure, percentile
from tests.pages.world import flag, live_of, publish
from tests.product.browser import ARGUMENTS, CHROMIUM
from tests.serving.served import serving

DEVICES = 2_000
FLAGGED = 200
REPEATS = 7
LIMIT_MS = 1_500.0
# What has to be on the screen before a page counts as shown.
PAGES = {"/": ".verdict-headline", "/device?id=device-0007": ".chart-canvas canvas", "/anomalies": ".inbox-row"}


def pages(folder: Path) -> list[Figure]:
    """Cold: a new browser profile each time, so every script is fetched and compiled anew. Medians and the worst."""
    settings = load_settings(data=folder / "pages")
    names = [f"device-{index:04}" for index in range(DEVICES)]
    publish(settings, *names[:50])
    flags = tuple(flag(name, timedelta(minutes=5)) for name in names[:FLAGGED])
    live: LiveView = live_of(*names, flags=flags)
    figures = []
    with serving(settings, live) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            for path, seen in PAGES.items():
                spent = [cold(browser, str(server.base_url), path, seen) for _ in range(REPEATS)]
                told = f"{DEVICES} devices, empty cache, until {seen} is shown; worst {max(spent):.0f} ms"
                figures.append(
                    Figure(f"page {path.partition('?')[0]} cold", percentile(spent, 0.5), "ms", LIMIT_MS, told)
                )
        finally:
            browser.close()
    return figures


def cold(browser: Browser, base: str, path: str, seen: str) -> float:
    """Milliseconds from asking for a page to seeing it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        began = time.perf_counter()
        page.goto(base + path, wait_until="commit")
        page.locator(seen).first.wait_for(state="visible", timeout=30_000)
        return (time.perf_counter() - began) * 1000
    finally:
        context.close()
