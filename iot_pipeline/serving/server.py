"""`iot serve`: the live layer, the API and the pages in one process on one port, until told to stop.

What they answer is theirs; here they are put together, started in order and stopped within seconds.
"""

import signal
import socket
import sys
import threading

import structlog
import uvicorn
from fastapi import FastAPI

from iot_pipeline.errors import ConfigurationError, IotError
from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.serving.api.answering import Sources
from iot_pipeline.serving.api.application import create_app
from iot_pipeline.serving.dbt_docs import dbt_docs_routes
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.settings import Settings, load_settings

log = structlog.get_logger(__name__)

# What an answer in flight is given to end, once the server was told to stop.
GRACE_SECONDS = 3
# Connections beyond this are answered with 503 at once; each costs about 100 kB.
MOST_CONNECTIONS = 1_000


def make_web(settings: Settings, live: LiveView) -> FastAPI:
    """All that is served as one application: the API, and the pages behind its routes and its gate."""
    # NiceGUI takes a second to import: whoever asks for a port or an address only does not wait for it.
    from iot_pipeline.serving.pages import mount_pages  # noqa: PLC0415
    from iot_pipeline.serving.pages.shell import PageContext  # noqa: PLC0415

    web = create_app(settings, live)
    web.include_router(dbt_docs_routes(settings.paths))
    sources: Sources = web.state.sources
    mount_pages(web, PageContext(settings=settings, paths=settings.paths, live=live, workers=sources.workers))
    return web


def run_server(settings: Settings, stop: threading.Event) -> None:
    """Serve on `web_host`:`web_port` until `stop` is set, or SIGINT or SIGTERM comes.

    Raises:
        ConfigurationError: the address cannot be listened on. Nothing was started.
    """
    bound = _bound(settings)
    live = LiveLayer(settings)
    server = make_server(make_web(settings, live))
    watching = threading.Thread(target=_stop_when_told, args=(server, stop), name="stop", daemon=True)
    live.start()
    try:
        watching.start()
        log.info("serving", url=web_url(settings))
        server.run(sockets=[bound])
    finally:
        stop.set()
        live.stop()
        bound.close()
        log.info("serving_stopped")


def make_server(app: FastAPI) -> uvicorn.Server:
    """A server for `app` that is not running yet."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            # Whom a header names as the client could be anybody.
            proxy_headers=False,
            server_header=False,
        )
    )


def web_url(settings: Settings) -> str:
    """Where the server is."""
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    return f"http://{host}:{settings.web_port}"


def _bound(settings: Settings) -> socket.socket:
    """A socket that has the address; it is listened on only when there is somebody to answer."""
    host, port = settings.web_host, settings.web_port
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    # As servers do: without it the port of one that has just ended would look taken.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; nothing was started. "
            "Choose another with --web-port or IOT_WEB_PORT, --web-host or IOT_WEB_HOST"
        ) from error
    return bound


def _stop_when_told(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


def main() -> int:
    """Run as a process until SIGTERM or SIGINT. Exit code 2 means that a person has to change something."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_server(load_settings(), stop)
    except IotError as error:
        log.error("serving_failed", reason=str(error))  # noqa: TRY400 -- the text is made for the reader
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
