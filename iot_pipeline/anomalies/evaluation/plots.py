"""Pictures of an evaluation, as PNG for the metadata of an asset. What they show is computed elsewhere."""

import io
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recall_by_fault(truth: pl.DataFrame) -> bytes:
    """Share of the simulators' faults that each detector found, by kind of fault.

    Args:
        truth: `truth.EVALUATION_SCHEMA`.
    """
    shown = truth.filter(pl.col("labels") > 0).with_columns(pl.col("recall").fill_null(0.0))
    wide = shown.pivot(on="detector", index="fault", values="recall", aggregate_function="first").sort("fault")
    return _bars(wide, "fault", "share found", "detector")


def vus_by_set(table: pl.DataFrame) -> bytes:
    """VUS-PR of each detector on each set, chance beside it.

    Args:
        table: of `benchmark.table`.
    """
    wide = table.pivot(on="detector", index="set", values="vus_pr", aggregate_function="first", maintain_order=True)
    return _bars(wide, "set", "VUS-PR", "detector")


def _bars(wide: pl.DataFrame, group: str, measure: str, legend: str) -> bytes:
    """Groups of bars: one row a group, one column a colour. Without rows empty axes."""
    # Slow to import, and wanted by evaluations only. No pyplot: it would look for a display.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(7, 2.6), dpi=90, layout="constrained")
    axes = figure.subplots()
    names = [name for name in wide.columns if name != group]
    width = 0.8 / max(len(names), 1)
    for place, name in enumerate(names):
        at = [row + (place - (len(names) - 1) / 2) * width for row in range(wide.height)]
        axes.bar(at, wide[name].fill_null(0.0).fill_nan(0.0).to_list(), width=width * 0.92, label=name)
    axes.set_xticks(range(wide.height), wide[group].to_list())
    axes.set_ylim(0, 1)
    axes.set_ylabel(measure)
    axes.spines[["top", "right"]].set_visible(False)
    if names and wide.height:
        figure.legend(loc="outside right center", fontsize="small", frameon=False, title=legend)
    return _png(figure)


def _png(figure: "Figure") -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
