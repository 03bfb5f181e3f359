"""Which vectors an edit moved, and the check that edits reach the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from robustrec.audits.merchant.items import PROBED
from robustrec.encoders.features import ItemFeatures
from robustrec.encoders.rows import StoredPicture
from robustrec.errors import RobustrecError
from robustrec.modalities import MODALITIES
from robustrec.runs.edited_rows import EditedRows
from robustrec.runs.treatments import EditApplier, Row, Shown, row_of

# An item's vector counts as moved when it changes by more than this share of its length; rounding stays below, in half
# precision too, and another item's content moves it by far more.
MOVED = 0.03


def moved(features: ItemFeatures, items: Sequence[int], tables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return which vectors an edit changed, modality -> bool [n]."""
    rows = list(items)
    return {name: (table != features.tables[name][rows]).any(dim=1) for name, table in tables.items()}


def check_edits_arrive(edited: EditedRows, applier: EditApplier, modality: str) -> bool | None:
    """Check that the text or picture of another item changes the vectors of a few items.

    What an encoder keeps must not stand in the way of an edit: a drift of zero would then be a cache's, not the
    model's.

    Args:
        edited: encodes as it will encode the edits.
        applier: the items.
        modality: "text" or "image".

    Returns:
        Whether any vector moved; None where no two items have different content to exchange.

    Raises:
        RobustrecError: the encoder fails.
    """
    swapped = dict(_swapped(applier, modality))
    if not swapped:
        return None
    items = list(swapped)
    tables = edited.encode(list(swapped.values()))
    for name, table in tables.items():
        before = edited.features.tables[name][items]
        if bool(((table - before).norm(dim=1) > MOVED * before.norm(dim=1)).any()):
            return True
    return False


def arrival_faults(edited: EditedRows, applier: EditApplier, modalities: Iterable[str]) -> list[str]:
    """Return a fault for each modality whose edits do not reach the features; see `check_edits_arrive`.

    Args:
        edited: encodes as it will encode the edits.
        applier: the items.
        modalities: that edits touch, "text" or "image"; those that the encoder does not make have no fault.

    Raises:
        RobustrecError: the encoder fails.
    """
    checked = set(modalities) & set(edited.features.encoded)
    return [
        f"edits do not reach the features: the {'text' if modality == 'text' else 'picture'} of another item"
        f" changed no vector of encoder {edited.encoder.name!r}"
        for modality in MODALITIES
        if modality in checked and check_edits_arrive(edited, applier, modality) is False
    ]


def _swapped(applier: EditApplier, modality: str) -> Iterable[tuple[int, Row]]:
    """Yield items with the text or the picture of another, for as many as are probed."""
    found = 0
    for item, other in _neighbours(applier, modality):
        own = applier.rows[item].picture
        assert isinstance(own, StoredPicture)
        if modality == "text":
            row = row_of(applier.rows[other].text, own)
        else:
            try:
                pictures = own(), applier.rows[other].picture()
            except RobustrecError:
                continue
            if pictures[0] is None or pictures[1] is None:
                continue
            row = row_of(applier.rows[item].text, Shown(pictures[1]))
        yield item, row
        found += 1
        if found == PROBED:
            return


def _neighbours(applier: EditApplier, modality: str) -> Iterable[tuple[int, int]]:
    """Yield (item, an item of other content half the catalogue away), of those that have any."""
    entries = applier.catalog.pictures.entries if applier.catalog.pictures else ()
    content = [row.text for row in applier.rows] if modality == "text" else [entry or "" for entry in entries]
    having = [item for item, each in enumerate(content) if each]
    half = len(having) // 2
    for item, other in zip(having[:half], having[half:], strict=False):
        if content[item] != content[other]:
            yield item, other
