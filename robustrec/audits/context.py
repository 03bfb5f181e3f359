"""Context of the audits of one command: data, metrics, seed, progress and costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from robustrec.audits.noise.draws import NoiseDraws
from robustrec.audits.quality import Clean, MetricSuite, PerUser, measure_clean, undisturbed
from robustrec.progress import Progress, silent
from robustrec.runs.prepared import Prepared
from robustrec.runs.trained import TrainedSubject


@dataclass
class CostCounts:
    """Work counts so far, see `plan.Cost`; representations are forward passes over all users and items."""

    trainings: int = 0
    representations: int = 0
    rankings: int = 0
    encodings: int = 0
    gradients: int = 0

    def count_lists(self, n: int = 1) -> None:
        """Count n representations, each followed by a ranking."""
        self.representations += n
        self.rankings += n

    def add(self, other: CostCounts) -> None:
        """Add the counts of a part of the work."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass(frozen=True)
class AuditContext:
    """Context of the audits of one command.

    Attributes:
        prepared: data and features on the device.
        metric_suite: metrics of every list.
        seed: seed of the audits, separate from the training seeds.
        progress: callback after each ranking.
        costs: work counts, updated during the run.
        noise: noise on item features, drawn once for all subjects, strengths and scopes.
    """

    prepared: Prepared
    metric_suite: MetricSuite
    seed: int
    progress: Progress = silent
    costs: CostCounts = field(default_factory=CostCounts)
    noise: NoiseDraws = field(default_factory=NoiseDraws)


def clean_of(subject: TrainedSubject, context: AuditContext) -> Clean:
    """Rank the test users on clean features."""
    context.costs.count_lists()
    return measure_clean(subject.represent(), context.prepared.test, context.metric_suite)


def with_stability(clean: Clean, metric_suite: MetricSuite) -> PerUser:
    """Return the clean per-user metrics, with the stability metrics of identical lists."""
    return {**clean.per_user, **undisturbed(metric_suite.stability, len(clean.ranking.users))}
