"""What every page has around it: navigation, search, how the live layer is, keyboard, light and dark, data age.

No page's own content here. What happens only in the browser is `static/iot.js`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from nicegui import ui

from iot_pipeline.clock import utc_now
from iot_pipeline.live.model import LiveState, LiveStatus
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.markup import Tag, anchor, box, text
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_duration
from iot_pipeline.settings import Settings

STATUS_SECONDS = 2.0
SUGGESTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """What pages ask: the live layer directly (it never waits), everything that blocks through `workers.run`."""

    settings: Settings
    paths: DataPaths
    live: LiveView
    workers: Workers


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation; `key` after `g` is its shortcut."""

    name: str
    label: str
    url: str
    key: str = ""
    outside: bool = False


def navigation() -> dict[str, tuple[Entry, ...]]:
    """The navigation in its groups."""
    return {
        "Now": (
            Entry("overview", "Overview", "/", "o"),
            Entry("anomalies", "Anomalies", "/anomalies", "a"),
            Entry("quality", "Data quality", "/quality", "q"),
        ),
        "Fleets": (
            Entry("ice-plant", "Ice plant", "/ice-plant", "i"),
            Entry("weather", "Weather", "/weather", "w"),
            Entry("utility", "Utility", "/utility", "u"),
            Entry("line", "Line", "/line", "l"),
            Entry("states", "States", "/states", "s"),
        ),
        "Behind": (
            Entry("api", "Reports and API", links.API_DOCS, "r"),
            Entry("dbt", "dbt docs", links.DBT_DOCS, "d", outside=True),
            Entry("dagster", "Dagster", links.dagster_url(), "p", outside=True),
        ),
    }


def _digest() -> str:
    static = Path(__file__).parent / "static"
    return sha256(b"".join(path.read_bytes() for path in sorted(static.iterdir()))).hexdigest()[:12]


# The address changes with the content, so that a browser may keep it for ever.
ASSETS = f"/assets/{_digest()}"


@contextmanager
def frame(
    context: PageContext | None, *, title: str, active: str, crumbs: Sequence[tuple[str, str]] = ()
) -> Iterator[None]:
    """Everything around a page; its content is made inside the block.

    Args:
        context: None on pages about errors, which ask nobody anything.
        title: heading of the page, and of the browser's tab.
        active: `Entry.name` of the navigation that is shown as chosen.
        crumbs: (label, url) of the pages above this one.
    """
    ui.context.client.title = f"{title} · iot-pipeline"
    ui.add_head_html(
        f'<meta name="color-scheme" content="light dark"><script src="{ASSETS}/theme.js"></script>'
        f'<link rel="stylesheet" href="{ASSETS}/iot.css"><script type="module" src="{ASSETS}/iot.js"></script>'
    )
    anchor("Skip to content", "#main", "skip")
    with box("app"):
        _header(context)
        _navigation(active)
        with box("page"):
            if context is not None:
                _banner(context)
            with box("content", tag="main", id="main", tabindex=-1):
                with box("page-head"):
                    if crumbs:
                        with box("crumbs", tag="nav", aria_label="Breadcrumbs"):
                            for label, url in crumbs:
                                anchor(label, url)
                                text("/", "muted", aria_hidden="true")
                    text(title, "title", tag="h1")
                yield
            _footer(context)
    _shortcuts()


def _header(context: PageContext | None) -> None:
    with box("header", tag="header"):
        with Tag("button", "", "icon-button menu-button", type="button", data_action="menu", aria_label="Menu"):
            box("icon icon-menu")
        with Tag("a", "", "brand", href="/", aria_label="iot-pipeline, overview"):
            box("brand-mark")
            text("iot-pipeline", "brand-name")
        _search(context)
        with Tag(
            "button", "", "icon-button", type="button", data_action="theme", aria_label="Light, dark or automatic"
        ):
            box("icon icon-theme")
        with Tag("button", "", "icon-button wide-only", type="button", data_action="help", aria_label="Keyboard"):
            text("?", "icon-text", aria_hidden="true")


def _search(context: PageContext | None) -> None:
    with box("search", tag="form", action="/device", method="get", role="search"):
        box("icon icon-search", aria_hidden="true")
        field = Tag(
            "input",
            type="search",
            name="id",
            placeholder="Find a device",
            autocomplete="off",
            spellcheck="false",
            aria_label="Find a device by the beginning of its name",
            id="device-search",
        )
        found = box("suggestions hidden", role="listbox", aria_label="Devices")
    if context is None:
        return

    shown: list[str] = []

    def suggest(prefix: str) -> None:
        names = context.live.devices(fleet=None, prefix=prefix, limit=SUGGESTIONS, after=None) if prefix else []
        if names and names == shown:
            return  # Whoever is in the list with the arrow keys already stays there.
        shown[:] = names
        found.clear()
        found.classes(remove="hidden") if prefix else found.classes(add="hidden")
        with found:
            for name in names:
                anchor(name, links.device_url(name), "suggestion", role="option")
            if prefix and not names:
                text("No device heard lately begins so; Enter looks for the exact name.", "suggestion muted")

    field.on("input", lambda event: suggest(str(event.args)[:1024]), throttle=0.15, js_handler=_EMIT_VALUE)


_EMIT_VALUE = "(event) => emit(event.target.value)"


def _navigation(active: str) -> None:
    with box("sidebar", tag="nav", aria_label="Pages", id="sidebar"):
        for group, entries in navigation().items():
            text(group, "nav-group")
            for entry in entries:
                link = anchor(entry.label, entry.url, "nav-link", data_key=entry.key)
                if entry.outside:
                    link.set(target="_blank", rel="noopener").classes("nav-outside")
                if entry.name == active:
                    link.set(aria_current="page")


def banner_text(status: LiveStatus) -> str:
    """What a viewer has to know about the live layer; empty when all is well."""
    if status.state is LiveState.REBUILDING:
        return (
            f"Live figures are being rebuilt from what has landed, {status.progress:.0%} done. "
            "They fill in by themselves; published figures are complete."
        )
    if status.state is LiveState.STALE:
        reason = f": {status.error}" if status.error else ""
        return (
            f"Live figures are behind by {format_duration(status.visible_lag_seconds)}{reason}. "
            "They catch up by themselves as soon as landing can be followed."
        )
    return ""


def _banner(context: PageContext) -> None:
    banner = box("banner", role="status")

    def look() -> None:
        told = banner_text(context.live.status())
        if banner.text != told:
            banner.text = told
        banner.classes(add="" if told else "hidden", remove="hidden" if told else "")

    look()
    every(STATUS_SECONDS, look, at_once=False)


def _footer(context: PageContext | None) -> None:
    with box("footer", tag="footer"):
        if context is not None:
            age = box("footer-age", tag="span")

            def look() -> None:
                status = context.live.status()
                newest = max(
                    (one.newest_event_ts for one in context.live.fleets() if one.newest_event_ts), default=None
                )
                age.clear()
                with age:
                    text("Newest reading ")
                    instant(newest, "ago", none="none yet")
                    text(f" · landed to visible in {format_duration(status.visible_lag_seconds)}")

            look()
            every(5.0, look, at_once=False)
        with box("footer-right", tag="span"):
            text("Times in ")
            Tag("iot-zone", "", title=f"Server time {utc_now():%H:%M} UTC when this page was opened")
            text(f" · version {version('iot-pipeline')}")


def _shortcuts() -> None:
    with box("help", tag="dialog", id="help", aria_label="Keyboard"):
        text("Keyboard", "card-title", tag="h2")
        with box("keys", tag="dl"):
            listed = [("/", "Find a device"), ("?", "This list"), ("Esc", "Close")]
            listed += [(f"g {one.key}", one.label) for group in navigation().values() for one in group if one.key]
            for key, meaning in listed:
                with box("key-row"):
                    with box("", tag="dt"):
                        for part in key.split():
                            text(part, "key", tag="kbd")
                    text(meaning, tag="dd")
        Tag("button", "Close", "button", type="button", data_action="close-help")
