"""Gradient attacks on the features of one item, at the norm of its real edits: a bound that no content need reach.

The vector of each modality may move anywhere within the largest distance ‖x' - x‖ of any encoded edit of the item, so
that every edit that was tried lies inside. FGSM is one step of that length against the gradient (Goodfellow, Shlens and
Szegedy 2015, "Explaining and harnessing adversarial examples", with ℓ₂ in place of ℓ∞), PGD are several shorter steps,
each projected back onto the ball (Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks").
"""

from __future__ import annotations

from torch import Tensor

from robustrec.audits.worst.exposure import Exposures, Seen, Vectors
from robustrec.audits.worst.search import ItemSearch

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


def attacked(search: ItemSearch) -> dict[str, Seen]:
    """Return an item after "fgsm" and "pgd" against its exposure; empty where the scores have no gradient.

    Each attack is run on the smooth exposure and on the mean margin; the one that does more to the users of the search
    counts.
    """
    exposures, item = search.exposures, search.item
    radii = radii_of(search)
    start = {name: table[item] for name, table in exposures.tables.items() if radii[name] > 0}
    if not start:
        return dict.fromkeys(("fgsm", "pgd"), exposures.clean(item))
    found: dict[str, list[Seen]] = {}
    for linear in (False, True):
        for name, steps, length in (("fgsm", 1, 1.0), ("pgd", search.config.ascent, _STRIDE)):
            moved = _descended(exposures, item, start, radii, steps, length, linear=linear)
            if moved is None:
                return {}
            found.setdefault(name, []).append(exposures.edited(item, moved))

    def order(seen: Seen) -> tuple[float, float]:
        return float(seen.shown[exposures.searching].mean()), seen.smooth

    return {name: min(each, key=order) for name, each in found.items()}


def _descended(
    exposures: Exposures,
    item: int,
    start: Vectors,
    radii: dict[str, float],
    steps: int,
    length: float,
    *,
    linear: bool,
) -> dict[str, Tensor] | None:
    """Return the vectors after steps against the gradient, `length` radii long together, within the radii."""
    rows = dict(start)
    for _ in range(steps):
        slope = exposures.gradient(item, rows, linear=linear)
        if slope is None:
            return None
        for name, row in rows.items():
            step = slope[name] * (length * radii[name] / steps / slope[name].norm().clamp_min(1e-30))
            away = row - step - start[name]
            rows[name] = start[name] + away * (radii[name] / away.norm().clamp_min(1e-30)).clamp(max=1.0)
    return rows
