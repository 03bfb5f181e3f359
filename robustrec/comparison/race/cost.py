"""Cost of a race before it runs: trainings, epochs, gradient evaluations, encodings, and minutes if rates are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from robustrec.comparison.budget import at_budget, gradient_evaluations
from robustrec.comparison.race.plan import RacePlan
from robustrec.datasets.interactions import TRAIN
from robustrec.untrusted import UnreadableError, read_json_object

_RECORD_BYTES = 64 << 20
_MOST_READ = 2000


class Cost(NamedTuple):
    """Cost of a race, at most.

    Attributes:
        arms: of all models.
        selection: trainings of the selection, each of which resumes where it goes on.
        selection_epochs: of these.
        final: trainings of the statement.
        final_epochs: of those at equal gradient evaluations.
        until: trainings each until its own early stop, of unknown length, among `final`.
        gradients: gradient evaluations of the selection and of the statement at equal gradient evaluations.
        encodings: items that are encoded again, for edits and for trainings on edited content.
        minutes: of training for `gradients`, from stored runs of the same models and data; None where there are none.
    """

    arms: int
    selection: int
    selection_epochs: int
    final: int
    final_epochs: int
    until: int
    gradients: int
    encodings: int
    minutes: float | None


def cost_of(plan: RacePlan) -> Cost:
    """Return the cost of a race that finds nothing in the store."""
    base = plan.base
    n_train = int((base.dataset.interactions.labels == TRAIN).sum())
    arms = selection = selection_epochs = final = final_epochs = until = gradients = 0
    minutes: float | None = 0.0
    rates = _rates(base.settings.home, base.dataset.digest)
    for model, own in plan.arms.items():
        arms += len(own)
        costliest = sorted(own, key=lambda arm: -plan.epochs_at(arm, 1.0))
        racing, done, taken = len(own), {arm.name: 0 for arm in own}, 0
        selection += len(own) * len(plan.selection_seeds)
        for rung in plan.rungs(model):
            # Which arms go on is not known: those with the most epochs count.
            for arm in costliest[:racing]:
                epochs = plan.epochs_at(arm, rung.share)
                more = max(0, epochs - done[arm.name])
                done[arm.name] = epochs
                selection_epochs += more * len(plan.selection_seeds)
                taken += gradient_evaluations(arm.spec, n_train, more) * len(plan.selection_seeds)
            racing = min(racing, rung.kept + 1)
        for budget in plan.budgets:
            final += racing * len(plan.seeds)
            if budget == "early-stop":
                until += racing * len(plan.seeds)
                continue
            for arm in costliest[:racing]:
                spec = at_budget(arm.spec, budget, base.epochs)
                final_epochs += spec.training.max_epochs * len(plan.seeds)
                taken += gradient_evaluations(spec, n_train) * len(plan.seeds)
        gradients += taken
        minutes = None if minutes is None or model not in rates else minutes + taken * rates[model] / 60
    edited = 2 * len(plan.edits) * plan.draws * base.dataset.interactions.n_items
    encodings = (edited if base.encoder != "none" else 0) + base.edited_encodings
    return Cost(arms, selection, selection_epochs, final, final_epochs, until, gradients, encodings, minutes)


def _rates(home: Path, data: str) -> dict[str, float]:
    """Return model -> seconds per gradient evaluation, the median over stored runs of the data."""
    found: dict[str, list[float]] = {}
    for path in sorted((home / "runs").glob("*/run.json"))[:_MOST_READ]:
        try:
            record = read_json_object(path, most=_RECORD_BYTES)
            if record["dataset"]["digest"] == data and record["gradient_evaluations"] > 0:
                found.setdefault(str(record["model"]), []).append(record["seconds"] / record["gradient_evaluations"])
        except (OSError, ValueError, KeyError, TypeError, json.JSONDecodeError, UnreadableError):
            continue
    return {model: sorted(each)[len(each) // 2] for model, each in found.items()}


def cost_lines(plan: RacePlan) -> list[str]:
    """Return the cost of a race in sentences."""
    cost, seeds = cost_of(plan), len(plan.selection_seeds)
    rungs = " + ".join(f"{len(plan.rungs(model))}" for model in plan.arms)
    minutes = "minutes unknown: no stored run of this data" if cost.minutes is None else f"about {cost.minutes:.1f} min"
    lines = [
        f"race: {cost.arms} arms, {rungs} rungs; selection by validation with {seeds} seeds:"
        f" {cost.selection} trainings, {cost.selection_epochs:,} epochs at most",
        f"statement on test with {len(plan.seeds)} fresh seeds: {cost.final} trainings,"
        f" {cost.final_epochs:,} epochs at equal gradient evaluations, {cost.until} trainings until early stopping",
        f"{cost.gradients:,} gradient evaluations without those until early stopping ({minutes});"
        f" {cost.encodings:,} encodings at most",
    ]
    for model, arms in plan.arms.items():
        lines.append(f"{model}: {'; '.join(arm.name + (' (reference)' if arm.reference else '') for arm in arms)}")
    return lines
