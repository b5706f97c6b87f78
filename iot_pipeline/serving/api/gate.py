"""What every request passes before it is answered: host, key, rate and size; and the headers of every answer.

One plain ASGI layer, because it also stands before pages and their WebSockets. What is answered is not its business.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iot_pipeline.serving.api.problems import Problem, problem_response
from iot_pipeline.settings import Settings

LARGEST_BODY = 65_536
TOO_LARGE = f"a body has at most {LARGEST_BODY} bytes"
# A refusal must not fill memory: the clients that were not heard for longest are forgotten.
CLIENTS_KNOWN = 4_096
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
LIMITED = ("/api/", "/metrics")
# What browsers fetch once and keep. Everything else outside the API is a page or its WebSocket, of which each costs
# memory; a person opens a few a second at most, and a tab that lost its server tries again every few seconds.
KEPT_FILES = ("/_nicegui/", "/assets/", "/docs/", "/favicon.ico")
PAGES_PER_SECOND = 10.0
SESSION_COOKIE = "iot_session"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Answers of the API hold no script; the one page of documents has a style of its own.
_API_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Keys:
    """The keys that may ask, compared without telling by the time it takes how much of one was right."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {name: _digest(key) for name, key in keys.items()}
        # What a browser shows instead of the key once it knew it: a WebSocket is not sent `Basic` by all of them.
        self._sessions = {name: f"{name}.{_session(name, key)}" for name, key in keys.items()}

    @property
    def asked_for(self) -> bool:
        """Whether a key is needed at all."""
        return bool(self._digests)

    def name_of(self, headers: Headers) -> str | None:
        """Name of the key that a request carries: as `X-API-Key`, `Bearer`, or password of `Basic` (browsers)."""
        digest, session = _digest(_presented(headers)), _digest(_cookie(headers))
        found = None
        for name, known in self._digests.items():  # all of them, always
            if hmac.compare_digest(digest, known) | hmac.compare_digest(session, _digest(self._sessions[name])):
                found = name
        return found

    def session_for(self, headers: Headers) -> str | None:
        """The cookie for a browser that has just shown its key as the password of `Basic`; None for all others."""
        if not headers.get("authorization", "").lower().startswith("basic "):
            return None
        name = self.name_of(headers)
        return self._sessions[name] if name is not None and _cookie(headers) != self._sessions[name] else None


class Rate:
    """A token bucket for each client."""

    def __init__(self, per_second: float) -> None:
        self.per_second, self._most = per_second, max(2 * per_second, 1.0)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, client: str) -> float:
        """0 when `client` may ask now, which is counted; else the seconds until it may."""
        now = time.monotonic()
        tokens, then = self._buckets.pop(client, (self._most, now))
        tokens = min(self._most, tokens + (now - then) * self.per_second)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > CLIENTS_KNOWN:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.per_second


class Gate:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = Keys(settings.api_key_names)
        self._rate, self._pages = Rate(settings.api_rate), Rate(PAGES_PER_SECOND)
        # Without a key, a page from elsewhere could reach this server by giving its own name our address.
        self._own_names_only = not self._keys.asked_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        dressed = _Dressed(scope["path"], send, self._keys.session_for(Headers(scope=scope)))
        problem = self._refusal(scope)
        if problem is None:
            limited = _Limited(receive, LARGEST_BODY) if scope["path"].startswith(LIMITED) else receive
            await self._app(scope, limited, dressed)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": problem.kind})
        else:
            response = problem_response(problem, scope["path"])
            if problem.status == 401:
                # A line each: browsers read one challenge a line, and ask nobody when they cannot read it.
                response.headers.append("WWW-Authenticate", 'Basic realm="iot-pipeline", charset="UTF-8"')
                response.headers.append("WWW-Authenticate", "Bearer")
            await response(scope, receive, dressed)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers, path = Headers(scope=scope), scope["path"]
        name = self._keys.name_of(headers) if self._keys.asked_for else None
        scope.setdefault("state", {})["key_name"] = name
        return self._refused_caller(scope, headers, name) or (
            self._refused_load(scope, headers, name) if path.startswith(LIMITED) else self._refused_page(scope, name)
        )

    def _refused_caller(self, scope: Scope, headers: Headers, name: str | None) -> Problem | None:
        if self._own_names_only and _host(headers) not in LOOPBACK_NAMES:
            return Problem(421, "wrong-host", "this server is for its own machine only: ask for 127.0.0.1 or localhost")
        if _from_elsewhere(scope, headers):
            return Problem(403, "cross-origin", "a page of another site may not change anything here")
        if self._keys.asked_for and name is None and scope["path"] not in OPEN_PATHS:
            return Problem(401, "key-needed", "send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        return None

    def _refused_load(self, scope: Scope, headers: Headers, name: str | None) -> Problem | None:
        if wait := self._rate.wait_seconds(_client(scope, name)):
            detail = f"more than {self._rate.per_second:g} requests a second (IOT_API_RATE)"
            return Problem(429, "too-many-requests", detail, retry_after=int(wait) + 1)
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > 20 or int(length) > LARGEST_BODY):
            return Problem(413, "request-entity-too-large", TOO_LARGE)
        return None

    def _refused_page(self, scope: Scope, name: str | None) -> Problem | None:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(KEPT_FILES):
            return None
        if wait := self._pages.wait_seconds(_client(scope, name)):
            detail = f"more than {PAGES_PER_SECOND:g} pages a second; open it again in a moment"
            return Problem(429, "too-many-requests", detail, retry_after=int(wait) + 1)
        return None


class _Limited:
    """Receives a body up to a number of bytes, whatever its announced length."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, TOO_LARGE)
        return message


class _Dressed:
    """Sends an answer with the headers that each has."""

    def __init__(self, path: str, send: Send, session: str | None) -> None:
        self._send, self._api, self._session = send, path.startswith("/api/"), session

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._api:
                headers.setdefault("Content-Security-Policy", _API_POLICY)
                headers.setdefault("Cache-Control", "no-store")
            elif self._session is not None and message["status"] < 400:
                headers.append("Set-Cookie", f"{SESSION_COOKIE}={self._session}; Path=/; HttpOnly; SameSite=Strict")
        await self._send(message)


def _presented(headers: Headers) -> str:
    if key := headers.get("x-api-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _cookie(headers: Headers) -> str:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == SESSION_COOKIE:
            return value
    return ""


def _session(name: str, key: str) -> str:
    """Known only to whoever knows the key, ends with it, and does not tell it."""
    return hmac.new(key.encode(), b"iot-pipeline pages " + name.encode(), hashlib.sha256).hexdigest()


def _client(scope: Scope, name: str | None) -> str:
    return name or (scope["client"][0] if scope.get("client") else "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _from_elsewhere(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site sends something that could change things, or opens a WebSocket."""
    origin = headers.get("origin")
    if origin is None or scope.get("method") in ("GET", "HEAD"):
        return False
    return origin.partition("://")[2].lower() != headers.get("host", "").lower()


def _host(headers: Headers) -> str:
    """The host name that was asked for, without its port."""
    host = headers.get("host", "").lower()
    return host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host
