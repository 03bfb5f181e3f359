"""An audit kind: one object that says what a kind of audit measures, needs and costs, and runs it.

A kind is a folder with `kind.py`, whose object KIND has a line in `registry.KINDS`. Users name theirs by an entry point
of the group "robustrec.audits" or as "package.module:Class". Importable without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pydantic import Field

from robustrec.errors import unknown_name
from robustrec.modalities import MODALITIES
from robustrec.results.conditions import ALL
from robustrec.subject import Record

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset
    from robustrec.results.conditions import Condition
    from robustrec.results.findings import Finding
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec

READS_NOTHING = "the model reads no item features, so there is nothing to perturb"


def unmeasured_scopes(scopes: Sequence[str], available: Sequence[str], *, what: str, where: str) -> list[str]:
    """Return a line for each scope that the features lack, to perturb a modality or all.

    Args:
        scopes: modalities, or "all".
        available: modalities of the features.
        what: what the lines begin with: "noise on".
        where: place of the scopes, for errors.

    Raises:
        RobustrecError: a scope is not "image" or "text" and not of the features, or none of the scopes is there.
    """
    lacking = [scope for scope in scopes if scope not in (ALL, *available)]
    for scope in lacking:
        if scope not in MODALITIES or len(lacking) == len(scopes):
            raise unknown_name("modality", scope, (ALL, *available), where=where)
    return [
        f"{what} {scope}: not measured, because the features have only {' and '.join(available)}" for scope in lacking
    ]


class Cost(NamedTuple):
    """Largest cost of a plan.

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


class Reported(NamedTuple):
    """Names in the findings of an audit, to check gates before any work.

    Attributes:
        conditions: all conditions; a name stands for a condition without fields.
        values: metrics of value findings.
        metrics: metrics of drift findings in addition to those of the suite.
    """

    conditions: Sequence[Condition | str]
    values: tuple[str, ...]
    metrics: tuple[str, ...] = ()


class AuditConfig(Record):
    """Settings of an audit in a suite."""

    kind: str = Field(min_length=1, description="name of an installed audit, or package.module:Class")

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Metrics of the findings in addition to those of the suite."""
        return ()

    @property
    def value_metrics(self) -> tuple[str, ...]:
        """Further metrics of drift findings in a suite with values of items."""
        return ()


C = TypeVar("C", bound=AuditConfig)


class AuditKind(Generic[C]):
    """A kind of audit.

    Attributes:
        name: kind in suites, and audit of the findings.
        config: its settings; the first line of the docstring describes the audit.
        of_encoder: whether it measures the encoder, once for all subjects.
        of_edits: whether it edits the texts or pictures of items and encodes them again.
        glossary: term -> definition, for the glossary of reports.
        gates: suggested gates, as in a suite.
        of_suite: whether its findings have the drifts of the metrics and stability of the suite.
        measured_in: module with `tasks_of`, `run_task`, `finish` and, for tasks with `encoded`, `encode`
            (`run_tasks.Measurements`). By default each subject is a task, which `measure` measures.
    """

    name: str
    config: type[C]
    of_encoder: bool = False
    of_edits: bool = False
    of_suite: bool = True
    glossary: Mapping[str, str] = {}
    gates: tuple[Mapping[str, Any], ...] = ()
    measured_in: str = "robustrec.audits.by_subject"

    @property
    def summary(self) -> str:
        """What the audit does, in one sentence."""
        return (self.config.__doc__ or "").strip().partition("\n")[0]

    def check(self, config: C, *, where: str) -> None:
        """Check the names in a configuration, before any data is loaded.

        Raises:
            RobustrecError: an unknown name; the message has `where`.
        """

    def fits(self, config: C, suite: Suite) -> None:
        """Check that a configuration fits the metrics and gates of its suite.

        Raises:
            ValueError: it does not.
        """

    def check_dataset(self, config: C, dataset: Dataset, *, where: str) -> None:
        """Check what a configuration names of the data set, such as numbers of items, before any work.

        Raises:
            RobustrecError: the data set does not have it; the message has `where`.
        """

    def of_modalities(self, config: C, available: Sequence[str], *, where: str) -> list[str]:
        """Check the modalities that a configuration names; return a note for each that the features lack.

        Raises:
            RobustrecError: the features have none of them, or a name is unknown; the message has `where`.
        """
        return []

    def needs(self, config: C, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject; empty if it can."""
        from robustrec.runs.specs import reads_features

        return "" if reads_features(spec) else READS_NOTHING

    def cost(self, config: C, plan: Plan) -> Cost:
        """Return the largest cost over all subjects of a plan."""
        return Cost()

    def encodes(self, config: C) -> bool:
        """Return whether `measure` encodes rows, so that it runs in the process of the command."""
        return False

    def stored(self, config: C) -> bool:
        """Return whether an interrupted audit can go on from stored outputs; not if user-defined code decides them."""
        return True

    def reported(self, config: C) -> Reported | None:
        """Return the names in the findings, or None if they are not known before the run."""
        return None

    def draws(self, config: C, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield (key of the configuration, number of draws) behind the findings that a gate checks."""
        yield from ()

    def measure(self, config: C, audited: AuditedSubject) -> list[Finding]:
        """Return the findings of one subject, all of them of this audit and subject."""
        raise NotImplementedError(f"{type(self).__name__} must define measure(self, config, audited)")
