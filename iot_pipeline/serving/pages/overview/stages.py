"""The stages of the pipeline as a list: how far each is complete, and how far behind. Computed in `view.py`."""

from collections.abc import Sequence

from iot_pipeline.serving.pages.overview.view import Level, Stage
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.markup import Tag, anchor, box, text
from iot_pipeline.serving.pages.parts.times import instant
from iot_pipeline.serving.pages.parts.wording import format_duration

DOTS = {Level.ok: "dot-ok", Level.warn: "dot-warn", Level.bad: "dot-bad", Level.unknown: ""}
"""The class of the dot of each level."""


def draw_stages(place: Tag, stages: Sequence[Stage], *, after: str = "") -> None:
    """Draw `stages` into the list `place`, in place of what it has; `after` follows how far each is behind."""
    place.clear()
    with place:
        for stage in stages:
            with box("stage", tag="li", title=stage.what):
                box(f"dot {DOTS[stage.level]}", tag="span", aria_hidden="true")
                if stage.asset:
                    anchor(stage.name, links.dagster_url(stage.asset), "stage-name", target="_blank", rel="noopener")
                else:
                    text(stage.name, "stage-name")
                with box("stage-last muted", tag="span"):
                    if stage.last is None:
                        text("nothing yet")
                    else:
                        text("complete to ")
                        instant(stage.last, "time")
                behind = None if stage.behind is None else max(stage.behind.total_seconds(), 0)
                text("" if behind is None else f"{format_duration(behind)}{after}", "num stage-behind")
