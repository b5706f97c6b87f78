"""The card of one utility on the country's page: its regions beside each other, changed in place."""

from iot_pipeline.serving.pages.country.view import RegionNow, UtilityNow
from iot_pipeline.serving.pages.customer.card import tone_class
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.inplace import Clock, put
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, decimals, format_count, format_unit

_REGION_TONES = ("--c1", "--c2", "--c3", "--c4", "--c5", "--c6")


def region_tone(at: int) -> str:
    """The colour of the region at that place, a CSS variable."""
    return _REGION_TONES[at % len(_REGION_TONES)]


class RegionsCard:
    """Built for a utility and its regions; `show` changes the figures."""

    def __init__(self, now: UtilityNow) -> None:
        with box(f"card use-card {tone_class(now.utility)}"):
            with box("card-head"):
                with box("row"):
                    box("tone-dot", tag="span", aria_hidden="true")
                    text(now.utility.capitalize(), "card-title", tag="h2")
                self._meters = text("", "card-sub num")
            with box("use-now"):
                self._rate = text("", "use-now-number num", data_role="rate")
                text(format_unit(now.rate_unit), "use-now-unit")
                text("now", "muted")
            label = f"{now.utility} by region"
            with box("table-wrap", tabindex=0, role="region", aria_label=label), box("table tight", tag="table"):
                self._head(now)
                with box(tag="tbody"):
                    self._rows = [_Row(row.region) for row in now.regions]
                with box(tag="tfoot"), box(tag="tr"):
                    text("Country", tag="th", scope="row")
                    self._total_rate = text("", "num", tag="td")
                    self._total_share = text("", "num", tag="td")
                    self._total_used = text("", "num", tag="td", data_role="used")
                    self._total_meters = text("", "num", tag="td")
            with box("origins"):
                text("Newest reading")
                self._age = Clock(now.newest, "ago")
                links.dagster_asset("region_usage_hour")

    def _head(self, now: UtilityNow) -> None:
        with box(tag="thead"), box(tag="tr"):
            text("Region", tag="th", scope="col")
            _heading("Now", format_unit(now.rate_unit), "What is drawn now: the newest rates")
            _heading("Share", "%", "Of what the country draws now")
            _heading("This hour", format_unit(now.unit), "Used since the hour began, by the registers")
            _heading("Meters", "heard", "In the last five minutes")

    def show(self, now: UtilityNow) -> None:
        """Tell of `now`, which has the same regions."""
        put(self._meters, f"{format_count(now.meters)} meters heard")
        put(self._rate, three(now.rate))
        put(self._total_rate, three(now.rate))
        put(self._total_share, "100.0" if any(row.share is not None for row in now.regions) else NO_VALUE)
        put(self._total_used, three(now.used))
        put(self._total_meters, format_count(now.meters))
        self._age.show(now.newest)
        for row, told in zip(self._rows, now.regions, strict=True):
            row.show(told)


def _heading(label: str, unit: str, told: str) -> None:
    with box("num", tag="th", scope="col", title=told):
        text(label)
        text(unit, "unit-line")


class _Row:
    """A region."""

    def __init__(self, region: str) -> None:
        with box(tag="tr", data_region=region):
            with box(tag="th", scope="row"):
                text(region)
                with box("meter-bar", aria_hidden="true"):
                    self._bar: Tag = box()
            self._rate = text("", "num", tag="td")
            self._share = text("", "num", tag="td")
            self._used = text("", "num", tag="td")
            self._meters = text("", "num", tag="td")
        self._width = ""

    def show(self, row: RegionNow) -> None:
        """Change the figures."""
        put(self._rate, three(row.rate))
        put(self._share, NO_VALUE if row.share is None else f"{row.share:.1f}")
        put(self._used, three(row.used))
        put(self._meters, format_count(row.meters))
        width = f"width: {row.share or 0:.0f}%"
        if width != self._width:
            self._bar.style(replace=width)
            self._width = width


def three(value: float | None) -> str:
    """Three decimals, so that a column can be added up."""
    return decimals(value, 3)
