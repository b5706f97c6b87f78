"""`iot up`: the whole product with one command, told on the terminal from boot to stop.

Which processes there are is `processes.py`, keeping them alive is `supervisor.py`, what must be
true beforehand is `preflight.py`. Here: the order of events, signals, and what a person reads.
"""

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.operations import preflight
from iot_pipeline.operations.ports import LOOPBACK, free_port
from iot_pipeline.operations.process_spec import ProcessSpec
from iot_pipeline.operations.processes import Plan, opcua_simulator_config
from iot_pipeline.operations.runstate import ProcessReport, UpReport, write_report
from iot_pipeline.operations.supervisor import ProcessFailed, Supervisor
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings, load_settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One stop can arrive twice, by way of `make` and of the terminal; a person takes longer to lose patience.
IMPATIENT_SECONDS = 1.0
# From the close of a minute to its statistics: sensor interval, queue, start of a run, dbt.
EXPECTED_BUILD = timedelta(seconds=60)
# Registered for OPC UA.
OPCUA_PORT = 4840


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What one `iot up` is asked to do beyond the settings."""

    seconds: float | None = None
    """Stop this long after everything is ready; None: run until told to stop."""
    simulator: bool = True
    dagster: bool = True
    broker_port: int | None = None
    """Port of the embedded broker; None: the settings' one, or any free one if that is taken."""


def up(settings: Settings, options: UpOptions) -> int:
    """Run the product until SIGINT, SIGTERM or SIGHUP, or for the time asked for. Exit code.

    0: stopped as asked. 1: a process could not be started, or one failed while `seconds` ran.

    Raises:
        ConfigurationError: a port is taken, the folder cannot be written to, or another `iot up`
            has it. Nothing was started.
        BrokerUnavailable: a broker was named and does not answer. Nothing was started.
    """
    # A shell that starts a job in the background lets it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    preflight.require_writable(settings.paths.root)
    with preflight.only_one(settings.paths):
        plan = _plan(settings, options)
        _make_folders(plan)
        if ended := preflight.clear_leftovers(settings.paths):
            _say(f"ended {ended} processes that an earlier `iot up` had left behind")
        return asyncio.run(_Session(plan, options).run())


def _plan(settings: Settings, options: UpOptions) -> Plan:
    embedded = "broker_url" not in settings.model_fields_set
    # Loaded here only to be refused here: the stages read them anew, so that a mended one needs no restart.
    load_mappings(settings.mappings)
    if options.dagster:
        preflight.require_free_port(settings.dagster_port, "Dagster", "--dagster-port or IOT_DAGSTER_PORT")
        preflight.require_free_port(settings.web_port, "pages and API", "--web-port or IOT_WEB_PORT")
    if embedded:
        if options.broker_port is not None:
            preflight.require_free_port(options.broker_port, "embedded broker", "--broker-port")
        port = options.broker_port or free_port(preferred=settings.broker_port)
        settings = settings.model_copy(update={"broker_url": f"mqtt://{LOOPBACK}:{port}"})
    else:
        preflight.require_broker(settings)
    opcua_port = None
    if options.simulator and settings.opcua is None:
        opcua_port = free_port(preferred=OPCUA_PORT)
        settings = settings.model_copy(update={"opcua": opcua_simulator_config(settings.paths)})
    return Plan(
        settings=settings,
        run_id=uuid.uuid4().hex,
        minute_start=preflight.fix_minute_start(settings),
        embedded_broker=embedded,
        dagster=options.dagster,
        simulator=options.simulator,
        code_server_port=free_port(),
        opcua_simulator_port=opcua_port,
    )


def _make_folders(plan: Plan) -> None:
    for folder in (plan.paths.state, plan.paths.logs, plan.paths.tmp, plan.paths.dagster):
        folder.mkdir(parents=True, exist_ok=True)
    plan.write_workspace()


class _Session:
    """One run of `iot up` from the first process to the last."""

    def __init__(self, plan: Plan, options: UpOptions) -> None:
        self._plan = plan
        self._options = options
        self._began = time.monotonic()
        self._stop = asyncio.Event()
        self._stop_asked = self._began
        self._report = UpReport(
            run_id=plan.run_id,
            pid=os.getpid(),
            started_at=utc_now(),
            broker_url=plan.settings.broker_url,
            embedded_broker=plan.embedded_broker,
            dagster_url=plan.dagster_url if plan.dagster else None,
            web_url=plan.web_url if plan.dagster else None,
        )
        self._supervisor = Supervisor(
            environment=plan.environment(),
            folder=plan.working_folder,
            logs=plan.paths.logs,
            tell=self._tell,
            changed=self._changed,
        )

    async def run(self) -> int:
        """Boot, wait, stop. Exit code."""
        await self._supervisor.open()
        self._listen_to_signals()
        write_report(self._plan.paths, self._report)
        failed = False
        try:
            boot = asyncio.ensure_future(self._boot())
            if await self._unless_stopped(boot):
                boot.result()
                _say(welcome(self._plan, seconds=time.monotonic() - self._began))
                await self._wait()
        except ProcessFailed as error:
            failed = True
            self._tell(f"cannot start: {error}")
        failed = failed or (self._options.seconds is not None and self._supervisor.failures > 0)
        await self._shut_down()
        return int(failed)

    async def _boot(self) -> None:
        specs = self._plan.processes()
        self._tell(f"starting {len(specs)} processes; data in {self._plan.paths.root}")
        for spec in specs:
            await self._supervisor.start(spec)
            self._tell(_line(spec))
        self._report = self._report.model_copy(update={"ready_at": utc_now()})
        write_report(self._plan.paths, self._report)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), timeout=self._options.seconds)

    async def _unless_stopped(self, task: "asyncio.Future[None]") -> bool:
        """Wait for `task`; cancel it and return False when a stop comes first."""
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
            return False
        return True

    async def _shut_down(self) -> None:
        self._stop.set()  # from here on, a signal means impatience
        began = time.monotonic()
        self._tell("stopping")
        await self._supervisor.stop()
        failures = self._supervisor.failures
        told = f"; {failures} times a process had ended unasked (see {self._plan.paths.logs})" if failures else ""
        self._tell(f"stopped in {time.monotonic() - began:.1f} s, everything ended{told}")

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._stop_asked = time.monotonic()
        elif time.monotonic() - self._stop_asked > IMPATIENT_SECONDS:
            self._supervisor.kill()

    def _changed(self, processes: Sequence[ProcessReport]) -> None:
        self._report = self._report.model_copy(update={"processes": list(processes)})
        # A full disk must not end the supervisor: the report is a convenience.
        with contextlib.suppress(OSError):
            write_report(self._plan.paths, self._report)

    def _tell(self, text: str) -> None:
        _say(f"[{time.monotonic() - self._began:6.1f} s] {text}")


def welcome(plan: Plan, *, seconds: float) -> str:
    """What a person reads once everything runs: addresses, what is there, and when."""
    now = utc_now()
    # What a person types next has to find this instance.
    iot = typed("iot")
    where = "" if plan.paths.root == load_settings().paths.root else f" --data {shlex.quote(str(plan.paths.root))}"
    lines = [f"\nEverything runs ({seconds:.0f} s).\n"]
    if plan.dagster:
        lines.append(f"  Pages    {plan.web_url}   live figures, devices, anomalies; the API is at /api/v1/docs")
        lines.append(f"  Dagster  {plan.dagster_url}   the flow as a graph, its runs, checks and freshness")
    lines.append(f"  Broker   {plan.settings.broker_url}   publish to it and it is collected")
    lines.append(f"  Data     {plan.paths.root}   Parquet files; query them with `{iot} sql`\n")
    if plan.simulator:
        lines.append(f"  now        messages land:      {iot} status{where}")
    if plan.dagster:
        built = floor_minute(now) + MINUTE + plan.settings.intake_delay + EXPECTED_BUILD
        lines.append(
            f"  {built:%H:%M} UTC  first statistics:   "
            f'{iot} sql{where} "SELECT * FROM device_minute ORDER BY minute DESC LIMIT 10"'
        )
        if plan.simulator:
            lines.append(
                f"  {built + MINUTE:%H:%M} UTC  first flags:        "
                f'{iot} sql{where} "SELECT event_ts, device_id, reason FROM anomaly_flags ORDER BY event_ts"'
            )
        lines.append("  hourly     the present day by hour and day; at 00:20 UTC yesterday is sealed and built")
    lines.append(f"\nStop with Ctrl-C. Logs: {plan.paths.logs}")
    return "\n".join(lines)


def typed(command: str) -> str:
    """How a command of this environment is typed in this terminal: with its path, unless it is found without."""
    beside = Path(sys.executable).with_name(command)
    if shutil.which(command) is not None or not beside.exists():
        return command
    folder = Path.cwd()
    return shlex.quote(str(beside.relative_to(folder) if beside.is_relative_to(folder) else beside))


def _line(spec: ProcessSpec) -> str:
    return f"{spec.name:<19} {spec.does}"


def _say(text: str) -> None:
    # The terminal may be gone (`iot up | head`, a closed window): that is no reason to fall over.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
