"""Run the guarantee audit on one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.guarantee.config import GuaranteeAudit
from robustrec.audits.guarantee.places import CleanPlaces, clean_places, places_kept
from robustrec.audits.guarantee.radius import LinearScores, displacement, linear_scores, radii
from robustrec.audits.guarantee.rows import Measured, Rows
from robustrec.audits.guarantee.sample import EditedItem, ItemEdit, applier_for, item_edits, sampled
from robustrec.audits.merchant.encoding import arrival_faults
from robustrec.errors import RobustrecError
from robustrec.results.findings import Finding
from robustrec.runs.treatments import treatments_of

if TYPE_CHECKING:
    from robustrec.audits.by_subject import AuditedSubject


def measure(config: GuaranteeAudit, audited: AuditedSubject) -> list[Finding]:
    """Return the findings of one subject.

    Raises:
        RobustrecError: edits do not reach the features, or the encoder fails.
    """
    edits = item_edits(config, treatments_of(config.edits))
    if any(each.severity for each in edits):
        _check_arrival(audited, edits)
    found: list[Finding] = []
    for frozen in dict.fromkeys(each.frozen for each in edits):
        if frozen and audited.trained.graphs is None and "rebuilt" in config.graphs:
            continue  # the same
        clean = clean_places(audited.trained, audited.work.context.prepared.test, config.k, frozen=frozen)
        audited.work.context.costs.count_lists()
        linear = linear_scores(audited.trained, audited.generator("displacements"), frozen=frozen)
        for edit in (each for each in edits if each.frozen == frozen):
            found += _of_edit(config, audited, edit, clean, linear)
    return found


def _of_edit(
    config: GuaranteeAudit, audited: AuditedSubject, edit: ItemEdit, clean: CleanPlaces, linear: LinearScores | None
) -> list[Finding]:
    work, trained, holders = audited.work, audited.trained, clean.holders
    items = sampled(audited, edit, holders, config.items)
    tables = {name: table.clone() for name, table in trained.tables.items()}
    kept = []
    for number, each in enumerate(items, start=1):
        kept.append(places_kept(clean, each, tables))
        if each.vectors:
            work.context.costs.count_lists()
        work.context.progress("guarantee", number, len(items), f"{trained.subject.label} {edit.condition.label}")
    rows = Rows(trained.subject, edit.condition, config, work.intervals.bootstrap.level, len(clean.split.users))
    hidden = [each.hidden for each in items if each.hidden is not None]
    measured = Measured(
        np.array([each.loss for each in kept], dtype=np.float64),
        np.array([len(each.kept) for each in kept], dtype=np.int64),
        None if linear is None else _radii(clean, linear, items, [each.rows for each in kept], edit),
        np.array([displacement(trained, each.item, each.vectors) for each in items], dtype=np.float64),
        edit.treatment.modality if "text" in trained.scored_tables else "image",
        float(np.mean(hidden)) if hidden else None,
    )
    return [*rows.of(measured), rows.without_place(holders)]


def _radii(
    clean: CleanPlaces,
    linear: LinearScores,
    items: list[EditedItem],
    rows: list[NDArray[np.int64]],
    edit: ItemEdit,
) -> list[NDArray[np.float64]]:
    """Return the certified radii of the places of each item, for displacements of what the edit moved of it."""
    if not items:
        return []
    scored = list(clean.trained.scored_tables)
    jacobians = linear.jacobians([each.item for each in items])
    return [
        radii(
            clean,
            each.item,
            own,
            {name: table[place] for name, table in jacobians.items()},
            list(each.vectors) or scored,
        )
        for place, (each, own) in enumerate(zip(items, rows, strict=True))
    ]


def _check_arrival(audited: AuditedSubject, edits: tuple[ItemEdit, ...]) -> None:
    """Check that the encoder reads edited content, once for all subjects.

    Raises:
        RobustrecError: the content of another item changes no vector.
    """
    work = audited.work
    touched = {part.modality for each in edits for part in each.treatment.parts}
    faults = work.once(
        f"{audited.audit} edits arrive",
        lambda: arrival_faults(work.edited_rows(audited.audit), applier_for(work), touched),
    )
    if faults:
        raise RobustrecError(
            faults[0],
            where="the guarantee audit",
            fix="check the encoder: robustrec doctor --features NAME",
        )
