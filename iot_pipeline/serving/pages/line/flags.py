"""The table of what was flagged on a line within the last hour."""

from collections.abc import Sequence

from iot_pipeline.live.model import LiveFlag
from iot_pipeline.serving.pages.line.view import name_of
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.grids import Cell, Column, LiveTable
from iot_pipeline.serving.pages.parts.inplace import show_if
from iot_pipeline.serving.pages.parts.markup import anchor, box, text
from iot_pipeline.serving.pages.parts.wording import format_value

SHOWN = 8


class Flags:
    """The newest flags, and how many more there are."""

    def __init__(self) -> None:
        with box("card"):
            with box("card-head"):
                text("Flags of the last hour", "card-title", tag="h2")
                anchor("All anomalies", "/anomalies", "link")
            columns = [
                Column("When", "time", form="time"),
                Column("Device", "link"),
                Column("Metric"),
                Column("Value", "num"),
                Column("Expected", "num"),
                Column("Why"),
            ]
            with box() as self._place:
                self._table = LiveTable(columns, label="Flags of the last hour")
            self._none = text("No reading of this line was flagged in the last hour.", "muted", tag="p")
            self._more = text("", "card-sub", tag="p")
            with box("origins"):
                links.dagster_asset("anomaly_flags")

    def show(self, found: Sequence[LiveFlag]) -> None:
        """Tell of flags, newest first."""
        self._table.show(
            [
                [
                    Cell(at=flag.event_ts),
                    Cell(name_of(flag.device_id), url=links.device_url(flag.device_id, metric=flag.metric)),
                    Cell(flag.metric),
                    Cell(format_value(flag.value, flag.unit)),
                    Cell(_expected(flag)),
                    Cell(flag.reason),
                ]
                for flag in found[:SHOWN]
            ]
        )
        show_if(self._none, not found)
        show_if(self._place, bool(found))
        more = len(found) - SHOWN
        self._more.text = f"and {more} more within the hour" if more > 0 else ""


def _expected(flag: LiveFlag) -> str:
    if flag.expected_low is None or flag.expected_high is None:
        return ""
    return f"{format_value(flag.expected_low)} to {format_value(flag.expected_high, flag.unit)}"
