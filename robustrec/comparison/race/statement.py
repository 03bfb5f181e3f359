"""The statement of a race: finalists against the reference on test, from tables of fresh training seeds.

The finalists were chosen by validation with other seeds, so that their differences on test are not those of a winner
picked for its luck. Differences are paired over training seeds, draws of edits and users (`evaluation.components`), and
their p-values corrected over the finalists of the budget that decides (Holm). An arm is recommended only if every
condition holds; all but the first can only take a recommendation away, so that the chance of naming an arm that is no
better is at most 1 - level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustrec.comparison.budget import BUDGET_WORDS, Budget
from robustrec.comparison.content import left_of
from robustrec.comparison.differences import holm, p_value
from robustrec.comparison.measure import Measure
from robustrec.comparison.race.result import Gain
from robustrec.comparison.result import Mean, Training
from robustrec.evaluation.bootstrap import Interval
from robustrec.evaluation.components import Decomposition, decompose
from robustrec.evaluation.kinds import kind_of
from robustrec.evaluation.sparse import few_bounds
from robustrec.evaluation.statistics import widened_to
from robustrec.results.content_use import ENOUGH
from robustrec.results.numbers import bracketed, percent, plain
from robustrec.results.report import Requirement

Floats = NDArray[np.float64]
Tables = Mapping[Measure, Floats]

FEWEST_SEEDS = 3
"""Smallest number of fresh seeds for a recommendation."""
UNEQUAL = 1.1
"""Ratio of gradient evaluations up to which two budgets count as equal: whole epochs cannot be met exactly."""
NO_DIFFERENCE, BETTER, WORSE = "no significant difference", "better", "worse"
CONTENT_FREE, ONE_SEED = "none: content-free", "none: one training seed"
"""Why a gain has no conclusion: robustness of what ignores content is trivial, and one training ranks nothing."""

_ENOUGH = percent(ENOUGH)


class Finalist(NamedTuple):
    """Measurements of an arm at a budget, over the fresh seeds.

    Attributes:
        tables: measure -> [S], [S, U], [S, D, U] or [S, D], as of `comparison.measuring`.
        trainings: one a seed.
    """

    tables: Tables
    trainings: Sequence[Training]


class Statement(NamedTuple):
    """Gains of all finalists at all budgets, the recommended arm or "", and the conditions with their result."""

    gains: tuple[Gain, ...]
    chosen: str
    headline: str
    requirements: tuple[Requirement, ...]


def objective_of(tables: Tables, metric: str) -> Floats:
    """Return quality under edits, the mean over their conditions, [S, D, U]; without edits clean quality, [S, 1, U]."""
    clean = tables[Measure("quality", metric)][:, None, :]
    drifts = [table for name, table in tables.items() if name.kind == "drift" and name.metric == metric]
    return clean + np.mean(drifts, axis=0) if drifts else clean


class LeftOut(NamedTuple):
    """Arms that are not compared, and what is to be known of those that are.

    Attributes:
        content_free: arms that validation dropped because they use no content.
        diverged: arm -> what was not finite in one of its trainings.
        trained_on: arm -> which edits of the objective were in its training.
    """

    content_free: Sequence[str] = ()
    diverged: Mapping[str, str] = MappingProxyType({})
    trained_on: Mapping[str, str] = MappingProxyType({})


NOTHING_ELSE = LeftOut()
"""No arm is left out, and none was trained on edits of the objective."""


def statement(
    finalists: Mapping[Budget, Mapping[str, Finalist]],
    reference: str,
    metric: str,
    *,
    margin: float,
    level: float,
    about: LeftOut = NOTHING_ELSE,
) -> Statement:
    """Return what the fresh seeds say of the finalists.

    Args:
        finalists: budget -> arm -> its measurements, the reference among the arms; the first budget decides.
        reference: the arm that the others are compared with.
        metric: of quality.
        margin: largest loss of clean quality that is allowed, as a share of the reference's.
        level: of the intervals.
        about: arms that are not compared, and the edits that arms were trained on.
    """
    gains = [gain for budget, arms in finalists.items() for gain in _gains(budget, arms, reference, metric, level)]
    decisive = next(iter(finalists))
    own = [gain for gain in gains if gain.budget == decisive]
    theirs = next(gain for gain in own if gain.arm == reference)
    seeds = _seeds(finalists[decisive][reference])
    several = len(finalists[decisive][reference].trainings) > 1
    better = [gain for gain in own if several and _higher(gain, level)]
    named = [gain for gain in better if not gain.mark and not theirs.mark]
    # The clean condition decides between arms; the others are of all arms.
    kept = [gain for gain in named if _clean(gain, theirs, margin)]
    best = max(kept or named, key=lambda gain: gain.objective.estimate, default=None)
    requirements = [
        _difference(own, best, reference, decisive, about, several=several),
        _content(best, better, own, theirs, about),
        *([] if best is None else [_quality(best, theirs, margin, metric), *_elsewhere(best, gains, decisive)]),
        *([] if best is None or best.arm not in about.trained_on else [_trained_on(best, about)]),
        _converged(gains, about),
        _equal(own, decisive),
        seeds,
    ]
    unmet = [each for each in requirements if not each.met]
    if best is None:
        # Nothing to recommend is a result; the other conditions say what could have hidden a difference.
        headline = f"No recommendation: {'; '.join(each.text for each in requirements[:2] if not each.met)}"
        return Statement(tuple(gains), "", headline, tuple(requirements))
    if unmet:
        headline = f"No recommendation: {'; '.join(each.text for each in unmet)}"
        return Statement(tuple(gains), "", headline, tuple(requirements))
    more = [gain.arm for gain in kept if gain is not best]
    others = f"; also better: {', '.join(more)}, between which and {best.arm} nothing is concluded" if more else ""
    headline = f"Recommendation: {best.arm} ({'; '.join(each.text for each in requirements)}){others}"
    return Statement(tuple(gains), best.arm, headline, tuple(requirements))


def _gains(budget: Budget, arms: Mapping[str, Finalist], reference: str, metric: str, level: float) -> list[Gain]:
    base = arms[reference]
    found: list[Gain] = []
    tests: dict[str, float] = {}
    for name, arm in arms.items():
        left = left_of(arm.tables, metric, level=level)
        columns = {} if name == reference else _differences(arm, base, metric, level)
        if "p" in columns:
            tests[name] = columns["p"]
        found.append(
            Gain(
                arm=name,
                budget=budget,
                objective=_mean(_crossed(objective_of(arm.tables, metric), level).mean),
                clean=_mean(_crossed(arm.tables[Measure("quality", metric)][:, None, :], level).mean),
                exposure=_average(arm.tables, lambda each: each.group == "edited", level),
                overlap=_average(
                    arm.tables, lambda each: each.kind == "stability" and kind_of(each.metric) == "overlap", level
                ),
                left=None if left is None else left.mean,
                content_free=left is not None and left.free,
                content_uncertain=left is not None and left.mean.high is not None and left.uncertain,
                epochs=_rounded([each.epochs for each in arm.trainings]),
                gradients=_rounded([each.gradients for each in arm.trainings]),
                cut_off=sum(bool(each.cut_off) for each in arm.trainings),
                **columns,
            )
        )
    adjusted = dict(zip(tests, holm(list(tests.values())), strict=True))
    theirs = next(gain for gain in found if gain.arm == reference)
    why = ONE_SEED if len(base.trainings) == 1 else CONTENT_FREE if theirs.content_free else ""
    return [_concluded(gain, adjusted.get(gain.arm), level, why) for gain in found]


def _differences(arm: Finalist, base: Finalist, metric: str, level: float) -> dict[str, Any]:
    ours, theirs = (objective_of(each.tables, metric) for each in (arm, base))
    gap = _crossed(ours - theirs, level)
    quality = Measure("quality", metric)
    before, after = base.tables[quality], arm.tables[quality]
    mean = float(before.mean())
    changes = ours - theirs
    # No conclusion follows from a few users who differ; see `evaluation.sparse`.
    few = few_bounds(changes.reshape(-1, changes.shape[-1]), largest=1.0, level=level)
    columns: dict[str, Any] = {
        "difference": _mean(widened_to(gap.mean, few)),
        "degrees": gap.degrees_of_freedom,
        "p": p_value(gap) if few is None else 1.0,
    }
    if mean > 0:
        # The ratio of two means, linearised (delta method).
        ratio = float((after - before).mean()) / mean
        about = _crossed(((after - before) - ratio * before)[:, None, :] / mean, level).mean
        columns["clean_difference"] = _mean(Interval(ratio, ratio + about.low, ratio + about.high))
    return columns


def _crossed(table: Floats, level: float) -> Decomposition:
    return decompose(table, ("seed", "draw", "user"), level=level)


def _average(tables: Tables, wanted: Callable[[Measure], bool], level: float) -> Mean | None:
    chosen = [table for name, table in tables.items() if wanted(name)]
    if not chosen:
        return None
    mean = np.mean(chosen, axis=0)
    factors = ("seed", "draw") if mean.ndim == 2 else ("seed", "draw", "user")
    return _mean(decompose(mean, factors, level=level).mean)


def _higher(gain: Gain, level: float) -> bool:
    """Return whether the objective of an arm is significantly higher than the reference's."""
    return _significant(gain.p_adjusted, level) and gain.difference is not None and gain.difference.estimate > 0


def _significant(adjusted: float | None, level: float) -> bool:
    return adjusted is not None and adjusted <= 1 - level


def _concluded(gain: Gain, adjusted: float | None, level: float, why: str) -> Gain:
    """Return a gain with its conclusion, or why it has none."""
    if adjusted is None or gain.difference is None:
        return gain
    word = (BETTER if gain.difference.estimate > 0 else WORSE) if _significant(adjusted, level) else NO_DIFFERENCE
    why = why or (CONTENT_FREE if gain.content_free else "")
    return gain.model_copy(update={"p_adjusted": adjusted, "conclusion": why or word})


def _clean(gain: Gain, reference: Gain, margin: float) -> bool:
    found = gain.clean_difference
    return reference.clean.estimate > 0 and found is not None and found.low is not None and found.low > -margin


def _difference(
    own: Sequence[Gain], best: Gain | None, reference: str, budget: Budget, about: LeftOut, *, several: bool
) -> Requirement:
    if best is not None:
        assert best.difference is not None
        n = len(own) - 1
        text = (
            f"better than {reference} by {_interval(best.difference)} at {BUDGET_WORDS[budget]}"
            f" (corrected for {n} finalist{'' if n == 1 else 's'})"
        )
        return Requirement(name="difference", met=True, text=text)
    compared = [gain for gain in own if gain.difference is not None]
    if not compared:
        why = [f"{', '.join(about.content_free)} content-free on validation"] if about.content_free else []
        why += [f"{', '.join(about.diverged)} diverged"] if about.diverged else []
        text = f"no arm is left to compare with {reference}" + (f" ({'; '.join(why)})" if why else "")
        return Requirement(name="difference", met=False, text=text)
    words = "; ".join(f"{_called(gain)}: {_interval(gain.difference)}" for gain in compared)
    if not several:
        text = f"one training seed of each arm ranks nothing ({words})"
    elif any(gain.conclusion in (BETTER, WORSE, CONTENT_FREE) for gain in compared):
        text = f"no finalist that uses content is better than {reference} ({words})"
    else:
        text = f"no significant difference from {reference} ({words})"
    return Requirement(name="difference", met=False, text=text)


def _called(gain: Gain) -> str:
    return gain.name if gain.conclusion in (CONTENT_FREE, ONE_SEED) else f"{gain.name} {gain.conclusion}"


def _content(
    best: Gain | None, better: Sequence[Gain], own: Sequence[Gain], reference: Gain, about: LeftOut
) -> Requirement:
    name = "content use"
    if all(gain.left is None for gain in own):
        text = "the scores read no item features, and a race recommends only an arm that uses content"
        return Requirement(name=name, met=False, text=text)
    said = "; ".join(_use_words(gain) for gain in own if gain.mark)
    dropped = f"left out by validation because content-free: {', '.join(about.content_free)}"
    if reference.mark:
        trivial = ", so its robustness is trivial" if reference.content_free else ""
        return Requirement(name=name, met=False, text=f"{_use_words(reference)}{trivial}")
    if best is None and better:
        return Requirement(name=name, met=False, text=f"the arms with a higher score may use no content: {said}")
    if best is not None and best.left is None:
        return Requirement(name=name, met=False, text=f"content use of {best.arm} was not measured")
    uses = "" if best is None else f"{best.arm} uses content ({_share(best.left)} of its quality is left without)"
    parts = [part for part in (uses, said, dropped if about.content_free else "") if part]
    return Requirement(name=name, met=True, text="; ".join(parts) or "measured")


def _use_words(gain: Gain) -> str:
    """Return that an arm is content-free, or that it may be."""
    if gain.content_free:
        return f"{gain.arm} is content-free ({_share(gain.left)} of its quality is left)"
    left = f"{_share(gain.left)} {_bounds(gain.left, percent, signed=False) if gain.left else ''}".rstrip()
    return f"content use of {gain.arm} is uncertain ({left} of its quality is left, the interval contains {_ENOUGH})"


def _trained_on(best: Gain, about: LeftOut) -> Requirement:
    """Return which edits of the objective were in the training of the best arm, a condition of what is said."""
    return Requirement(name="edits", met=True, text=about.trained_on[best.arm])


def _quality(best: Gain, reference: Gain, margin: float, metric: str) -> Requirement:
    found = best.clean_difference
    words = "unknown" if found is None else f"{percent(found.estimate, signed=True)} {_bounds(found, percent)}".rstrip()
    if _clean(best, reference, margin):
        text = f"clean {metric} is not lower by more than {percent(margin)} ({words})"
        return Requirement(name="clean quality", met=True, text=text)
    text = f"clean {metric} of {best.arm} may be lower by more than {percent(margin)} ({words})"
    return Requirement(name="clean quality", met=False, text=text)


def _elsewhere(best: Gain, gains: Sequence[Gain], decisive: Budget) -> list[Requirement]:
    """Return the condition at the other budgets: not significantly worse."""
    found = []
    for gain in gains:
        if gain.arm == best.arm and gain.budget != decisive and gain.difference is not None:
            worse = gain.conclusion == WORSE or (gain.difference.high is not None and gain.difference.high < 0)
            words = f"{BUDGET_WORDS[gain.budget]}: {_interval(gain.difference)}"
            text = f"{best.arm} is worse {words}" if worse else f"not worse {words}"
            found.append(Requirement(name="other budget", met=not worse, text=text))
    return found


def _converged(gains: Sequence[Gain], about: LeftOut) -> Requirement:
    cut = [gain for gain in gains if gain.cut_off]
    if not cut:
        lost = "".join(f"; {arm} diverged and is not compared: {why}" for arm, why in about.diverged.items())
        return Requirement(name="training", met=True, text=f"all trainings converged{lost}")
    named = "; ".join(f"{gain.arm} {BUDGET_WORDS[gain.budget]} {gain.cut_off}" for gain in cut)
    return Requirement(
        name="training", met=False, text=f"trainings ended before early stopping ({named}); use more epochs (--epochs)"
    )


def _equal(own: Sequence[Gain], budget: Budget) -> Requirement:
    least, most = (pick(own, key=lambda gain: gain.gradients) for pick in (min, max))
    ratio = most.gradients / least.gradients
    if ratio <= UNEQUAL:
        return Requirement(name="budget", met=True, text=f"gradient evaluations differ by {percent(ratio - 1)} at most")
    text = f"{most.arm} used {ratio:.2f} times the gradient evaluations of {least.arm} at {BUDGET_WORDS[budget]}"
    return Requirement(name="budget", met=False, text=text)


def _seeds(reference: Finalist) -> Requirement:
    n = len(reference.trainings)
    text = f"{n} fresh training seed{'' if n == 1 else 's'}, not used in the selection"
    if n < FEWEST_SEEDS:
        text += f", but at least {FEWEST_SEEDS} are needed"
    return Requirement(name="seeds", met=n >= FEWEST_SEEDS, text=text)


def _interval(found: Mean | None) -> str:
    if found is None:
        return "unknown"
    return f"{plain(found.estimate, signed=True)} {_bounds(found, plain)}".rstrip()


def _bounds(found: Mean, show: Callable[..., str], *, signed: bool = True) -> str:
    return bracketed(found.low, found.high, show, signed=signed)


def _share(found: Mean | None) -> str:
    return "unknown" if found is None else percent(found.estimate)


def _mean(interval: Interval) -> Mean:
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return Mean(estimate=interval.estimate, low=interval.low if known else None, high=interval.high if known else None)


def _rounded(values: Sequence[int]) -> int:
    return max(1, round(sum(values) / len(values)))
