"""Tables whose cells are changed in place: rows come and go, the table stays where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from iot_pipeline.serving.pages.parts.inplace import Clock, put, show_if
from iot_pipeline.serving.pages.parts.markup import Tag, box
from iot_pipeline.serving.pages.parts.times import Form

Kind = Literal["text", "num", "link", "time", "spark"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, how its cells are shown, and what it holds as a hint.

    Attributes:
        heading: with the unit where all cells have the same.
        kind: of its cells.
        hint: told on hover of the heading.
        classes: of heading and cells.
        form: how instants are shown.
    """

    heading: str
    kind: Kind = "text"
    hint: str = ""
    classes: str = ""
    form: Form = "full"


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows: a text; for links also where to, for instants when."""

    text: str = ""
    url: str | None = None
    at: datetime | None = None
    title: str | None = None
    classes: str = ""


class LiveTable:
    """A table that shows other rows in place. The first column is the heading of its row."""

    def __init__(self, columns: Sequence[Column], *, label: str) -> None:
        self._columns = columns
        self._rows: list[tuple[Tag, list[_Shown]]] = []
        with box("table-wrap", tabindex=0, role="region", aria_label=label), box("table", tag="table"):
            with box(tag="thead"), box(tag="tr"):
                for column in columns:
                    heading = Tag("th", column.heading, _classes(column), scope="col")
                    if column.hint:
                        heading.set(title=column.hint)
            self._body = box(tag="tbody")

    def show(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Show these rows and no others."""
        with self._body:
            while len(self._rows) < len(rows):
                with box(tag="tr") as row:
                    shown = [_Shown(column, heads=index == 0) for index, column in enumerate(self._columns)]
                self._rows.append((row, shown))
        for number, (row, shown) in enumerate(self._rows):
            show_if(row, number < len(rows))
            if number < len(rows):
                for each, cell in zip(shown, rows[number], strict=True):
                    each.show(cell)


class _Shown:
    """The elements of one cell."""

    def __init__(self, column: Column, *, heads: bool) -> None:
        kind = column.kind
        self._kind, self._extra, self._clock = kind, "", None
        self._cell = Tag("th" if heads else "td", "", _classes(column))
        if heads:
            self._cell.set(scope="row")
        self._inner: Tag = self._cell
        with self._cell:
            if kind == "link":
                self._inner = Tag("a", "", "link")
            elif kind == "spark":
                self._inner = Tag("iot-spark", "", "spark", role="img")
            elif kind == "time":
                self._clock = Clock(None, column.form, none="")

    def show(self, cell: Cell) -> None:
        if self._clock is not None:
            self._clock.show(cell.at)
        elif self._kind == "spark":
            put(self._inner, points=cell.text, aria_label=cell.title)
        elif self._kind == "link":
            put(self._inner, cell.text, href=cell.url, title=cell.title)
        else:
            put(self._inner, cell.text, title=cell.title)
        if cell.classes != self._extra:
            self._cell.classes(add=cell.classes, remove=self._extra)
            self._extra = cell.classes


def _classes(column: Column) -> str:
    return " ".join(part for part in ("num" if column.kind == "num" else "", column.classes) if part)
