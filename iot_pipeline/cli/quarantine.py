"""`iot quarantine`: what could not be read, why, and trying it again after a fix."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import sys
from datetime import datetime
from typing import Annotated

import typer

from iot_pipeline.cli.application import (
    DagsterPortOption,
    DataOption,
    JsonOption,
    app,
    minute_range,
    one_minute,
    settings_with,
)

quarantine = typer.Typer(name="quarantine", no_args_is_help=True, help="What could not be read: list, show, retry.")
app.add_typer(quarantine)

ReasonOption = Annotated[str | None, typer.Option(metavar="REASON", help="Only this reason, such as bad_json.")]
MappingOption = Annotated[str | None, typer.Option(metavar="NAME", help="Only what this mapping could not read.")]
TopicOption = Annotated[str | None, typer.Option(metavar="GLOB", help="Only these topics; `*` is any text.")]
SinceOption = Annotated[
    datetime | None, typer.Option(parser=one_minute, metavar="MINUTE", help="First landing minute, UTC.")
]
UntilOption = Annotated[
    datetime | None, typer.Option(parser=one_minute, metavar="MINUTE", help="Last landing minute, UTC.")
]


@quarantine.command("list")
def list_counts(
    *,
    data: DataOption = None,
    reason: ReasonOption = None,
    mapping: MappingOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what lies in quarantine by reason, mapping and topic.

    A row is a message, or a field of it, that could not be read. Works while everything runs.

    \b
    Examples:
      iot quarantine list
      iot quarantine list --since 2026-11-22T10:00 --reason no_mapping --json
    """
    from iot_pipeline.cli.printing import printable
    from iot_pipeline.readings.quarantine import Chosen, counts
    from iot_pipeline.serving.tables import Format, write_result

    chosen = Chosen(reason=reason, mapping=mapping, topic=topic, since=since, until=until)
    found = counts(settings_with(data=data).paths, chosen)
    write_result(found if as_json else printable(found), Format.json if as_json else Format.table, sys.stdout)


@quarantine.command()
def show(
    message: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A message id. [default: the newest rows]")
    ] = None,
    *,
    data: DataOption = None,
    reason: ReasonOption = None,
    mapping: MappingOption = None,
    topic: TopicOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Rows, newest first.")] = 10,
    longest: Annotated[
        int, typer.Option("--bytes", metavar="N", min=1, max=4096, help="Characters of a payload that are shown.")
    ] = 400,
    as_json: JsonOption = False,
) -> None:
    """Show rows of quarantine with the payload as it came.

    What is not printable is escaped, so that no payload can act on your terminal. --json gives the first 4096
    bytes of it as base64.

    \b
    Examples:
      iot quarantine show collector-1-17-204
      iot quarantine show --reason bad_value --topic 'plant/*' --limit 3
    """
    from iot_pipeline.cli.printing import quarantine_json, quarantine_text
    from iot_pipeline.readings.quarantine import Chosen, chosen_rows

    chosen = Chosen(reason=reason, mapping=mapping, topic=topic, message=message, since=since, until=until)
    rows = chosen_rows(settings_with(data=data).paths, chosen, newest=limit)
    typer.echo(quarantine_json(rows) if as_json else quarantine_text(rows, longest))


@quarantine.command()
def retry(
    span: Annotated[str | None, typer.Argument(metavar="[A..B]", help="Landing minutes, UTC. [default: all]")] = None,
    *,
    data: DataOption = None,
    dagster_port: DagsterPortOption = None,
    reason: ReasonOption = None,
    mapping: MappingOption = None,
    topic: TopicOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exit 1 unless it ended well.")] = False,
) -> None:
    """Decode again the landing minutes that hold chosen rows, with the running Dagster.

    What can be read by now moves to readings; statistics and flags follow. What cannot stays.

    \b
    Examples:
      iot quarantine retry --topic 'acme/*'
      iot quarantine retry 2026-11-22T10:00..2026-11-22T11:00 --reason bad_value --wait
    """
    from iot_pipeline.operations.retry import retry as ask
    from iot_pipeline.operations.runstate import attached
    from iot_pipeline.readings.quarantine import Chosen

    first, last = (None, None) if span is None else minute_range(span)
    settings = attached(settings_with(data=data, dagster_port=dagster_port))
    chosen = Chosen(reason=reason, mapping=mapping, topic=topic, since=first, until=last)
    raise typer.Exit(0 if ask(settings, chosen, wait=wait, echo=typer.echo) else 1)
