"""The pictures of a data set from the addresses in its metadata."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from robustrec.datasets.interactions import FilterCount
from robustrec.datasets.items import CatalogItem
from robustrec.datasets.picture_copies import copy_pictures
from robustrec.datasets.picture_index import PictureIndex
from robustrec.datasets.prepare.content import Content
from robustrec.datasets.prepare.picture_store import Fetched, Fetches, PictureStore, fetch_all
from robustrec.files import write_atomically
from robustrec.progress import Progress

LINKS = "picture_links.tsv"


class WebPictures(NamedTuple):
    """Items with the pictures that were found.

    Attributes:
        rows: [I] the items; `image` names the picture.
        counts: pictures that were found, and how many were downloaded now.
        left_out: addresses without a picture, by reason.
        unfinished: number of addresses that may have a picture later.
    """

    rows: list[CatalogItem | None]
    counts: dict[str, int]
    left_out: list[FilterCount]
    unfinished: int


def web_pictures(
    stage: Path,
    content: Content,
    item_ids: Sequence[str],
    store: PictureStore,
    fetcher: Fetches | None,
    rate: float,
    progress: Progress,
) -> WebPictures:
    """Fetch the pictures of items, copy them into a zip, and list in picture_links.tsv what each address led to.

    Args:
        stage: folder of the data set.
        content: items and addresses.
        item_ids: [I] original ids.
        store: store of pictures, which keeps what was downloaded before.
        fetcher: fetches pictures; None: offline.
        rate: requests per second at most.
        progress: reports the number of pictures.

    Raises:
        RobustrecError: as `fetch_all`, or a file cannot be written.
    """
    found = fetch_all(store, [url for url in content.addresses if url], fetcher, rate=rate, progress=progress)
    digests = [found.links[url].digest if url else "" for url in content.addresses]
    entries = [store.entry(digest) if digest else None for digest in digests]
    rows, left_out = copy_pictures(
        stage,
        content.rows,
        store.objects,
        skip_unreadable=True,
        numbered=False,
        progress=progress,
        index=PictureIndex(entries, 0, 0, 0),
    )
    _write_links(stage / LINKS, content.addresses, item_ids, found)
    for lasting, what in ((True, "dead picture links"), (False, "picture links that failed for now")):
        of_item = [found.links[url] for url in content.addresses if url and not found.links[url].digest]
        reasons: dict[str, int] = {}
        for link in of_item:
            if link.lasting is lasting:
                reasons[link.reason] = reasons.get(link.reason, 0) + 1
        left_out += [FilterCount(f"{what}: {reason}", reasons[reason]) for reason in sorted(reasons)]
    counts = {
        "items with a picture from the web": sum(map(bool, digests)),
        "pictures downloaded now": found.downloaded,
    }
    unfinished = sum(not link.digest and not link.lasting for link in found.links.values())
    return WebPictures(rows, counts, left_out, unfinished)


def _write_links(path: Path, addresses: Sequence[str], item_ids: Sequence[str], found: Fetched) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["itemID", "id", "url", "state"])
    for item, (name, url) in enumerate(zip(item_ids, addresses, strict=True)):
        if url:
            writer.writerow([item, name, url, found.links[url].state])
    write_atomically(path, text.getvalue())
