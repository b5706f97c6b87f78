"""Commands that run the product or a part of it, until Ctrl-C or until they are done."""

# ruff: noqa: D301 -- \b tells the help to keep the lines of the examples as they are
# ruff: noqa: PLC0415 -- late imports keep `iot --help` quick

import os
from pathlib import Path
from typing import Annotated

import typer

from iot_pipeline.cli.application import (
    BrokerOption,
    DagsterPortOption,
    DataOption,
    app,
    settings_with,
    stop_on_signals,
)
from iot_pipeline.errors import ConfigurationError


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
    dagster_port: DagsterPortOption = None,
    web_port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of the pages and the API.")
    ] = None,
    no_dagster: Annotated[
        bool, typer.Option("--no-dagster", help="Only land messages: no web UI, no statistics.")
    ] = False,
) -> None:
    """Run everything until Ctrl-C.

    That is an embedded broker, a collector for each kind of source, five simulated fleets, Dagster, pages and API.
    What dies is started again. With --broker-url no broker is started. Two instances need folders and ports
    of their own.

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
    settings = settings_with(data=data, broker_url=broker_url, dagster_port=dagster_port, web_port=web_port)
    options = UpOptions(seconds=seconds, simulator=not no_simulator, dagster=not no_dagster, broker_port=broker_port)
    raise typer.Exit(run(settings, options))


@app.command()
def collect(
    *,
    source: Annotated[
        str, typer.Option("--source", metavar="KIND", help="mqtt, sparkplug or opcua: a collector lands one kind.")
    ] = "mqtt",
    init: Annotated[
        bool, typer.Option("--init", help="Only make the session at the broker and leave; devices may start after it.")
    ] = False,
    data: DataOption = None,
    broker_url: BrokerOption = None,
) -> None:
    """Run only a collector, until Ctrl-C.

    It connects and lands what arrives; a broker or a server that is away is waited for. `mqtt` leaves Sparkplug
    messages to `sparkplug`, unless IOT_SPARKPLUG_HOST_ID is set to nothing.

    \b
    Examples:
      iot collect --broker-url mqtt://broker.example:1883
      IOT_TOPICS='["factory/#"]' iot collect
      iot collect --source sparkplug
      iot collect --init
    """
    from iot_pipeline.landing.collectors import SourceKind
    from iot_pipeline.operations.doctor.broker import check_broker
    from iot_pipeline.sources.collector import run_collector
    from iot_pipeline.sources.preparing import prepare_session

    if source not in list(SourceKind):
        raise ConfigurationError.unknown_value("--source", source, SourceKind)
    settings = settings_with(data=data, broker_url=broker_url)
    if init:
        address = prepare_session(settings, SourceKind(source))
        held = ", ".join(settings.topics)
        typer.echo(f"{address} keeps messages for {settings.collector_id!r} from now on: {held}")
        for finding in check_broker(settings):
            typer.echo(f"{finding.verdict:<5} {finding.check:<13} {finding.seen}")
            if finding.do:
                typer.echo(f"{'':<19} -> {finding.do}")
        return
    with stop_on_signals() as stop:
        run_collector(settings, stop=stop, kind=SourceKind(source))


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
    sparkplug_faults: Annotated[
        str | None, typer.Option(metavar="KINDS", help="What the edge node does wrong: die, skip, reorder.")
    ] = None,
) -> None:
    """Run only simulated fleets, until Ctrl-C.

    They publish to the broker of the `iot up` that runs on the data folder, or to any other.

    \b
    Examples:
      iot simulate
      iot simulate --fleets weather,ice_plant --no-faults
      iot simulate --fleets ice_plant --sparkplug-faults die,skip,reorder
      iot simulate --fleets utility --users 10000 --broker-url mqtt://broker.example:1883
    """
    from iot_pipeline.operations.runstate import attached
    from sensors_sim.registry import FLEETS
    from sensors_sim.run import run_simulator

    names = _names(fleets) or tuple(FLEETS)
    settings = attached(settings_with(data=data, broker_url=broker_url))
    with stop_on_signals() as stop:
        run_simulator(
            settings,
            fleets=names,
            seed=seed,
            faults=faults,
            rate_factor=rate_factor,
            users=users,
            node_faults=_names(sparkplug_faults),
            stop=stop,
        )


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, one event a row.")],
    *,
    data: DataOption = None,
    broker_url: BrokerOption = None,
    topic: Annotated[str, typer.Option(help="Template; {name} is a column.")] = "replay/{dataset}/{device}",
    device: Annotated[str, typer.Option(help="Template for {device}; {stem} is the file's name.")] = "{stem}",
    dataset: Annotated[str | None, typer.Option(help="For {dataset}. [default: the file's name]")] = None,
    speed: Annotated[float, typer.Option(min=0, help="Times the pace of the events; 0: flat out.")] = 1.0,
    time_column: Annotated[str | None, typer.Option(help="[default: the only column that can be it]")] = None,
    columns: Annotated[str | None, typer.Option(metavar="NAMES", help="Comma-separated. [default: all]")] = None,
    exclude: Annotated[str | None, typer.Option(metavar="NAMES", help="Columns not to send.")] = None,
    zone: Annotated[str, typer.Option(help="IANA zone of times without an offset.")] = "UTC",
    now: Annotated[bool, typer.Option("--now", help="Move all times so that the last row is at the present.")] = False,
) -> None:
    """Play a file of real data over MQTT, row by row.

    \b
    Examples:
      iot replay pump.csv --speed 0
      iot replay meters.parquet --device "{meter_id}" --time-column ts --zone Europe/Berlin
      iot replay pump.csv --now --speed 60
      iot replay weather.csv --device "{origin}" --exclude year,month,day,hour --speed 0
    """
    from iot_pipeline.operations.runstate import attached
    from sensors_sim.replay import print_progress, replay_file, summary_line

    summary = replay_file(
        file,
        settings=attached(settings_with(data=data, broker_url=broker_url)),
        topic=topic,
        device=device,
        dataset=dataset,
        speed=speed,
        time_column_name=time_column,
        columns=_names(columns),
        exclude=_names(exclude),
        zone=zone,
        now=now,
        progress=print_progress,
    )
    typer.echo(summary_line(summary))


def _names(text: str | None) -> tuple[str, ...]:
    """Names of a comma-separated option."""
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


@app.command()
def backfill(
    span: Annotated[str, typer.Argument(metavar="A..B", help="Minutes or days in UTC, both ends included.")],
    *,
    data: DataOption = None,
    dagster_port: DagsterPortOption = None,
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

    settings = attached(settings_with(data=data, dagster_port=dagster_port))
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
    settings = settings_with(data=data)
    command = broker_command(settings.paths, port, filters=len(settings.topics))
    os.execv(command[0], command)  # noqa: S606  # from here on this process is the broker


@app.command()
def forget(
    client_id: Annotated[str, typer.Argument(metavar="CLIENT_ID", help="Of the session, such as a collector's id.")],
    *,
    data: DataOption = None,
    broker_url: BrokerOption = None,
) -> None:
    """End a session at the broker that nobody comes back to.

    The broker drops the messages that it keeps for that client. `iot doctor` names collectors whose
    session is forgotten.

    \b
    Example:
      iot forget collector-old
    """
    from iot_pipeline.clock import utc_now
    from iot_pipeline.landing.heartbeat import read_heartbeats
    from iot_pipeline.operations.broker_probe import end_session
    from iot_pipeline.operations.runstate import attached

    settings = attached(settings_with(data=data, broker_url=broker_url))
    if any(beat.collector == client_id and beat.alive(utc_now()) for beat in read_heartbeats(settings.paths)):
        raise ConfigurationError(f"collector {client_id!r} is at work; stop it first. Nothing was changed")
    end_session(settings, client_id)
    typer.echo(f"{settings.broker_url} keeps nothing for {client_id!r} any more")
