"""Whether imported rows were made by an encoder: they are compared with rows that it makes now."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIN_COSINE = 0.999
"""Smallest cosine of an imported row and the same item encoded again."""
MAX_SCALE, MAX_ROW_SCALE = 0.01, 0.05
"""Largest deviation of the ratio of their lengths from 1: of the median, and of one row."""
_WORST = 3  # items that are named
_RESOLVED = 1e-4  # difference that is larger than rounding in float32
_CHUNK = 8192  # imported rows that are compared at a time


class Compared(NamedTuple):
    """Rows of one modality.

    Attributes:
        modality: its name.
        items: [n] items that were encoded again.
        table: float32 [I, D], the imported rows of all items.
        again: float32 [n, E], the rows of `items` that the encoder makes now.
    """

    modality: str
    items: list[int]
    table: Tensor
    again: Tensor


class Fault(NamedTuple):
    """Why an encoder did not make the rows, and what to check."""

    what: str
    check: str


def fault_of_rows(compared: Compared) -> Fault | None:
    """Return why the encoder did not make the imported rows, or None if it did.

    Args:
        compared: the rows.
    """
    modality, items, table, again = compared
    if table.shape[1] != again.shape[1]:
        return Fault(
            f"{modality}: the imported rows have {table.shape[1]} columns, but the encoder makes {again.shape[1]}",
            f"check which encoder made {modality}_feat.npy, and whether its columns were reduced",
        )
    cosines = _cosines(compared)
    if float(cosines.min()) < MIN_COSINE:
        order = torch.argsort(cosines, stable=True)[:_WORST].tolist()
        worst = ", ".join(f"item {items[place]} ({float(cosines[place]):.3f})" for place in order)
        return Fault(
            f"{modality}: the cosine of imported rows with the same {len(items)} unedited items encoded again is "
            f"{float(cosines.mean()):.3f} on average, but each must be at least {MIN_COSINE}; worst: {worst}",
            _why_another_direction(compared, cosines),
        )
    before, after = table[items].double().norm(dim=1), again.double().norm(dim=1)
    ratios = (before / after)[after > 0]
    if not len(ratios):
        return None
    middle = float(ratios.median())
    worst_row = int((ratios - 1).abs().argmax())
    if abs(middle - 1) <= MAX_SCALE and abs(float(ratios[worst_row]) - 1) <= MAX_ROW_SCALE:
        return None
    return Fault(
        f"{modality}: the imported rows have the same directions, but are {middle:.4g} times as long as the same "
        f"{len(items)} unedited items encoded again ({float(ratios.min()):.4g} to {float(ratios.max()):.4g} times)",
        _why_another_length(before, after, middle),
    )


def summary_of(compared: Compared, encoder: str) -> str:
    """Return how well the rows agree, as a note."""
    before, after = compared.table[compared.items].double(), compared.again.double()
    lengths = before.norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    share = (before - after).norm(dim=1) / lengths
    agree = f"{compared.modality}: {len(compared.items)} unedited items encoded again with {encoder}"
    if not bool(share.any()):
        return f"{agree} equal the imported rows"
    least, largest = float(_cosines(compared).min()), float(share.max())
    resolved = "; smaller effects of edits are not resolved" if largest > _RESOLVED else ""
    return (
        f"{agree} differ from the imported rows by {float(share.mean()):.2g} of their length on average, and by at "
        f"most {largest:.2g} (cosine at least {least:.6f}){resolved}"
    )


def _cosines(compared: Compared) -> Tensor:
    """Return the cosines float64 [n]; 1 where both rows are zero, 0 where one is."""
    a, b = _unit(compared.table[compared.items].double()), _unit(compared.again.double())
    both_zero = (a.norm(dim=1) == 0) & (b.norm(dim=1) == 0)
    return torch.where(both_zero, 1.0, (a * b).sum(dim=1))


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=1)


def _why_another_direction(compared: Compared, cosines: Tensor) -> str:
    """Return what to check where the directions differ, by what would explain it."""
    failing = (cosines < MIN_COSINE).nonzero().flatten().tolist()
    if elsewhere := _matches_elsewhere(compared, failing):
        pairs = ", ".join(f"item {item} is like row {row}" for item, row in elsewhere[:_WORST])
        return f"the rows of the file are in another order than the items: {pairs}"
    before, after = compared.table[compared.items].double(), compared.again.double()
    if len(before) > 2:
        centred = (_unit(before - before.mean(dim=0)) * _unit(after - after.mean(dim=0))).sum(dim=1)
        if float(centred.min()) >= MIN_COSINE:
            return "the rows agree after subtraction of their means: a constant vector was subtracted from the file"
        a, b = _unit(before), _unit(after)
        if float((a @ a.T - b @ b.T).abs().max()) < 1 - MIN_COSINE:
            return "distances between items agree: the columns of the file were rotated or are in another order"
    if len(failing) <= len(cosines) // 4:
        return (
            f"{len(cosines) - len(failing)} of {len(cosines)} items agree: check whether texts or pictures of the "
            "others changed after the file was made, or are truncated otherwise"
        )
    return (
        "check the weights, the pooling, the prefix or prompt of texts, the normalisation, which fields of an item "
        "were encoded as its text, how pictures were resized and cropped, and the order of items"
    )


def _matches_elsewhere(compared: Compared, failing: list[int]) -> list[tuple[int, int]]:
    """Return (item, row of the file with its vector) if most failing items have one in another row."""
    again = _unit(compared.again[failing].double())
    best, rows = torch.full((len(failing),), -1.0, dtype=torch.float64), torch.zeros(len(failing), dtype=torch.long)
    for start in range(0, len(compared.table), _CHUNK):
        values, places = (again @ _unit(compared.table[start : start + _CHUNK].double()).T).max(dim=1)
        better = values > best
        best, rows = torch.where(better, values, best), torch.where(better, places + start, rows)
    found = [
        (compared.items[failing[place]], int(rows[place])) for place in range(len(failing)) if best[place] >= MIN_COSINE
    ]
    return found if 2 * len(found) > len(failing) else []


def _why_another_length(before: Tensor, after: Tensor, middle: float) -> str:
    """Return what to check where the lengths differ."""
    same = [float((each.max() - each.min()) / each.max().clamp_min(1e-30)) < MAX_SCALE for each in (before, after)]
    if same[0] and not same[1]:
        return (
            f"the imported rows are normalised to length {float(before.mean()):.4g}, and those of the encoder are not"
        )
    if same[1] and not same[0]:
        return (
            f"the rows of the encoder are normalised to length {float(after.mean()):.4g}, and the imported ones are not"
        )
    return f"check whether the file was scaled; divide it by {middle:.4g}, or scale the vectors of the encoder by it"
