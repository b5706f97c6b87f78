"""Runs fleets in one process against a broker: `python -m sensors_sim.run`.

One connection carries the JSON fleets; the Sparkplug edge node has its own, because its will is its death
certificate. What fleets say is in their modules; how messages travel is in `mqtt.py`.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import BrokerUnavailable, ConfigurationError, IotError
from iot_pipeline.settings import Settings, load_settings
from sensors_sim.faults import FaultyFleet
from sensors_sim.fleet import Fleet
from sensors_sim.ice_plant import COMMAND_TOPIC, IcePlant
from sensors_sim.labels import LabelFile
from sensors_sim.mqtt import MqttPublisher
from sensors_sim.node_faults import NodeFault, NodeFaults, parse_node_faults
from sensors_sim.registry import FLEETS, build_fleet, check_fleets

_log = structlog.get_logger(__name__)
TICK_S = 0.05
LOG_EVERY_S = 30
# Less than a supervisor waits before it kills.
DRAIN_S = 2.0


@dataclass(slots=True)
class _Feed:
    """A fleet, its connection and what it has published since the last log line."""

    fleet: Fleet
    publisher: MqttPublisher
    node: IcePlant | None = None
    labels: LabelFile | None = None
    node_faults: NodeFaults | None = None
    sessions: int = 0
    messages: int = 0
    payload_bytes: int = 0

    def publish(self, now: datetime) -> None:
        """Publish what is due. Without a connection, or with a full window, the fleet rests; it does not queue."""
        if not self.publisher.ready:
            return
        if self.node is not None and self.sessions != self.publisher.sessions:
            self.sessions = self.publisher.sessions
            self.node.session_started()
            if self.node_faults is not None:
                self.node_faults.born_again(now)
        messages = self.fleet.messages(now)
        for message in messages if self.node_faults is None else self.node_faults.apply(messages, now):
            self.publisher.publish(message)
            self.messages += 1
            self.payload_bytes += len(message.payload)
        if self.node_faults is not None and self.node_faults.dies(now):
            _log.warning("node_dies", fleet=self.fleet.name)
            self.publisher.cut()

    def log(self) -> None:
        """Log and reset the counts."""
        _log.info(
            "fleet_published",
            fleet=self.fleet.name,
            messages=self.messages,
            payload_bytes=self.payload_bytes,
            unacknowledged=self.publisher.unacknowledged,
            connected=self.publisher.connected,
        )
        self.messages = self.payload_bytes = 0


def run_simulator(
    settings: Settings,
    *,
    fleets: Sequence[str] = tuple(FLEETS),
    seed: int = 0,
    faults: bool = True,
    fault_rate: float = 1.0,
    rate_factor: float = 1.0,
    users: int | None = None,
    node_faults: Sequence[str] = (),
    stop: threading.Event | None = None,
) -> None:
    """Run until `stop` is set. The broker need not be there yet, and may go away and come back.

    Args:
        settings: the broker, and the data folder for truth labels.
        fleets: names of `registry.FLEETS`.
        seed: equal seeds give equal values at equal instants.
        faults: whether to inject faults and write labels to `<data>/labels`.
        fault_rate: how often faults happen, as a multiple of the demo's timetable.
        rate_factor: multiplies how many messages are sent in time.
        users: customers of the utility.
        node_faults: how the Sparkplug edge node misbehaves: names of `NodeFault`.
        stop: set it to end cleanly: death certificate, wait for acknowledgements, disconnect.

    Raises:
        ConfigurationError: an argument is wrong; nothing was started.
    """
    names = check_fleets(fleets)
    kinds = parse_node_faults(node_faults)
    if kinds and IcePlant.name not in names:
        raise ConfigurationError(f"sparkplug-faults befall the fleet {IcePlant.name}, which is not among those to run")
    stop = stop or threading.Event()
    start = utc_now()
    json_connection = MqttPublisher(settings, _client_id("json"))
    feeds: list[_Feed] = []
    for name in names:
        fleet = build_fleet(name, seed=seed, start=start, rate_factor=rate_factor, users=users)
        node = fleet if isinstance(fleet, IcePlant) else None
        feed = _Feed(fleet, json_connection if node is None else _node_connection(settings, node), node)
        if faults or (kinds and node is not None):
            feed.labels = LabelFile(settings.paths.labels, name, start)
        if kinds and node is not None and feed.labels is not None:
            feed.node_faults = NodeFaults(kinds, seed=seed, start=start, labels=feed.labels, rate=fault_rate)
        if faults and feed.labels is not None:
            feed.fleet = FaultyFleet(fleet, fleets=names, seed=seed, start=start, labels=feed.labels, rate=fault_rate)
        feeds.append(feed)
    publishers = list({id(feed.publisher): feed.publisher for feed in feeds}.values())
    _log.info("simulator_started", fleets=",".join(names), seed=seed, faults=faults, rate_factor=rate_factor)
    for publisher in publishers:
        publisher.start()
    try:
        _loop(feeds, stop)
    finally:
        _finish(feeds, publishers)


def _client_id(name: str) -> str:
    return f"sensors-sim-{name}-{os.getpid()}"


def _node_connection(settings: Settings, node: IcePlant) -> MqttPublisher:
    return MqttPublisher(
        settings,
        _client_id(node.name),
        will=lambda: node.next_will(utc_now()),
        subscription=COMMAND_TOPIC,
        on_command=lambda payload: _command(node, payload),
    )


def _command(node: IcePlant, payload: bytes) -> None:
    _log.info("command_received", fleet=node.name, rebirth=node.command(payload))


def _loop(feeds: list[_Feed], stop: threading.Event) -> None:
    next_log = time.monotonic() + LOG_EVERY_S
    # Not `stop.wait`: a signal handler that sets the event while this thread is inside `wait` can deadlock.
    while not stop.is_set():
        # The clock says what is due, so a slow round is made up for and pace does not drift.
        now = utc_now()
        for feed in feeds:
            feed.publish(now)
        if time.monotonic() >= next_log:
            next_log += LOG_EVERY_S
            for feed in feeds:
                feed.log()
        time.sleep(TICK_S)


def _finish(feeds: list[_Feed], publishers: list[MqttPublisher]) -> None:
    for feed in feeds:
        feed.log()
        if feed.node is not None and feed.publisher.connected:
            feed.publisher.publish(feed.node.death(utc_now()))
        if feed.labels is not None:
            feed.labels.close()
    for publisher in publishers:
        try:
            publisher.drain(DRAIN_S if publisher.connected else 0)
        except BrokerUnavailable as error:
            _log.warning("stopped_with_unacknowledged", messages=publisher.unacknowledged, reason=str(error))
        publisher.close()
    _log.info("simulator_stopped")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sensors_sim.run", description="Simulated sensors over MQTT.")
    parser.add_argument("--fleets", default=",".join(FLEETS), help="comma-separated names (default: %(default)s)")
    parser.add_argument("--broker-url", help="mqtt://host[:port]; default: IOT_BROKER_URL")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal values (default: %(default)s)")
    parser.add_argument(
        "--faults", action=argparse.BooleanOptionalAction, default=True, help="inject faults and write truth labels"
    )
    parser.add_argument("--fault-rate", type=float, default=1.0, help="how often faults happen (default: 1)")
    parser.add_argument("--rate-factor", type=float, default=1.0, help="multiplies all message rates (default: 1)")
    parser.add_argument(
        "--sparkplug-faults", default="", help=f"comma-separated: {', '.join(NodeFault)} (default: none)"
    )
    parser.add_argument("--users", type=int, help="customers of the utility (default: 120)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: runs until SIGTERM or SIGINT. Returns the exit code."""
    options = _arguments(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load_settings(**({"broker_url": options.broker_url} if options.broker_url else {}))
        run_simulator(
            settings,
            fleets=[name.strip() for name in options.fleets.split(",") if name.strip()],
            seed=options.seed,
            faults=options.faults,
            fault_rate=options.fault_rate,
            rate_factor=options.rate_factor,
            users=options.users,
            node_faults=[name.strip() for name in options.sparkplug_faults.split(",") if name.strip()],
            stop=stop,
        )
    except IotError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
