"""The sharpness audit of one subject in its parameters: eigenvalues, traces by block, worst and average cases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from robustrec.audits.sharpness.audit import LOSS_LABEL, SharpnessTask, remark_of
from robustrec.audits.sharpness.config import Density, Landscapes, ParameterSharpness
from robustrec.audits.sharpness.rows import (
    AUDIT,
    ENTRIES,
    RESCALED,
    ROWS,
    eigenvalue_row,
    value_row,
)
from robustrec.curvature.lanczos import Extremes, extremes
from robustrec.curvature.landscapes import Direction, eigenvector_direction, line, plane, random_direction
from robustrec.curvature.loss import AuditLoss, LossFunction, TrainingLoss, checked_value
from robustrec.curvature.perturbations import average_case, average_curvature, worst_case
from robustrec.curvature.products import Products, check_symmetry, parameter_products
from robustrec.curvature.spaces import blocks_of, latent_scales
from robustrec.curvature.traces import WHOLE, density, traces
from robustrec.curvature.triples import Triples
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import Curve, Surface

TRAINING = Condition(kind="training_loss", standardised=False)
_TRAINING_NOTE = (
    "training loss of the model on one batch, with a different scale than the audited loss;"
    " depends on the scale of the scores"
)


def measure_parameters(task: SharpnessTask, own: ParameterSharpness, batch: Triples) -> None:
    """Measure one subject in its parameters.

    Args:
        task: the subject.
        own: what was asked for.
        batch: triples of its training loss, on its device.

    Raises:
        RobustrecError: a derivative cannot be computed or is not finite.
    """
    sizes = task.loss.pairs.pattern.shape
    scales = latent_scales(task.loss.parameters, *sizes)
    where = Condition(kind="parameters", standardised=True)
    products, ends = _curvature(task, own, task.loss, where, f"{remark_of(task.loss)}; {RESCALED}")
    _adaptive(task, own, task.loss, products, scales)
    if own.density:
        _spectrum(task, own.density, products)
    space = products.space
    del products
    _worst(task, own, task.loss)
    if own.landscapes:
        top = eigenvector_direction(space, ends.largest[0].vector, task.loss.parameters)
        drawn = [random_direction(space, scales, task.generator("landscape", which)) for which in ("first", "second")]
        _landscapes(task, own.landscapes, top, drawn)
    del ends
    for other in task.losses[1:]:
        raw, remark = Condition(kind="parameters", standardised=False), f"{remark_of(other)}; {RESCALED}"
        _adaptive(task, own, other, _curvature(task, own, other, raw, remark)[0], scales)
        _worst(task, own, other)
    if own.training_loss:
        loss = TrainingLoss(task.loss.subject, batch)
        value = checked_value(loss)
        task.results.findings.append(value_row(task.labels, TRAINING, "loss", value, _TRAINING_NOTE))
        _curvature(task, own, loss, TRAINING, _TRAINING_NOTE)


def _curvature(
    task: SharpnessTask, own: ParameterSharpness, loss: LossFunction, condition: Condition, remark: str
) -> tuple[Products, Extremes]:
    """Compute eigenvalues and traces of a loss; return the products and eigenvectors for reuse."""
    rows, labels, label = (
        task.results.findings,
        task.labels,
        task.subject.subject.label,
    )
    products = parameter_products(loss)
    check_symmetry(products, task.generator("symmetry"))
    task.context.progress("sharpness eigenvalues", 0, own.steps, label)
    ends = extremes(
        products,
        task.generator("start"),
        count=own.eigenvalues,
        steps=own.steps,
        memory=task.memory,
    )
    task.context.progress("sharpness eigenvalues", own.steps, own.steps, label)
    for place, each in enumerate(ends.largest, start=1):
        rows.append(eigenvalue_row(labels, condition, f"lambda_{place}", each, remark))
    below = "negative: the Hessian is indefinite, so this is not a minimum; " if ends.smallest.value < 0 else ""
    rows.append(eigenvalue_row(labels, condition, "lambda_min", ends.smallest, below + remark))
    if ends.by_magnitude is not ends.largest[0]:
        rows.append(eigenvalue_row(labels, condition, "lambda_by_magnitude", ends.by_magnitude, remark))
    blocks = blocks_of(products.space, *task.loss.pairs.pattern.shape)
    generator = task.generator("probes")
    sums = traces(products, blocks, probes=own.probes, generator=generator)
    for block, trace in sums.items():
        part = None if block == WHOLE else block
        where = Condition(kind=condition.kind, standardised=condition.standardised, part=part)
        rows.append(value_row(labels, where, "trace", trace, remark))
    task.context.progress("sharpness trace", own.probes, own.probes, label)
    task.context.costs.gradients += 1 + products.count
    return products, ends


def _adaptive(
    task: SharpnessTask,
    own: ParameterSharpness,
    loss: AuditLoss,
    products: Products,
    scales: Mapping[str, Tensor],
) -> None:
    rows, labels, before = task.results.findings, task.labels, products.count
    options = {"radius": own.average_radius}
    condition = Condition(kind="parameters", rho=own.average_radius, standardised=loss.standardised)
    remark = f"{ROWS}; {remark_of(loss)}"
    bent = average_curvature(
        products,
        scales,
        probes=own.curvature_probes,
        generator=task.generator("average"),
        **options,
    )
    rows.append(value_row(labels, condition, "row_adaptive_curvature", bent, remark))
    task.context.costs.gradients += products.count - before
    found = average_case(
        loss,
        scales,
        products.space,
        pairs=own.average_pairs,
        generator=task.generator("average"),
        **options,
    )
    rows.append(value_row(labels, condition, "average_case", found, remark))
    task.context.costs.representations += 2 * own.average_pairs + 1


def _worst(task: SharpnessTask, own: ParameterSharpness, loss: AuditLoss) -> None:
    for metric, radius, adaptive, remark in (
        ("sam_sharpness", own.sam_radius, False, RESCALED),
        ("asam_sharpness", own.asam_radius, True, ENTRIES),
    ):
        found = worst_case(loss, radius=radius, steps=own.ascent_steps, adaptive=adaptive)
        task.context.costs.gradients += own.ascent_steps
        task.context.costs.representations += 1
        for steps in sorted({1, own.ascent_steps}):
            condition = Condition(kind="parameters", rho=radius, steps=steps, standardised=loss.standardised)
            note = f"largest increase found, a lower bound of the worst case; {remark}; {remark_of(loss)}"
            task.results.findings.append(value_row(task.labels, condition, metric, found[steps - 1], note))


def _spectrum(task: SharpnessTask, asked: Density, products: Products) -> None:
    before = products.count
    found = density(
        products,
        probes=asked.probes,
        steps=asked.steps,
        generator=task.generator("density"),
        memory=task.memory,
    )
    task.context.costs.gradients += products.count - before
    grid, heights = found.on_grid()
    task.results.exhibits.append(
        Curve(
            subject=task.labels.subject,
            audit=AUDIT,
            name="spectral density",
            x_label="eigenvalue, nats",
            y_label="density",
            x=tuple(grid.tolist()),
            y=tuple(heights.tolist()),
            note=f"stochastic Lanczos quadrature, {asked.probes} probes of {asked.steps} steps, smoothed; {RESCALED}",
        )
    )


def _landscapes(task: SharpnessTask, asked: Landscapes, top: Direction, drawn: list[Direction]) -> None:
    steps = np.linspace(-asked.reach, asked.reach, asked.points).tolist()
    for name, direction in (("random direction", drawn[0]), ("top eigenvector", top)):
        task.results.exhibits.append(
            Curve(
                subject=task.labels.subject,
                audit=AUDIT,
                name=f"loss along a {name}",
                x_label="step, relative to the parameter norm",
                y_label=LOSS_LABEL,
                x=tuple(steps),
                y=line(task.loss, direction, steps),
            )
        )
        task.context.costs.representations += asked.points
    if not asked.grid:
        return
    sides = np.linspace(-asked.reach, asked.reach, asked.grid).tolist()
    task.results.exhibits.append(
        Surface(
            subject=task.labels.subject,
            audit=AUDIT,
            name="loss in two random directions",
            x_label="first direction",
            y_label="second direction",
            x=tuple(sides),
            y=tuple(sides),
            z=plane(task.loss, drawn[0], drawn[1], sides, sides),
            note="each latent vector of a direction has the norm of the parameter vector (filter-normalised)",
        )
    )
    task.context.costs.representations += asked.grid**2
