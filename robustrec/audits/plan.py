"""The plan of an audit: everything resolved and its cost known before any of it is paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from robustrec.audits.noise import strengths_between
from robustrec.audits.noise_audit import conditions_of, training_conditions_of
from robustrec.audits.noise_config import NoiseAudit
from robustrec.audits.suites import Suite, load_suite
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders.features import encoder_name
from robustrec.errors import RobustrecError
from robustrec.progress import Progress, silent
from robustrec.reporting.findings import Subject
from robustrec.reporting.gates import applicable_gates
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import SubjectSpec, reads_features


@dataclass(frozen=True)
class Plan:
    """What a command is about to do.

    Attributes:
        settings: as resolved.
        suite: what is measured and tolerated.
        dataset: loaded and checked.
        specs: the subjects, in the order they were named.
        encoder: whose features they read, or None where none reads any.
    """

    settings: Settings
    suite: Suite
    dataset: Dataset
    specs: tuple[SubjectSpec, ...]
    encoder: str | None

    @property
    def home(self) -> Path:
        """The folder of data sets, features and runs."""
        return self.settings.home


class Cost(NamedTuple):
    """What a plan will take at most.

    Attributes:
        trainings: subjects, and their retrainings on noisy features; those in the run store cost nothing.
        rankings: representations of all users and items, each followed by a ranking of all test users.
        encodings: items that go through the encoder again.
        gradients: evaluations of a gradient over the whole training graph, Hessian products among them.
    """

    trainings: int = 0
    rankings: int = 0
    encodings: int = 0
    gradients: int = 0


def make_plan(settings: Settings, *, progress: Progress = silent) -> Plan:
    """Resolve settings into a plan; nothing is encoded or trained.

    Raises:
        RobustrecError: an unknown name or key, a missing data set, or an edition that the suite refuses.
    """
    suite = load_suite(settings.suite)
    edition = settings.edition
    if suite.require_edition == "full" and edition == "sample":
        raise RobustrecError(
            f"suite {suite.name!r} requires the full edition, and the sample was asked for",
            where="suite, require_edition",
            fix="leave --edition out, or choose another suite: robustrec list suites",
        )
    # Names are checked on either edition's defaults before anything is built.
    subject_specs(settings, "sample")
    wanted = "full" if suite.require_edition == "full" else edition
    dataset = load_dataset(settings.dataset, home=settings.home, edition=wanted, progress=progress)
    if suite.require_edition == "full" and dataset.synthetic:
        raise RobustrecError(
            f"suite {suite.name!r} requires the full edition, and {settings.dataset!r} is a synthetic sample",
            where="suite, require_edition",
            fix=f"import the real data: robustrec data import FOLDER --name {dataset.name}",
        )
    specs = subject_specs(settings, dataset.edition, dataset.name)
    encoder = encoder_name(dataset, settings.features) if any(map(reads_features, specs)) else None
    _check_gates(suite, specs, encoder)
    return Plan(settings, suite, dataset, specs, encoder)


def _check_gates(suite: Suite, specs: tuple[SubjectSpec, ...], encoder: str | None) -> None:
    subjects = [
        Subject(
            model=spec.model,
            strategy=spec.strategy_name,
            features=str(encoder) if reads_features(spec) else "none",
            seed=spec.seed,
        )
        for spec in specs
    ]
    unmet = applicable_gates(suite.gates, subjects).unmet
    if unmet:
        raise RobustrecError(
            unmet[0],
            where=f"suite {suite.name!r}, gates",
            fix="name the subject it speaks of with --model or --strategy, or mark the gate optional = true",
        )


def cost_of(plan: Plan) -> Cost:
    """Return the most a plan will take, counted in trainings, rankings, encodings and gradients."""
    own = Cost(trainings=sum(spec.trains for spec in plan.specs), rankings=len(plan.specs))
    parts = [own, *(COSTS[audit.kind](audit, plan) for audit in plan.suite.audits)]
    return Cost(*(sum(column) for column in zip(*parts, strict=True)))


def _noise_cost(audit: NoiseAudit, plan: Plan) -> Cost:
    reading = [spec for spec in plan.specs if reads_features(spec)]
    retrained = sum(spec.can_train for spec in reading)
    rankings = len(conditions_of(audit)) * audit.draws
    if audit.break_point:
        point = audit.break_point
        trials = len(strengths_between(point.sigma2_min, point.sigma2_max)) + point.steps
        rankings += trials * point.draws
    trainings = len(training_conditions_of(audit)) * audit.training.draws if audit.training else 0
    return Cost(trainings=retrained * trainings, rankings=retrained * trainings + len(reading) * rankings)


COSTS: dict[str, Callable[[Any, Plan], Cost]] = {"noise": _noise_cost}
"""Kind of audit -> what one of its configurations costs over a plan's subjects."""
