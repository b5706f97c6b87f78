"""The industrial line as an OPC UA server: `python -m sensors_sim.opcua_server`.

It is line_2, of the same kind as the line_1 that speaks MQTT, so that each device has one voice only. Values
come from `industrial_line.py`; faults are injected on the MQTT side alone.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
import yaml
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.permission_rules import User, UserRole
from cryptography.x509.oid import ExtendedKeyUsageOID

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, IotError
from sensors_sim.fleet import Reading, from_us
from sensors_sim.industrial_line import MACHINES, PHASES, VALVES, IndustrialLine

_log = structlog.get_logger(__name__)

NAMESPACE = "urn:iot-pipeline:industrial-line"
PASSWORD_VARIABLE = "IOT_SIMULATOR_OPCUA_PASSWORD"  # noqa: S105  # a name, no password
SERVER_NAME = "industrial_line"
LINE = 2
DEFAULT_PORT = 4840
TICK_S = 0.05
# Enough for a collector that is restarted; each value is held in memory.
HISTORY = timedelta(minutes=10)
_ELECTRICAL = dict.fromkeys(PHASES.values(), "A")
_MACHINE_UNITS = {**_ELECTRICAL, "v_rms": "mm/s", "a_peak": "g", "state": None}
_VALVE_UNITS = {"travel_time_open": "ms", "travel_time_close": "ms"}
_METRICS: dict[str, dict[str, str | None]] = {
    **{f"line_{LINE}/{machine.name}": {**_MACHINE_UNITS} for machine in MACHINES},
    **{f"line_{LINE}/{valve.name}": {**_VALVE_UNITS} for valve in VALVES},
}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server is to be served.

    Attributes:
        port: TCP port on the loopback interface.
        history: whether values of the last ten minutes can be read back.
        user: only this user may log on, with `password`; None: anybody.
        password: of that user.
        certificates: folder for the server's certificate and key; then only encrypted connections are
            accepted. None: only unencrypted ones.
        seed: equal seeds give equal values at equal instants.
        rate_factor: multiplies one reading a second for each signal.
    """

    port: int = DEFAULT_PORT
    history: bool = True
    user: str | None = None
    password: str | None = None
    certificates: Path | None = None
    seed: int = 0
    rate_factor: float = 1.0

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"opc.tcp://127.0.0.1:{self.port}"


class _OneUser:
    """asyncua's user manager for one name and one password."""

    def __init__(self, name: str, password: str) -> None:
        self._known = (name, password)

    def get_user(
        self,
        _server: object,
        username: str | None = None,
        password: str | None = None,
        certificate: object = None,  # noqa: ARG002  # asyncua passes it
    ) -> User | None:
        """The user, or None: refused."""
        return User(role=UserRole.User) if (username, password) == self._known else None


def collector_config(options: ServerOptions) -> dict[str, object]:
    """What a collector's `IOT_OPCUA` file says to collect this server."""
    server: dict[str, object] = {
        "name": SERVER_NAME,
        "url": options.url,
        # The line names its devices as the one that speaks MQTT does.
        "device": "{path}",
        "browse": [{"start": f"nsu={NAMESPACE};s=line_{LINE}"}],
        "sampling_interval_ms": 100,
        "publishing_interval_ms": 500,
    }
    if options.certificates is not None:
        server["security"] = {"policy": "Basic256Sha256", "mode": "SignAndEncrypt"}
    if options.user is not None:
        server["user"] = {"name": options.user, "password_env": PASSWORD_VARIABLE}
    return {"servers": [server]}


def write_collector_config(path: Path, options: ServerOptions) -> None:
    """Replace `path` by `collector_config` as YAML."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(yaml.safe_dump(collector_config(options), sort_keys=False), encoding="utf-8")
    os.replace(temporary, path)


async def serve(options: ServerOptions, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises ConfigurationError when the port cannot be had."""
    server = await _server(options)
    nodes = await _populate(server, options)
    fleet = IndustrialLine(seed=options.seed, start=utc_now(), rate_factor=options.rate_factor, first=LINE)
    try:
        await server.start()
    except OSError as error:
        raise ConfigurationError(f"port {options.port}: {error.strerror or error}; choose another --port") from error
    _log.info("opcua_server_started", url=options.url, nodes=len(nodes), history=options.history)
    try:
        while not stop.is_set():
            for frame in fleet.frames(utc_now()):
                for reading in frame.readings:
                    await server.write_attribute_value(nodes[reading.device_id, reading.metric].nodeid, _value(reading))
            await asyncio.sleep(TICK_S)
    finally:
        await server.stop()
        _log.info("opcua_server_stopped", url=options.url)


async def _server(options: ServerOptions) -> Server:
    if options.user is None:
        server = Server()
    else:
        if not options.password:
            raise ConfigurationError(f"--user needs a password in the environment variable {PASSWORD_VARIABLE}")
        server = Server(user_manager=_OneUser(options.user, options.password))
        server.set_identity_tokens([ua.UserNameIdentityToken])
    await server.init()
    server.set_endpoint(options.url)
    server.set_server_name("Industrial line (simulated)")
    await server.set_application_uri(NAMESPACE)
    if options.certificates is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        return server
    options.certificates.mkdir(parents=True, exist_ok=True)
    key, certificate = options.certificates / "server.pem", options.certificates / "server.der"
    await setup_self_signed_certificate(
        key, certificate, NAMESPACE, socket.gethostname(), [ExtendedKeyUsageOID.SERVER_AUTH], {}
    )
    key.chmod(0o600)
    await server.load_certificate(str(certificate))
    await server.load_private_key(str(key))
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    return server


async def _populate(server: Server, options: ServerOptions) -> dict[tuple[str, str], ua.NodeId]:
    """Make the objects and variables of the line; the variable of each (device, metric)."""
    index = await server.register_namespace(NAMESPACE)
    line = await server.nodes.objects.add_object(ua.NodeId(f"line_{LINE}", index), f"{index}:line_{LINE}")
    nodes = {}
    for device_id, metrics in _METRICS.items():
        name = device_id.rpartition("/")[2]
        device = await line.add_object(ua.NodeId(device_id, index), f"{index}:{name}")
        for metric, unit in metrics.items():
            start = ua.Variant("", ua.VariantType.String) if unit is None else ua.Variant(0.0, ua.VariantType.Double)
            node = await device.add_variable(ua.NodeId(f"{device_id}/{metric}", index), f"{index}:{metric}", start)
            waiting = ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData)
            await node.write_value(ua.DataValue(ua.Variant(), waiting, utc_now()))
            if unit is not None:
                told = ua.EUInformation(DisplayName=ua.LocalizedText(unit))
                await node.add_property(ua.NodeId(f"{device_id}/{metric}/unit", index), "0:EngineeringUnits", told)
            if options.history:
                await server.historize_node_data_change(node, period=HISTORY)
            nodes[device_id, metric] = node
    return nodes


def _value(reading: Reading) -> ua.DataValue:
    kind = ua.VariantType.String if isinstance(reading.value, str) else ua.VariantType.Double
    instant = from_us(reading.at_us)
    return ua.DataValue(ua.Variant(reading.value, kind), ua.StatusCode(), instant, utc_now())


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sensors_sim.opcua_server", description="A simulated production line as an OPC UA server."
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--history", action=argparse.BooleanOptionalAction, default=True, help="keep ten minutes")
    parser.add_argument("--user", help=f"the only user; password in {PASSWORD_VARIABLE}")
    parser.add_argument("--certificates", type=Path, metavar="FOLDER", help="only encrypted connections; keys are here")
    parser.add_argument("--write-config", type=Path, metavar="FILE", help="write the file that IOT_OPCUA has to name")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal values (default: %(default)s)")
    parser.add_argument("--rate-factor", type=float, default=1.0, help="multiplies all rates (default: 1)")
    return parser.parse_args(arguments)


async def _run(options: ServerOptions) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(options, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: serves until SIGTERM or SIGINT. Returns the exit code."""
    given = _arguments(arguments)
    options = ServerOptions(
        port=given.port,
        history=given.history,
        user=given.user,
        password=os.environ.get(PASSWORD_VARIABLE),
        certificates=given.certificates,
        seed=given.seed,
        rate_factor=given.rate_factor,
    )
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    try:
        if given.write_config is not None:
            write_collector_config(given.write_config, options)
        asyncio.run(_run(options))
    except IotError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
