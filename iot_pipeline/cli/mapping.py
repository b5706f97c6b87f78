"""`iot mapping`: what mappings there are, what one makes of messages and what it would change."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from iot_pipeline.cli.application import DataOption, JsonOption, app, minute_range, settings_with

mapping = typer.Typer(name="mapping", no_args_is_help=True, help="Mappings: try, compare, check and list them.")
app.add_typer(mapping)

FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Mapping files, or folders of them.")]


@mapping.command("test")
def try_out(
    files: FilesArgument,
    messages: Annotated[Path, typer.Argument(metavar="MESSAGES", help="Messages as lines of JSON.")],
    *,
    expected: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What must come out: {id, readings: [...]} a line.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where results go. [default: -, standard output]")
    ] = None,
    built_in: Annotated[
        bool, typer.Option("--built-in", help="Ask the built-in mappings too, after the given ones.")
    ] = False,
) -> None:
    """Show what mappings make of messages.

    A message is a line {id, topic, payload | payload_base64, retain?, received_at?}. `payload` is a text, or
    any other JSON value, which is then sent as JSON. A result is a line {id, outcome, reason?, detail?, readings,
    quarantined_fields?}: `outcome` is decoded, no_reading or quarantined; readings are {device_id, metric, ts,
    value, unit?, quality?}, where `value` is a text for readings that are texts, and `quality` is left out when good.

    Messages without `received_at` count as received at one and the same instant, now, and may be as old as they like,
    so that samples can be used; times in the future are refused as ever. With it the limits of production apply.
    Each message is judged by itself: a reading that two messages tell is shown twice. Births of Sparkplug nodes
    carry over from line to line.

    With --expected, floats are equal within 1e-6 relative, integers and texts exactly, units where the expectation
    names one; RECEIVED stands for the receive time. `after: [ids]` and `fresh_state: true` decode a message in a
    state of its own; `optional: true` allows none of the readings, `optional: [readings]` further ones. Differences
    go to standard error. Exit 1: something differs. Exit 2: a line or a mapping cannot be used.

    \b
    Examples:
      iot mapping test acme.yaml messages.jsonl
      iot mapping test mappings/ messages.jsonl --expected expected.jsonl --out results.jsonl
      mosquitto_sub -t 'acme/#' -F %j -C 100 > messages.jsonl
    """
    from iot_pipeline.readings.tryout.report import run_samples
    from iot_pipeline.readings.tryout.sets import given_mappings

    mappings = given_mappings(files, built_in=built_in)
    with ExitStack() as stack:
        target = sys.stdout.buffer if out is None or str(out) == "-" else stack.enter_context(out.open("wb"))
        tally = run_samples(
            mappings,
            settings_with(),
            messages=messages,
            expected=expected,
            out=target,
            differ=lambda line: typer.echo(line, err=True),
        )
    typer.echo(tally.summary(), err=True)
    raise typer.Exit(int(tally.differ))


@mapping.command("list")
def list_mappings(*, as_json: JsonOption = False) -> None:
    """List the mappings in the order in which they are asked; the first that matches a topic takes it.

    Your own, in the folder named by IOT_MAPPINGS, come before the built-in ones. `version` is the hash of the content.

    \b
    Examples:
      iot mapping list
      iot mapping list --json | jq '.[].topics'
    """
    import polars as pl

    from iot_pipeline.readings.language.mapping import load_mappings
    from iot_pipeline.readings.tryout.sets import is_built_in
    from iot_pipeline.serving.tables import Format, write_result

    rows = [
        {
            "name": loaded.name,
            "fleet": loaded.mapping.fleet,
            "topics": list(loaded.mapping.topic) if as_json else "\n".join(loaded.mapping.topic),
            "format": loaded.mapping.format.value,
            "version": loaded.version,
            "origin": "built in" if is_built_in(loaded) else loaded.origin,
        }
        for loaded in load_mappings(settings_with().mappings)
    ]
    write_result(pl.DataFrame(rows), Format.json if as_json else Format.table, sys.stdout)


@mapping.command()
def check(files: FilesArgument) -> None:
    """Check mapping files as the product does on load. Exits 2 when one cannot be used.

    \b
    Examples:
      iot mapping check acme.yaml
      iot mapping check mappings/
    """
    from iot_pipeline.errors import MappingError
    from iot_pipeline.readings.language.mapping import load_mapping, mapping_set
    from iot_pipeline.readings.tryout.sets import mapping_files

    good, problems = [], []
    for path in mapping_files(files):
        try:
            good.append(load_mapping(path))
        except MappingError as error:
            problems.append(str(error))
    if problems:
        raise MappingError("\n".join(problems))
    for loaded in mapping_set(good):
        typer.echo(f"{loaded.origin}: mapping {loaded.name}, version {loaded.version}")


@mapping.command()
def schema() -> None:
    """Print the JSON Schema of mapping files, for editors.

    An editor with a YAML language server then completes keys and marks mistakes; put this line on top of a mapping:
    # yaml-language-server: $schema=mapping.schema.json

    \b
    Example:
      iot mapping schema > mapping.schema.json
    """
    import json

    from iot_pipeline.readings.tryout.schema import mapping_schema

    typer.echo(json.dumps(mapping_schema(), indent=1, ensure_ascii=False))


@mapping.command()
def diff(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A mapping file, yours to be or a changed one.")],
    *,
    minutes: Annotated[str, typer.Option(metavar="A..B", help="Landing minutes in UTC, both included.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a mapping would change on data that landed. Writes nothing.

    The minutes are decoded twice, with the births that were in force: by the present mappings, and by the set in
    which FILE replaces the one of its name or joins. A reading is the same when device, metric, unit and time are;
    it is changed when its value, text or quality differ.

    \b
    Examples:
      iot mapping diff acme.yaml --minutes 2026-11-22T10:00..2026-11-22T11:00
      iot mapping diff acme.yaml --minutes 2026-11-22T10:00 --json | jq .counts
    """
    from iot_pipeline.cli.printing import changes_json, print_changes
    from iot_pipeline.landing.layout import landed_minutes
    from iot_pipeline.readings.language.mapping import load_mapping, load_mappings
    from iot_pipeline.readings.tryout.changes import MappingChanges
    from iot_pipeline.readings.tryout.sets import with_file

    first, last = minute_range(minutes)
    settings = settings_with(data=data)
    present = load_mappings(settings.mappings)
    changes = MappingChanges(settings, present, with_file(present, load_mapping(file)), first)
    landed = [minute for minute in landed_minutes(settings.paths, first) if minute <= last]
    with typer.progressbar(landed, label="decoding minutes", file=sys.stderr) as steps:
        for minute in steps:
            changes.compare(minute)
    if as_json:
        typer.echo(changes_json(changes.found))
    else:
        print_changes(changes.found, sys.stdout)
