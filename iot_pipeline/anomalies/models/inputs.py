"""How the values of each class are spread, to see whether a model was learned from other data than the one before.

The population stability index of credit scoring: sum of (a - b) ln(a / b) over tenths; above 0.2 counts as another
population (Siddiqi, "Credit Risk Scorecards", 2006).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import thinned

BINS = 10
OF_SERIES = 1440
"""Values of a series that are looked at, evenly spaced in time: chance alone makes an index of 18 / n."""

MOST_SERIES = 200
"""Series of a class and part that are looked at."""

LEAST = 500
"""Values of a class from which its spread is known."""

SMALLEST_SHARE = 1e-3

INPUT_SCHEMA = {"class": pl.String(), "value": pl.Float64()}


@dataclass(frozen=True, slots=True)
class Sample:
    """Values by class: INPUT_SCHEMA."""

    values: pl.DataFrame

    @classmethod
    def together(cls, parts: Sequence["Sample"]) -> "Sample":
        """All of them."""
        return cls(pl.concat([part.values for part in parts]) if parts else pl.DataFrame(schema=INPUT_SCHEMA))


def sample_of(grid: Grid, part: pl.DataFrame) -> Sample:
    """Some values of some series of each class; `part` has a column `class`, one row a row of the grid."""
    chosen = part.with_row_index("row").group_by("class", maintain_order=True).head(MOST_SERIES)
    some = thinned(grid.values[chosen["row"].to_numpy()], OF_SERIES)
    frame = pl.DataFrame(
        {"class": chosen["class"].gather(np.repeat(np.arange(chosen.height), some.shape[1])), "value": some.ravel()},
        schema=INPUT_SCHEMA,
    )
    return Sample(frame.filter(pl.col("value").is_finite()))


def input_table(sample: Sample) -> pl.DataFrame:
    """Quantiles of each class: class, rank (0 to 1), value; the values themselves thinned to 201 ranks, sorted."""
    ranks = np.linspace(0, 1, 201)
    tables = [
        pl.DataFrame(
            {
                "class": [str(name)] * ranks.size,
                "rank": ranks,
                "value": np.quantile(part["value"].to_numpy(), ranks, method="lower"),
            }
        )
        for (name,), part in sample.values.group_by("class")
        if part.height >= LEAST
    ]
    empty = pl.DataFrame(schema={"class": pl.String(), "rank": pl.Float64(), "value": pl.Float64()})
    return pl.concat([empty, *tables]).sort("class", "rank")


def stability(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Population stability index of each class that both tables know.

    Args:
        before: as of `input_table`.
        now: as of `input_table`.

    Returns:
        class, psi; the largest first. Equal values of a quantised signal share a bin.
    """
    found = []
    for name in sorted(set(before["class"]) & set(now["class"])):
        old, new = (table.filter(pl.col("class") == name)["value"].to_numpy() for table in (before, now))
        edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
        shares = [
            np.bincount(np.searchsorted(edges, some), minlength=edges.size + 1) / some.size for some in (old, new)
        ]
        one, two = (np.fmax(share, SMALLEST_SHARE) for share in shares)
        found.append({"class": name, "psi": float(((two - one) * np.log(two / one)).sum())})
    return pl.DataFrame(found, schema={"class": pl.String(), "psi": pl.Float64()}).sort(
        "psi", "class", descending=[True, False]
    )
