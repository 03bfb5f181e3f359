"""The migration audit as a kind of audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robustrec.audits.kind import AuditKind, Cost, Reported
from robustrec.audits.migration.again import never_again, not_again
from robustrec.audits.migration.config import BREAK_SHARE, GROUPS, MOVED, QUANTISED, SAME, MigrationAudit
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import parse_metric
from robustrec.results.conditions import Condition

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset
    from robustrec.results.findings import Finding
    from robustrec.results.gates import Gate
    from robustrec.runs.specs import SubjectSpec


class MigrationKind(AuditKind[MigrationAudit]):
    """Another encoder for a growing share of the items."""

    name = "migration"
    config = MigrationAudit
    gates = (
        {
            "name": "NDCG@20 with half of the index encoded anew",
            "select": {"audit": "migration", "share": 0.5, "training": "kept", "metric": "ndcg@20"},
            "quantity": "relative_drift",
            "min": -0.05,
        },
    )

    def check(self, config: MigrationAudit, *, where: str) -> None:
        """Check the names of the new encoders."""
        from robustrec.encoders.chosen import recipe_of

        for name in _encoders(config):
            recipe_of(name)

    def check_dataset(self, config: MigrationAudit, dataset: Dataset, *, where: str) -> None:
        """Check that there are feature files where they are the new vectors."""
        if "imported" in config.new_encoders and not dataset.feature_files:
            raise RobustrecError(
                f"the new encoder 'imported' reads feature files, and data set {dataset.name!r} has none",
                where=f"{where}, migration audit, new_encoders",
                fix="name another encoder (robustrec list encoders), or import a folder with image_feat.npy, "
                "text_feat.npy or NAME_feat.npy",
            )

    def fits(self, config: MigrationAudit, suite: Suite) -> None:
        """Check the metric, and that lists are as long as churn needs."""
        if config.metric not in suite.metrics:
            raise ValueError(f"metric {config.metric!r} of the migration audit is not in the metrics of the suite")
        longest = max(parse_metric(name).k for name in (*suite.metrics, *suite.stability))
        if config.k > longest:
            raise ValueError(f"k {config.k} of the migration audit is longer than the lists of the suite, {longest}")

    def needs(self, config: MigrationAudit, plan: Plan, spec: SubjectSpec) -> str:
        """Return why the audit cannot measure a subject: no features, none in its scores, or no training on new ones.

        Raises:
            RobustrecError: a new encoder lacks its content or weights.
        """
        from robustrec.audits.applicable import not_perturbable
        from robustrec.encoders.chosen import opened_weights
        from robustrec.encoders.options import options_of

        if reason := not_perturbable(spec):
            return reason
        catalog = plan.dataset.catalog
        if _encoders(config) and (catalog is None or not (catalog.n_texts or catalog.n_pictures)):
            return f"dataset {plan.dataset.name} has no texts and no pictures for a new encoder"
        if reason := never_again(config, spec):
            return reason
        given = options_of(plan.settings)
        for name in _encoders(config):
            own = given if name == plan.encoder and not config.weights else None
            options = own or given.model_copy(update={"weights": config.weights, "encoder": None})
            opened_weights(plan.dataset, name, home=plan.home, options=options)
        return ""

    def cost(self, config: MigrationAudit, plan: Plan) -> Cost:
        """Return the trainings and rankings of every new encoder and adapter, and the encodings of the catalogue."""
        trainings = rankings = 0
        drawn = sum(0 if share == 0 else 1 if share == 1 else config.draws for share in config.shares)
        variants = len(config.variants)
        measured = [spec for spec in plan.specs if not self.needs(config, plan, spec)]
        for spec in measured:
            rankings += variants * drawn * ("kept" in config.training)
            if spec.can_train:
                again = sum(not not_again(config, spec, *variant) for variant in config.variants)
                again *= "retrained" in config.training
                other = int("other_seed" in config.training)
                trainings += again + other
                rankings += again * (drawn + (0 in config.shares)) + other
        encoded = len(_encoders(config)) * plan.dataset.interactions.n_items if measured else 0
        return Cost(trainings=trainings, rankings=rankings, encodings=encoded)

    def encodes(self, config: MigrationAudit) -> bool:
        """Return whether the catalogue is encoded by another encoder."""
        return bool(_encoders(config))

    def reported(self, config: MigrationAudit) -> Reported:
        """Return the conditions of every share, those of break shares, and that of another seed."""
        found = [
            Condition(kind="migration", new_encoder=name, adapter=adapter, training=training, share=share)
            for name, adapter in config.variants
            for training in config.training
            if training != "other_seed"
            for share in (None, *config.shares)
        ]
        if "other_seed" in config.training:
            found.append(Condition(kind="migration", new_encoder=SAME, adapter="none", training="other_seed", share=1))
        return Reported(found, (BREAK_SHARE, *(f"{MOVED}_{each}" for each in GROUPS)), config.churn)

    def draws(self, config: MigrationAudit, gate: Gate) -> Iterator[tuple[str, int]]:
        """Yield the draws of the items, if a gate selects a share with any."""
        wanted = [each for each in self.reported(config).conditions if not isinstance(each, str)]
        if any(gate.select.wants(each) for each in wanted if each.share not in (None, 0, 1)):
            yield "draws", config.draws

    def measure(self, config: MigrationAudit, audited: AuditedSubject) -> list[Finding]:
        """Return churn, quality, moved exposure and break shares."""
        from robustrec.audits.migration.measure import measure

        return measure(config, audited)


def _encoders(config: MigrationAudit) -> list[str]:
    """Return the new encoders that encode the catalogue."""
    return [name for name in config.new_encoders if name not in (*QUANTISED, SAME)]


KIND = MigrationKind()
