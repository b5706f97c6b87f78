"""What a SIGKILL of the broker costs: `python -m tests.faults.broker_loss`; the table in docs/operations.md.

A device publishes with QoS 1 while the collector is away, the broker is killed and started again, and the
messages that it had acknowledged and does not have any more are counted. No test: it only measures.
"""

import argparse
import getpass
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from iot_pipeline.operations.broker import broker_command
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from tests.conftest import mosquitto_config
from tests.faults.world import CollectorProcess, device, running
from tests.servers import Child, RunningBroker, free_loopback_port
from tests.sources.publishing import landed_payloads

DEFAULTS = "listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\n"


def brokers(folder: Path) -> Mapping[str, RunningBroker]:
    """The embedded broker, and Mosquitto as shipped, with other intervals and with its defaults."""
    port = free_loopback_port()
    found = {
        "embedded": RunningBroker("nats", port, Child(broker_command(DataPaths(folder), port), folder / "nats.log"))
    }
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    for name, interval in {
        "shipped, autosave 5 s": 5,
        "autosave 1 s": 1,
        "autosave 1800 s": 1800,
        "defaults": 0,
    }.items():
        if binary is None:
            continue
        port, store = free_loopback_port(), folder / name.replace(" ", "-")
        store.mkdir()
        text = mosquitto_config(port, store).replace("autosave_interval 5", f"autosave_interval {interval}")
        config = store / "mosquitto.conf"
        config.write_text(text if interval else DEFAULTS.format(port=port, user=getpass.getuser()))
        found[f"mosquitto, {name}"] = RunningBroker(name, port, Child([binary, "-c", str(config)], store / "log"))
    return found


def measure(folder: Path, broker: RunningBroker, rate: float, seconds: float) -> tuple[int, int]:
    """Messages acknowledged before the kill, and how many of them are gone."""
    settings = load_settings(data=folder / "data", broker_url=broker.url)
    collector = CollectorProcess(settings, broker.url, folder / "collector.log")
    broker.start()
    with running(collector):
        pass  # The session exists.
    with device(broker) as one:
        one.begin(rate)
        time.sleep(seconds)
        broker.kill()
        promised = one.promised
    broker.start()
    with running(collector), device(broker, "last") as last:
        last.send(1)  # After it, nothing of before can be on its way.
        collector.until_landed(last.promised)
        before = -1
        while before != (before := len(landed_payloads(settings.paths))):
            time.sleep(2)
    broker.stop()
    return len(promised), len(promised - set(landed_payloads(settings.paths)))


def main() -> None:
    """Print one line a broker."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.broker_loss", description=__doc__)
    parser.add_argument("--rate", type=float, default=1_000, help="messages a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=12, help="until the kill (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="iot-broker-loss-") as name:
        for title, broker in brokers(Path(name)).items():
            folder = Path(name) / f"run-{title.replace(' ', '-')}"
            folder.mkdir()
            promised, lost = measure(folder, broker, options.rate, options.seconds)
            print(f"{title:<36} {promised:>7,} acknowledged {lost:>7,} lost  {lost / options.rate:>5.1f} s", flush=True)


if __name__ == "__main__":
    main()
