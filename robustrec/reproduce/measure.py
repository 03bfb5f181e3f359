"""Train a subject and measure its lists; what was measured is kept in the home folder, so that a command resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robustrec.audits.context import AuditContext, clean_of
from robustrec.audits.noise.audit import measure_condition
from robustrec.audits.noise.condition import add_noise, refuse_lost_noise, share_lost
from robustrec.audits.noise.draws import standard_noise
from robustrec.audits.quality import MetricSuite
from robustrec.audits.reach.run import require_reach
from robustrec.comparison.budget import Budget
from robustrec.comparison.measuring import training_of
from robustrec.comparison.result import Training
from robustrec.errors import RobustrecError
from robustrec.files import digest_json, write_atomically
from robustrec.progress import Progress
from robustrec.reproduce.paper import LENGTHS, METRICS
from robustrec.reproduce.plan import NOISE, Job, noisy_spec
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.untrusted import UnreadableError, read_json_object

FORMAT = 1
"""Number of this way to measure; another number measures again."""
ALL_METRICS = tuple(
    f"{metric}@{k}" for k in sorted({k for each in LENGTHS.values() for k in each}) for metric in METRICS
)
_MOST_BYTES = 1 << 20

Values = dict[str, float]
"""Metric -> mean over the test users."""


@dataclass(frozen=True)
class SeedResult:
    """Measurements of one training.

    Attributes:
        seed: of the training.
        values: on its own features.
        noisy: with noise at inference, the mean over draws; None if that is not wanted.
        training: its effort.
        key: of the run.
        fault: why noise at inference could not be measured; empty if it was, or is not wanted.
    """

    seed: int
    values: Values
    noisy: Values | None
    training: Training
    key: str
    fault: str = ""


@dataclass(frozen=True)
class Measuring:
    """What is measured, and where it is kept.

    Attributes:
        prepared: data and features.
        home: the home folder.
        epochs: of plain training at equal budgets.
        seed: of the noise.
        draws: of noise at inference.
        metric: another metric to measure beside those of the tables.
    """

    prepared: Prepared
    home: Path
    epochs: int
    seed: int
    draws: int
    metric: str

    def spec(self, job: Job) -> SubjectSpec:
        """Return the subject of a training at its budget, with the name of its noise."""
        at = job.at(self.epochs)
        return noisy_spec(at, self.seed, job.spec.seed) if job.what == "noise" else at

    def stored(self, job: Job) -> bool:
        """Return whether the training is in the run store."""
        return stored_run(self.home, run_key(self.spec(job), self.prepared)) is not None

    def result(self, job: Job, *, noisy: bool, progress: Progress) -> SeedResult:
        """Train a subject if it is not stored, and measure it if that is not kept.

        Args:
            job: the training.
            noisy: whether to measure it with noise at inference too.
            progress: called after each epoch.

        Raises:
            RobustrecError: training failed, or the noise of the training is lost by rounding.
        """
        spec = self.spec(job)
        tables = None
        if job.what == "noise":
            clean = self.prepared.tables
            tables = add_noise(clean, standard_noise(clean, seed=self.seed, draw=job.spec.seed), NOISE)
            refuse_lost_noise(share_lost(clean, tables, NOISE, list(tables)), NOISE)
        subject = obtain_subject(spec, self.prepared, home=self.home, tables=tables, progress=progress)
        values = self._kept(subject, "values", lambda: self._clean(subject))
        under, fault = None, ""
        if noisy:
            try:
                under = self._kept(subject, "noise", lambda: self._noisy(subject))
            except RobustrecError as error:  # the clean values are sound
                fault = f"{error.what} ({error.where})"
        budget: Budget = "early-stop" if job.what == "noise" else job.what
        n_train = len(self.prepared.positives.users)
        training = training_of(subject, budget, job.spec, n_train, job.spec.strategy_name)
        return SeedResult(job.spec.seed, values, under, training, subject.key, fault)

    @property
    def _suite(self) -> MetricSuite:
        return MetricSuite(tuple(dict.fromkeys((*ALL_METRICS, self.metric))), ())

    def _clean(self, subject: TrainedSubject) -> Values:
        clean = clean_of(subject, AuditContext(self.prepared, self._suite, self.seed))
        return {name: float(found.mean()) for name, found in clean.per_user.items()}

    def _noisy(self, subject: TrainedSubject) -> Values:
        context = AuditContext(self.prepared, self._suite, self.seed)
        require_reach(subject, context)
        clean = clean_of(subject, context)
        (found,) = measure_condition([(subject, clean)], NOISE, self.draws, context)
        return {name: float(found.perturbed[name].mean()) for name in clean.per_user}

    def _kept(self, subject: TrainedSubject, what: str, measure: Callable[[], Values]) -> Values:
        """Return kept values, or measure and keep them."""
        test = self.prepared.test
        identity = {
            "format": FORMAT,
            "run": subject.key,
            "parameters": subject.record.get("parameters_digest"),
            "what": what,
            "noise": [NOISE.label, self.seed, self.draws] if what == "noise" else None,
            "metrics": list(self._suite.metrics),
            "masked": int(test.masked.nnz),
            "users": [len(test.users), int(test.users.sum())],
        }
        path = self.home / "reproduce" / "measured" / f"{digest_json(identity)[:32]}.json"
        found = _read(path, self._suite.metrics)
        if found is None:
            found = measure()
            write_atomically(path, json.dumps({"identity": identity, "values": found}, indent=1, allow_nan=False))
        return found


def _read(path: Path, metrics: tuple[str, ...]) -> Values | None:
    try:
        found = read_json_object(path, most=_MOST_BYTES).get("values")
    except (OSError, ValueError, UnreadableError):
        return None
    if not isinstance(found, dict) or set(found) != set(metrics):
        return None
    fine = all(isinstance(value, float) and math.isfinite(value) for value in found.values())
    return found if fine else None
