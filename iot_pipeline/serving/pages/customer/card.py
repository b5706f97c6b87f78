"""The card of one utility on a customer's page: what is used now, today and by hour. It changes in place."""

from datetime import datetime

from iot_pipeline.serving.pages.customer.view import USUAL_ORDER, UtilityUse
from iot_pipeline.serving.pages.parts import links
from iot_pipeline.serving.pages.parts.bars import Bars, hour_bars
from iot_pipeline.serving.pages.parts.charts import option_chart, option_spec
from iot_pipeline.serving.pages.parts.inplace import Clock, put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box, text
from iot_pipeline.serving.pages.parts.wording import NO_VALUE, decimals, format_unit, format_value

TONES = {"electricity": "--c2", "gas": "--c3", "water": "--c1"}
OTHER_TONE = "--c6"
TODAY = "Since 00:00 UTC, when the day of the bill begins"


def tone_of(utility: str) -> str:
    """The colour of a utility, a CSS variable."""
    return TONES.get(utility, OTHER_TONE)


def tone_class(utility: str) -> str:
    """The class that sets it."""
    return f"tone-{utility}" if utility in USUAL_ORDER else "tone-other"


def significant(value: float | None) -> str:
    """Three significant digits and four decimals at most, zeros at the end included: 0.170, 12.5, 0.0063."""
    if value is None:
        return NO_VALUE
    size = abs(value)
    count = next((count for limit, count in ((100, 0), (10, 1), (1, 2), (0.1, 3)) if size >= limit), 4)
    return decimals(value, count)


def litres(rate: float | None, unit: str | None) -> str:
    """A small flow of cubic metres in litres, as people think of it; empty for all else."""
    return f"· {1000 * rate:.1f} L/h" if rate is not None and unit == "m3/h" and rate < 0.1 else ""


class UtilityCard:
    """Built once for a utility; `show` changes what it tells."""

    def __init__(self, use: UtilityUse) -> None:
        self._hours: tuple[object, ...] = ()
        with box(f"card use-card {tone_class(use.utility)}"):
            with box("card-head"):
                with box("row"):
                    box("tone-dot", tag="span", aria_hidden="true")
                    text(
                        use.utility.capitalize() if use.utility in USUAL_ORDER else use.utility, "card-title", tag="h2"
                    )
                self._quiet = text("not heard lately", "pill pill-warn hidden")
            with box("use-now"):
                self._rate = text("", "use-now-number num")
                self._rate_unit = text("", "use-now-unit")
                text("now", "muted")
                self._litres = text("", "card-sub num")
            with box("use-figures"):
                self._today = _Small("Today", TODAY)
                self._hour = _Small("This hour", "In the running hour so far")
                self._day = _Small("Last 24 h", "In the hours shown below")
            self._usual_place = box("stack hidden")
            with self._usual_place:
                with box("meter-bar", aria_hidden="true"):
                    self._usual_bar = box()
                self._usual = text("", "card-sub num")
            self._chart = option_chart(self._bars(use), label=self._label(use), height=150)
            with box("origins"):
                text("Heard")
                self._age = Clock(use.newest, "ago")
                for meter in use.meters:
                    links.device_link(meter)
                self._resets = text("", "hidden")

    def show(self, use: UtilityUse, usual: float | None) -> None:
        """Tell of `use`; `usual` is what is billed for a usual day."""
        put(self._rate, significant(use.rate))
        put(self._rate_unit, format_unit(use.rate_unit) if use.rate is not None else "")
        put(self._litres, litres(use.rate, use.rate_unit))
        self._today.show(use.today, use.unit)
        self._hour.show(use.running_hour, use.unit)
        self._day.show(use.last_24h, use.unit)
        show_if(self._quiet, use.is_quiet)
        self._age.show(use.newest)
        show_if(self._resets, use.resets > 0)
        put(self._resets, f"register fell {use.resets} times: use across a fall is not counted" if use.resets else "")
        self._show_usual(use, usual)
        if self._hours != use.hours:
            self._hours = use.hours
            self._chart.show(option_spec(self._bars(use)), label=self._label(use))

    def _show_usual(self, use: UtilityUse, usual: float | None) -> None:
        told = usual is not None and usual > 0 and use.today is not None
        show_if(self._usual_place, told)
        if usual is not None and use.today is not None and told:
            share, mean = use.today / usual, f"{significant(usual)} {format_unit(use.unit)}"
            self._usual_bar.style(replace=f"width: {min(share, 1.0):.1%}")
            put(self._usual, f"{share:.0%} of a usual day ({mean}, mean of the last billed days)")

    def _bars(self, use: UtilityUse) -> dict[str, object]:
        starts: list[datetime] = [bar.start for bar in use.hours]
        values = [None if bar.use is None else round(bar.use, 4) for bar in use.hours]
        return hour_bars(
            starts, [Bars(use.utility, values, tone_of(use.utility))], unit=format_unit(use.unit), running=True
        )

    def _label(self, use: UtilityUse) -> str:
        used = format_value(use.last_24h, format_unit(use.unit))
        return (
            f"{use.utility} by hour, last 24 hours, {used} together"
            if used != NO_VALUE
            else f"{use.utility}: no hours yet"
        )


class _Small:
    """A figure with its unit under its label."""

    def __init__(self, label: str, told: str) -> None:
        with box("figure", title=told) as self._whole:
            text(label, "figure-label")
            with box("figure-value"):
                self._number: Tag = text("", "figure-number num")
                self._unit: Tag = text("", "figure-unit")
        self._told = told

    def show(self, value: float | None, unit: str | None) -> None:
        """Change it."""
        put(self._number, significant(value))
        put(self._unit, format_unit(unit) if value is not None else "")
        told = self._told if value is None else f"{self._told}: {value:.4f} {format_unit(unit)}".rstrip()
        put(self._whole, title=told)
