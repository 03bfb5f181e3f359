"""The audited loss along merchant edits, from the clean features through the edited ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from robustrec.audits.encoder.audit import chosen_items
from robustrec.audits.results import Work
from robustrec.audits.sharpness.audit import LOSS_LABEL, SharpnessTask
from robustrec.audits.sharpness.config import EditLandscapes
from robustrec.audits.sharpness.rows import AUDIT
from robustrec.curvature.landscapes import Direction, line
from robustrec.results.exhibits import Curve
from robustrec.runs.treatments import applier_of, treatments_of

Shifts = Mapping[str, dict[str, Tensor]]
"""Edit -> modality -> change of the features [I, D_m], zero for unchanged items."""


def edit_shifts(asked: EditLandscapes, work: Work) -> Shifts:
    """Apply every edit to the same items and encode them again.

    Raises:
        RobustrecError: an edit is unknown or fails, or the encoder does.
    """
    plan, context = work.plan, work.context
    dataset, features = plan.dataset, context.prepared.features
    assert features is not None

    edited = work.edited_rows(AUDIT)
    applier = applier_of(dataset, plan.home, context.seed, work.languages)
    items = chosen_items(len(applier.rows), asked.items, seed=context.seed)
    shifts: dict[str, dict[str, Tensor]] = {}
    for treatment in treatments_of(asked.edits):
        made = [(item, row) for item in items for _, row in applier.edited(treatment, item, (asked.severity,), draw=0)]
        if not made:
            continue
        places = torch.tensor([item for item, _ in made])
        after = edited.encode([row for _, row in made])
        shifts[treatment.name] = {
            name: torch.zeros_like(table).index_copy(0, places, after[name] - table[places])
            for name, table in features.encoded.items()
        }
    return shifts


def measure_edits(task: SharpnessTask, asked: EditLandscapes, shifts: Shifts) -> None:
    """Record the loss along each edit that changes inputs of the subject."""
    clean = task.loss.tables
    steps = np.linspace(-asked.reach, asked.reach, asked.points).tolist()
    for name, shift in shifts.items():
        read = {m: shift[m].to(clean[m]) for m in task.subject.scored_tables if m in shift and bool(shift[m].any())}
        if not read:
            continue
        task.results.exhibits.append(
            Curve(
                subject=task.labels.subject,
                audit=AUDIT,
                name=f"loss along the edit {name}, severity {asked.severity}",
                x_label="share of the edit: 0 is clean, 1 is edited",
                y_label=LOSS_LABEL,
                x=tuple(steps),
                y=line(task.loss, Direction(tables=read), steps),
                note=f"{asked.items} items edited and encoded again; frozen item graphs",
            )
        )
        task.context.costs.representations += asked.points
