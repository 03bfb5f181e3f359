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

from robustrec.datasets.pictures import MAX_PICTURE_BYTES, decode, opened
from robustrec.datasets.prepare.addresses import LinkError
from robustrec.errors import RobustrecError
from robustrec.files import write_atomically
from robustrec.progress import Progress
from robustrec.untrusted import UnreadableError, read_bytes, read_json_object

TRIES = 3
MOST_FAILURES = 20
"""Downloads that fail one after the other until the network is taken to be down."""
NO_PICTURE = "not a picture that can be read"
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
        reason: why there is no picture.
        lasting: whether that is for good.
    """

    digest: str = ""
    reason: str = ""
    lasting: bool = True


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
        digest, reason = known.get("sha256"), known.get("reason")
        if known.get("url") != url:
            return None
        if isinstance(digest, str) and len(digest) == 64 and digest.isalnum():
            return Link(digest) if self._is_whole(digest) else None
        return Link(reason=reason) if isinstance(reason, str) and reason else None

    def put(self, url: str, content: bytes) -> Link:
        """Store a picture and that an address leads to it."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._is_whole(digest):
            write_atomically(self.objects / self.entry(digest), content)
        self._write(url, {"url": url, "sha256": digest})
        return Link(digest)

    def put_reason(self, url: str, reason: str) -> Link:
        """Store that an address has no picture for good."""
        self._write(url, {"url": url, "reason": reason})
        return Link(reason=reason)

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
        RobustrecError: `fetcher` is None and an address is not known yet, the network seems to be down, or the store
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
    begin, failures = clock(), 0
    last = begin - 1 / rate
    for done, url in enumerate(waiting):
        progress("pictures from the web", done, len(waiting), _left(found, done, len(waiting), clock() - begin, rate))
        assert fetcher is not None
        for attempt in range(TRIES):
            sleep(max(0.0, last + 1 / rate - clock()))
            last = clock()
            link, wait = _fetched(store, url, fetcher)
            if link.digest or link.lasting or link.reason == NO_PICTURE:
                break
            if attempt < TRIES - 1:
                sleep(max(wait, 2.0**attempt))
        found.links[url] = link
        found.downloaded += bool(link.digest)
        failures = failures + 1 if not link.digest and not link.lasting else 0
        if failures == MOST_FAILURES:
            raise RobustrecError(
                f"{MOST_FAILURES} downloads in a row failed, the last one with: {link.reason}",
                where=url[:200],
                fix="check the network, then run the same command again: the pictures downloaded so far are kept; or "
                "give pictures that you have with --pictures FOLDER",
            )
    if waiting:
        progress("pictures from the web", len(waiting), len(waiting))
    return found


def _fetched(store: PictureStore, url: str, fetcher: Fetches) -> tuple[Link, float]:
    """Fetch and store one picture; return what the address led to, and the seconds that its server asks to wait."""
    try:
        content = fetcher.fetch(url)
    except LinkError as error:
        link = Link(reason=error.reason, lasting=error.lasting)
        if error.lasting:
            store.put_reason(url, error.reason)
        return link, error.wait
    try:
        size = opened(content).size
        decode(content, url, quick=True)
    except Exception:  # decoders raise nearly anything on damaged input
        # Not stored: a page in place of the picture may be that of a network that asks for a login.
        return Link(reason=NO_PICTURE, lasting=False), 0.0
    if max(size) < LEAST_PIXELS:
        return store.put_reason(url, f"an empty picture of {size[0]} x {size[1]} pixels"), 0.0
    return store.put(url, content), 0.0


def _left(found: Fetched, done: int, total: int, seconds: float, rate: float) -> str:
    """Return a note on dead links and on the time that is left."""
    each = max(seconds / done if done else 0.0, 1 / rate)
    minutes = each * (total - done) / 60
    left = f"about {minutes:.0f} min left" if minutes >= 1 else "less than a minute left"
    lost = len(found.links) - sum(bool(link.digest) for link in found.links.values())
    return f"{left}{f', {lost:,} without a picture' if lost else ''}"
