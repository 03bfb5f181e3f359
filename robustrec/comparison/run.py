"""Compare strategies at equal budgets: plan, measure, and put into one report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robustrec import __version__
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.outcome import dataset_record, weights_record
from robustrec.comparison.budget import BUDGETS, Budget, at_budget, gradient_evaluations
from robustrec.comparison.content import left_of, withheld
from robustrec.comparison.edits import DRAWS, EDITS, edited_catalog, trained_on_edits
from robustrec.comparison.flatness import flatness_by
from robustrec.comparison.measuring import Measures, StrategyMeasured, arms_of, by_arm, measure_strategy
from robustrec.comparison.result import Comparison, StrategyReport, Training
from robustrec.comparison.rows import compared
from robustrec.comparison.sentences import sentences
from robustrec.config import Settings
from robustrec.datasets.interactions import TEST, TRAIN
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders.chosen import encoder_name, opened_weights
from robustrec.encoders.features import ItemFeatures, item_features
from robustrec.encoders.options import options_of
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import evaluated_users
from robustrec.feature_names import encoder_of, with_filter
from robustrec.hardware import describe_environment, full_precision, pick_device
from robustrec.models import modalities_of
from robustrec.progress import Progress, silent
from robustrec.results.report import Environment
from robustrec.runs.distinct import check_distinct
from robustrec.runs.edit_pools import make_pools
from robustrec.runs.editable import check_edited_training, edited_encodings
from robustrec.runs.fitting import fitted_filters
from robustrec.runs.plan import evaluation_options, subject_specs
from robustrec.runs.prepared import Prepared, edit_source, prepare
from robustrec.runs.specs import SubjectSpec, check_modalities, modalities_read, reads_features, spec_json
from robustrec.runs.user_sample import sample_words
from robustrec.training.adversarial import radius_words
from robustrec.training.strategy_names import canonical_strategy

LEVEL = 0.95
METRIC = "ndcg@20"


class Effort(NamedTuple):
    """Amount of measurements for every trained subject.

    Attributes:
        conditions: noise at inference.
        draws: of each.
        triples: of the audited loss.
        probes: of the traces.
        steps: Hessian products for λ₁.
        edits: names of merchant edits.
        edit_draws: choices of the items edited.
    """

    conditions: tuple[NoiseCondition, ...]
    draws: int
    triples: int
    probes: int
    steps: int
    edits: tuple[str, ...] = EDITS
    edit_draws: int = DRAWS


@dataclass(frozen=True)
class ComparisonPlan:
    """Plan of a comparison.

    Attributes:
        settings: as resolved.
        dataset: loaded and checked.
        specs: subjects as their settings have them: models × strategies × seeds.
        encoder: name of the encoder of their features; "none" if no model reads any.
        epochs: of plain training.
        reference: strategy the others are compared with.
        budgets: at which each strategy is trained.
        weights: the encoder's weights, by name and digest.
        warnings: what to know before anything is trained.
    """

    settings: Settings
    dataset: Dataset
    specs: tuple[SubjectSpec, ...]
    encoder: str
    epochs: int
    reference: str
    budgets: tuple[Budget, ...] = BUDGETS
    weights: tuple[UsedWeights, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def users(self) -> str:
        """What is ranked, in words; "" if all test users are."""
        everyone = len(evaluated_users(self.dataset.interactions, TEST))
        n = self.settings.users
        return "" if n is None or n >= everyone else sample_words(n, everyone)

    @property
    def trainings(self) -> int:
        """Number of different trainings; vanilla is the same for equal epochs and equal gradient evaluations."""
        return len(self.distinct)

    @property
    def distinct(self) -> tuple[SubjectSpec, ...]:
        """The different trainings."""
        return tuple(self._distinct(self.budgets))

    @property
    def gradients(self) -> int:
        """Gradient evaluations of the equal budgets; those of early stopping are not known in advance."""
        n_train = int((self.dataset.interactions.labels == TRAIN).sum())
        equal = self._distinct(tuple(budget for budget in self.budgets if budget != "early-stop"))
        return sum(gradient_evaluations(spec, n_train) for spec in equal)

    @property
    def edited_encodings(self) -> int:
        """Largest number of items that are encoded again for trainings on edited content."""
        return edited_encodings(self.specs, self.dataset.interactions.n_items)

    def _distinct(self, budgets: Sequence[Budget]) -> list[SubjectSpec]:
        every = [at_budget(spec, budget, self.epochs) for spec in self.specs for budget in budgets]
        return list({str(spec_json(spec)): spec for spec in every}.values())


def plan_comparison(
    settings: Settings,
    epochs: int,
    reference: str = "vanilla",
    *,
    budgets: Sequence[Budget] = BUDGETS,
    progress: Progress = silent,
) -> ComparisonPlan:
    """Resolve settings; nothing is encoded or trained.

    Raises:
        RobustrecError: unknown names, nothing to train, or a reference that is not among the strategies.
    """
    subject_specs(settings, "sample")
    plan = plan_of_specs(
        settings,
        lambda edition, dataset, _: subject_specs(settings, edition, dataset),
        epochs,
        canonical_strategy(reference),
        tuple(budgets),
        progress,
    )
    arms = arms_of(plan.specs, plan.encoder)
    if plan.reference not in arms:
        raise RobustrecError(
            f"{plan.reference!r} is not among the compared strategies",
            where="--reference",
            fix=f"add it: --strategy {plan.reference}; or name one of: {', '.join(dict.fromkeys(arms))}",
        )
    return plan


def plan_of_specs(
    settings: Settings,
    specs_of: Callable[[str, str, str], Sequence[SubjectSpec]],
    epochs: int,
    reference: str,
    budgets: tuple[Budget, ...],
    progress: Progress,
) -> ComparisonPlan:
    """Load the data of a comparison, and check its subjects; nothing is encoded or trained.

    Args:
        settings: as resolved.
        specs_of: (edition, name of the data set, name of the encoder) -> the subjects.
        epochs: of plain training.
        reference: strategy that the others are compared with.
        budgets: at which each is trained.
        progress: callback while data are loaded.

    Raises:
        RobustrecError: unknown names, or a model that cannot be trained.
    """
    dataset = load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    reads = any(modalities_of(model) for model in settings.model)
    encoder = encoder_name(dataset, encoder_of(settings.features)) if reads else "none"
    specs = tuple(specs_of(dataset.edition, dataset.name, encoder))
    fixed = next((spec for spec in specs if not spec.trains), None)
    if fixed is not None:
        raise RobustrecError(
            f"{fixed.model} cannot be trained by robustrec, so strategies cannot be compared",
            where="robustrec compare",
            fix="choose a model that can be trained: robustrec list models",
        )
    check_edited_training(specs, dataset, settings)
    for spec in specs:
        for budget in budgets:
            spec.strategy.check_epochs(at_budget(spec, budget, epochs).training.max_epochs)
    weights, warnings = (
        opened_weights(dataset, encoder, home=settings.home, options=options_of(settings)) if reads else ((), ())
    )
    return ComparisonPlan(settings, dataset, specs, encoder, epochs, reference, budgets, weights, warnings)


def prepared_of(plan: ComparisonPlan, progress: Progress = silent) -> tuple[ItemFeatures | None, Prepared]:
    """Encode and prepare the data of a comparison, in any process.

    Raises:
        RobustrecError: encoding failed, or a model reads other modalities than there are.
    """
    settings = plan.settings
    reads = any(map(reads_features, plan.specs))
    features = (
        item_features(plan.dataset, plan.encoder, home=settings.home, progress=progress, options=options_of(settings))
        if reads
        else None
    )
    edits, users = edit_source(settings), settings.users
    fitted = fitted_filters(plan.specs, plan.dataset, features, edits, progress)
    if features is not None:
        check_modalities(plan.specs, features.tables)
    mask = bool(evaluation_options(settings).mask_validation)
    device = pick_device(settings.device)
    prepared = prepare(plan.dataset, features, device, mask_validation=mask, users=users, fitted=fitted, edits=edits)
    return features, prepared


@full_precision()
def run_comparison(
    plan: ComparisonPlan,
    effort: Effort,
    *,
    command: Sequence[str],
    progress: Progress = silent,
    train: Callable[[ComparisonPlan, Prepared, Progress], None] | None = None,
) -> StrategyReport:
    """Train missing runs, measure and compare.

    Args:
        plan: the plan.
        effort: what is measured of every subject.
        command: the command line, as words.
        progress: callback during encoding and training.
        train: trains runs into the store ahead, in other processes.

    Raises:
        RobustrecError: encoding or training failed, or two strategies trained equal parameters.
    """
    settings = plan.settings
    features, prepared = prepared_of(plan, progress)
    make_pools(plan.specs, prepared, progress)
    if train is not None:
        train(plan, prepared, progress)
    flatness = flatness_by(
        prepared, seed=settings.seed, triples=effort.triples, probes=effort.probes, steps=effort.steps
    )
    edited = edited_catalog(
        plan.dataset, features, settings, edits=effort.edits, draws=effort.edit_draws, progress=progress
    )
    measures = Measures(METRIC, effort.conditions, effort.draws, flatness, edits=edited)
    rows: list[Comparison] = []
    trainings: list[Training] = []
    kept: dict[str, StrategyMeasured] = {}
    for model, strategies in by_arm(plan.specs, plan.encoder).items():
        for budget in plan.budgets:
            measured = _at_budget(plan, strategies, budget, prepared, measures, kept, progress)
            rows += _rows_of(model, budget, measured, plan.reference)
            trainings += [
                each.model_copy(update={"budget": budget}) for own in measured.values() for each in own.trainings
            ]
    seeds = tuple(dict.fromkeys(spec.seed for spec in plan.specs))
    lines = sentences(rows, len(seeds))
    lines = (*lines, *_moved_by(plan.specs, prepared))
    if edited.draws:
        arms = {
            f"{spec.model}, {arm}": spec
            for spec, arm in zip(plan.specs, arms_of(plan.specs, plan.encoder), strict=True)
        }
        seen = trained_on_edits(arms, plan.dataset, settings, effort.edits)
        lines = (*lines, *(f"{name}: {words}" for name, words in seen.items()))
    if edited.why_not:
        lines = (*lines, f"merchant edits were not measured: {edited.why_not}")
    return StrategyReport(
        robustrec=__version__,
        command=tuple(command),
        dataset=dataset_record(plan.dataset),
        features=features_words(plan) if features else None,
        weights=tuple(weights_record(each) for each in plan.weights),
        warnings=(*plan.warnings, *_of_sample(plan)),
        epochs=plan.epochs,
        seeds=seeds,
        draws=measures.draws,
        edit_draws=edited.n_draws,
        n_users=len(prepared.test.users),
        level=LEVEL,
        rows=tuple(rows),
        trainings=tuple(trainings),
        sentences=lines,
        environment=Environment.model_validate(describe_environment(prepared.device)),
        settings={
            f"{spec.model}/{arm}": spec_json(spec)
            for spec, arm in zip(plan.specs, arms_of(plan.specs, plan.encoder), strict=True)
        },
    )


def features_words(plan: ComparisonPlan) -> str:
    """Return the names of the features, each with its filter."""
    filters = dict.fromkeys(spec.shrink for spec in plan.specs if reads_features(spec))
    return ", ".join(with_filter(plan.encoder, each) for each in filters)


def _moved_by(specs: Sequence[SubjectSpec], prepared: Prepared) -> Iterator[str]:
    """Yield how far each strategy with amr moves the features of a model in training."""
    for spec in {(spec.model, spec.strategy_name): spec for spec in specs}.values():
        if "amr" in spec.strategy.active_treatments:
            words = radius_words(modalities_read(spec.model, prepared.tables), spec.strategy)
            yield (
                f"{spec.model}, {spec.strategy_name}: training moves feature rows by {words};"
                " the item graphs are those of the clean features"
            )


def _of_sample(plan: ComparisonPlan) -> list[str]:
    """Return what to know of numbers that are of a sample of users."""
    return [f"users: {plan.users} was ranked; the intervals are conservative"] if plan.users else []


def _at_budget(
    plan: ComparisonPlan,
    strategies: Mapping[str, list[SubjectSpec]],
    budget: Budget,
    prepared: Prepared,
    measures: Measures,
    kept: dict[str, StrategyMeasured],
    progress: Progress,
) -> dict[str, StrategyMeasured]:
    """Return the measurements of each strategy of a model at a budget.

    Raises:
        RobustrecError: as training, or two strategies have equal parameters.
    """
    measured: dict[str, StrategyMeasured] = {}
    for name, specs in strategies.items():
        alike = str(spec_json(at_budget(specs[0], budget, plan.epochs)))
        if alike not in kept:  # plain training is the same for equal epochs and equal gradients
            kept[alike] = measure_strategy(
                specs,
                budget,
                plan.epochs,
                prepared,
                measures,
                arm=name,
                home=plan.settings.home,
                seed=plan.settings.seed,
                progress=progress,
            )
        measured[name] = kept[alike]
        check_distinct([identity for each in measured.values() for identity in each.identities])
    return measured


def _rows_of(
    model: str, budget: Budget, measured: Mapping[str, StrategyMeasured], reference: str
) -> Iterator[Comparison]:
    for name, own in measured.items():
        other = None if name == reference else (reference, measured[reference].tables)
        epochs, gradients = (
            round(sum(getattr(each, what) for each in own.trainings) / len(own.trainings))
            for what in ("epochs", "gradients")
        )
        cut_off = sum(bool(each.cut_off) for each in own.trainings)
        rows = compared(model, budget, name, (epochs, gradients), own.tables, other, level=LEVEL, cut_off=cut_off)
        left = left_of(own.tables, METRIC, level=LEVEL)
        if left is not None:
            rows = [row.model_copy(update={"left": left.mean}) for row in rows]
        theirs = left_of(measured[reference].tables, METRIC, level=LEVEL) if other else None
        yield from withheld(rows, name, left, reference, theirs)
