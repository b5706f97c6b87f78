"""Texts from outside on a terminal: topics, names and payloads are shown and can do nothing.

What is printed is decided by the commands; tables of results are `serving/tables.py`.
"""

import base64
import json
from typing import TextIO

import polars as pl

from iot_pipeline.clock import minute_key
from iot_pipeline.readings.tryout.changes import Changes
from iot_pipeline.serving.tables import Format, write_result

ROWS_SHOWN = 30


def shown(content: str | bytes, longest: int = 200) -> str:
    """At most `longest` characters, with escapes for what is not printable or no UTF-8."""
    text = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:longest]
    )
    return escaped if len(text) <= longest else f"{escaped}... ({len(text) - longest} more characters)"


def printable(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose texts are fit to be printed, and whose minutes are keys of partitions."""
    texts = pl.selectors.string().map_elements(shown, return_dtype=pl.String)
    return frame.with_columns(texts, pl.selectors.datetime().dt.strftime("%Y-%m-%dT%H:%M"))


def quarantine_text(rows: pl.DataFrame, longest: int) -> str:
    """Rows of quarantine one below the other, each payload cut at `longest` characters."""
    blocks = []
    for row in rows.iter_rows(named=True):
        where = "" if row["field"] is None else f" in {shown(row['field'])}"
        by = "no mapping" if row["mapping"] is None else f"mapping {row['mapping']} {row['mapping_version']}"
        received = row["received_at"].isoformat().replace("+00:00", "Z")
        blocks.append(
            f"{row['message_id']}  {shown(row['topic'])}\n"
            f"  received {received}, landing minute {minute_key(row['landing_minute'])}, {by}\n"
            f"  {row['reason']}{where}: {shown(row['detail'], 500)}\n"
            f"  {row['payload_size']} bytes: {shown(row['payload'], longest)}"
        )
    return "\n".join(blocks) or "nothing in quarantine is as you said; see `iot quarantine list`"


def quarantine_json(rows: pl.DataFrame) -> str:
    """The same as a JSON array; payloads as base64 of what was kept of them."""
    objects = [
        {
            **{name: value for name, value in row.items() if name != "payload"},
            "received_at": row["received_at"].isoformat().replace("+00:00", "Z"),
            "landing_minute": minute_key(row["landing_minute"]),
            "payload_base64": base64.b64encode(row["payload"]).decode(),
        }
        for row in rows.iter_rows(named=True)
    ]
    return json.dumps(objects, indent=1)


def print_changes(changes: Changes, out: TextIO) -> None:
    """What a mapping would change, for people: totals, the largest groups and some examples of each kind."""
    told = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in changes.counts.items())
    out.write(f"{changes.messages} messages in {changes.minutes} landing minutes with data: {told}\n")
    for counts in (changes.readings, changes.quarantine):
        if not counts.is_empty():
            kinds = pl.sum_horizontal(pl.selectors.integer())
            write_result(printable(counts.sort(kinds, descending=True).head(ROWS_SHOWN)), Format.table, out)
            if counts.height > ROWS_SHOWN:
                out.write(f"and {counts.height - ROWS_SHOWN} more; --json shows all\n")
    for kind, rows in changes.examples.items():
        out.writelines(f"{kind.replace('_', ' ')}: {_example(row)}\n" for row in rows)


def changes_json(changes: Changes) -> str:
    """All of it as one JSON object."""
    content = {
        "minutes": changes.minutes,
        "messages": changes.messages,
        "counts": changes.counts,
        "readings": changes.readings.to_dicts(),
        "quarantine": changes.quarantine.to_dicts(),
        "examples": changes.examples,
    }
    return json.dumps(content, indent=1, default=lambda value: value.isoformat().replace("+00:00", "Z"))


def _example(row: dict[str, object]) -> str:
    return ", ".join(f"{name} {shown(str(value))}" for name, value in row.items() if value is not None)
