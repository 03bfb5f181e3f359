"""Compare strategies at equal budgets: plan, measure, and put into one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robustrec import __version__
from robustrec.audits.noise import NoiseCondition
from robustrec.audits.outcome import dataset_record
from robustrec.comparing.budget import BUDGETS, at_budget, gradient_evaluations
from robustrec.comparing.flatness import flatness_by
from robustrec.comparing.measuring import Measures, by_strategy, measure_strategy
from robustrec.comparing.result import Comparison, StrategyReport
from robustrec.comparing.rows import Tables, compared, sentences
from robustrec.config import Settings
from robustrec.datasets.interactions import TRAIN
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders.features import item_features
from robustrec.encoders.options import options_of
from robustrec.errors import RobustrecError
from robustrec.hardware import describe_environment, pick_device
from robustrec.progress import Progress, silent
from robustrec.reporting.report import Environment
from robustrec.runs.plan import subject_specs
from robustrec.runs.prepared import prepare
from robustrec.runs.specs import SubjectSpec, reads_features, spec_json

LEVEL = 0.95
METRIC = "ndcg@20"


class Effort(NamedTuple):
    """How much is measured on every trained subject.

    Attributes:
        conditions: noise at inference.
        draws: of each.
        triples: of the audited loss.
        probes: of the traces.
        steps: Hessian products for λ₁.
    """

    conditions: tuple[NoiseCondition, ...]
    draws: int
    triples: int
    probes: int
    steps: int


@dataclass(frozen=True)
class ComparisonPlan:
    """What a comparison is about to do.

    Attributes:
        settings: as resolved.
        dataset: loaded and checked.
        specs: subjects as their settings have them: models × strategies × seeds.
        epochs: of plain training.
        reference: strategy the others are compared with.
    """

    settings: Settings
    dataset: Dataset
    specs: tuple[SubjectSpec, ...]
    epochs: int
    reference: str

    @property
    def trainings(self) -> int:
        """How many different trainings there are; what takes one pass a step is the same at both budgets."""
        return len(self._distinct)

    @property
    def gradients(self) -> int:
        """How many gradient evaluations they take."""
        n_train = int((self.dataset.interactions.labels == TRAIN).sum())
        return sum(gradient_evaluations(spec, n_train) for spec in self._distinct)

    @property
    def _distinct(self) -> list[SubjectSpec]:
        every = [at_budget(spec, budget, self.epochs) for spec in self.specs for budget in BUDGETS]
        return list({str(spec_json(spec)): spec for spec in every}.values())


def plan_comparison(
    settings: Settings, epochs: int, reference: str = "vanilla", *, progress: Progress = silent
) -> ComparisonPlan:
    """Resolve settings; nothing is encoded or trained.

    Raises:
        RobustrecError: unknown names, nothing to train, or a reference that is not among the strategies.
    """
    subject_specs(settings, "sample")
    dataset = load_dataset(settings.dataset, home=settings.home, edition=settings.edition, progress=progress)
    specs = subject_specs(settings, dataset.edition, dataset.name)
    fixed = next((spec for spec in specs if not spec.trains), None)
    if fixed is not None:
        raise RobustrecError(
            f"{fixed.model} is not trained here, so no strategy can be compared",
            where="robustrec compare",
            fix="name models that can be trained: robustrec list models",
        )
    if reference not in {spec.strategy_name for spec in specs}:
        raise RobustrecError(
            f"{reference!r} is not among the strategies compared",
            where="--reference",
            fix=f"add it: --strategy {reference}",
        )
    return ComparisonPlan(settings, dataset, specs, epochs, reference)


def run_comparison(
    plan: ComparisonPlan, effort: Effort, *, command: Sequence[str], progress: Progress = silent
) -> StrategyReport:
    """Train what is not in the run store yet, measure, and compare.

    Raises:
        RobustrecError: encoding or training failed.
    """
    settings = plan.settings
    reads = any(map(reads_features, plan.specs))
    features = (
        item_features(
            plan.dataset, settings.features, home=settings.home, progress=progress, options=options_of(settings)
        )
        if reads
        else None
    )
    prepared = prepare(plan.dataset, features, pick_device(settings.device))
    flatness = flatness_by(
        prepared, seed=settings.seed, triples=effort.triples, probes=effort.probes, steps=effort.steps
    )
    measures = Measures(METRIC, effort.conditions, effort.draws, flatness)
    n_train = len(prepared.positives.users)
    rows: list[Comparison] = []
    measured: dict[str, Tables] = {}
    for model, strategies in by_strategy(plan.specs).items():
        for budget in BUDGETS:
            tables: dict[str, Tables] = {}
            for name, specs in strategies.items():
                alike = str(spec_json(at_budget(specs[0], budget, plan.epochs)))
                if alike not in measured:  # plain training is the same at both budgets
                    measured[alike] = measure_strategy(
                        specs,
                        budget,
                        plan.epochs,
                        prepared,
                        measures,
                        home=settings.home,
                        seed=settings.seed,
                        progress=progress,
                    )
                tables[name] = measured[alike]
            for name, specs in strategies.items():
                spec = at_budget(specs[0], budget, plan.epochs)
                spent = spec.training.max_epochs, gradient_evaluations(spec, n_train)
                other = None if name == plan.reference else (plan.reference, tables[plan.reference])
                rows += compared(model, budget, name, spent, tables[name], other, level=LEVEL)
    seeds = tuple(dict.fromkeys(spec.seed for spec in plan.specs))
    return StrategyReport(
        robustrec=__version__,
        command=tuple(command),
        dataset=dataset_record(plan.dataset),
        features=features.name if features else None,
        epochs=plan.epochs,
        seeds=seeds,
        draws=measures.draws,
        n_users=len(prepared.test.users),
        level=LEVEL,
        rows=tuple(rows),
        sentences=sentences(rows, len(seeds)),
        environment=Environment.model_validate(describe_environment(prepared.device)),
        settings={f"{spec.model}/{spec.strategy_name}": spec_json(spec) for spec in plan.specs},
    )
