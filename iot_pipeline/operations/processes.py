"""Which processes make a running product, how each is started, and in what order.

Starting, watching and stopping them is the supervisor's (`supervisor.py`). The order is the
order of dependence: the simulator comes last because what it announces once at birth, unretained,
is heard only by a collector that is subscribed already.
"""

import json
import os
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml
from pydantic import SecretStr

from iot_pipeline.clock import day_key
from iot_pipeline.landing.collectors import SourceKind, configured_kinds
from iot_pipeline.operations import readiness
from iot_pipeline.operations.broker import broker_command
from iot_pipeline.operations.ports import LOOPBACK
from iot_pipeline.operations.process_spec import ProcessSpec
from iot_pipeline.operations.runstate import RUN_ID_VARIABLE
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one `iot up` runs."""

    settings: Settings
    run_id: str
    minute_start: date
    embedded_broker: bool
    dagster: bool
    simulator: bool
    code_server_port: int
    opcua_simulator_port: int | None = None
    """Where the simulated line speaks OPC UA; None: it does not."""

    @property
    def paths(self) -> DataPaths:
        """The trees below the data folder."""
        return self.settings.paths

    @property
    def dagster_url(self) -> str:
        """Where the web server is."""
        return f"http://{LOOPBACK}:{self.settings.dagster_port}"

    @property
    def web_url(self) -> str:
        """Where pages and API are."""
        return f"http://{self.settings.web_host}:{self.settings.web_port}"

    @property
    def workspace_file(self) -> Path:
        """Tells web server and daemon of the one code server, so that code is loaded once."""
        return self.paths.state / "workspace.yaml"

    def environment(self) -> dict[str, str]:
        """Environment of every process: the caller's, with what this plan fixes."""
        tools = str(Path(sys.executable).parent)
        return {
            **os.environ,
            # They run outside the project folder, and without activation of the environment.
            "PATH": os.pathsep.join([tools, os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            **exported(self.settings),
            "IOT_DATA": str(self.paths.root),
            # Partitions must not move while code servers and run workers come and go.
            "IOT_MINUTE_START": day_key(self.minute_start),
            "IOT_DAGSTER_STORAGE": str(self.paths.dagster),
            "DAGSTER_HOME": str(PROJECT_ROOT),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            RUN_ID_VARIABLE: self.run_id,
        }

    @property
    def working_folder(self) -> Path:
        """Where every process runs. Not the project: what its `.env` says would win over `environment()`."""
        return self.paths.state

    def write_workspace(self) -> None:
        """Write the workspace file that web server and daemon read."""
        server = {"host": LOOPBACK, "port": self.code_server_port, "location_name": "iot_pipeline"}
        self.workspace_file.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")

    def processes(self) -> list[ProcessSpec]:
        """All processes, in starting order."""
        return [
            *([self._broker()] if self.embedded_broker else []),
            # Before its collector: it writes the file that the collector is configured by.
            *([self._opcua_simulator(self.opcua_simulator_port)] if self.opcua_simulator_port else []),
            *(self._collector(kind) for kind in configured_kinds(self.settings)),
            *([self._code_server(), self._webserver(), self._daemon(), self._web()] if self.dagster else []),
            *([self._simulator()] if self.simulator else []),
        ]

    def _broker(self) -> ProcessSpec:
        port = self.settings.broker_port
        return ProcessSpec(
            name="broker",
            command=tuple(broker_command(self.paths, port, filters=len(self.settings.topics))),
            does=f"listens on {self.settings.broker_url}",
            ready=readiness.listens(port),
            stop_rank=3,
            grace_seconds=2,
        )

    def _collector(self, kind: SourceKind) -> ProcessSpec:
        broker = self.settings.broker_address
        does = {
            SourceKind.mqtt: f"is subscribed at {broker} and lands what arrives",
            SourceKind.sparkplug: f"is Sparkplug host {self.settings.sparkplug_host_id} at {broker}",
            SourceKind.opcua: f"lands what changes at the OPC UA servers of {self.settings.opcua}",
        }
        return ProcessSpec(
            name="collector" if kind is SourceKind.mqtt else f"collector-{kind}",
            command=(*_module("iot_pipeline.sources.collector"), "--source", kind),
            does=does[kind],
            # The broker was seen to answer; a machine that is switched off must not keep the product down.
            ready=(readiness.collector_reports if kind is SourceKind.opcua else readiness.collector_connected)(
                self.paths
            ),
            stop_rank=2,
            # It finishes its batch and acknowledges it, so that nothing is sent twice.
            grace_seconds=4,
            # Another client has its id, or its settings are wrong: started again it would do harm, or nothing.
            gives_up_with=2,
        )

    def _code_server(self) -> ProcessSpec:
        # The plain gRPC server: `dagster code-server` puts a second process of 80 MB in front of
        # it, only so that code can be reloaded from the UI; here the supervisor starts it again.
        serve = ("api", "grpc", "--host", LOOPBACK, "--port", str(self.code_server_port))
        code = ("--module-name", "iot_pipeline.definitions", "--working-directory", str(PROJECT_ROOT))
        return ProcessSpec(
            name="code-server",
            command=(_tool("dagster"), *serve, *code, "--location-name", "iot_pipeline"),
            does="has loaded the definitions",
            ready=readiness.listens(self.code_server_port),
            ready_seconds=180,
            stop_rank=1,
            # It waits for the runs below it to notice.
            grace_seconds=10,
            has_children=True,
        )

    def _webserver(self) -> ProcessSpec:
        bind = ("--host", LOOPBACK, "--port", str(self.settings.dagster_port))
        return ProcessSpec(
            name="webserver",
            command=(_tool("dagster-webserver"), "--workspace", str(self.workspace_file), *bind),
            does=f"serves {self.dagster_url}",
            ready=readiness.http_ok(LOOPBACK, self.settings.dagster_port, "/server_info"),
            ready_seconds=180,
            stop_rank=1,
            grace_seconds=6,
        )

    def _daemon(self) -> ProcessSpec:
        return ProcessSpec(
            name="daemon",
            command=(_tool("dagster-daemon"), "run", "--workspace", str(self.workspace_file)),
            does="runs sensors and schedules",
            ready=readiness.daemon_healthy(LOOPBACK, self.settings.dagster_port),
            ready_seconds=180,
            stop_rank=1,
            grace_seconds=6,
        )

    def _web(self) -> ProcessSpec:
        return ProcessSpec(
            name="web",
            command=_module("iot_pipeline.serving.server"),
            does=f"serves {self.web_url}",
            # Not `/readyz`: rebuilding the live layer from a long landing must not hold up the start.
            ready=readiness.http_ok(
                LOOPBACK if self.settings.web_is_loopback else self.settings.web_host,
                self.settings.web_port,
                "/healthz",
            ),
            stop_rank=1,
            grace_seconds=8,
            gives_up_with=2,
        )

    def _simulator(self) -> ProcessSpec:
        return ProcessSpec(
            name="simulator",
            command=_module("sensors_sim.run"),
            does="sends readings of five fleets",
            # It has no port and no heartbeat; the collector's message count is the proof.
            ready=lambda _pid: True,
            stop_rank=0,
            grace_seconds=3,
        )

    def _opcua_simulator(self, port: int) -> ProcessSpec:
        config = ("--write-config", str(opcua_simulator_config(self.paths)))
        return ProcessSpec(
            name="simulator-opcua",
            command=(*_module("sensors_sim.opcua_server"), "--port", str(port), *config),
            does=f"is a production line at opc.tcp://{LOOPBACK}:{port}",
            ready=readiness.listens(port),
            # After its collector, for which it is no broker but the device itself.
            stop_rank=3,
            grace_seconds=3,
        )


def opcua_simulator_config(paths: DataPaths) -> Path:
    """Where the simulated OPC UA server writes how to collect it."""
    return paths.state / "opcua-simulator.yaml"


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)


def _tool(name: str) -> str:
    """A console script of the environment that this interpreter belongs to."""
    return str(Path(sys.executable).with_name(name))


def exported(settings: Settings) -> dict[str, str]:
    """Environment variables that give another process the settings that were set, `.env` included."""
    variables: dict[str, str] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is not None:
            text = json.dumps(value) if isinstance(value, tuple) else str(value)
            variables[f"IOT_{name.upper()}"] = text
    return variables
