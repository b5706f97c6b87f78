"""Tables of figures: units in the head, numbers to the right, a total below. No computation here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iot_pipeline.serving.pages.parts.markup import Tag, box, text

Cell = str | Callable[[], object]
"""A text, or something that makes elements in the cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its label, the unit of its numbers, whether they are numbers, and what the label means on hover."""

    label: str
    unit: str | None = None
    numeric: bool = False
    hint: str = ""


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    label: str,
    total: Sequence[Cell] | None = None,
    classes: str = "",
) -> Tag:
    """A table that scrolls by itself where it is too wide; `label` tells screen readers what it holds."""
    with box("table-wrap", tabindex=0, role="region", aria_label=label) as whole, box(f"table {classes}", tag="table"):
        with box(tag="thead"), box(tag="tr"):
            for column in columns:
                named = column.label + (f" ({column.unit})" if column.unit else "")
                head = text(named, "num" if column.numeric else "", tag="th", scope="col")
                if column.hint:
                    head.set(title=column.hint)
        with box(tag="tbody"):
            for row in rows:
                _row(columns, row)
        if total is not None:
            with box(tag="tfoot"):
                _row(columns, total)
    return whole


def _row(columns: Sequence[Column], cells: Sequence[Cell]) -> None:
    with box(tag="tr"):
        for at, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            classes = "num" if column.numeric else ""
            place = box(classes, tag="td") if at else box(classes, tag="th", scope="row")
            if isinstance(cell, str):
                place.text = cell
            else:
                with place:
                    cell()
