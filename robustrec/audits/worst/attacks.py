"""Gradient attacks on the features of one item, at the norm of its real edits: a bound that no content need reach.

The vector of each modality may move anywhere within the largest distance ‖x' - x‖ of any encoded edit of the item, so
that every edit that was tried lies inside. FGSM is one step of at most that length against the gradient (Goodfellow,
Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples", with ℓ₂ in place of ℓ∞), PGD are several
shorter steps, each projected back onto the ball (Madry et al. 2018, "Towards deep learning models resistant to
adversarial attacks"). Exposure is not convex: a long step along one gradient can show the item to other users, so that
FGSM takes the length that does most, and the worst edit found, which lies inside, counts as a point of PGD.
"""

from __future__ import annotations

from torch import Tensor

from robustrec.audits.worst.conditions import STEP_LENGTHS
from robustrec.audits.worst.exposure import Seen, Vectors
from robustrec.audits.worst.search import ItemSearch

LENGTHS = tuple(0.5**halvings for halvings in range(STEP_LENGTHS))
"""Lengths of the step of FGSM that are tried, in radii."""

_STRIDE = 2.5  # the steps of PGD together are this many radii long


def radii_of(search: ItemSearch) -> dict[str, float]:
    """Return how far any encoded edit of an item moves its vectors, modality -> distance."""
    rows = {name: table[search.item].cpu() for name, table in search.exposures.tables.items()}
    return {
        name: max(
            (float((vectors[name] - row).norm()) for vectors in search.encoded.values() if name in vectors), default=0.0
        )
        for name, row in rows.items()
    }


def attacked(search: ItemSearch, worst: Seen) -> dict[str, Seen]:
    """Return an item after "fgsm" and "pgd" against its exposure; empty where the scores have no gradient.

    Each attack is run on the smooth exposure and on the mean margin; the one that does more to the users of the search
    counts.

    Args:
        search: the search of the item.
        worst: the item after the worst edits found.
    """
    exposures, item = search.exposures, search.item
    radii = radii_of(search)
    start = {name: table[item] for name, table in exposures.tables.items() if radii[name] > 0}
    if not start:
        return dict.fromkeys(("fgsm", "pgd"), exposures.clean(item))
    single, several = list[Seen](), [worst]
    for linear in (False, True):
        slope = exposures.gradient(item, start, linear=linear)
        if slope is None:
            return {}
        single += [exposures.edited(item, _step(start, start, slope, radii, length)) for length in LENGTHS]
        moved = _descended(search, start, radii, slope, linear=linear)
        several.append(exposures.edited(item, moved))

    def order(seen: Seen) -> tuple[float, float]:
        return float(seen.shown[exposures.searching].mean()), seen.smooth

    return {"fgsm": min(single, key=order), "pgd": min(several, key=order)}


def _descended(
    search: ItemSearch, start: Vectors, radii: dict[str, float], slope: Vectors | None, *, linear: bool
) -> Vectors:
    """Return the vectors after the steps of PGD, which together are longer than the radii."""
    steps, rows = search.config.ascent, start
    for number in range(steps):
        if number:
            slope = search.exposures.gradient(search.item, rows, linear=linear)
        if slope is None:
            break
        rows = _step(rows, start, slope, radii, _STRIDE / steps)
    return rows


def _step(rows: Vectors, start: Vectors, slope: Vectors, radii: dict[str, float], length: float) -> dict[str, Tensor]:
    """Return the vectors after a step against a gradient, `length` radii long, within the radii around the start."""
    moved = {}
    for name, row in rows.items():
        step = slope[name] * (length * radii[name] / slope[name].norm().clamp_min(1e-30))
        away = row - step - start[name]
        moved[name] = start[name] + away * (radii[name] / away.norm().clamp_min(1e-30)).clamp(max=1.0)
    return moved
