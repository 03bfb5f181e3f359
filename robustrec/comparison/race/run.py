"""Run a recipe race: plan, selection by validation with successive halving, and the statement on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robustrec import __version__
from robustrec.audits.outcome import dataset_record, weights_record
from robustrec.comparison.budget import Budget, at_budget
from robustrec.comparison.edits import EditedCatalog, edited_catalog, trained_on_edits
from robustrec.comparison.measuring import OVERLAP, Measures, measure_subject, training_of
from robustrec.comparison.race.arms import Arm
from robustrec.comparison.race.plan import RacePlan
from robustrec.comparison.race.result import ModelRace, RaceReport
from robustrec.comparison.race.selection import CONTENT_FREE, selected
from robustrec.comparison.race.statement import Finalist, LeftOut, statement
from robustrec.comparison.run import LEVEL, METRIC, features_words, prepared_of
from robustrec.hardware import describe_environment, full_precision
from robustrec.progress import Progress, silent
from robustrec.results.report import Environment
from robustrec.runs.distinct import check_distinct, identity_of
from robustrec.runs.edit_pools import make_pools
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import spec_json
from robustrec.runs.subjects import forget_pause, obtain_subject
from robustrec.seeds import derive_seed
from robustrec.training.trainer import NotFiniteError

SHARE = 1.0
"""Share of the items that are edited: all, as in a catalog whose merchants all edit."""


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
    models = []
    for model, arms in plan.arms.items():
        own = {arm.name: arm.spec for arm in arms}
        seen = trained_on_edits(own, base.dataset, settings, plan.edits) if stated.draws else {}
        warnings += [f"{model}, {name}: {words}" for name, words in seen.items()]
        models.append(_of_model(plan, model, prepared, chosen, stated, seen, progress))
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
        models=tuple(models),
        settings={f"{model}/{arm.name}": spec_json(arm.spec) for model, arms in plan.arms.items() for arm in arms},
        environment=Environment.model_validate(describe_environment(prepared.device)),
    )


def _of_model(
    plan: RacePlan,
    model: str,
    prepared: Prepared,
    chosen: EditedCatalog,
    stated: EditedCatalog,
    trained_on: Mapping[str, str],
    progress: Progress,
) -> ModelRace:
    arms = {arm.name: arm for arm in plan.arms[model]}
    left, scores = selected(plan, model, prepared, chosen, progress)
    reference = next(name for name in left if arms[name].reference)
    measures = Measures(METRIC, (), 1, lambda _: {}, (OVERLAP,), stated)
    finalists, diverged = _measured(plan, [arms[name] for name in left], reference, prepared, measures, progress)
    trainings = [training for own in finalists.values() for each in own.values() for training in each.trainings]
    dropped = [each.arm for each in scores if each.dropped == CONTENT_FREE]
    about = LeftOut(dropped, diverged, {name: words for name in left if (words := trained_on.get(name))})
    found = statement(finalists, reference, METRIC, margin=plan.margin, level=LEVEL, about=about)
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


def _measured(
    plan: RacePlan, arms: Sequence[Arm], reference: str, prepared: Prepared, measures: Measures, progress: Progress
) -> tuple[dict[Budget, dict[str, Finalist]], dict[str, str]]:
    """Return the finalists at each budget, and why arms of which a training diverged are at none.

    Raises:
        NotFiniteError: a training of the reference diverged.
    """
    finalists: dict[Budget, dict[str, Finalist]] = {budget: {} for budget in plan.budgets}
    diverged: dict[str, str] = {}
    for budget in plan.budgets:
        for arm in arms:
            if arm.name in diverged:
                continue
            try:
                finalists[budget][arm.name] = _finalist(plan, arm, budget, prepared, measures, progress)
            except NotFiniteError as error:
                if arm.name == reference:
                    raise
                diverged[arm.name] = error.what
    return {
        budget: {name: each for name, each in own.items() if name not in diverged} for budget, own in finalists.items()
    }, diverged


def _given(chosen: Arm, settings: Sequence[Arm]) -> str:
    """Say what the reference was given for its gradient evaluations."""
    count = chosen.spec.training.negatives
    own = f"{count} negative{'' if count == 1 else 's'} of each positive in a step"
    others = [str(each) for each in sorted({each.spec.training.negatives for each in settings})]
    among = f", chosen by validation among {' and '.join(others)}" if len(others) > 1 else ""
    among = among or (f", one of {len(settings)} settings, chosen by validation" if len(settings) > 1 else "")
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
