"""Vectors of items without their text or picture, from the encoder of the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from robustrec.encoders.rows import StoredPicture, catalog_rows
from robustrec.modalities import MODALITIES
from robustrec.results.conditions import ALL
from robustrec.runs.editable import not_editable
from robustrec.runs.edited_rows import encode_all
from robustrec.runs.treatments import Shown, row_of

if TYPE_CHECKING:
    from robustrec.audits.results import Work

ROUNDING = 1e-3
"""Share of its length by which a vector must change: the rows encoded with it change its last bits."""


def not_removable(work: Work, scope: str) -> str:
    """Return why the content of a modality cannot be taken from items; empty if it can."""
    plan = work.plan
    if reason := not_editable(plan.dataset, plan.encoder, plan.settings.encoder):
        return reason
    return "" if scope in (ALL, *MODALITIES) else f"the {scope} features do not come from texts or pictures"


def removed_vectors(work: Work, items: Tensor, scope: str) -> dict[str, Tensor]:
    """Return the vectors of items without their content, modality -> float32 [n, D].

    An encoder that reads text and picture together changes more than one modality.

    Args:
        work: of the audit.
        items: int64 [n].
        scope: image, text or all.

    Raises:
        RobustrecError: the encoder fails.
    """
    catalog = work.plan.dataset.catalog
    assert catalog is not None
    rows = work.once("catalog rows", lambda: catalog_rows(catalog, work.plan.home / "digests"))

    def without(item: int) -> tuple[str, StoredPicture | Shown]:
        own = rows[item]
        assert isinstance(own.picture, StoredPicture)
        return "" if scope in ("text", ALL) else own.text, Shown(None) if scope in ("image", ALL) else own.picture

    encoder = work.edited_rows("missing")
    return encode_all((row_of(*without(item)) for item in items.tolist()), encoder.encode)


def removed(tables: Mapping[str, Tensor], items: Tensor, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the features with the vectors of some items replaced; a table without a changed row is the given one.

    Args:
        tables: modality -> [I, D_m].
        items: int64 [n].
        vectors: modality -> [n, D_m]; those that differ by rounding alone do not count as changed.
    """
    found = dict(tables)
    for modality, rows in vectors.items():
        if modality not in tables:
            continue
        own = tables[modality]
        places = items.to(own.device)
        before, after = own[places], rows.to(own.device)
        far = (after - before).norm(dim=1) > ROUNDING * before.norm(dim=1).clamp_min(1e-12)
        if bool(far.any()):
            copy = own.clone()
            copy[places[far]] = after[far]
            found[modality] = copy
    return found
