"""`iot report`: named questions and their answers. What they ask is in `serving/reports`, one file each."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import sys
from typing import Annotated

import typer

from iot_pipeline.cli.application import DataOption, app, settings_with
from iot_pipeline.errors import ConfigurationError


@app.command()
def report(
    name: Annotated[str | None, typer.Argument(help="Which; none lists them.")] = None,
    *,
    data: DataOption = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the reports and what they take.")] = False,
    style: Annotated[
        str, typer.Option("--format", metavar="table|csv|json|spreadsheet", help="How rows are written.")
    ] = "table",
    begin: Annotated[
        str | None, typer.Option("--from", metavar="T", help="Begin, UTC: 2026-11-22 or 2026-11-22T10:00.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="End, UTC, not included. [default: now]")] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="DAY", help="One UTC day instead of a range.")] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="P", help="What a row covers: second, minute, hour, day, ...")
    ] = None,
    fleet: Annotated[str | None, typer.Option("--fleet", metavar="NAME", help="One fleet.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="ID", help="One device.")] = None,
    customer: Annotated[str | None, typer.Option("--customer", metavar="ID", help="One customer.")] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="NAME", help="One region.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="differing|all", help="Corrections that differ, or all.")
    ] = None,
    seconds: Annotated[str | None, typer.Option("--seconds", metavar="N", help="Length of a window.")] = None,
) -> None:
    """Answer a named question from what is published.

    Read-only; works while everything runs. Times are UTC. docs/reports.md tells what each report answers.

    \b
    Examples:
      iot report --list
      iot report ice-plant --period day --from 2026-11-01
      iot report customer-usage --customer c-0000001 --day 2026-11-22
      iot report country-usage --period month --format csv > country.csv
    """
    from iot_pipeline.serving.reports.report import NO_DATA
    from iot_pipeline.serving.reports.run import run_report
    from iot_pipeline.serving.tables import Format, write_result

    if style not in Format.__members__:
        raise ConfigurationError.unknown_value("--format", style, Format)
    if list_all or name is None:
        _list()
        return
    asked = {"from": begin, "to": end, "day": day, "period": period, "fleet": fleet, "device": device}
    asked |= {"customer": customer, "region": region, "rows": rows, "seconds": seconds}
    found = run_report(settings_with(data=data).paths, name, asked)
    if found.is_empty():
        typer.echo(NO_DATA, err=True)
    if not found.is_empty() or style != Format.table:
        write_result(found, Format(style), sys.stdout)


def _list() -> None:
    from iot_pipeline.serving.reports.catalog import REPORTS

    for one in REPORTS.values():
        takes = [f"--{name}" for name in one.takes]
        typer.echo(f"{one.name}\n    {one.question}\n    {' '.join([*takes, '--from', '--to', '--day'])}")
