"""The claims of the paper as tests over training seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from robustrec.comparison.budget import Budget
from robustrec.comparison.differences import holm
from robustrec.reproduce.intervals import FEWEST_SEEDS, LEVEL, over_seeds, p_of
from robustrec.reproduce.measure import SeedResult
from robustrec.reproduce.paper import FEATURES, paper
from robustrec.reproduce.plan import ReproductionPlan
from robustrec.reproduce.result import Claim
from robustrec.reproduce.table import Found, Key, seeds_words

NAMES = {"sgbd": "SGBD", "mirror": "Mirror Gradient", "vanilla": "plain training"}
REFERENCES = ("mirror", "vanilla")
BUDGETS: tuple[Budget, ...] = ("early-stop", "epochs", "gradients")
Conclusion = Literal["holds", "the opposite holds", "no significant difference", "not decided"]


class Pair(NamedTuple):
    """Two subjects that a claim compares, at a budget."""

    better: Key
    reference: Key
    budget: Budget


class Compared(NamedTuple):
    """Relative differences of a pair over the seeds that both have, [S], and why they may not decide; empty if so."""

    pair: Pair
    by_seed: tuple[float, ...]
    why: str


def claims_of(plan: ReproductionPlan, found: Found) -> tuple[Claim, ...]:
    """Return the claims on all measured rows: of each model and data set, and of their mean on each kind of features.

    p-values are corrected by Holm's method over the claims of a kind: those on one model, or those on means.
    """
    encoders = {(group.place.name, group.kind): group.inputs.encoder for group in plan.groups}
    other = {
        (group.place.name, group.kind): [each for each in group.inputs.unlike if each.startswith("features:")]
        for group in plan.groups
    }
    compared = [_compared(pair, found, plan.asked.metric, other) for pair in _pairs(found)]
    singles = [_single(each, plan.asked.metric, encoders) for each in compared]
    pooled = list(_pooled(compared, plan.asked.metric, encoders))
    return (*_corrected(pooled), *_corrected(singles))


def _pairs(found: Found) -> Iterable[Pair]:
    for key, results in found.items():
        dataset, kind, model, strategy = key
        if strategy == "sgbd":
            for reference in REFERENCES:
                other = (dataset, kind, model, reference)
                for budget in BUDGETS:
                    if budget in results and budget in found.get(other, {}):
                        yield Pair(key, other, budget)
        if kind in FEATURES[1:]:
            other = (dataset, FEATURES[0], model, strategy)
            if "early-stop" in results and "early-stop" in found.get(other, {}):
                yield Pair(key, other, "early-stop")


def _compared(pair: Pair, found: Found, metric: str, other: Mapping[tuple[str, str], Sequence[str]]) -> Compared:
    ours, theirs = (found[key][pair.budget] for key in (pair.better, pair.reference))
    before = {each.seed: each.values[metric] for each in theirs}
    differences = tuple(
        each.values[metric] / before[each.seed] - 1 for each in ours if before.get(each.seed, 0.0) > 0.0
    )
    cut = [
        f"{key[3]} {_cut(results)} of {len(results)}"
        for key, results in ((pair.better, ours), (pair.reference, theirs))
        if _cut(results)
    ]
    if pair.better[1] != pair.reference[1]:
        # A claim on kinds of features says nothing of what stands in for them.
        stand_in = [each for key in (pair.better, pair.reference) for each in other.get(key[:2], ())]
        if stand_in:
            return Compared(pair, differences, "; ".join(stand_in))
    if cut:
        return Compared(pair, differences, f"cut off before early stopping: {', '.join(cut)}")
    if len(differences) < FEWEST_SEEDS:
        return Compared(pair, differences, f"{seeds_words(len(differences))}; at least {FEWEST_SEEDS} are needed")
    return Compared(pair, differences, "")


def _cut(results: Sequence[SeedResult]) -> int:
    return sum(bool(each.training.cut_off) for each in results)


def _single(each: Compared, metric: str, encoders: dict[tuple[str, str], str]) -> Claim:
    dataset, _, model, _ = each.pair.better
    cells = [_printed(key, metric) for key in (each.pair.better, each.pair.reference)]
    printed = cells[0] / cells[1] - 1 if cells[0] is not None and cells[1] else None
    if each.pair.budget != "early-stop":  # of which the paper prints nothing
        printed = None
    return _claim(each.pair, each.by_seed, each.why, metric, encoders, dataset, model, printed=printed)


def _pooled(compared: Sequence[Compared], metric: str, encoders: dict[tuple[str, str], str]) -> Iterable[Claim]:
    """Yield the mean of each claim over models and data sets, by seed; pairs that may not decide are left out."""
    groups: dict[tuple[str, str, str, str, Budget], list[Compared]] = {}
    for each in compared:
        better, reference = each.pair.better, each.pair.reference
        groups.setdefault((better[1], better[3], reference[1], reference[3], each.pair.budget), []).append(each)
    for members in groups.values():
        whole = [each for each in members if not each.why]
        if len(members) < 2:
            continue
        left = [f"{each.pair.better[2]} on {each.pair.better[0]}" for each in members if each.why]
        chosen = whole or members
        n_seeds = min(len(each.by_seed) for each in chosen)
        means = tuple(sum(each.by_seed[place] for each in chosen) / len(chosen) for place in range(n_seeds))
        why = "" if whole else f"none of {len(members)} differences can decide"
        datasets, models = (", ".join(dict.fromkeys(each.pair.better[at] for each in chosen)) for at in (0, 2))
        claim = _claim(members[0].pair, means, why, metric, encoders, datasets, models, pooled=True)
        note = f"without {', '.join(left)}" if left and whole else ""
        yield claim.model_copy(update={"why": "; ".join(part for part in (claim.why, note) if part)})


def _claim(
    pair: Pair,
    by_seed: Sequence[float],
    why: str,
    metric: str,
    encoders: dict[tuple[str, str], str],
    dataset: str,
    model: str,
    *,
    printed: float | None = None,
    pooled: bool = False,
) -> Claim:
    own_dataset, kind, _, strategy = pair.better
    other_kind, other = pair.reference[1], pair.reference[3]
    about = over_seeds(by_seed) if by_seed else None
    what = (
        f"{NAMES[strategy]} over {NAMES[other]}"
        if kind == other_kind
        else f"{kind} over {other_kind}, {NAMES[strategy]}"
    )
    return Claim(
        claim=what,
        dataset=dataset,
        model=model,
        features=kind,
        encoder=encoders.get((own_dataset, kind), kind),
        better=strategy if kind == other_kind else kind,
        reference=other if kind == other_kind else other_kind,
        budget=pair.budget,
        metric=metric,
        pooled=pooled,
        estimate=about.mean if about else None,
        low=about.low if about else None,
        high=about.high if about else None,
        p=p_of(by_seed) if not why else None,
        seeds=len(by_seed),
        printed=printed,
        conclusion="not decided",
        why=why,
    )


def _corrected(claims: Sequence[Claim]) -> list[Claim]:
    decided = [claim for claim in claims if claim.p is not None]
    adjusted = dict(zip(map(id, decided), holm([claim.p or 0.0 for claim in decided]), strict=True))
    found = []
    for claim in claims:
        if id(claim) not in adjusted:
            found.append(claim)
            continue
        p = adjusted[id(claim)]
        word: Conclusion = "no significant difference"
        if p <= 1 - LEVEL and claim.estimate is not None:
            word = "holds" if claim.estimate > 0 else "the opposite holds"
        found.append(claim.model_copy(update={"p_adjusted": p, "conclusion": word}))
    return found


def _printed(key: Key, metric: str) -> float | None:
    """Return the sound printed value of a subject without noise, from whichever table has the metric."""
    dataset, kind, model, strategy = key
    for row, cells in paper().rows.items():
        if (row.dataset, row.features, row.model, row.strategy) == (dataset, kind, model, strategy) and row.table > 2:
            cell = cells.get(metric)
            if cell is not None and cell.sound:
                return cell.value
    return None
