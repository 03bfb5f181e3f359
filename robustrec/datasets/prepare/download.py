"""Pictures over http and https, with limits on size, time and redirects, from public addresses only."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from robustrec import __version__
from robustrec.datasets.pictures import MAX_PICTURE_BYTES
from robustrec.datasets.prepare.addresses import PORTS, LinkError, Place, Resolve, checked_place, resolved

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429)
"""Statuses of client errors that may be gone later."""
MOST_WAIT = 60.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0
WHOLE_SECONDS = 60.0
PIECE_BYTES = 2**16


class Fetcher:
    """Fetches files over http and https; connections are kept open for the next file of the same host.

    The name of a host is resolved once for each connection, all its addresses are checked, and the connection goes to a
    checked address, not to the name, so that a name server cannot give another address in between. Redirects are
    followed by the same rules. Proxies of the environment are not used.

    Args:
        allow_private: allow private addresses; for tests only.
        resolve: returns the internet addresses of a host; replaced in tests.
        most_bytes: bytes of a file at most.
        seconds: seconds at most until an answer is complete, however slowly it comes.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolve = resolved,
        most_bytes: int = MAX_PICTURE_BYTES,
        seconds: float = WHOLE_SECONDS,
    ) -> None:
        self.allow_private = allow_private
        self.resolve = resolve
        self.most_bytes = most_bytes
        self.seconds = seconds
        self._pools: dict[tuple[str, str, int], HTTPConnectionPool] = {}
        self._failures: Counter[tuple[str, str, int]] = Counter()

    def fetch(self, url: str) -> bytes:
        """Return the content of a URL.

        Raises:
            LinkError: an address or redirect is refused, the server cannot be reached or answers with an error, or the
                file is too large.
        """
        for _ in range(MOST_REDIRECTS + 1):
            found = self._one(url)
            if isinstance(found, bytes):
                return found
            url = found
        raise LinkError(f"more than {MOST_REDIRECTS} redirects", lasting=True)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _one(self, url: str) -> bytes | str:
        """Return the content of a URL, or the URL that it redirects to."""
        import urllib3

        place = checked_place(url, resolve=self.resolve, allow_private=self.allow_private)
        pool = self._pool(place)
        found: list[bytes | str | Exception] = []

        def ask() -> None:
            try:
                found.append(self._asked(url, place, pool))
            except (LinkError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                found.append(error)

        # In a thread of its own, since the timeouts of a connection begin again at each byte, also in the header.
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(self.seconds)
        if not found:
            self._forget(place)
            raise LinkError(f"took longer than {self.seconds:g} s", lasting=False)
        if isinstance(found[0], LinkError):
            raise found[0]
        if isinstance(found[0], Exception):
            self._forget(place)
            kind = type(found[0]).__name__.removesuffix("Error")
            raise LinkError("no complete answer", f"{place.host[:80]}: {kind}", lasting=False) from found[0]
        return found[0]

    def _asked(self, url: str, place: Place, pool: HTTPConnectionPool) -> bytes | str:
        import urllib3

        response = pool.urlopen(
            "GET",
            place.target,
            headers={
                "Host": _host_header(place),
                "User-Agent": f"robustrec/{__version__}",
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
            redirect=False,
            retries=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )
        try:
            return self._answer(url, response)
        finally:
            # A connection with the rest of an answer in it cannot be used for the next file.
            response.close()
            response.release_conn()

    def _answer(self, url: str, response: BaseHTTPResponse) -> bytes | str:
        status = response.status
        if status in REDIRECTS:
            location = response.headers.get("Location", "")
            if not location:
                raise LinkError(f"HTTP {status} without a location", lasting=True)
            return urljoin(url, location.strip()).partition("#")[0]
        if status != 200:
            lasting = 400 <= status < 500 and status not in PASSING
            raise LinkError(f"HTTP {status}", lasting=lasting, wait=_wait(response))
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise LinkError("compressed although that was not asked for", lasting=True)
        too_large = LinkError(f"more than {self.most_bytes // 2**20} MiB", lasting=True)
        with suppress(ValueError):
            if int(response.headers.get("Content-Length", "0")) > self.most_bytes:
                raise too_large
        pieces, size = [], 0
        while piece := response.read1(PIECE_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size > self.most_bytes:
                raise too_large
        return b"".join(pieces)

    def _pool(self, place: Place) -> HTTPConnectionPool:
        import urllib3

        key = place.scheme, place.host, place.port
        if key not in self._pools:
            # After a failure, another of the addresses.
            address = place.addresses[self._failures[key] % len(place.addresses)]
            if place.scheme == "https":
                # The certificate is checked against the name, while the connection goes to the checked address.
                self._pools[key] = urllib3.HTTPSConnectionPool(
                    address,
                    place.port,
                    maxsize=1,
                    cert_reqs="CERT_REQUIRED",
                    server_hostname=place.host,
                    assert_hostname=place.host,
                )
            else:
                self._pools[key] = urllib3.HTTPConnectionPool(address, place.port, maxsize=1)
        return self._pools[key]

    def _forget(self, place: Place) -> None:
        key = place.scheme, place.host, place.port
        self._failures[key] += 1
        pool = self._pools.pop(key, None)
        if pool is not None:
            pool.close()


def _host_header(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    return host if place.port == PORTS[place.scheme] else f"{host}:{place.port}"


def _wait(response: BaseHTTPResponse) -> float:
    """Return the seconds to wait that a server asks for in Retry-After, at most a minute."""
    with suppress(ValueError):
        return min(max(float(int(response.headers.get("Retry-After", "0"))), 0.0), MOST_WAIT)
    return 0.0
