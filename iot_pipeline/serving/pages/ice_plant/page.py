"""The page of the ice plant: its circuit with live measures, and the measures of each device by period.

What it shows is computed in `ice_plant/view.py`; the drawing is `ice_plant/svg.py`.
"""

from collections.abc import Sequence

import polars as pl
from nicegui import ui

from iot_pipeline.clock import utc_now
from iot_pipeline.serving import history
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.ice_plant import view
from iot_pipeline.serving.pages.ice_plant.measures import MeasuresCard
from iot_pipeline.serving.pages.ice_plant.places import PLACES
from iot_pipeline.serving.pages.ice_plant.svg import NARROW, WIDE, Layout, drawing
from iot_pipeline.serving.pages.parts import links, states
from iot_pipeline.serving.pages.parts.inplace import Clock, put, put_class, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.refresh import every
from iot_pipeline.serving.pages.parts.wording import format_duration
from iot_pipeline.serving.pages.sheets import sheet
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA

LIVE_SECONDS = 1.0
DEVICES_SECONDS = 15.0
MOST_DEVICES = 1_000
_PILLS = {"online": "ok", "offline": "bad", "stale": "warn", "mixed": "warn", "unknown": ""}
_LEGEND = ("fine", "outside", "flagged", "stale")


def register(context: shell.PageContext) -> None:
    """Serve the page; `node` chooses one of several edge nodes."""

    @ui.page("/ice-plant")
    def ice_plant(node: str = "") -> None:
        with shell.frame(context, title="Ice plant", active="ice-plant"):
            sheet("plants")
            page = _Page(context, node)
            page.look()
            every(LIVE_SECONDS, page.look, at_once=False)
            every(DEVICES_SECONDS, page.look_at_devices)


class _Page:
    """The elements of the page for one viewer."""

    def __init__(self, context: shell.PageContext, node: str) -> None:
        self._context, self._asked = context, node
        self._devices = pl.DataFrame(schema=DIM_DEVICE_SCHEMA)
        self._nodes: list[str] = []
        with box("row"):
            self._state = text("unknown", "pill")
            self._told = text("", "muted")
            self._since = Clock(None, "full", none="")
            self._nodes_box = box("row", tag="nav", aria_label="Edge nodes")
        self._empty = box("hidden")
        with self._empty:
            states.empty(
                "No ice plant has said anything yet.",
                "Devices appear by themselves, a second or two after their first message.",
            )
        self._plant = box("card")
        with self._plant:
            with box("card-head"):
                text("Refrigeration circuit", "card-title", tag="h2")
                self._summary = text("", "pill", role="status")
            with box("plant-stage"):
                self._tags = [_Tags(layout) for layout in (WIDE, NARROW)]
            with box("row plant-legend"):
                for name in _LEGEND:
                    with box("row plant-key"):
                        box(f"plant-swatch is-{name}", aria_hidden="true")
                        text(view.WORDS[view.Condition(name)], "muted")
            self._further = text("", "muted hidden", tag="p")
            with box("origins"):
                text("live figures, from")
                links.dagster_asset("readings")
                text("edge node and descriptions from")
                links.dbt_model("dim_device")
        self._measures = MeasuresCard(context)

    @property
    def _node(self) -> str:
        return self._asked if self._asked in self._nodes or not self._nodes else self._nodes[0]

    async def look_at_devices(self) -> None:
        """What is published of the devices; and the figures by period."""
        try:
            self._devices = await self._context.workers.run(
                history.devices_page, self._context.paths, fleet=view.FLEET, limit=MOST_DEVICES
            )
        except history.NotPublished:
            self._devices = pl.DataFrame(schema=DIM_DEVICE_SCHEMA)
        self._find_nodes()
        await self._measures.look(self._node)

    def look(self) -> None:
        """The live measures."""
        now = utc_now()
        live = self._context.live
        self._find_nodes()
        readings = live.latest_of_fleet(view.FLEET, limit=MOST_DEVICES)
        flags = live.flags(since=now - view.FLAGGED_FOR, limit=MOST_DEVICES)
        plant = view.plant_view(self._node, readings, self._devices, flags, now)
        show_if(self._empty, not self._nodes)
        show_if(self._plant, bool(self._nodes))
        self._show_node(plant.node)
        put(self._summary, plant.summary)
        put_class(self._summary, "pill-", "ok" if plant.is_fine else "warn")
        for tags in self._tags:
            tags.show(plant.measures)
        show_if(self._further, bool(plant.further))
        put(self._further, "Not on the drawing: " + ", ".join(_sentence(one) for one in plant.further))
        self._measures.draw_last_hour(plant, now)

    def _show_node(self, node: view.NodeState) -> None:
        put(self._state, f"{node.node or 'edge node'}: {node.state}", title=node.told)
        put_class(self._state, "pill-", _PILLS.get(node.state, "") or "none")
        put(self._told, "since" if node.since else node.told)
        self._since.show(node.since)

    def _find_nodes(self) -> None:
        heard = self._context.live.devices(fleet=view.FLEET, prefix=None, limit=MOST_DEVICES, after=None)
        nodes = view.nodes_of([*heard, *self._devices["device_id"].to_list()])
        if nodes == self._nodes:
            return
        self._nodes = nodes
        self._nodes_box.clear()
        if len(nodes) > 1:
            with self._nodes_box:
                for node in nodes:
                    link = Tag("a", node, "link", href=links.page_url("/ice-plant", node=node))
                    if node == self._node:
                        link.set(aria_current="page")


class _Tags:
    """The measures on one layout of the drawing."""

    def __init__(self, layout: Layout) -> None:
        self._tags: dict[str, tuple[Tag, Tag, Tag, Tag]] = {}
        with box(f"plant plant-{layout.name}").style(f"aspect-ratio: {layout.width} / {layout.height}"):
            ui.html(drawing(layout), sanitize=False)
            for place in PLACES:
                left, top = layout.position(place.key)
                tag = box("plant-tag is-missing", tag="a").style(f"left: {left:.3f}%; top: {top:.3f}%")
                with tag:
                    text(place.caption, "plant-caption")
                    with box("plant-measure", tag="span"):
                        number = text("", "plant-number num")
                        unit = text("", "plant-unit")
                    foot = text("", "plant-foot num")
                self._tags[place.key] = (tag, number, unit, foot)

    def show(self, measures: Sequence[view.Measure]) -> None:
        for measure in measures:
            if measure.place is None:
                continue
            tag, number, unit, foot = self._tags[measure.place.key]
            put(number, measure.number)
            put(unit, measure.place.short_unit if measure.unit == measure.place.unit else measure.unit)
            put(foot, _foot(measure))
            put_class(tag, "is-", measure.condition)
            url = None if measure.device_id is None else links.device_url(measure.device_id)
            put(tag, href=url, title=f"{measure.title}. {measure.told}", aria_label=_sentence(measure))


def _foot(measure: view.Measure) -> str:
    age = "" if measure.age is None else f"{format_duration(measure.age)} ago"
    if measure.condition in (view.Condition.FINE, view.Condition.UNKNOWN):
        return age
    word = view.WORDS[measure.condition]
    return f"{word} · {age}" if age else word


def _sentence(measure: view.Measure) -> str:
    word = view.WORDS[measure.condition]
    return f"{measure.title}: {measure.number} {measure.unit}{', ' if word else ''}{word}"
