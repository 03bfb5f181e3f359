"""Settings of each strategy chosen on validation: a seeded search of a grid with Optuna and its median pruner.

Every strategy has the same number of trials, each trial the gradient evaluations of the same number of epochs of plain
training, and another seed than the trainings that are measured. The first trial has the default settings, so that a
choice is never below them. Every strategy searches its learning rate too, or a strategy could look better only because
it was tuned. Trials are kept in the home folder, one journal a search, and trainings in the run store; an interrupted
search goes on with the trial that it was in and makes the same choice.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustrec.comparison.budget import at_budget, gradient_evaluations
from robustrec.errors import RobustrecError
from robustrec.files import digest_json, locked
from robustrec.progress import Progress
from robustrec.reproduce.plan import CHOSEN, Group
from robustrec.reproduce.result import Tuned
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec, reads_features, spec_json
from robustrec.runs.subjects import forget_pause, paused_subject
from robustrec.seeds import derive_seed, numpy_generator
from robustrec.training.trainer import NotFiniteError

if TYPE_CHECKING:
    import optuna

FORMAT = 1
STUDY = "tune"
RUNGS = 4
"""Number of times that a trial is compared with the median of the others."""
UNPRUNED = 3
"""Number of first trials that are never pruned."""
ALPHA2 = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
RHO = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
FACTORS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Factors of the default learning rate."""
RATE = "training.learning_rate"
KEYS = ("alpha2", "rho")

Space = dict[str, tuple[float, ...]]
"""Setting ("strategy.rho") -> values."""


@dataclass(frozen=True)
class Search:
    """A search of the settings of one strategy.

    Attributes:
        trials: number of trials.
        epochs: of plain training in a trial.
        home: the home folder.
        seed: of the command; trials train with a seed derived from it.
        allows: whether another training may start.
    """

    trials: int
    epochs: int
    home: Path
    seed: int
    allows: Callable[[SubjectSpec], bool]


def has_optuna() -> bool:
    """Tell whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def require_optuna() -> None:
    """Check that Optuna is installed.

    Raises:
        RobustrecError: it is not.
    """
    if not has_optuna():
        raise RobustrecError(
            "settings are chosen on validation by optuna, but optuna is not installed",
            where="robustrec reproduce",
            fix="pip install 'robustrec[tune]', or add --no-tune to use the default settings",
        )


def space_of(spec: SubjectSpec, given: Mapping[str, Mapping[str, Any]]) -> Space:
    """Return the settings of a strategy that are searched, without those that --set gives.

    Args:
        spec: the subject with its defaults.
        given: overrides by section.
    """
    rates = tuple(round(spec.training.learning_rate * factor, 10) for factor in FACTORS)
    space: Space = {RATE: rates}
    if spec.strategy.steps.mirror:
        space["strategy.alpha2"] = ALPHA2
    if spec.strategy.steps.probe:
        space["strategy.rho"] = RHO
    return {name: values for name, values in space.items() if _key(name)[1] not in given.get(_key(name)[0], {})}


def order_of(space: Space, spec: SubjectSpec, seed: int) -> list[dict[str, float]]:
    """Return the settings in the order in which they are tried: the defaults, then the grid in a random order.

    Args:
        space: setting -> values.
        spec: the subject with its defaults.
        seed: of the order.
    """
    defaults = {RATE: spec.training.learning_rate, **{f"strategy.{key}": getattr(spec.strategy, key) for key in KEYS}}
    first = {name: float(defaults[name]) for name in space}
    grid = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    others = [each for each in grid if each != first]
    return [first, *(others[place] for place in numpy_generator(seed, "tune").permutation(len(others)))]


def tuned(
    group: Group, model: str, strategy: str, prepared: Prepared, search: Search, progress: Progress
) -> tuple[CHOSEN, Tuned] | None:
    """Return the settings that validation chooses and the record of the search; None if its time is over.

    Args:
        group: data and features.
        model: the model.
        strategy: its strategy.
        prepared: data and features on the device.
        search: trials and where they are kept.
        progress: called after each epoch.

    Raises:
        RobustrecError: a training failed, or the journal is damaged.
    """
    import optuna

    plain = group.specs(model, strategy)[0]
    space = space_of(plain, group.settings.set)
    if not space:
        return (), _record(group, plain, prepared, search, [])
    journal = _journal(plain, space, prepared, search)
    with locked(journal.with_suffix(".lock")):  # another command would count the same trials twice
        study = _study(journal)
        order = order_of(space, plain, search.seed)[: search.trials]
        while (count := len(_ended(study))) < len(order):
            spec = _spec(group, model, strategy, order[count], search)
            if not search.allows(spec):
                return None
            progress("validation trials", count, len(order), f"{model} {strategy} {_words(order[count])}")
            study.sampler = _fixed(order[count])
            values = {name: sorted({*each, order[0][name]}) for name, each in space.items()}
            asked: dict[str, optuna.distributions.BaseDistribution] = {
                name: optuna.distributions.CategoricalDistribution(each) for name, each in values.items()
            }
            _train(study, study.ask(asked), spec, prepared, search, progress)
    chosen = tuple((name, float(study.best_params[name])) for name in space)
    return chosen, _record(group, plain, prepared, search, _ended(study), study)


def _train(
    study: optuna.Study,
    trial: optuna.Trial,
    spec: SubjectSpec,
    prepared: Prepared,
    search: Search,
    progress: Progress,
) -> None:
    """Train a trial rung by rung, and end it where its validation is below the median or its loss is not finite."""
    import optuna

    whole = spec.training.max_epochs
    rungs = sorted({max(1, math.ceil(whole * place / RUNGS)) for place in range(1, RUNGS + 1)})
    for epochs in rungs:
        try:
            record = paused_subject(spec, prepared, epochs, home=search.home, progress=progress).record
        except NotFiniteError:
            if not _ended(study):  # the defaults, of which the row says why they fail
                raise
            trial.set_user_attr("gradients", gradient_evaluations(spec, len(prepared.positives.users), epochs))
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            forget_pause(spec, prepared, search.home)
            return
        value = float(record["best_validation"])
        trial.report(value, epochs)
        trial.set_user_attr("gradients", gradient_evaluations(spec, len(prepared.positives.users), epochs))
        if epochs < whole and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            forget_pause(spec, prepared, search.home)
            return
    study.tell(trial, value)


def _spec(group: Group, model: str, strategy: str, values: Mapping[str, float], search: Search) -> SubjectSpec:
    spec = group.specs(model, strategy, tuple(values.items()))[0]
    return replace(at_budget(spec, "gradients", search.epochs), seed=derive_seed(search.seed, "tune"))


def _study(path: Path) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=STUDY,
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=0),
        )
    except (OSError, ValueError, KeyError) as error:
        raise RobustrecError(
            f"the search on validation cannot be read or written: {error}", where=str(path), fix=f"remove it: rm {path}"
        ) from error


def _fixed(values: Mapping[str, float]) -> optuna.samplers.BaseSampler:
    """Return a sampler of one choice: the order of the grid, not the history of a search, says what is tried."""
    import optuna

    class Fixed(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, *_: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, *_: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, _study: Any, _trial: Any, name: str, _distribution: Any) -> float:
            return values[name]

    return Fixed()


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _journal(spec: SubjectSpec, space: Space, prepared: Prepared, search: Search) -> Path:
    identity = {
        "format": FORMAT,
        "data": prepared.dataset.digest,
        "features": prepared.features_digest(spec.shrink) if reads_features(spec) else None,
        "spec": spec_json(spec),
        "space": {name: list(values) for name, values in space.items()},
        "epochs": search.epochs,
        "seed": search.seed,
        "device": prepared.device.type,
    }
    return search.home / "reproduce" / "tune" / f"{digest_json(identity)[:32]}.journal"


def _record(
    group: Group,
    spec: SubjectSpec,
    prepared: Prepared,
    search: Search,
    trials: list[optuna.trial.FrozenTrial],
    study: optuna.Study | None = None,
) -> Tuned:
    most = gradient_evaluations(at_budget(spec, "gradients", search.epochs), len(prepared.positives.users))
    return Tuned(
        dataset=group.place.name,
        model=spec.model,
        features=group.kind,
        strategy=spec.strategy.name,
        trials=len(trials),
        pruned=sum(trial.state.name == "PRUNED" for trial in trials),
        gradients=sum(int(trial.user_attrs.get("gradients", 0)) for trial in trials),
        most_gradients=most,
        chosen={} if study is None else {name: float(value) for name, value in study.best_params.items()},
        validation=None if study is None else float(study.best_value),
        metric=spec.training.validation_metric,
    )


def _key(name: str) -> tuple[str, str]:
    section, _, key = name.partition(".")
    return section, key


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{_key(name)[1]} = {value:g}" for name, value in values.items())
