"""What all edits of a merchant audit share: subjects, encoder and choices of items; edited items with their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from robustrec.audits.merchant.audit import choices_of, items_of_draw
from robustrec.audits.merchant.conditions import EvaluationTargets, Lists, lists_of, scene_of
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.merchant.drawn import Edited
from robustrec.audits.merchant.encoding import arrival_faults, moved
from robustrec.audits.merchant.exhibits import Fragile
from robustrec.audits.merchant.items import Items, popularity_strata
from robustrec.audits.merchant.pool import Pool
from robustrec.audits.merchant.rows import AUDIT
from robustrec.audits.quality import Clean
from robustrec.audits.results import Audited, Work
from robustrec.encoders.visibility import picture_views
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import EditApplier, Row, Treatment, applier_of, treatments_of


@dataclass(eq=False)
class SubjectState:
    """State of a subject during a task: clean lists, fragile items, and skipped conditions."""

    subject: TrainedSubject
    clean: Clean
    before: Lists
    fragile: Fragile
    untouched: dict[str, None]
    pools: dict[tuple[int, float, bool], Pool]

    def fresh(self) -> SubjectState:
        """Return the subject before any condition."""
        return replace(self, fragile=Fragile(self.fragile.targets, self.fragile.most), untouched={}, pools={})


@dataclass(frozen=True)
class MerchantRun:
    """Shared state of one audit."""

    audit: MerchantAudit
    work: Work
    targets: EvaluationTargets
    applier: EditApplier
    encoder: EditedRows
    choices: dict[tuple[float, int], Items]
    subjects: list[SubjectState]
    faults: list[str]


def prepared_run(audit: MerchantAudit, subjects: Audited, work: Work) -> MerchantRun:
    """Return what all edits share, with the faults that end the audit."""
    plan, context = work.plan, work.context
    dataset, features = plan.dataset, context.prepared.features
    assert features is not None
    strata = popularity_strata(dataset.interactions, audit.strata)
    targets = scene_of(context.prepared.test, context.metric_suite, strata, metric=audit.metric, k=audit.exposure)
    rows = work.edited_rows(AUDIT)
    seen = picture_views(rows.encoder)
    applier = applier_of(dataset, plan.home, context.seed, work.languages, seen=seen)
    audited = [
        SubjectState(subject, clean, lists_of(subject.represent(), targets), Fragile(targets, audit.fragile), {}, {})
        for subject, clean in subjects
    ]
    choices = choices_of(audit, dataset, seed=context.seed)
    touched = {part.modality for treatment in treatments_of(audit.edits) for part in treatment.parts}
    faults = arrival_faults(rows, applier, touched)
    return MerchantRun(audit, work, targets, applier, rows, choices, audited, faults)


def encoded_edits(run: MerchantRun, treatment: Treatment) -> Iterator[tuple[tuple[int, int], Edited]]:
    """Yield ((severity, draw), its edited items with their vectors), after encoding all of them together."""
    keys: list[tuple[int, int, int]] = []
    hidden: list[float] = []

    def rows() -> Iterator[Row]:
        for draw in range(run.audit.draws):
            for item in items_of_draw(run.choices, draw).tolist():
                for severity, row in run.applier.edited(treatment, item, run.audit.severities, draw):
                    keys.append((severity, draw, item))
                    hidden.append(np.nan if row.hidden is None else row.hidden)
                    yield row

    features = run.encoder.features
    tables = encode_all(rows(), run.encoder.encode)
    places: dict[tuple[int, int], list[int]] = {}
    for place, (severity, draw, _) in enumerate(keys):
        places.setdefault((severity, draw), []).append(place)
    for severity in run.audit.severities:
        for draw in range(run.audit.draws):
            chosen = places.get((severity, draw), [])
            items = [keys[place][2] for place in chosen]
            own = {name: table[chosen] for name, table in tables.items()}
            unseen = np.array([hidden[place] for place in chosen], dtype=np.float64)
            yield (severity, draw), Edited(np.array(items, dtype=np.int64), own, moved(features, items, own), unseen)
