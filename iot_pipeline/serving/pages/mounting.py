"""NiceGUI under our gate: what it may serve, how strictly, and what is shown where a page is missing or fails.

What pages show is theirs. NiceGUI is one application per process; mounting again replaces what was mounted before.
"""

import base64
import hashlib
import re
from http import HTTPStatus
from pathlib import Path

import structlog
from fastapi import FastAPI, Request, Response
from nicegui import Client, core, ui
from nicegui.page import page
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iot_pipeline.serving.api.problems import Problem, install_problems, problem_response
from iot_pipeline.serving.pages import shell
from iot_pipeline.serving.pages.parts import links, refresh, states

log = structlog.get_logger(__name__)

STATIC = Path(__file__).parent / "static"
# NiceGUI keeps what is to be started, for every mounting: ours is there once.
_STARTS: list[bool] = []
_INLINE_SCRIPT = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL)
# Vue compiles templates and NiceGUI evaluates what the server sends: without 'unsafe-eval' no page works. Scripts
# in the page itself are named by their digests, so neither markup nor an event attribute can bring another one.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {digests}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)


def mount(app: FastAPI, context: shell.PageContext) -> None:
    """Put NiceGUI behind the routes of `app`, with nothing of it that writes to the disk or sets a cookie."""
    links.outside.dagster = f"http://127.0.0.1:{context.settings.dagster_port}"
    inner = core.app
    inner.middleware_stack = None
    inner.user_middleware.clear()
    # One transport, which the gate can check: a WebSocket names where it comes from.
    inner.config.socket_io_js_transports = ["websocket"]
    core.sio.eio.transports = ["websocket"]
    core.sio.eio.cors_allowed_origins = []
    inner.add_middleware(PagePolicy)
    install_problems(inner)
    inner.add_exception_handler(404, _missing)
    inner.on_page_exception(_failed)
    refresh.always_running.clear()
    if not _STARTS:
        inner.on_startup(refresh.run_always)
        _STARTS.append(True)
    inner.add_static_files(shell.ASSETS, STATIC, max_cache_age=31_536_000)
    ui.run_with(
        app,
        title="iot-pipeline",
        favicon=STATIC / "favicon.svg",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=5.0,
        message_history_length=200,
        # None: no session cookie and no files; what a viewer prefers stays in the browser.
        storage_secret=None,
        show_welcome_message=False,
    )
    inner.add_middleware(LeftAlone)


class LeftAlone:
    """ASGI middleware: a viewer who left before the answer is no failure, which middleware of NiceGUI takes it for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and let go what nobody waits for."""
        left = False

        async def heard() -> Message:
            nonlocal left
            message = await receive()
            left = left or message["type"] == "http.disconnect"
            return message

        try:
            await self._app(scope, heard, send)
        except RuntimeError:
            if not left:
                raise


class PagePolicy:
    """ASGI middleware: gives each page a Content-Security-Policy that names its own scripts by digest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold back the head of an HTML answer until its body is known."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):  # what a viewer does travels over the WebSocket
            refused = Problem(405, "method-not-allowed", f"{scope['method']} is not allowed here; allowed: GET")
            response = problem_response(refused, scope["path"])
            response.headers["Allow"] = "GET, HEAD"
            await response(scope, receive, send)
            return
        head: Message | None = None
        body = b""

        async def through(message: Message) -> None:
            nonlocal head, body
            if message["type"] == "http.response.start":
                if not MutableHeaders(scope=message).get("content-type", "").startswith("text/html"):
                    await send(message)
                    return
                head = message
            elif head is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    MutableHeaders(scope=head)["Content-Security-Policy"] = policy_for(body)
                    await send(head)
                    await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, through)


def policy_for(html: bytes) -> str:
    """The policy under which exactly the inline scripts of `html` run."""
    digests = {
        base64.b64encode(hashlib.sha256(found["body"]).digest()).decode()
        for found in _INLINE_SCRIPT.finditer(html)
        if b"src=" not in found["attributes"]
    }
    return _POLICY.format(digests=" ".join(f"'sha256-{digest}'" for digest in sorted(digests)))


async def _missing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- the type is what it is registered for
    if "text/html" not in request.headers.get("accept", "") or request.method not in ("GET", "HEAD"):
        kind = HTTPStatus(404).phrase.lower().replace(" ", "-")
        detail = "there is nothing at this path; the paths of the API are listed at /api/v1/docs"
        return problem_response(Problem(404, kind, detail), request.url.path)
    with Client(page(""), request=request) as client:
        with shell.frame(None, title="Not found", active=""):
            states.empty("There is no page at this address.", "Search a device above, or choose a page on the left.")
        return client.build_response(request, 404)


def _failed(error: Exception) -> None:
    log.error("page_failed", error=repr(error))
    with shell.frame(None, title="This page failed", active=""):
        states.problem(
            "This page failed on our side; nothing was changed.",
            "The log of `web` tells more. Load the page again, or choose another one.",
        )
