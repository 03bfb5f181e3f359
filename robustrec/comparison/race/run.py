"""Run a recipe race: plan, selection by validation with successive halving, and the statement on test."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robustrec import __version__
from robustrec.audits.content_use import mean_filled
from robustrec.audits.merchant.drawn import replaced
from robustrec.audits.outcome import dataset_record, weights_record
from robustrec.comparison.budget import Budget, at_budget, epochs_within, gradient_evaluations
from robustrec.comparison.edits import EditedCatalog, edited_catalog
from robustrec.comparison.measuring import OVERLAP, Measures, measure_subject, training_of
from robustrec.comparison.race.arms import Arm, Wanted, arms_of
from robustrec.comparison.race.result import ModelRace, RaceReport, RungScore
from robustrec.comparison.race.rungs import Rung, promoted, rungs_of
from robustrec.comparison.race.statement import Finalist, statement
from robustrec.comparison.result import Training
from robustrec.comparison.run import LEVEL, METRIC, ComparisonPlan, features_words, plan_of_specs, prepared_of
from robustrec.config import Settings
from robustrec.datasets.interactions import VALIDATION
from robustrec.errors import RobustrecError
from robustrec.evaluation.places import per_user_accuracy
from robustrec.files import digest_array, digest_json, write_atomically
from robustrec.hardware import describe_environment, full_precision
from robustrec.progress import Progress, silent
from robustrec.results.content_use import ENOUGH
from robustrec.results.report import Environment
from robustrec.runs.distinct import check_distinct, identity_of
from robustrec.runs.edit_pools import make_pools
from robustrec.runs.prepared import Prepared, with_users
from robustrec.runs.specs import SubjectSpec, spec_json
from robustrec.runs.store import run_key
from robustrec.runs.subjects import forget_pause, obtain_subject, paused_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import derive_seed
from robustrec.untrusted import UnreadableError, read_json_object

DECISIVE: tuple[Budget, ...] = ("gradients", "early-stop")
"""Budgets of the statement; the first decides."""
FIRST_SELECTION_SEED = 10_000
"""Offset of the seeds of the selection, so that they are never those of a statement."""
FINALISTS, SELECTION_SEEDS, MARGIN = 3, 2, 0.02
RACED_EDITS: tuple[str, ...] = ("truncation", "promo_badge")
SHARE = 1.0
"""Share of the items that are edited: all, as in a catalog whose merchants all edit."""
_RECORD_BYTES = 1 << 20
EDIT_DRAWS = 3


@dataclass(frozen=True)
class RacePlan:
    """Plan of a race.

    Attributes:
        base: data, encoder and weights, with the subject of every arm.
        arms: model -> its arms.
        finalists: arms other than the reference in the statement.
        selection_seeds: training seeds of the selection.
        seeds: fresh training seeds of the statement.
        edits: merchant edits of the objective; empty for clean quality.
        draws: of the edits, in the selection and in the statement each.
        margin: largest loss of clean quality, as a share of the reference's.
        budgets: of the statement; the first decides.
    """

    base: ComparisonPlan
    arms: Mapping[str, tuple[Arm, ...]]
    finalists: int
    selection_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    edits: tuple[str, ...]
    draws: int
    margin: float
    budgets: tuple[Budget, ...] = DECISIVE

    def rungs(self, model: str) -> tuple[Rung, ...]:
        """Return the rungs of a model."""
        return rungs_of(sum(not arm.reference for arm in self.arms[model]), self.finalists)

    def epochs_at(self, arm: Arm, share: float) -> int:
        """Return the epochs of an arm within a share of the budget of gradient evaluations."""
        return judged_epochs(arm.spec, share * self.base.epochs)


def judged_epochs(spec: SubjectSpec, epochs: float) -> int:
    """Return as `epochs_within`, in whole numbers of validations, where not every epoch has one."""
    every = spec.training.evaluate_every
    return max(every, epochs_within(spec, epochs) // every * every)


def plan_race(
    settings: Settings,
    epochs: int,
    reference: str = "vanilla",
    *,
    listed: Sequence[Wanted] = (),
    finalists: int = FINALISTS,
    selection_seeds: int = SELECTION_SEEDS,
    edits: Sequence[str] = RACED_EDITS,
    draws: int = EDIT_DRAWS,
    margin: float = MARGIN,
    budgets: Sequence[Budget] = DECISIVE,
    progress: Progress = silent,
) -> RacePlan:
    """Resolve settings into a race; nothing is encoded or trained.

    Args:
        settings: models, strategies, features, overrides; `seeds` are the fresh seeds.
        epochs: of plain training, from which the equal budget follows.
        reference: strategy that the others are compared with.
        listed: arms of a file; the strategies of the settings race if there are none.
        finalists: arms other than the reference in the statement.
        selection_seeds: number of training seeds of the selection.
        edits: merchant edits of the objective; none for clean quality.
        draws: of the edits.
        margin: largest loss of clean quality, as a share of the reference's.
        budgets: of the statement; the first decides.
        progress: callback while data are loaded.

    Raises:
        RobustrecError: unknown names, too few arms, or a model that cannot be trained.
    """
    if settings.engine != "local" or settings.workers > 1:
        raise RobustrecError(
            "a race trains in one process",
            where=f"--engine {settings.engine}, --workers {settings.workers}",
            fix="omit them, or compare without --race",
        )
    found: dict[str, tuple[Arm, ...]] = {}

    def specs(edition: str, dataset: str, encoder: str) -> list[SubjectSpec]:
        for model in dict.fromkeys(settings.model):
            found[model] = arms_of(settings, model, edition, dataset, encoder, reference=reference, listed=listed)
        return [arm.spec for arms in found.values() for arm in arms]

    base = plan_of_specs(settings, specs, epochs, reference, tuple(budgets), progress)
    first = settings.seed
    return RacePlan(
        base,
        found,
        finalists,
        tuple(first + FIRST_SELECTION_SEED + place for place in range(selection_seeds)),
        tuple(first + place for place in range(settings.seeds)),
        tuple(edits),
        draws,
        margin,
        tuple(budgets),
    )


@full_precision()
def run_race(plan: RacePlan, *, command: Sequence[str], progress: Progress = silent) -> RaceReport:
    """Train and measure the arms, and return what validation chose and what the fresh seeds say of it.

    Args:
        plan: the plan.
        command: the command line, as words.
        progress: callback during encoding and training.

    Raises:
        RobustrecError: encoding or training failed, or two arms trained equal parameters.
    """
    base, settings = plan.base, plan.base.settings
    features, prepared = prepared_of(base, progress)
    make_pools(base.specs, prepared, progress)

    def edited(seed: int) -> EditedCatalog:
        return edited_catalog(
            base.dataset,
            features,
            settings.model_copy(update={"seed": seed}),
            edits=plan.edits,
            draws=plan.draws,
            share=SHARE,
            progress=progress,
        )

    chosen, stated = edited(derive_seed(settings.seed, "race", "selection")), edited(settings.seed)
    objective = f"{METRIC} under edits" if stated.draws else f"clean {METRIC}"
    warnings = [*base.warnings, *([f"merchant edits were not measured: {stated.why_not}"] if stated.why_not else [])]
    models = tuple(_of_model(plan, model, prepared, chosen, stated, progress) for model in plan.arms)
    return RaceReport(
        robustrec=__version__,
        command=tuple(command),
        dataset=dataset_record(base.dataset),
        features=features_words(base) if features else None,
        weights=tuple(weights_record(each) for each in base.weights),
        warnings=tuple(warnings),
        epochs=base.epochs,
        objective=objective,
        margin=plan.margin,
        selection_seeds=plan.selection_seeds,
        seeds=plan.seeds,
        edits=plan.edits if stated.draws else (),
        draws=stated.n_draws,
        n_users=len(prepared.test.users),
        level=LEVEL,
        budgets=plan.budgets,
        models=models,
        settings={f"{model}/{arm.name}": spec_json(arm.spec) for model, arms in plan.arms.items() for arm in arms},
        environment=Environment.model_validate(describe_environment(prepared.device)),
    )


def _of_model(
    plan: RacePlan, model: str, prepared: Prepared, chosen: EditedCatalog, stated: EditedCatalog, progress: Progress
) -> ModelRace:
    arms = {arm.name: arm for arm in plan.arms[model]}
    left, scores = _selected(plan, model, prepared, chosen, progress)
    reference = next(name for name in left if arms[name].reference)
    measures = Measures(METRIC, (), 1, lambda _: {}, (OVERLAP,), stated)
    finalists: dict[Budget, dict[str, Finalist]] = {}
    trainings: list[Training] = []
    for budget in plan.budgets:
        finalists[budget] = {name: _finalist(plan, arms[name], budget, prepared, measures, progress) for name in left}
        trainings += [training for each in finalists[budget].values() for training in each.trainings]
    found = statement(finalists, reference, METRIC, margin=plan.margin, level=LEVEL)
    for arm in arms.values():  # every score is stored, so that another run of this race needs no state of a training
        for seed in plan.selection_seeds:
            forget_pause(arm.at(seed), prepared, plan.base.settings.home)
    return ModelRace(
        model=model,
        arms=tuple(arms),
        reference=reference,
        given=_given(arms[reference], [arm for arm in arms.values() if arm.reference]),
        scores=tuple(scores),
        gains=found.gains,
        trainings=tuple(trainings),
        chosen=found.chosen,
        headline=found.headline,
        requirements=found.requirements,
    )


def _given(chosen: Arm, settings: Sequence[Arm]) -> str:
    """Say what the reference was given for its gradient evaluations."""
    count = chosen.spec.training.negatives
    own = f"{count} negative{'' if count == 1 else 's'} of each positive in a step"
    others = [str(each.spec.training.negatives) for each in settings]
    among = f", chosen by validation among {', '.join(others)}" if len(set(others)) > 1 else ""
    return f"{chosen.spec.strategy_name}: {own}{among}"


def _finalist(
    plan: RacePlan, arm: Arm, budget: Budget, prepared: Prepared, measures: Measures, progress: Progress
) -> Finalist:
    home, found, trainings, identities = plan.base.settings.home, [], [], []
    for seed in plan.seeds:
        spec = arm.at(seed)
        subject = obtain_subject(at_budget(spec, budget, plan.base.epochs), prepared, home=home, progress=progress)
        trainings.append(training_of(subject, budget, spec, len(prepared.positives.users), arm.name))
        identities.append(identity_of(subject))
        found.append(measure_subject(subject, prepared, measures, plan.base.settings.seed))
    check_distinct(identities)
    shared = [name for name in found[0] if all(name in each for each in found)]
    return Finalist({name: np.stack([each[name] for each in found]) for name in shared}, tuple(trainings))


def _selected(
    plan: RacePlan, model: str, prepared: Prepared, edited: EditedCatalog, progress: Progress
) -> tuple[list[str], list[RungScore]]:
    """Return the finalists, the reference's best setting among them, and the scores of all rungs."""
    arms = {arm.name: arm for arm in plan.arms[model]}
    reference = [name for name, arm in arms.items() if arm.reference]
    racing, scores = list(arms), list[RungScore]()
    n_train = len(prepared.positives.users)
    for number, rung in enumerate(plan.rungs(model)):
        found: dict[str, RungScore] = {}
        for name in racing:
            arm, epochs = arms[name], plan.epochs_at(arms[name], rung.share)
            values = [_scored(plan, arm.at(seed), epochs, prepared, edited, progress) for seed in plan.selection_seeds]
            left = [each["left"] for each in values]
            found[name] = RungScore(
                rung=number,
                share=rung.share,
                arm=name,
                epochs=epochs,
                gradients=gradient_evaluations(arm.spec, n_train, epochs),
                score=sum(each["score"] for each in values) / len(values),
                left=None if None in left else sum(left) / len(left),
            )
        free = {name for name, each in found.items() if each.left is not None and each.left >= ENOUGH}
        ranked = {name: each.score for name, each in found.items() if name in reference or name not in free}
        racing = promoted(ranked, reference, rung.kept)
        for name, each in found.items():
            why = "" if name in racing else "content-free" if name in free else "lower validation score"
            scores.append(each.model_copy(update={"dropped": why}))
        progress("race", number + 1, len(plan.rungs(model)), f"{model}: {len(racing)} arms go on")
    return racing, scores


def _scored(
    plan: RacePlan, spec: SubjectSpec, epochs: int, prepared: Prepared, edited: EditedCatalog, progress: Progress
) -> dict[str, Any]:
    """Return the validation objective of a training after some epochs, and what is left of its quality without content.

    Both are stored, so that a race that was killed goes on with the same numbers.
    """
    key = digest_json([run_key(spec, prepared), epochs, METRIC, _digest(edited)])
    path = plan.base.settings.home / "races" / f"{key[:32]}.json"
    if (stored := _read(path)) is not None:
        return stored
    subject = paused_subject(spec, prepared, epochs, home=plan.base.settings.home, progress=progress)
    found = validation_objective(subject, prepared, edited)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found))
    return found


def _digest(edited: EditedCatalog) -> str:
    """Return the digest of the vectors of edits."""
    parts = [
        [
            condition.label,
            digest_array(each.items),
            {name: digest_array(np.asarray(t)) for name, t in each.tables.items()},
        ]
        for condition, draws in edited.draws.items()
        for each in draws
    ]
    return digest_json(parts)


def validation_objective(subject: TrainedSubject, prepared: Prepared, edited: EditedCatalog) -> dict[str, Any]:
    """Return the mean quality of the validation users under edits (`score`), or clean, and `left` without content."""
    split = with_users(prepared.dataset, prepared.validation, VALIDATION)

    def quality(features: Any = None) -> float:
        values = per_user_accuracy(subject.represent(features), split.users, split.mask, split.wanted, [METRIC])
        return float(values[METRIC].mean())

    clean = quality()
    score, left = clean, None
    if subject.scored_tables:
        left = quality(mean_filled(subject)) / clean if clean > 0 else None
        under = list(_under_edits(subject, edited, quality))
        score = sum(under) / len(under) if under else clean
    return {"score": score, "left": left}


def _under_edits(subject: TrainedSubject, edited: EditedCatalog, quality: Any) -> Iterator[float]:
    for draws in edited.draws.values():
        for each in draws:
            yield quality({name: replaced(table, each, name) for name, table in subject.tables.items()})


def _read(path: Path) -> dict[str, Any] | None:
    """Return a stored score; None if there is none, or if it is damaged."""
    try:
        found = read_json_object(path, most=_RECORD_BYTES)
    except (OSError, ValueError, UnreadableError):
        return None
    score, left = found.get("score"), found.get("left")
    fine = isinstance(score, float) and math.isfinite(score) and (left is None or isinstance(left, float))
    return {"score": score, "left": left} if fine else None
