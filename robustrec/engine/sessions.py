"""What a worker holds for a command: its data, and the subjects of an audit or a comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from robustrec.audits.context import clean_of
from robustrec.audits.plan import make_plan
from robustrec.audits.reach.check import ReachCheck
from robustrec.audits.reach.run import require_reach
from robustrec.audits.results import Audited, Work
from robustrec.audits.run import work_of
from robustrec.audits.run_tasks import done
from robustrec.audits.suites import recorded_suite
from robustrec.audits.tasks import Task
from robustrec.comparison.run import plan_comparison, prepared_of
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.encoders.elsewhere import Shard
from robustrec.encoders.options import options_of
from robustrec.encoders.rows import RowContent, StoredPicture
from robustrec.encoders.store import store_key
from robustrec.encoders.stored_network import StoredNetwork
from robustrec.engine.artefacts import packed
from robustrec.errors import RobustrecError
from robustrec.object_store import open_store
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.subjects import obtain_subject


class Session:
    """Data of a command that encodes a catalog.

    Args:
        first: the first message of the command: "settings" as JSON, and "digests" of data and suite.

    Raises:
        RobustrecError: the data changed since the command began.
    """

    def __init__(self, first: dict[str, Any]) -> None:
        self.settings = Settings.model_validate_json(first["settings"])
        self.store = open_store(self.settings.store, offline=self.settings.offline)
        self.dataset = self._loaded(first)
        if self._digests() != first["digests"]:
            raise RobustrecError(
                "the data set or the suite changed while the command ran",
                where=f"--dataset {self.settings.dataset}, --suite {self.settings.suite}",
                fix="run the command again",
            )
        self._networks: dict[str, StoredNetwork] = {}

    def _loaded(self, first: dict[str, Any]) -> Dataset:  # noqa: ARG002
        settings = self.settings
        return load_dataset(settings.dataset, home=settings.home, edition=settings.edition)

    def _digests(self) -> list[str]:
        return [self.dataset.digest]

    def encode(self, shard: Shard) -> None:
        """Encode batches of rows of the catalog into the store.

        Raises:
            RobustrecError: encoding failed, or the weights are not those of the command.
        """
        if shard.network not in self._networks:
            network = StoredNetwork(shard.network, options_of(self.settings), self.settings.home, first=shard.first)
            if store_key(network.identity) != shard.identity:
                raise RobustrecError(
                    f"a worker has other weights or settings of {shard.network} than the command",
                    where=f"--engine {self.settings.engine}",
                    fix="put the weights where all machines see the same files, and name them with --weights",
                )
            self._networks[shard.network] = network
        source = None if self.dataset.catalog is None else self.dataset.catalog.pictures
        self._networks[shard.network].encode_batches(
            [
                [RowContent(text, StoredPicture(source, item, digest)) for text, item, digest in batch]
                for batch in shard.batches
            ]
        )

    def faults(self) -> dict[int, str]:
        """Return place in the plan -> fault of the reach check after the tasks."""
        return {}


class TrainingSession(Session, ABC):
    """Data of a command that trains subjects too."""

    @property
    @abstractmethod
    def prepared(self) -> Prepared:
        """Data and features on the device."""

    @property
    @abstractmethod
    def specs(self) -> tuple[SubjectSpec, ...]:
        """The subjects of the command, in its order."""

    def train(self, place: int) -> None:
        """Train a subject into the run store."""
        obtain_subject(self.specs[place], self.prepared, home=self.settings.home)


class AuditSession(TrainingSession):
    """Data and subjects of an audit; the first message also has the "suite"."""

    def _loaded(self, first: dict[str, Any]) -> Dataset:
        suite = recorded_suite(first["suite"], source="the suite of the command")
        self.plan = make_plan(self.settings, suite=suite)
        self._subjects: Audited | None = None
        self._checks: dict[int, ReachCheck] = {}
        return self.plan.dataset

    def _digests(self) -> list[str]:
        return [self.dataset.digest, self.plan.suite.digest]

    @cached_property
    def work(self) -> Work:
        """What the audits work with."""
        return work_of(self.plan)

    @property
    def prepared(self) -> Prepared:
        """Data and features on the device."""
        return self.work.context.prepared

    @property
    def specs(self) -> tuple[SubjectSpec, ...]:
        """The subjects of the plan."""
        return self.plan.specs

    def run(self, task: Task, places: list[int]) -> bytes:
        """Return the output of a task on the subjects at some places in the plan, as bytes."""
        if self._subjects is None:
            context = self.work.context
            trained = [
                (place, obtain_subject(self.specs[place], self.prepared, home=self.plan.home)) for place in places
            ]
            self._checks = {place: require_reach(subject, context) for place, subject in trained}
            self._subjects = [(subject, clean_of(subject, context)) for _, subject in trained]
        return packed(done(task, self._subjects, self.work))

    def faults(self) -> dict[int, str]:
        """Return the faults of the reach check."""
        return {place: fault for place, check in self._checks.items() if (fault := check.after())}


class ComparisonSession(TrainingSession):
    """Data of a comparison of strategies; the first message also has "epochs", "reference" and "budgets"."""

    def _loaded(self, first: dict[str, Any]) -> Dataset:
        self.plan = plan_comparison(self.settings, first["epochs"], first["reference"], budgets=tuple(first["budgets"]))
        return self.plan.dataset

    @cached_property
    def prepared(self) -> Prepared:
        """Data and features on the device."""
        return prepared_of(self.plan)[1]

    @property
    def specs(self) -> tuple[SubjectSpec, ...]:
        """The different trainings."""
        return self.plan.distinct


def session_of(first: dict[str, Any]) -> Session:
    """Return the session of a command by its first message."""
    kinds: dict[str, type[Session]] = {"audit": AuditSession, "comparison": ComparisonSession, "encoding": Session}
    return kinds[first["of"]](first)
