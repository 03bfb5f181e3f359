"""The pages of `robustrec view`, and the local server that shows them without writing anything.

The server answers on the loopback interface only, to GET and HEAD with a Host header that names it, so that no page of
another site can read reports by a name that it resolves to this machine. A path names a report of the listed ones; no
path is ever joined with a folder.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from html import unescape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from robustrec.report.html.environment import page_environment
from robustrec.report.html.page import html_page
from robustrec.results.report import Report

ADDRESS = "127.0.0.1"
_REPORT = "/report/"
_CSP = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_NO_CONTENT = "default-src 'none'"

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A report in the list of the start page.

    Attributes:
        name: its name.
        verdict: the verdict, or "unreadable".
        reason: why.
        models: what was audited.
        data: data set and edition.
        suite: name of the suite.
        when: end of the run.
        path: its file.
    """

    name: str
    verdict: str
    reason: str
    models: str
    data: str
    suite: str
    when: str
    path: Path


class Answer(NamedTuple):
    """An answer: status, content type, body and Content-Security-Policy."""

    status: HTTPStatus
    kind: str
    body: bytes
    policy: str


def start_page(rows: Sequence[Row], folder: str) -> str:
    """Return the list of the reports as HTML; all texts are escaped, control characters replaced."""
    template = page_environment().get_template("folder.html.j2")
    addresses = [_REPORT + quote(row.name, safe="") for row in rows]
    page = template.render(rows=list(zip(rows, addresses, strict=True)), folder=folder)
    style = page.split("<style>", 1)[1].split("</style>", 1)[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return page.replace("STYLE-DIGEST", f"sha256-{digest}", 1)


class Pages:
    """What the server shows.

    Args:
        rows: returns the reports of the folder as they are now.
        read: reads a report and checks its verdict.
        folder: the reports folder, as text.
    """

    def __init__(self, rows: Callable[[], Sequence[Row]], read: Callable[[Path], Report], folder: str) -> None:
        self._rows, self._folder = rows, folder

        @lru_cache(maxsize=4)
        def page(path: Path, _changed: int) -> str:
            return html_page(read(path))

        self._page = page

    def answer(self, target: str) -> Answer:
        """Return the answer to a request target, such as /report/NAME."""
        path = target.partition("?")[0]
        if path == "/":
            return _html(start_page(self._rows(), self._folder))
        if path.startswith(_REPORT):
            name = unquote(path.removeprefix(_REPORT), errors="replace")
            for row in self._rows():
                if row.name == name:
                    return self._report(row)
        return _text(HTTPStatus.NOT_FOUND, "not found; the list of the reports is at /")

    def _report(self, row: Row) -> Answer:
        from robustrec.errors import RobustrecError

        if row.verdict == "unreadable":
            return _text(HTTPStatus.UNPROCESSABLE_ENTITY, f"the report cannot be shown: {row.reason}")
        try:
            return _html(self._page(row.path, row.path.lstat().st_mtime_ns))
        except (RobustrecError, OSError) as error:
            return _text(HTTPStatus.UNPROCESSABLE_ENTITY, f"the report cannot be shown: {error}")


def _html(page: str) -> Answer:
    found = _CSP.search(page)
    policy = unescape(found[1]) if found else _NO_CONTENT
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", page.encode("utf-8", "replace"), policy)


def _text(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode("utf-8", "replace"), _NO_CONTENT)


class Server(ThreadingHTTPServer):
    """The local server.

    Args:
        pages: what it shows.
        port: its port; 0: any free one.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, pages: Pages, port: int) -> None:
        self.pages = pages
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """The address of the start page."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, *_request: Any) -> None:
        """Log an error of an answer; a browser that closes a connection is none."""
        _log.debug("a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version = "robustrec"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer a GET request."""
        self._respond(body=True)

    def do_HEAD(self) -> None:
        """Answer a HEAD request."""
        self._respond(body=False)

    def do_POST(self) -> None:
        """Refuse whatever could change something."""
        self.close_connection = True
        self._send(_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered"), body=True)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - the names of http.server

    def _respond(self, *, body: bool) -> None:
        port = self.server.server_port
        if self.headers.get("Host", "").lower() not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            answer = _text(HTTPStatus.FORBIDDEN, f"the Host header must be {ADDRESS}:{port} or localhost:{port}")
        else:
            answer = self.server.pages.answer(self.path)
        self._send(answer, body=body)

    def _send(self, answer: Answer, *, body: bool) -> None:
        self.send_response(answer.status)
        for name, value in (
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            (
                "Content-Security-Policy",
                f"{answer.policy}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(answer.body)

    def log_message(self, *args: Any) -> None:
        """Log requests for debugging only; a request is text from outside."""
        _log.debug("request %r", args)
