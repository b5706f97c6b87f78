"""Commands that look: what runs, what is stored, whether all is well. They change nothing."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import sys
from typing import Annotated

import typer

from iot_pipeline.cli.application import BrokerOption, DataOption, app, settings_with
from iot_pipeline.errors import ConfigurationError


@app.command()
def status(
    *,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object with stable keys.")] = False,
) -> None:
    """Show what runs, what came in and how far things are.

    Works when nothing runs, too, and exits 0 either way.

    \b
    Examples:
      iot status
      iot status --json | jq .device_minute.lag_seconds
    """
    from rich.console import Console

    from iot_pipeline.operations.status import gather
    from iot_pipeline.operations.status_text import print_status

    found = gather(settings_with(data=data))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        print_status(found, Console(highlight=False, soft_wrap=True))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, WITH, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN.")],
    *,
    data: DataOption = None,
    style: Annotated[
        str, typer.Option("--format", metavar="table|csv|json|spreadsheet", help="How rows are written.")
    ] = "table",
) -> None:
    """Ask DuckDB about everything that is stored.

    Read-only; works while everything runs. Times are UTC.

    \b
    Examples:
      iot sql "SHOW TABLES"
      iot sql "SELECT * FROM device_minute ORDER BY minute DESC LIMIT 10"
      iot sql --format csv "SELECT * FROM device_day" > device_day.csv
    """
    from iot_pipeline.serving.queries import run_sql
    from iot_pipeline.serving.tables import Format, write_result

    if style not in Format.__members__:
        raise ConfigurationError.unknown_value("--format", style, Format)
    write_result(run_sql(settings_with(data=data).paths, query), Format(style), sys.stdout)


@app.command()
def doctor(*, data: DataOption = None, broker_url: BrokerOption = None) -> None:
    """Check this installation and say what to do. Exits 1 when a check fails.

    \b
    Examples:
      iot doctor
      iot doctor --broker-url mqtt://broker.example:1883
    """
    from iot_pipeline.operations.doctor import Verdict, examine

    failed = False
    for finding in examine(settings_with(data=data, broker_url=broker_url)):
        failed |= finding.verdict is Verdict.fail
        typer.echo(f"{finding.verdict:<5} {finding.check:<13} {finding.seen}")
        if finding.do:
            typer.echo(f"{'':<19} -> {finding.do}")
    raise typer.Exit(int(failed))


@app.command()
def version() -> None:
    """Show versions of the pipeline and its parts.

    \b
    Example:
      iot version
    """
    from importlib import metadata

    for name in ("iot-pipeline", "dagster", "dbt-core", "duckdb", "polars"):
        try:
            typer.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            typer.echo(f"{name} is not installed")
    typer.echo(f"python {sys.version.split()[0]}")
