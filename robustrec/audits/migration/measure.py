"""Measure the lists of a subject while its item features are replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustrec.audits.by_subject import AuditedSubject
from robustrec.audits.merchant.items import choose_items, popularity_strata
from robustrec.audits.migration.again import not_again
from robustrec.audits.migration.config import BREAK_SHARE, GROUPS, MOVED, QUANTISED, SAME, MigrationAudit
from robustrec.audits.migration.vectors import equal, fitted_adapter, mixed, quantised, undetermined
from robustrec.audits.quality import PerUser, stack, undisturbed
from robustrec.audits.rows import ONE_TRAINING, drift_rows, without_draws
from robustrec.datasets.registry import Dataset
from robustrec.edits.content import content_of
from robustrec.encoders.features import ItemFeatures, item_features
from robustrec.encoders.options import options_of
from robustrec.encoders.store import tables_digest
from robustrec.evaluation.ranking import rank
from robustrec.results.arrays import array_key
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import ExposureShift, Shift
from robustrec.results.findings import Finding
from robustrec.runs.fitting import fitted_filters
from robustrec.runs.prepared import Prepared, edit_source
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key, stored_run
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import derive_seed

AUDIT = "migration"
STRATA = 3
"""Popularity strata, of each of which the same share is encoded again."""

TWO_WIDTHS = "cannot be scored: old and new vectors have different widths; only a share of 1 can be audited"
IDENTICAL = "the vectors are bit-identical, and so are the lists"
MOST_SHIFTS = 5
_TITLE = 60

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class New:
    """New vectors of all items.

    Attributes:
        name: of the new encoder.
        adapter: how they are mapped to the old space.
        features: the vectors with their digest; None for the old ones themselves.
        tables: modality that the subject reads -> [I, D] on the device; the old tables where they are the same.
        fits: whether they have the widths that the subject was trained on.
    """

    name: str
    adapter: str
    features: ItemFeatures
    tables: dict[str, Tensor]
    fits: bool


def measure(config: MigrationAudit, audited: AuditedSubject) -> list[Finding]:
    """Return churn, quality, moved exposure and break shares of a subject."""
    found: list[Finding] = []
    if "other_seed" in config.training and audited.trained.spec.can_train:
        spec = replace(audited.trained.spec, seed=audited.trained.spec.seed + 1)
        other = _obtained(audited, spec, audited.work.context.prepared)
        where = _condition(SAME, "none", "other_seed", 1.0)
        found += _of_condition(config, audited, where, other, [None], churn_only=True)
    for name, adapter in config.variants:
        encoded = _new_features(config, audited, name)
        found += _of_vectors(config, audited, _adapted(config, audited, name, encoded, adapter))
    return found


def _of_vectors(config: MigrationAudit, audited: AuditedSubject, new: New) -> Iterator[Finding]:
    """Yield the findings of new vectors, with the model kept and retrained."""
    for training in ("kept", "retrained"):
        if training not in config.training:
            continue
        whole = _condition(new.name, new.adapter, training, None)
        if training == "kept" and not new.fits:
            widths = ", ".join(
                f"{name} {table.shape[1]} instead of {audited.tables[name].shape[1]}"
                for name, table in new.tables.items()
                if table.shape[1] != audited.tables[name].shape[1]
            )
            reason = f"cannot be scored: the model was trained on vectors of another width ({widths} values)"
            yield audited.value(whole, BREAK_SHARE, None, unit="share of items", note=reason)
            continue
        reason = not_again(config, audited.trained.spec, new.name, new.adapter)
        if not audited.trained.spec.can_train:
            reason = "cannot be retrained: robustrec did not train this model"
        if training == "retrained" and reason:
            yield audited.value(whole, BREAK_SHARE, None, unit="share of items", note=reason)
            continue
        subject = audited.trained if training == "kept" else _retrained(audited, new)
        by_share: dict[float, Finding] = {}
        for share in sorted(config.shares):
            if not new.fits and share < 1:
                continue  # an index with vectors of two widths
            where = _condition(new.name, new.adapter, training, share)
            rows = _of_condition(config, audited, where, subject, _mixtures(config, audited, new, share))
            by_share[share] = next(row for row in rows if row.metric == config.metric)
            yield from rows
        yield _break_share(config, audited, whole, by_share)


def _condition(encoder: str, adapter: str, training: str, share: float | None) -> Condition:
    fields = {"kind": "migration", "new_encoder": encoder, "adapter": adapter, "training": training, "share": share}
    return Condition.model_validate({name: value for name, value in fields.items() if value is not None})


def _new_features(config: MigrationAudit, audited: AuditedSubject, name: str) -> ItemFeatures:
    """Return the new vectors of the catalogue, encoded once for all subjects."""
    old = audited.work.context.prepared.features
    assert old is not None
    if name == SAME:
        return old
    if name in QUANTISED:
        tables = {each: quantised(table, name) for each, table in old.tables.items()}
        return replace(old, name=f"{old.name}, {name}", tables=tables, digest=tables_digest(tables))
    work = audited.work
    plan, context = work.plan, work.context

    def encoded() -> ItemFeatures:
        counted = [False]

        def progress(stage: str, done: int, total: int, detail: str = "") -> None:
            counted[0] = True
            context.progress(stage, done, total, detail)

        options = options_of(plan.settings).model_copy(update={"weights": config.weights, "encoder": None})
        if not config.weights and name == plan.encoder:
            options = options_of(plan.settings)
        found = item_features(plan.dataset, name, home=plan.home, progress=progress, options=options)
        context.costs.encodings += plan.dataset.interactions.n_items * counted[0]
        return found

    return work.once(f"migration to {name}", encoded)


def _adapted(config: MigrationAudit, audited: AuditedSubject, name: str, encoded: ItemFeatures, adapter: str) -> New:
    """Return the new vectors as the subject gets them; modalities that the new encoder does not make stay old."""
    old = audited.work.context.prepared.features
    assert old is not None
    tables = dict(old.tables)
    for modality, before in old.tables.items():
        after = encoded.tables.get(modality)
        if after is None or torch.equal(after, before):
            continue
        if adapter == "procrustes":
            items = torch.randperm(len(before), generator=audited.generator("adapter"))[: config.fit_items]
            if warning := undetermined(modality, len(items), before, after):
                audited.work.results.warnings.append(f"migration to {name}: {warning}")
            after = fitted_adapter(after[items], before[items])(after)
        tables[modality] = after
    same = equal(tables, old.tables)
    label = encoded.name if adapter == "none" else f"{encoded.name}, {adapter}"
    features = old if same else replace(encoded, name=label, tables=tables, digest=tables_digest(tables))
    own = {
        modality: table if torch.equal(tables[modality], old.tables[modality]) else tables[modality].to(table.device)
        for modality, table in audited.tables.items()
    }
    fits = all(table.shape == audited.tables[modality].shape for modality, table in own.items())
    return New(name, adapter, features, own, fits)


def _retrained(audited: AuditedSubject, new: New) -> TrainedSubject:
    """Return the subject trained on the new vectors of all items; itself where they are the old ones."""
    prepared, spec = audited.work.context.prepared, audited.trained.spec
    assert prepared.features is not None
    if new.features.digest == prepared.features.digest:
        return audited.trained
    tables = {name: table.to(prepared.device) for name, table in new.features.tables.items()}
    widths = {name: table.shape[1] for name, table in tables.items()}
    plan = audited.work.plan
    fitted = fitted_filters(
        [spec], plan.dataset, new.features, edit_source(plan.settings), audited.work.context.progress
    )
    problem = replace(prepared.problem, feature_widths=widths)
    other = replace(prepared, features=new.features, tables=tables, problem=problem, fitted=fitted)
    return _obtained(audited, spec, other)


def _obtained(audited: AuditedSubject, spec: SubjectSpec, prepared: Prepared) -> TrainedSubject:
    """Return a subject from the run store, trained if needed, under the key of its own features and seed."""
    context, home = audited.work.context, audited.work.plan.home
    if not stored_run(home, run_key(spec, prepared)):
        context.costs.trainings += 1
    return obtain_subject(spec, prepared, home=home, progress=context.progress)


def _mixtures(
    config: MigrationAudit, audited: AuditedSubject, new: New, share: float
) -> list[dict[str, Tensor] | None]:
    """Return the features of each draw: one where nothing is drawn."""
    n_items = audited.work.plan.dataset.interactions.n_items
    if share in (0, 1):
        return [mixed(audited.tables, new.tables, torch.arange(n_items if share else 0))]
    interactions = audited.work.plan.dataset.interactions
    strata = audited.work.once("migration strata", lambda: popularity_strata(interactions, STRATA))
    seed = derive_seed(audited.work.context.seed, AUDIT)
    chosen = [choose_items(strata, share, seed=seed, draw=draw) for draw in range(config.draws)]
    return [mixed(audited.tables, new.tables, torch.from_numpy(items)) for items in chosen]


def _of_condition(
    config: MigrationAudit,
    audited: AuditedSubject,
    where: Condition,
    subject: TrainedSubject,
    mixtures: Sequence[Mapping[str, Tensor] | None],
    *,
    churn_only: bool = False,
) -> list[Finding]:
    """Return the drifts of a condition and the exposure that it moves; exactly 0 where the inputs are the same.

    Args:
        config: the settings.
        audited: the subject before the migration.
        where: the condition.
        subject: the subject that ranks.
        mixtures: its features in every draw; None for those it was trained on.
        churn_only: whether quality is left out, because another seed is only a reference.
    """
    context, clean = audited.work.context, audited.clean
    given, split = context.metric_suite, context.prepared.test
    stability = tuple(dict.fromkeys((*given.stability, *config.churn)))
    suite = replace(given, stability=stability)
    if churn_only:
        suite = replace(suite, metrics=(), strata=(), groups=None)
    same = subject.key == audited.trained.key
    idle = same and all(each is None or equal(each, audited.tables) for each in mixtures)
    n_items = audited.work.plan.dataset.interactions.n_items
    before = clean.ranking.counts(config.k, n_items).astype(np.float64)
    found, after = list[PerUser](), list[Counts]()
    for features in [] if idle else mixtures:
        ranking = rank(subject.represent(features), split.users, split.mask, k=given.length)
        context.costs.count_lists()
        found.append(suite.values(ranking, split, clean.ranking))
        after.append(ranking.counts(config.k, n_items).astype(np.float64))
        context.progress(AUDIT, len(found), len(mixtures), f"{audited.trained.subject.label} {where.label}")
    base = undisturbed(stability, len(clean.ranking.users)) | ({} if churn_only else clean.per_user)
    perturbed = stack([{name: each[name] for name in base} for each in found] or [base])
    note = IDENTICAL if idle else "" if same else ONE_TRAINING
    intervals = audited.work.intervals
    rows = drift_rows(audited.trained.subject, AUDIT, where, base, perturbed, intervals, note=note, idle=idle)
    if len(mixtures) == 1 or idle:
        rows = [without_draws(row) for row in rows]
    for metric, values in perturbed.items():
        audited.work.results.keep(array_key(audited.trained.subject, AUDIT, where, metric), values)
    return [*rows, *_moved(config, audited, where, before, after or [before])]


def _moved(
    config: MigrationAudit, audited: AuditedSubject, where: Condition, before: Counts, after: Sequence[Counts]
) -> Iterator[Finding]:
    """Yield the share of list positions that move between items, brands and categories, and record who loses them.

    It is half the sum of |after - before| over the groups, as a share of all positions, in each draw, and then the mean
    over the draws: gains of one draw do not cancel losses of another. Positions of an item with several categories are
    split equally among them. Who loses and gains is shown by the mean over the draws.

    Args:
        config: the settings.
        audited: the subject before the migration.
        where: the condition.
        before: [I] number of positions of each item.
        after: the same in each draw.
    """
    total, largest = float(before.sum()), where.share == max(config.shares)
    for group in GROUPS:
        names, members = _grouped(audited, group)
        if len(names) < 2:
            continue
        first, *draws = (
            np.bincount(members.groups, each[members.items] * members.weights) for each in (before, *after)
        )
        moved = float(np.mean([np.abs(draw - first).sum() for draw in draws])) / 2 / total if total else 0.0
        second = np.mean(draws, axis=0)
        yield audited.value(where, f"{MOVED}_{group}", moved, unit="share of positions")
        if largest and moved:
            order = np.argsort(second - first, kind="stable")
            chosen = [*order[:MOST_SHIFTS], *order[-MOST_SHIFTS:]] if len(order) > 2 * MOST_SHIFTS else list(order)
            shifts = tuple(
                Shift(name=names[each], before=float(first[each] / total), after=float(second[each] / total))
                for each in chosen
                if first[each] != second[each]
            )
            audited.work.results.exhibits.append(
                ExposureShift(
                    subject=audited.trained.subject,
                    audit=AUDIT,
                    condition=where,
                    group=group,
                    k=config.k,
                    shifts=shifts,
                )
            )


class _Members(NamedTuple):
    """Items in groups: group, item and weight of each membership, [n]; the weights of an item sum to 1."""

    groups: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: Counts


def _grouped(audited: AuditedSubject, group: str) -> tuple[list[str], _Members]:
    """Return the names of items, brands or categories, and which items belong to them; made once."""
    dataset = audited.work.plan.dataset
    return audited.work.once(f"migration {group}", lambda: _groups_of(dataset, group))


def _groups_of(dataset: Dataset, group: str) -> tuple[list[str], _Members]:
    n_items, catalog = dataset.interactions.n_items, dataset.catalog
    every = np.arange(n_items)
    contents = [content_of(catalog, item, picture=False) for item in range(n_items)] if catalog is not None else []
    if group == "item":
        titles = [f" {each.title[:_TITLE]}".rstrip() for each in contents] or [""] * n_items
        return [f"{item}{title}" for item, title in enumerate(titles)], _Members(every, every, np.ones(n_items))
    if not contents:
        return [], _Members(every[:0], every[:0], np.zeros(0))
    labels = [each.categories if group == "category" else (each.brand,) for each in contents]
    cleaned = [tuple(dict.fromkeys(filter(None, each))) or (f"no {group}",) for each in labels]
    names = sorted({name for each in cleaned for name in each})
    places = {name: place for place, name in enumerate(names)}
    pairs = [(places[name], item, 1 / len(each)) for item, each in enumerate(cleaned) for name in each]
    groups, items, weights = zip(*pairs, strict=True)
    return names, _Members(np.array(groups), np.array(items), np.array(weights))


def _break_share(
    config: MigrationAudit, audited: AuditedSubject, where: Condition, by_share: Mapping[float, Finding]
) -> Finding:
    """Return the smallest share of the grid with a larger loss than allowed; its bracket starts at the share before.

    Nothing breaks: the value is unknown and at least the largest share.
    """
    unit, safe = "share of items", None
    if not by_share:
        return audited.value(where, BREAK_SHARE, None, unit=unit, note=TWO_WIDTHS)
    for share, row in by_share.items():
        if row.relative_drift is None:
            return audited.value(where, BREAK_SHARE, None, unit=unit, note=row.note or "no relative drift")
        if row.relative_drift < -config.max_relative_drop:
            found = audited.value(where, BREAK_SHARE, share, unit=unit)
            ends = {"ci_low": share if safe is None else safe, "ci_high": share, "interval": "bracket"}
            return Finding.model_validate({**found.model_dump(), **ends})
        safe = share
    note = f"no share up to {safe:g} costs more than {config.max_relative_drop:.0%} of {config.metric}"
    found = audited.value(where, BREAK_SHARE, None, unit=unit, note=note)
    return Finding.model_validate({**found.model_dump(), "ci_low": safe, "interval": "bracket"})
