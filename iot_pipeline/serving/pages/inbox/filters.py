"""The row of filters of the inbox, and how it stands in the address. What a filter lets through is `inbox/view.py`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.feedback import FeedbackLabel
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.serving.pages.inbox import data, view
from iot_pipeline.serving.pages.overview.view import fleet_title
from iot_pipeline.serving.pages.parts.browser import replace_address
from iot_pipeline.serving.pages.parts.controls import LONGEST_TEXT, Chosen, choice, text_field
from iot_pipeline.serving.pages.parts.markup import Tag

_ANY = ""


class Narrow(Protocol):
    """What is told of a choice: fields of `view.Filter` and what they are now."""

    def __call__(self, **changes: object) -> None:
        """Take it."""


def asked(parameters: Mapping[str, str]) -> tuple[view.Filter, str]:
    """The filter and the key of the range (`data.RANGES`) in an address; what is unknown there is not asked for."""
    chosen = view.Filter(
        fleet=parameters.get("fleet") or None,
        device=parameters.get("device", "")[:LONGEST_TEXT] or None,
        detector=parameters.get("detector") or None,
        type=next((one for one in FlagType if one.value == parameters.get("type")), None),
        severity=next((one for one in Severity if one.value == parameters.get("severity")), None),
        label=parameters.get("label", "open") or None,
    )
    span = parameters.get("range", "")
    return chosen, span if span in data.RANGES else "1h"


def remember(chosen: view.Filter, span: str) -> None:
    """Put both into the address of the page, as `asked` reads them."""
    replace_address(
        "/anomalies",
        range=span,
        label=chosen.label or "",
        severity=chosen.severity.value if chosen.severity else None,
        fleet=chosen.fleet,
        detector=chosen.detector,
        type=chosen.type.value if chosen.type else None,
        device=chosen.device,
    )


def choices(entries: Sequence[view.Entry]) -> tuple[list[str], list[FlagType], list[str]]:
    """What can be chosen besides what is the same for all entries: detectors, types, fleets."""
    fleets = sorted({entry.fleet for entry in entries if entry.fleet})
    return view.detectors_of(entries), view.types_of(entries), fleets


def draw(
    place: Tag, entries: Sequence[view.Entry], chosen: view.Filter, span: str, *, narrow: Narrow, choose_span: Chosen
) -> None:
    """Draw the filters anew in `place`; what is chosen can be seen there even when no entry has it."""
    detectors, types, fleets = choices(entries)
    types = [one for one in FlagType if one in {*types, chosen.type}]
    fleets = sorted({*fleets, *([chosen.fleet] if chosen.fleet else [])})
    detectors = sorted({*detectors, *([chosen.detector] if chosen.detector else [])})
    place.clear()
    with place:
        choice("Time", [(key, words) for key, (words, _) in data.RANGES.items()], span, choose_span)
        choice(
            "State",
            [
                ("open", "open"),
                ("done", "done"),
                *((one.value, view.label_text(one)) for one in FeedbackLabel),
                (_ANY, "all"),
            ],
            chosen.label or _ANY,
            lambda value: narrow(label=value or None),
        )
        choice(
            "Severity",
            [(_ANY, "any"), *((one.value, one.value) for one in reversed(Severity))],
            chosen.severity.value if chosen.severity else _ANY,
            lambda value: narrow(severity=Severity(value) if value else None),
        )
        choice(
            "Type",
            [(_ANY, "any"), *((one.value, one.value) for one in types)],
            chosen.type.value if chosen.type else _ANY,
            lambda value: narrow(type=FlagType(value) if value else None),
        )
        choice(
            "Fleet",
            [(_ANY, "any"), *((one, fleet_title(one)) for one in fleets)],
            chosen.fleet or _ANY,
            lambda value: narrow(fleet=value or None),
        )
        choice(
            "Detector",
            [(_ANY, "any"), *((one, one) for one in detectors)],
            chosen.detector or _ANY,
            lambda value: narrow(detector=value or None),
        )
        text_field(
            "Device",
            chosen.device or "",
            lambda value: narrow(device=value.strip() or None),
            placeholder="part of its name",
            classes="grow",
        )
