"""Run the encoder audit and record its results.

The encoder is measured once. Its findings are listed under the first subject that reads features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustrec.audits.encoder.audit import (
    Floats,
    VectorShifts,
    chosen_items,
    lengths,
    median_distance,
    median_length,
    picture_distance,
    same_vectors,
    size_of,
    text_distance,
)
from robustrec.audits.encoder.config import EncoderAudit
from robustrec.audits.encoder.items import Contents
from robustrec.audits.encoder.rows import AUDIT, FEWEST, SHARE, edit_rows, pooled, value_rows
from robustrec.audits.plan import Plan
from robustrec.audits.results import Audited, Work
from robustrec.audits.tasks import Task, TaskOutput, merged
from robustrec.edits.content import Content, text_of
from robustrec.edits.view import CatalogueView, view_of
from robustrec.encoders.chosen import has_captions
from robustrec.encoders.features import row_encoder
from robustrec.encoders.options import options_of
from robustrec.encoders.rows import RowContent, StoredPicture, catalog_rows
from robustrec.encoders.visibility import hidden_share, picture_views
from robustrec.errors import RobustrecError, one_line
from robustrec.results.conditions import ALL, Condition
from robustrec.results.findings import AuditStatus
from robustrec.results.hidden import MOST_HIDDEN, hidden_warning
from robustrec.runs.editable import not_editable
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.treatments import Row, Shown, Treatment, has_user_edits, row_of, treatments_of
from robustrec.seeds import numpy_generator
from robustrec.subject import Subject

SIGNAL = Condition(kind="clean_content")
"""Condition of findings that compare an item with its clean content, which sample editions know."""


@dataclass(frozen=True, eq=False)
class _EncoderRun:
    """Shared state of one audit.

    Attributes:
        audit: its configuration.
        work: data, intervals and the results.
        subject: subject of the findings.
        rows: [I] the catalogue as the encoder reads it.
        view: the rest of the catalogue, as a source for edits.
        encoder: encodes edited rows.
        items: [n] the items, ascending.
        contents: [n] their content.
        vectors: name -> [I, D] the tables that differ.
        spreads: vector -> median distance of two items.
        own: "text", "image", "both" -> median distance of two items' content, in the unit of the sizes.
    """

    audit: EncoderAudit
    work: Work
    subject: Subject
    rows: list[RowContent]
    view: CatalogueView
    encoder: EditedRows
    items: list[int]
    contents: Contents
    vectors: dict[str, Tensor]
    spreads: dict[str, float]
    own: dict[str, float]


def tasks_of(audit: EncoderAudit, plan: Plan) -> list[Task]:
    """Return one task: the encoder is measured once."""
    return [Task(AUDIT, plan.encoder or "encoder", {}, stored=not has_user_edits(audit.edits), here=True)]


def run_task(audit: EncoderAudit, task: Task, subjects: Audited, work: Work, output: TaskOutput) -> None:
    """Measure the encoder; each subject gets a status, and the first one the findings."""
    if not subjects:
        return
    first, *others = [subject.subject for subject, _ in subjects]
    status = AuditStatus(audit=AUDIT, subject=first, status="ok")
    reason = not_editable(work.plan.dataset, work.plan.encoder, work.plan.settings.encoder)
    findings = len(work.results.findings)
    if reason:
        status = status.model_copy(update={"status": "not_applicable", "message": reason})
    else:
        try:
            status = status.model_copy(update={"message": "; ".join(_measure(_prepared(audit, first, work)))})
        except RobustrecError as error:
            del work.results.findings[findings:]  # a part of the table must not pass for the whole
            status = status.model_copy(update={"status": "error", "message": one_line(error)})
    message = reason or f"the same encoder: see {first.label}"
    work.results.statuses += [
        status,
        *(AuditStatus(audit=AUDIT, subject=each, status="not_applicable", message=message) for each in others),
    ]


def finish(audit: EncoderAudit, done: Iterable[tuple[Task, TaskOutput]], subjects: Audited, work: Work) -> None:
    """Add the findings and statuses of the one task."""
    for _ in merged(done, work):
        pass


def _prepared(audit: EncoderAudit, subject: Subject, work: Work) -> _EncoderRun:
    plan, context = work.plan, work.context
    dataset, features = plan.dataset, context.prepared.features
    assert dataset.catalog is not None  # see `not_editable`
    assert features is not None

    edited = work.edited_rows(AUDIT)
    rows = catalog_rows(dataset.catalog, plan.home / "digests")
    items = chosen_items(len(rows), audit.items, seed=context.seed)
    contents = Contents(dataset.catalog, items)
    vectors = {name: features.tables[held[0]] for name, held in same_vectors(features.encoded).items()}
    random = numpy_generator(context.seed, "encoder audit", "pairs")
    spreads = {name: median_length(table[items], random) for name, table in vectors.items()}
    own = {
        "text": median_distance([rows[item].text for item in items], text_distance, random),
        "image": median_distance(
            items, lambda a, b: picture_distance(contents.of(a).picture, contents.of(b).picture), random
        ),
    }
    own["both"] = (own["text"] + own["image"]) / 2
    view = view_of(dataset, work.languages)
    return _EncoderRun(audit, work, subject, rows, view, edited, items, contents, vectors, spreads, own)


def _measure(run: _EncoderRun) -> list[str]:
    """Measure every edit, and the distance to the clean content if it is known; return the warnings."""
    results, intervals = run.work.results, run.work.intervals
    shifts: dict[tuple[str, int], list[VectorShifts]] = {}
    apart: dict[tuple[str, int], list[VectorShifts]] = {}  # upload faults and what the encoder does not see
    measured = len(results.findings)
    every = treatments_of(run.audit.edits)
    for number, treatment in enumerate(every, start=1):
        for severity in run.audit.severities:
            found = _shifts_of(run, treatment, severity)
            unseen = treatment.modality == "image" and (found.hidden or 0.0) > MOST_HIDDEN
            kept = apart if treatment.fault or unseen else shifts
            kept.setdefault((treatment.modality, severity), []).append(found)
            condition = Condition(kind="edit", edit=treatment.name, severity=severity)
            own = run.own[treatment.modality]
            results.findings += edit_rows(
                run.subject, condition, treatment.modality, found, run.spreads, own, intervals
            )
        run.work.context.progress("encoder audit", number, len(every), treatment.name)
    for (modality, severity), parts in shifts.items():
        condition = Condition(kind="edit", edit=ALL, modality=modality, severity=severity)
        own = run.own[modality]
        results.findings += edit_rows(run.subject, condition, modality, pooled(parts), run.spreads, own, intervals)
    for severity in run.audit.severities if shifts else ():
        every_edit = pooled([part for (_, each), parts in shifts.items() if each == severity for part in parts])
        movements = {
            f"movement_{name}": moved / run.spreads[name]
            for name, moved in every_edit.moved.items()
            if run.spreads[name] > 0 and len(moved) >= FEWEST
        }
        condition = Condition(kind="edit", edit=ALL, modality=ALL, severity=severity)
        vectors = {f"movement_{name}": name for name in every_edit.moved}
        # Sizes in different units have no mean.
        results.findings += value_rows(run.subject, condition, movements, SHARE, intervals, vectors)
    warning = hidden_warning(run.encoder.encoder.name, results.findings[measured:])
    said = _without_effect(run, [*shifts.items(), *apart.items()])
    return [*said, *([warning] if warning else []), *_signal(run)]


def _shifts_of(run: _EncoderRun, treatment: Treatment, severity: int) -> VectorShifts:
    """Apply an edit to every item and encode the changed items; severity 0 encodes all items unchanged (A/A)."""
    touched: list[int] = []
    sizes: list[float] = []
    hidden: list[float] = []
    views = picture_views(run.encoder.encoder)

    def rows() -> Iterator[Row]:
        for item, before in zip(run.items, run.contents, strict=True):
            after = treatment.apply(before, severity, run.view, seed=run.work.context.seed, draw=0, item=item)
            if after is before and severity:
                continue
            own = run.rows[item]
            row = _stored(own) if after is before else _edited(own, before, after)
            touched.append(item)
            if (share := hidden_share(before.picture, after.picture, views)) is not None:
                hidden.append(share)
            sizes.append(float(np.mean([size_of(before, after, each) for each in _modalities(treatment)])))
            yield row

    tables = encode_all(rows(), run.encoder.encode)
    held = same_vectors(run.encoder.features.encoded)
    moved: dict[str, Floats] = {
        name: lengths(run.vectors[name][touched], tables[modalities[0]]) if touched else np.zeros(0)
        for name, modalities in held.items()
    }
    mean = float(np.mean(hidden)) if hidden else None
    return VectorShifts(np.array(touched, dtype=np.int64), np.array(sizes, dtype=np.float64), moved, mean)


def _modalities(treatment: Treatment) -> tuple[str, ...]:
    return ("text", "image") if treatment.modality == "both" else (treatment.modality,)


def _without_effect(run: _EncoderRun, shifts: Sequence[tuple[tuple[str, int], list[VectorShifts]]]) -> list[str]:
    """Return a warning for each modality without effect of edits on vectors."""
    said = []
    for modality, word in (("text", "texts"), ("image", "pictures")):
        parts = [part for (each, severity), found in shifts if each == modality and severity for part in found]
        parts = [part for part in parts if len(part.items)]
        if parts and not any(values.any() for part in parts for values in part.moved.values()):
            said.append(f"{run.encoder.encoder.name} ignores {word}: no edit of them changed a vector")
    return said


def _signal(run: _EncoderRun) -> list[str]:
    """Compare items with their clean content, if it is known."""
    clean = run.work.plan.dataset.clean_catalog
    if clean is None:
        return []
    rows = catalog_rows(clean, run.work.plan.home / "digests")
    target = run.encoder.encode([_stored(rows[item]) for item in run.items])
    contents = Contents(clean, run.items)
    shares = {
        modality: np.array([size_of(shown, kept, modality) for shown, kept in zip(run.contents, contents, strict=True)])
        / run.own[modality]
        for modality in ("text", "image")
        if run.own[modality] > 0
    }
    values: dict[str, Floats] = {f"distance_to_clean_{name}_input": share for name, share in shares.items()}
    before = np.mean(list(shares.values()), axis=0) if shares else None
    held = same_vectors(run.encoder.features.encoded)
    for name, modalities in held.items():
        if run.spreads[name] == 0:
            continue
        after = lengths(run.vectors[name][run.items], target[modalities[0]]) / run.spreads[name]
        values[f"distance_to_clean_{name}"] = after
        if before is not None:
            values[f"nearer_by_encoding_{name}"] = before - after
    run.work.results.findings += value_rows(run.subject, SIGNAL, values, SHARE, run.work.intervals, _vectors(held))
    return _denoised(run, target, held) if run.audit.denoise else []


def _denoised(run: _EncoderRun, target: dict[str, Tensor], held: dict[str, tuple[str, ...]]) -> list[str]:
    """Measure the distance to the clean encoding without and with capfilt (inequality 6 of the SGBD paper).

    Both distances are in the space of the encoder: E‖f(C(x)) − f(x*)‖ and E‖f(x) − f(x*)‖, with the item x, its clean
    content x* and the caption filter C.
    """
    plan, name = run.work.plan, run.encoder.features.name
    options = options_of(plan.settings)
    if options.denoise != "none":
        return ["denoising is part of this encoder; use --denoise none to measure its effect"]
    if not has_captions(name):
        return []
    try:
        encoder = row_encoder(
            plan.dataset, name, home=plan.home, options=options.model_copy(update={"denoise": "capfilt"})
        )
    except RobustrecError as error:
        return [f"capfilt was not measured: {error.what}"]
    denoised = encoder.encode([run.rows[item] for item in run.items], run.work.context.progress).tables
    run.work.context.costs.encodings += len(run.items)
    values: dict[str, Floats] = {}
    for vector, modalities in held.items():
        if run.spreads[vector] == 0:
            continue
        clean = target[modalities[0]]
        without = lengths(run.vectors[vector][run.items], clean) / run.spreads[vector]
        with_it = lengths(denoised[modalities[0]], clean) / run.spreads[vector]
        values[f"distance_to_clean_{vector}"] = with_it
        values[f"nearer_by_capfilt_{vector}"] = without - with_it
    condition = Condition(kind="clean_content", denoise="capfilt")
    run.work.results.findings += value_rows(run.subject, condition, values, SHARE, run.work.intervals, _vectors(held))
    return []


def _vectors(names: Iterable[str]) -> dict[str, str]:
    """Return the vector of each metric of the distance to the clean content."""
    measures = ("distance_to_clean", "nearer_by_encoding", "nearer_by_capfilt")
    return {f"{measure}_{name}": name for measure in measures for name in names}


def _stored(row: RowContent) -> Row:
    assert isinstance(row.picture, StoredPicture)  # as `catalog_rows` makes them
    return row_of(row.text, row.picture)


def _edited(row: RowContent, before: Content, after: Content) -> Row:
    assert isinstance(row.picture, StoredPicture)
    return row_of(text_of(after), row.picture if after.picture is before.picture else Shown(after.picture))
