"""Loopback ports: is one taken, and which one is free. Starts and listens to nothing for long."""

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `host:port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it a port in TIME_WAIT would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, host: str = LOOPBACK) -> int:
    """`preferred` when it is free, otherwise any free port.

    Another program can take it before it is used; whoever listens on it reports that itself.
    """
    if preferred is not None and port_is_free(preferred, host):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def answers(host: str, port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether something accepts a TCP connection on `host:port`."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=timeout_seconds):
        return True
    return False
