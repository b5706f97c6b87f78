"""The command line, `iot`: arguments, help and exit codes. What a command does is in its stage.

Exit codes: 0 as asked; 2 the arguments, the settings or the environment have to be changed; 1
anything else that went wrong. Errors are one message on standard error, without a traceback
unless `iot --debug`.

Everything heavy is imported inside the commands, so that `iot --help` answers at once.
"""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports are the point, see above

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iot_pipeline.errors import ConfigurationError, IotError

if TYPE_CHECKING:
    from iot_pipeline.settings import Settings

app = typer.Typer(
    name="iot",
    help="An open IoT data pipeline: sensors to statistics, started with one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data folder. [default: IOT_DATA, or ./data of the project]"),
]
BrokerOption = Annotated[
    str | None, typer.Option("--broker-url", metavar="URL", help="mqtt://host[:port] or mqtts://host[:port].")
]


@app.callback()
def iot(
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """An open IoT data pipeline: sensors to statistics, started with one command.

    Settings come from the environment (IOT_...) or `.env`; options win over them.
    """
    context.obj = debug
    _DEBUG.append(debug)


@app.command()
def up(
    *,
    data: DataOption = None,
    seconds: Annotated[
        float | None,
        typer.Option("--for", metavar="SECONDS", min=0, help="Stop by itself this long after everything is ready."),
    ] = None,
    no_simulator: Annotated[bool, typer.Option("--no-simulator", help="Without the five simulated fleets.")] = False,
    broker_url: BrokerOption = None,
    broker_port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="Port of the embedded broker. [default: 1883 or a free one]"),
    ] = None,
    dagster_port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of the Dagster UI. [default: 3000]")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of the live pages and the API.")
    ] = None,
    no_dagster: Annotated[
        bool, typer.Option("--no-dagster", help="Only land messages: no web UI, no statistics.")
    ] = False,
) -> None:
    """Run everything until Ctrl-C.

    That is an embedded broker, the collector, five simulated fleets and Dagster. What dies is started again.
    With --broker-url no broker is started. Two instances need folders and ports of their own.

    \b
    Examples:
      iot up
      iot up --for 180
      iot up --broker-url mqtt://broker.example:1883 --no-simulator
      iot up --data /tmp/second --dagster-port 3001 --web-port 8081
    """
    from iot_pipeline.operations.up import UpOptions
    from iot_pipeline.operations.up import up as run

    if broker_url is not None and broker_port is not None:
        raise ConfigurationError("--broker-port is the embedded broker's; with --broker-url there is none")
    settings = _settings(data=data, broker_url=broker_url, dagster_port=dagster_port, web_port=web_port)
    options = UpOptions(seconds=seconds, simulator=not no_simulator, dagster=not no_dagster, broker_port=broker_port)
    raise typer.Exit(run(settings, options))


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

    found = gather(_settings(data=data))
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        print_status(found, Console(highlight=False, soft_wrap=True))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT, WITH, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN.")],
    *,
    data: DataOption = None,
    style: Annotated[str, typer.Option("--format", metavar="table|csv|json", help="How rows are written.")] = "table",
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
    write_result(run_sql(_settings(data=data).paths, query), Format(style), sys.stdout)


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
    for finding in examine(_settings(data=data, broker_url=broker_url)):
        failed |= finding.verdict is Verdict.fail
        typer.echo(f"{finding.verdict:<5} {finding.check:<13} {finding.seen}")
        if finding.do:
            typer.echo(f"{'':<19} -> {finding.do}")
    raise typer.Exit(int(failed))


@app.command()
def collect(*, data: DataOption = None, broker_url: BrokerOption = None) -> None:
    """Run only the collector, until Ctrl-C.

    It subscribes at the broker and lands what arrives; a broker that is away is waited for.

    \b
    Examples:
      iot collect --broker-url mqtt://broker.example:1883
      IOT_TOPICS='["factory/#"]' iot collect
    """
    from iot_pipeline.sources.collector import run_collector

    with _stop_on_signals() as stop:
        run_collector(_settings(data=data, broker_url=broker_url), stop=stop)


@app.command()
def simulate(
    *,
    data: DataOption = None,
    broker_url: BrokerOption = None,
    fleets: Annotated[str | None, typer.Option(metavar="NAMES", help="Comma-separated. [default: all five]")] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal values at equal instants.")] = 0,
    rate_factor: Annotated[float, typer.Option(min=0.001, help="Multiplies how many messages are sent.")] = 1.0,
    faults: Annotated[bool, typer.Option(help="Inject faults and write truth labels.")] = True,
    users: Annotated[int | None, typer.Option(min=1, help="Customers of the utility fleet.")] = None,
) -> None:
    """Run only simulated fleets, until Ctrl-C.

    They publish to the broker of the `iot up` that runs on the data folder, or to any other.

    \b
    Examples:
      iot simulate
      iot simulate --fleets weather,ice_plant --no-faults
      iot simulate --fleets utility --users 10000 --broker-url mqtt://broker.example:1883
    """
    from iot_pipeline.operations.runstate import attached
    from sensors_sim.registry import FLEETS
    from sensors_sim.run import run_simulator

    names = [name.strip() for name in fleets.split(",")] if fleets else list(FLEETS)
    settings = attached(_settings(data=data, broker_url=broker_url))
    with _stop_on_signals() as stop:
        run_simulator(settings, fleets=names, seed=seed, faults=faults, rate_factor=rate_factor, users=users, stop=stop)


@app.command()
def backfill(
    span: Annotated[str, typer.Argument(metavar="A..B", help="Minutes or days in UTC, both ends included.")],
    *,
    data: DataOption = None,
    dagster_port: Annotated[int | None, typer.Option(metavar="N", help="Port of the Dagster UI.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exit 1 unless it ended well.")] = False,
) -> None:
    """Build minutes or days again, with the running Dagster.

    \b
    Examples:
      iot backfill 2026-11-22T10:00..2026-11-22T11:00
      iot backfill 2026-11-01..2026-11-20 --wait
    """
    from iot_pipeline.operations.backfill import main as request
    from iot_pipeline.operations.runstate import attached

    settings = attached(_settings(data=data, dagster_port=dagster_port))
    raise typer.Exit(0 if request(settings, span, wait=wait, echo=typer.echo) else 1)


@app.command()
def broker(
    *,
    data: DataOption = None,
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port on 127.0.0.1.")] = 1883,
) -> None:
    """Run only the embedded broker, until Ctrl-C.

    It speaks MQTT 3.1.1 on 127.0.0.1 without a password, and keeps what it acknowledged on disk.

    \b
    Examples:
      iot broker
      iot broker --port 1884 --data /tmp/second
    """
    from iot_pipeline.operations.broker import broker_command
    from iot_pipeline.operations.preflight import require_free_port

    require_free_port(port, "broker", "--port")
    command = broker_command(_settings(data=data).paths, port)
    os.execv(command[0], command)  # noqa: S606  # from here on this process is the broker


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


def _settings(**options: object) -> "Settings":
    """Settings with the options that were given."""
    from iot_pipeline.settings import load_settings

    return load_settings(**{name: value for name, value in options.items() if value is not None})


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    yield stop


_DEBUG: list[bool] = []


def main() -> None:
    """Entry point of the `iot` command."""
    try:
        app(standalone_mode=True)
    except IotError as error:
        if _DEBUG and _DEBUG[-1]:
            raise
        typer.echo(f"iot: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
