"""The sharpness audit of one subject in the item features: expansion, measured loss and lists, flips, worst items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from robustrec.audits.context import AuditContext, with_stability
from robustrec.audits.noise.condition import NEARLY_ALL, noise_lost
from robustrec.audits.quality import Clean, PerUser, measure_perturbed, stack
from robustrec.audits.results import AuditResults
from robustrec.audits.rows import drift_rows
from robustrec.audits.sharpness.config import SharpnessAudit
from robustrec.audits.sharpness.rows import (
    AUDIT,
    RAW,
    RowLabels,
    eigenvalue_row,
    ratio,
    sigma_condition,
    value_row,
)
from robustrec.curvature.inputs import (
    Inputs,
    InputTraces,
    input_eigenvalue,
    input_products,
    input_traces,
    inputs_of,
    noisy_pairs,
    pair_noise,
    slopes,
    worst_items,
)
from robustrec.curvature.loss import AuditLoss, audited, checked_value
from robustrec.curvature.products import Products, check_symmetry
from robustrec.curvature.traces import WHOLE, Estimate, estimate
from robustrec.curvature.triples import ScoredPairs
from robustrec.models.contract import Recommender, Representation
from robustrec.results.arrays import array_key
from robustrec.results.conditions import ALL, Condition
from robustrec.results.exhibits import Curve
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator

KEPT = "frozen item graphs"
LOSS_LABEL = "audited loss of standardised margins, nats"
PER_SPREAD = "nats per squared standard deviation of the features"


@dataclass(frozen=True)
class SharpnessTask:
    """Task of the sharpness audit for one subject.

    Attributes:
        audit: its configuration.
        subject: the subject.
        clean: its lists on clean features.
        loss: the audited loss of standardised margins on a copy of its model: what everything is measured on.
        raw: the same of the margins as they are, which depends on the scale of the scores: secondary rows.
        values: of the two losses on clean features.
        labels: names its rows.
        context: data, seed, progress and costs.
        results: findings, arrays and exhibits go here.
    """

    audit: SharpnessAudit
    subject: TrainedSubject
    clean: Clean
    loss: AuditLoss
    raw: AuditLoss
    values: tuple[float, float]
    labels: RowLabels
    context: AuditContext
    results: AuditResults

    def generator(self, *names: str) -> torch.Generator:
        """Return the generator of a named draw on the device: the same for every subject."""
        return torch_generator(self.context.seed, "sharpness", *names, device=self.context.prepared.device)

    @property
    def losses(self) -> tuple[AuditLoss, ...]:
        """The audited losses, the scale-free one first."""
        return (self.loss, self.raw) if self.audit.raw_margins else (self.loss,)

    @property
    def memory(self) -> float:
        """Memory limit of vectors, in bytes."""
        return self.audit.memory_gib * 2**30


def task_of(
    audit: SharpnessAudit,
    pair: tuple[TrainedSubject, Clean],
    pairs: ScoredPairs,
    labels: RowLabels,
    context: AuditContext,
    results: AuditResults,
) -> SharpnessTask:
    """Return the task of a subject.

    Raises:
        RobustrecError: its loss is not finite, or not the same twice.
    """
    subject, clean = pair
    model: Recommender = subject.model  # type: ignore[assignment]
    raw = AuditLoss(audited(model, subject.tables, subject.graphs, getattr(torch, audit.precision)), pairs)
    loss = AuditLoss(raw.subject, pairs, standardised=True)
    values = checked_value(loss), checked_value(raw)
    context.costs.representations += 4
    return SharpnessTask(audit, subject, clean, loss, raw, values, labels, context, results)


def measure_inputs(task: SharpnessTask) -> str:
    """Measure one subject in its features; return why its scores have no derivative, or an empty text.

    Raises:
        RobustrecError: a derivative cannot be computed or is not finite.
    """
    subject, loss, results = task.subject, task.loss, task.results
    modalities = list(subject.scored_tables)
    inputs = inputs_of({m: loss.tables[m] for m in modalities})
    for each, value in zip(task.losses, task.values, strict=False):
        condition = Condition(kind="clean_loss", standardised=each.standardised)
        results.findings.append(value_row(task.labels, condition, "audit_loss", value, remark_of(each)))
    products = _checked_products(task, loss, inputs, modalities)
    derived = products.influential and bool(products.gradient.any())
    expansions: list[InputTraces] = []
    if derived:
        expansions.append(_expansion(task, products, inputs))
        del products
        _eigenvalues(task, inputs)
        _flips(task, inputs)
        for other in task.losses[1:]:
            traces = _traces(task, _checked_products(task, other, inputs, modalities), inputs)
            _rows_of_traces(task, traces, other)
            expansions.append(traces)
    _measured(task, inputs, expansions)
    if derived:
        return ""
    return (
        f"{subject.spec.model}: the features affect its scores only through graph neighbours, so the scores have"
        " no derivative; loss and lists are measured with rebuilt item graphs"
    )


def remark_of(loss: AuditLoss) -> str:
    """Return the note of a finding on its audited loss."""
    return "margins scaled to variance 1" if loss.standardised else RAW


def _checked_products(task: SharpnessTask, loss: AuditLoss, inputs: Inputs, modalities: Sequence[str]) -> Products:
    products = input_products(loss, inputs, modalities)
    task.context.costs.gradients += 1
    if products.influential:
        check_symmetry(products, task.generator("symmetry"))
        task.context.costs.gradients += products.count
    return products


def _traces(task: SharpnessTask, products: Products, inputs: Inputs) -> InputTraces:
    probes = task.audit.input_probes
    task.context.costs.gradients += probes
    return input_traces(products, inputs, probes=probes, generator=task.generator("input probes"))


def _expansion(task: SharpnessTask, products: Products, inputs: Inputs) -> InputTraces:
    """Measure the input sharpness of each modality and of the worst items."""
    audit = task.audit
    found = _traces(task, products, inputs)
    _rows_of_traces(task, found, task.loss)
    if audit.worst_items:
        before = products.count
        probes, generator = audit.worst_probes, task.generator("worst items")
        rated = worst_items(products, inputs, found, audit.worst_items, probes=probes, generator=generator)
        task.context.costs.gradients += products.count - before
        task.results.exhibits += [_worst_curve(task, modality, items) for modality, items in rated.items()]
    return found


def _rows_of_traces(task: SharpnessTask, found: InputTraces, loss: AuditLoss) -> None:
    sigma = task.audit.sigma[0]
    for modality, each in found.modalities.items():
        if modality == WHOLE or len(found.modalities) > 2:
            where = ALL if modality == WHOLE else modality
            condition = sigma_condition(sigma, where, standardised=loss.standardised)
            note = f"½σ²·tr ∇²_X L, σ = {sigma:g} standard deviations of the features, {KEPT}; {remark_of(loss)}"
            row = value_row(task.labels, condition, "input_sharpness", each.scaled(sigma**2), note)
            task.results.findings.append(row)


def _worst_curve(task: SharpnessTask, modality: str, items: list[tuple[int, Estimate]]) -> Curve:
    sigma = task.audit.sigma[0]
    scaled = [each.scaled(sigma**2) for _, each in items]
    return Curve(
        subject=task.labels.subject,
        audit=AUDIT,
        name=f"sharpest items, {modality}",
        x_label="place",
        y_label="input sharpness of the item, nats",
        x=tuple(float(place + 1) for place in range(len(items))),
        y=tuple(each.value for each in scaled),
        low=tuple(each.value - 2 * each.error for each in scaled),
        high=tuple(each.value + 2 * each.error for each in scaled),
        note="items "
        + ", ".join(str(item) for item, _ in items)
        + f"; the band is two standard errors; {remark_of(task.loss)}",
    )


def _eigenvalues(task: SharpnessTask, inputs: Inputs) -> None:
    audit = task.audit
    for modality in inputs.tables if audit.input_steps else ():
        products = input_products(task.loss, inputs, [modality])
        generator = task.generator("input eigenvalue", modality)
        ends = input_eigenvalue(products, steps=audit.input_steps, generator=generator, memory=task.memory)
        task.context.costs.gradients += 1 + products.count
        where = Condition(kind="features", modality=modality, standardised=True)
        top, remark = ends.largest[0], remark_of(task.loss)
        row = eigenvalue_row(task.labels, where, "input_lambda_1", top, remark, unit=PER_SPREAD)
        task.results.findings.append(row)


def _flips(task: SharpnessTask, inputs: Inputs) -> None:
    audit = task.audit
    if not audit.flip_draws:
        return
    found = slopes(task.loss, inputs, list(inputs.tables), draws=audit.flip_draws, seed=task.context.seed)
    task.context.costs.gradients += 1 + audit.flip_draws
    wrong = float((found.margins < 0).double().mean())
    note = f"to first order in the features; {wrong:.4g} of the triples have the wrong order without noise"
    task.results.findings += [
        value_row(
            task.labels,
            sigma_condition(sigma),
            "flip_rate",
            found.flips(sigma),
            note,
            unit="share of triples",
        )
        for sigma in audit.sigma
    ]


def _measured(task: SharpnessTask, inputs: Inputs, expansions: Sequence[InputTraces]) -> None:
    """Measure loss and lists under noise, and compare each loss with its expansion."""
    audit = task.audit
    for rebuilt in (False, True) if task.subject.graphs is not None else (False,):
        if not audit.noise_pairs or not (expansions or rebuilt):
            continue
        for sigma in audit.sigma:
            measured = _noisy(task, inputs, sigma, rebuilt)
            if rebuilt:
                continue
            for loss, found, expansion in zip(task.losses, measured, expansions, strict=True):
                _held_against(task, loss, found, expansion.modalities[WHOLE].scaled(sigma**2), sigma)


def _held_against(task: SharpnessTask, loss: AuditLoss, measured: Estimate, expected: Estimate, sigma: float) -> None:
    """Record the ratio of the measured to the expected loss increase."""
    if expected.value == 0.0 or not math.isfinite(expected.error):
        return
    note = (
        f"measured ΔL over ½σ²·tr ∇²_X L = {expected.value:.3g}: 1 if the second order is exact;"
        f" higher orders and kinks (ReLU), which derivatives miss, change it; {remark_of(loss)}"
    )
    condition = sigma_condition(sigma, standardised=loss.standardised)
    row = value_row(task.labels, condition, "delta_loss_ratio", ratio(measured, expected), note, unit="ratio")
    task.results.findings.append(row)


def _noisy(task: SharpnessTask, inputs: Inputs, sigma: float, rebuilt: bool) -> list[Estimate]:
    """Measure one condition of noise; return the increase of each audited loss."""
    audit, context, subject = task.audit, task.context, task.subject
    condition = sigma_condition(sigma, rebuilt=rebuilt)
    _refuse_rounded(task, inputs, sigma, condition)
    drawn = noisy_pairs(
        task.loss,
        inputs,
        list(inputs.tables),
        sigma,
        pairs=audit.noise_pairs,
        seed=context.seed,
        rebuilt=rebuilt,
    )
    changes: list[list[float]] = [[] for _ in task.losses]
    lists: list[PerUser] = []
    for number, both in enumerate(drawn, start=1):
        for loss, before, own in zip(task.losses, task.values, changes, strict=False):
            own.append(sum(loss.of(each) for each in both) / 2 - before)
        plain = [Representation(each.users.float(), each.items.float()) for each in both]
        lists.append(
            _mean_of(measure_perturbed(each, context.prepared.test, context.metric_suite, task.clean) for each in plain)
        )
        context.costs.count_lists(2)
        context.progress(f"sharpness {condition.label}", number, audit.noise_pairs, subject.subject.label)
    found = [estimate(own) for own in changes]
    kept = "" if rebuilt or subject.graphs is None else f", {KEPT}"
    for loss, increase in zip(task.losses, found, strict=True):
        where = sigma_condition(sigma, rebuilt=rebuilt, standardised=loss.standardised)
        note = f"E[L(X + σz)] - L over antithetic pairs of draws{kept}; {remark_of(loss)}"
        task.results.findings.append(value_row(task.labels, where, "delta_loss", increase, note))
    clean, after = with_stability(task.clean, context.metric_suite), stack(lists)
    task.results.findings += drift_rows(
        subject.subject,
        AUDIT,
        condition,
        clean,
        after,
        task.labels.intervals,
        note="each draw is the mean of an antithetic pair",
    )
    for metric, values in after.items():
        task.results.keep(array_key(subject.subject, AUDIT, condition, metric), values)
    return found


def _mean_of(both: Iterable[PerUser]) -> PerUser:
    """Return the mean of an antithetic pair, metric by metric, because its members are not independent."""
    first, second = both
    return {name: (values + second[name]) / 2 for name, values in first.items()}


def _refuse_rounded(task: SharpnessTask, inputs: Inputs, sigma: float, condition: Condition) -> None:
    """Refuse noise that float32 rounding removes.

    Raises:
        RobustrecError: nearly all entries of a modality stay as they were.
    """
    drawn = pair_noise(inputs, list(inputs.tables), task.context.seed, 0)
    lost = inputs.share_lost({modality: sigma * each for modality, each in drawn.items()})
    for modality, share in lost.items():
        if share >= NEARLY_ALL:
            raise noise_lost(condition.label, share, modality, where="the sharpness audit")
