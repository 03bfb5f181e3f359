"""The plan of a reproduction: rows, what each needs, what is missing, and the trainings with their cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison.budget import Budget, at_budget
from robustrec.config import Settings
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import Dataset
from robustrec.evaluation.kinds import ACCURACY, parse_metric
from robustrec.models import modalities_of
from robustrec.progress import Progress, silent
from robustrec.reproduce.cost import Speed
from robustrec.reproduce.inputs import Inputs, check_weights, inputs_of, load_place, with_place
from robustrec.reproduce.paper import CLEAN_TABLE, NOISY_TABLE, SIGMA2, STRATEGIES, RowKey
from robustrec.reproduce.rows import (
    NO_FEATURES,
    Features,
    Place,
    named_datasets,
    parse_features,
    parse_tables,
    rows_of,
)
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import SubjectSpec

What = Literal["early-stop", "epochs", "gradients", "noise"]
"""A training: one of the budgets, or until early stopping on features with noise."""

NOISE = NoiseCondition(SIGMA2)
CHOSEN = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Asked:
    """What a command asks for, besides the settings.

    Attributes:
        tables: numbers of tables; None for all.
        patterns: of rows; none for all.
        datasets: names or folders; None for those of the tables.
        features: kinds of features and substitutes.
        models: models; () for those of the paper.
        epochs: of plain training at equal budgets; 0 omits them.
        metric: of the claims.
        draws: of noise at inference.
        trials: of each strategy on validation; 0 keeps the default settings.
        tune_epochs: of plain training in a trial.
        budget: seconds after which no further training starts; None for no limit.
    """

    tables: tuple[int, ...] | None = None
    patterns: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    features: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    epochs: int = 100
    metric: str = "ndcg@5"
    draws: int = 3
    trials: int = 0
    tune_epochs: int = 30
    budget: float | None = None


class Job(NamedTuple):
    """A training.

    Attributes:
        spec: the subject as its settings have it.
        what: at which budget, or on noisy features.
    """

    spec: SubjectSpec
    what: What

    def at(self, epochs: int) -> SubjectSpec:
        """Return the subject at its budget."""
        budget: Budget = "early-stop" if self.what == "noise" else self.what
        return at_budget(self.spec, budget, epochs)


@dataclass(frozen=True)
class Group:
    """Rows with one data set and one kind of features.

    Attributes:
        place: the data set.
        kind: kind of features.
        inputs: what they need.
        rows: the rows.
        settings: of their trainings.
    """

    place: Place
    kind: str
    inputs: Inputs
    rows: tuple[RowKey, ...]
    settings: Settings

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the rows, in their order."""
        return tuple(dict.fromkeys(key.model for key in self.rows))

    def strategies(self, model: str) -> tuple[str, ...]:
        """Return the strategies of a model."""
        named = {key.strategy for key in self.rows if key.model == model}
        return tuple(name for name in STRATEGIES if name in named)

    def noisy(self, model: str, strategy: str) -> bool:
        """Return whether a row of the table under noise is wanted."""
        return any((key.table, key.model, key.strategy) == (NOISY_TABLE, model, strategy) for key in self.rows)

    def settings_of(self, model: str, strategies: Sequence[str], chosen: CHOSEN = ()) -> Settings:
        """Return the settings of some strategies of a model.

        Args:
            model: the model.
            strategies: names.
            chosen: "section.key" and value of settings chosen on validation.
        """
        overrides: dict[str, dict[str, Any]] = {name: dict(own) for name, own in self.settings.set.items()}
        for name, value in chosen:
            section, _, key = name.partition(".")
            overrides.setdefault(section, {})[key] = value
        update = {"model": (model,), "strategy": tuple(strategies), "set": overrides}
        return self.settings.model_copy(update=update)

    def specs(self, model: str, strategy: str, chosen: CHOSEN = ()) -> tuple[SubjectSpec, ...]:
        """Return the subject of a row at each training seed."""
        assert self.inputs.dataset is not None
        dataset = self.inputs.dataset
        return subject_specs(self.settings_of(model, [strategy], chosen), dataset.edition, dataset.name)

    def jobs(self, model: str, strategy: str, epochs: int, chosen: CHOSEN = ()) -> list[Job]:
        """Return the trainings of a row, in the order in which they run."""
        whats: list[What] = ["early-stop"]
        if self.noisy(model, strategy):
            whats.append("noise")
        if epochs:
            whats += ["epochs", "gradients"]
        return [Job(spec, what) for what in whats for spec in self.specs(model, strategy, chosen)]


@dataclass(frozen=True)
class ReproductionPlan:
    """Plan of a reproduction.

    Attributes:
        settings: as resolved.
        asked: the rest of the command.
        groups: rows by data set and kind of features.
    """

    settings: Settings
    asked: Asked
    groups: tuple[Group, ...]
    speed: Speed = field(default_factory=Speed, compare=False)

    @property
    def rows(self) -> list[RowKey]:
        """All rows."""
        return [key for group in self.groups for key in group.rows]

    def searches(self, group: Group) -> float:
        """Return the seconds that the trials of a group on validation may take."""
        dataset = group.inputs.dataset
        if group.inputs.missing is not None or dataset is None or not self.asked.trials:
            return 0.0
        n_train = int((dataset.interactions.labels == TRAIN).sum())
        specs = [
            at_budget(group.specs(model, strategy)[0], "gradients", self.asked.tune_epochs)
            for model in group.models
            for strategy in group.strategies(model)
        ]
        n_items = dataset.interactions.n_items
        return self.asked.trials * sum(self.speed.seconds(spec, dataset.name, n_train, n_items) for spec in specs)

    def trainings(self, group: Group) -> Iterator[tuple[Job, float]]:
        """Yield the different trainings of a group, with the seconds that each may take."""
        if group.inputs.missing is not None or group.inputs.dataset is None:
            return
        dataset = group.inputs.dataset
        n_train = int((dataset.interactions.labels == TRAIN).sum())
        seen: set[str] = set()
        for model in group.models:
            for strategy in group.strategies(model):
                for job in group.jobs(model, strategy, self.asked.epochs):
                    spec = job.at(self.asked.epochs)
                    # Plain training is the same for equal epochs and equal gradient evaluations.
                    alike = repr((spec, job.what == "noise"))
                    if alike not in seen:
                        seen.add(alike)
                        yield job, self.speed.seconds(spec, dataset.name, n_train, dataset.interactions.n_items)


def plan_reproduction(settings: Settings, asked: Asked, progress: Progress = silent) -> ReproductionPlan:
    """Resolve the rows of a command and their inputs; nothing is encoded or trained.

    Raises:
        RobustrecError: unknown names, or nothing to measure.
    """
    parse_metric(asked.metric, kinds=ACCURACY, where="--metric")
    # Of a configuration file, for other commands: the paper's experiment has all test users, and trains on its texts.
    settings = settings.model_copy(update={"users": None, "checkpoint": None, "denoise": "none"})
    check_weights(settings)
    features: Features = parse_features(asked.features)
    tables = parse_tables(asked.tables)
    places = named_datasets(asked.datasets, tables, tables_given=bool(asked.tables), home=settings.home)
    rows = rows_of(places, tables, asked.patterns, features, asked.models)
    rows = _with_clean(rows)
    groups = []
    for place in places:
        own = [key for key in rows if key.dataset == place.name]
        dataset = load_place(place, settings, progress) if own else None
        kinds = dict.fromkeys((NO_FEATURES if not modalities_of(key.model) else key.features) for key in own)
        for kind in kinds:
            assert dataset is not None
            theirs = [key for key in own if (NO_FEATURES if not modalities_of(key.model) else key.features) == kind]
            # Models that read no features are in one group, once for each strategy.
            theirs = [key._replace(features=kind) for key in theirs] if kind == NO_FEATURES else theirs
            inputs = inputs_of(dataset, place, kind, features.encoder_of(kind), settings)
            shown = inputs.encoder if kind == "auto" and isinstance(dataset, Dataset) else kind
            keys = tuple(dict.fromkeys(key._replace(features=shown) for key in theirs))
            group_settings = settings if inputs.missing else with_place(settings, place, inputs.encoder)
            groups.append(Group(place, shown, inputs, keys, group_settings))
    from robustrec.hardware import pick_device  # with torch

    speed = Speed(gpu=pick_device(settings.device).type == "cuda")
    return ReproductionPlan(settings, asked, tuple(groups), speed)


def _with_clean(rows: Sequence[RowKey]) -> list[RowKey]:
    """Return rows with the clean row of each row under noise, which it is compared with."""
    found = list(rows)
    for key in rows:
        if key.table == NOISY_TABLE and (clean := key._replace(table=CLEAN_TABLE)) not in found:
            found.append(clean)
    return found


def noisy_spec(spec: SubjectSpec, seed: int, draw: int) -> SubjectSpec:
    """Return a subject that is trained on features with one draw of the noise of table 2."""
    return replace(spec, training_noise=f"{NOISE.label} seed {seed} draw {draw}", checkpoint=None)
