"""When is a started process of use? One small question per kind of process, asked again and again.

Each answers at once or within about two seconds, and says False for whatever goes wrong: asking
is all that happens here, waiting belongs to the supervisor.
"""

import http
import http.client
import json
from collections.abc import Callable

import psutil

from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.paths import DataPaths

Ready = Callable[[int], bool]
"""Given the process id, whether it does its work now."""

_DAEMON_QUERY = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
_TIMEOUT_SECONDS = 2.0


def listens(port: int) -> Ready:
    """Ready once the process itself listens on `port`. Dagster's code server does when its code is loaded.

    That something answers there is not enough: it could be another instance that took the port first.
    """

    def ready(pid: int) -> bool:
        try:
            sockets = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and tuple(each.laddr)[1:] == (port,) for each in sockets)

    return ready


def collector_connected(paths: DataPaths) -> Ready:
    """Ready once the process writes heartbeats and is subscribed to all that it was told to."""
    return lambda pid: any(beat.pid == pid and beat.connected for beat in read_heartbeats(paths))


def collector_reports(paths: DataPaths) -> Ready:
    """Ready once the process writes heartbeats, connected or not: for sources that may well be switched off."""
    return lambda pid: any(beat.pid == pid for beat in read_heartbeats(paths))


def http_ok(host: str, port: int, path: str) -> Ready:
    """Ready once `path` answers 200."""
    return lambda _pid: _fetch(host, port, "GET", path) is not None


def daemon_healthy(host: str, port: int) -> Ready:
    """Ready once Dagster's web server at `host:port` sees heartbeats of all required daemons."""

    def ready(_pid: int) -> bool:
        answer = _fetch(host, port, "POST", "/graphql", json.dumps({"query": _DAEMON_QUERY}))
        if answer is None:
            return False
        statuses = json.loads(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    return ready


def _fetch(host: str, port: int, method: str, path: str, body: str | None = None) -> bytes | None:
    """The body of a 200 answer, otherwise None. No proxy: this is about servers on this machine."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.read() if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):  # refused, timed out, or cut short
        return None
    finally:
        connection.close()
