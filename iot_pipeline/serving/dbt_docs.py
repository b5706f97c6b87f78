"""`/docs/dbt/`: the documents of the dbt models, built by whoever asks first.

Building takes about six seconds of one core, so no start waits for it: a visitor does, once for each version of the
models, on a page that says so. The page itself is made by `stats/dbt_docs.py`.
"""

import base64
import hashlib
import html
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.stats.dbt_docs import docs_are_current

log = structlog.get_logger(__name__)

URL = "/docs/dbt/"
BUILD_SECONDS = 300
REASON_KEPT = 2000  # characters
AGAIN_SECONDS = 2
# The page brings its scripts and pictures along and has to ask nobody; it compiles templates.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-eval' {digests}; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; connect-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_WAITING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
_SCRIPT = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The policy of one content of the page."""

    stamp: tuple[int, int]
    policy: str


class DbtDocs:
    """The page, and at most one process that builds it."""

    def __init__(self, paths: DataPaths) -> None:
        self._paths = paths
        self._building = threading.Lock()
        self._failed: str | None = None
        self._seen: _Seen | None = None

    @property
    def failed(self) -> str | None:
        """Why it could not be built, if the last attempt failed."""
        return self._failed

    def is_there(self) -> bool:
        """Whether there is a page to show; a build is started if there is none, or one of other models."""
        if not docs_are_current(self._paths) and self._building.acquire(blocking=False):
            threading.Thread(target=self._build, name="dbt-docs", daemon=True).start()
        return self._paths.dbt_docs.exists()

    def policy(self) -> str:
        """The policy under which exactly the scripts of the page run."""
        status = self._paths.dbt_docs.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        seen = self._seen
        if seen is None or seen.stamp != stamp:
            seen = self._seen = _Seen(stamp, _POLICY.format(digests=_digests(self._paths.dbt_docs.read_bytes())))
        return seen.policy

    def _build(self) -> None:
        # A process of its own: dbt keeps half a second of state per model, and would hold up what is live.
        command = [sys.executable, "-m", "iot_pipeline.stats.dbt_docs"]
        environment = {
            **os.environ,
            "IOT_DATA": str(self._paths.root),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        }
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=BUILD_SECONDS,
                check=False,
                preexec_fn=_politely,
            )
            self._failed = None if done.returncode == 0 else done.stderr.strip()[-REASON_KEPT:]
        except (OSError, subprocess.TimeoutExpired) as error:
            self._failed = str(error)
        finally:
            self._building.release()
        if self._failed:
            log.error("docs_not_built", reason=self._failed)


def dbt_docs_routes(paths: DataPaths) -> APIRouter:
    """Routes of the page."""
    docs = DbtDocs(paths)
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs/dbt")
    async def without_slash() -> RedirectResponse:
        return RedirectResponse(URL)

    @routes.get(URL)
    def page(request: Request) -> Response:
        if not docs.is_there():
            return _waiting(docs.failed)
        headers = {"Content-Security-Policy": docs.policy(), "Cache-Control": "no-cache", **_STRICT}
        answer = FileResponse(paths.dbt_docs, media_type="text/html", headers=headers)
        status = paths.dbt_docs.stat()
        answer.set_stat_headers(status)
        if request.headers.get("if-none-match") == answer.headers["etag"]:
            return Response(status_code=304, headers={**headers, "ETag": answer.headers["etag"]})
        return answer

    return routes


_STRICT = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def _waiting(failed: str | None) -> HTMLResponse:
    """What is shown while there is no page yet, or none can be made."""
    if failed is None:
        title, told = "Being built", "The documents of the dbt models are being built. This takes some seconds."
        again = f'<meta http-equiv="refresh" content="{AGAIN_SECONDS}">'
        rest = "<p>They come by themselves; <code>make docs</code> builds them beforehand.</p>"
    else:
        title, told, again = "Not built", "The documents of the dbt models could not be built.", ""
        rest = f"<pre>{html.escape(failed)}</pre><p>Mend what is named, then load this page again.</p>"
    page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · dbt docs</title>{again}
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 15vh auto; padding: 0 1.5rem }}
pre {{ white-space: pre-wrap; border: 1px solid; padding: 1rem }}</style></head>
<body><h1>{title}</h1><p>{told}</p>{rest}<p><a href="/">Back to the overview</a></p></body></html>"""
    headers = {"Content-Security-Policy": _WAITING_POLICY, "Cache-Control": "no-store", **_STRICT}
    return HTMLResponse(page, status_code=200 if failed is None else 500, headers=headers)


def _digests(page: bytes) -> str:
    found = {
        base64.b64encode(hashlib.sha256(script["body"]).digest()).decode()
        for script in _SCRIPT.finditer(page)
        if b"src=" not in script["attributes"]
    }
    return " ".join(f"'sha256-{digest}'" for digest in sorted(found))


def _politely() -> None:
    os.nice(10)
