"""Pictures fetched from their addresses: a store by content, which remembers what each address led to.

FOLDER/objects/ab/abcd…       a picture under the sha256 of its bytes
FOLDER/links/12/1234….json    what an address (under its sha256) led to: a picture, or why there is none for good
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from robustrec.datasets.pictures import MAX_PICTURE_BYTES, decode, opened
from robustrec.datasets.prepare.addresses import LinkError
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.progress import Progress
from robustrec.untrusted import UnreadableError, read_bytes, read_json_object

TRIES = 3
MOST_FAILURES = 20
"""Downloads of a host that fail one after the other until it is left alone."""
LEAST_PIXELS = 3
"""Pictures that are narrower and lower than this stand for missing ones."""


class Fetches(Protocol):
    """Anything that fetches the content of an address."""

    def fetch(self, url: str) -> bytes:
        """Return the content of an address.

        Raises:
            LinkError: it has none.
        """


@dataclass(frozen=True)
class Link:
    """What an address led to.

    Attributes:
        digest: sha256 of the picture; "" for none.
        reason: why there is no picture, in words that are the same for all links of a kind.
        detail: more of it, for this link.
        lasting: whether that is for good.
    """

    digest: str = ""
    reason: str = ""
    detail: str = ""
    lasting: bool = True

    @property
    def state(self) -> str:
        """What the address led to, in words."""
        if self.digest:
            return "downloaded"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{'dead' if self.lasting else 'failed'}: {self.reason}{detail}"


@dataclass
class Fetched:
    """What the addresses of a data set led to.

    Attributes:
        links: by address.
        downloaded: number of pictures that were downloaded now.
    """

    links: dict[str, Link] = field(default_factory=dict)
    downloaded: int = 0

    def reasons(self, *, lasting: bool) -> Counter[str]:
        """Return how many addresses led to no picture, by reason."""
        return Counter(each.reason for each in self.links.values() if not each.digest and each.lasting is lasting)


class PictureStore:
    """A store of pictures by content.

    Args:
        folder: the folder; it is created when something is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = folder / "objects"

    def entry(self, digest: str) -> str:
        """Return the path of a picture relative to `objects`."""
        return f"{digest[:2]}/{digest}"

    def link(self, url: str) -> Link | None:
        """Return what is known of an address; None if nothing is, or its picture is missing or damaged."""
        try:
            known = read_json_object(self._link_path(url))
        except UnreadableError:
            return None
        digest, reason, detail = (known.get(key) for key in ("sha256", "reason", "detail"))
        if known.get("url") != url:
            return None
        if isinstance(digest, str) and len(digest) == 64 and digest.isalnum():
            return Link(digest) if self._is_whole(digest) else None
        if not isinstance(reason, str) or not isinstance(detail, str) or not reason:
            return None
        return Link(reason=reason, detail=detail)

    def put(self, url: str, content: bytes) -> Link:
        """Store a picture and that an address leads to it."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._is_whole(digest):
            write_atomically(self.objects / self.entry(digest), content)
        self._write(url, {"url": url, "sha256": digest})
        return Link(digest)

    def put_reason(self, url: str, reason: str, detail: str = "") -> Link:
        """Store that an address has no picture for good."""
        self._write(url, {"url": url, "reason": reason, "detail": detail})
        return Link(reason=reason, detail=detail)

    def _is_whole(self, digest: str) -> bool:
        with suppress(UnreadableError):
            content = read_bytes(self.objects / self.entry(digest), most=MAX_PICTURE_BYTES)
            return hashlib.sha256(content).hexdigest() == digest
        return False

    def _write(self, url: str, record: dict[str, str]) -> None:
        write_atomically(self._link_path(url), json.dumps(record))

    def _link_path(self, url: str) -> Path:
        name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / "links" / name[:2] / f"{name}.json"


def fetch_all(
    store: PictureStore,
    urls: Sequence[str],
    fetcher: Fetches | None,
    *,
    rate: float,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch the picture of every address that is not known yet, at a limited rate; each is stored as it arrives.

    Args:
        store: the store.
        urls: the addresses.
        fetcher: fetches them; None: offline.
        rate: requests per second at most.
        progress: reports the number of addresses, and the time left.
        clock: seconds that pass.
        sleep: waits for seconds.

    Raises:
        RobustrecError: `fetcher` is None and an address is not known yet, every host fails, or the store
            cannot be written.
    """
    found = Fetched()
    waiting = []
    for url in dict.fromkeys(urls):
        known = store.link(url)
        if known is None:
            waiting.append(url)
        else:
            found.links[url] = known
    if waiting and fetcher is None:
        raise RobustrecError(
            f"{len(waiting):,} of {len(waiting) + len(found.links):,} pictures are not downloaded yet, and this run is "
            "offline",
            where="options --picture-urls, --offline",
            fix="omit --offline; or give pictures that you have with --pictures FOLDER",
        )
    if waiting and fetcher is not None:
        _fetch_waiting(store, waiting, fetcher, found, _Pace(rate, clock, sleep), progress)
        progress("pictures from the web", len(waiting), len(waiting))
    return found


class _Pace:
    """Waits so that requests are not more frequent than a rate."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self.step = 1 / rate
        self.clock, self.sleep = clock, sleep
        self.begin = clock()
        self.last = self.begin - self.step

    def wait(self) -> None:
        """Wait until the next request may be made."""
        self.sleep(max(0.0, self.last + self.step - self.clock()))
        self.last = self.clock()

    def left(self, done: int, total: int) -> str:
        """Return the time that is left in words."""
        each = max((self.clock() - self.begin) / done if done else 0.0, self.step)
        minutes = each * (total - done) / 60
        return f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"


def _fetch_waiting(
    store: PictureStore, urls: Sequence[str], fetcher: Fetches, found: Fetched, pace: _Pace, progress: Progress
) -> None:
    """Fetch addresses that are not known; a host that fails again and again is left alone for this run.

    Raises:
        RobustrecError: every host fails.
    """
    failures: Counter[str] = Counter()
    hosts = {_host(url) for url in urls}
    lost = sum(not link.digest for link in found.links.values())
    for done, url in enumerate(urls):
        note = f"{pace.left(done, len(urls))}{f', {lost:,} without a picture' if lost else ''}"
        progress("pictures from the web", done, len(urls), note)
        host = _host(url)
        if failures[host] >= MOST_FAILURES:
            found.links[url] = Link(reason=f"not tried after {MOST_FAILURES} failures of the host", lasting=False)
            continue
        link = found.links[url] = _tried(store, url, fetcher, pace)
        found.downloaded += bool(link.digest)
        lost += not link.digest
        failures[host] = 0 if link.digest or link.lasting else failures[host] + 1
        if all(failures[each] >= MOST_FAILURES for each in hosts):
            raise RobustrecError(
                f"{MOST_FAILURES} downloads in a row failed, the last one with: {link.state.partition(': ')[2]}",
                where=url[:200],
                fix="check the network, then run the same command again: the pictures downloaded so far are kept; or "
                "give pictures that you have with --pictures FOLDER",
            )


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).netloc
    return ""


def _tried(store: PictureStore, url: str, fetcher: Fetches, pace: _Pace) -> Link:
    """Fetch and store one picture; what may pass is tried a few times."""
    link = Link(lasting=False)
    for attempt in range(TRIES):
        pace.wait()
        link, wait = _fetched(store, url, fetcher)
        if link.digest or link.lasting or wait is None:
            break
        if attempt < TRIES - 1:
            pace.sleep(max(wait, 2.0**attempt))
    return link


def _fetched(store: PictureStore, url: str, fetcher: Fetches) -> tuple[Link, float | None]:
    """Fetch and store one picture; return what the address led to, and the seconds to wait before another try."""
    try:
        content = fetcher.fetch(url)
    except LinkError as error:
        if error.lasting:
            return store.put_reason(url, error.reason, error.detail), None
        return Link(reason=error.reason, detail=error.detail, lasting=False), error.wait
    try:
        size = opened(content).size
        decode(content, url, quick=True)
    except Exception:  # decoders raise nearly anything on damaged input
        # Not stored: a page in place of the picture may be that of a network that asks for a login.
        return Link(reason="not a picture that can be read", lasting=False), None
    if max(size) < LEAST_PIXELS:
        return store.put_reason(url, f"an empty picture of {size[0]} x {size[1]} pixels"), None
    return store.put(url, content), None
