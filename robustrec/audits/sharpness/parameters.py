"""The sharpness audit of one subject in its parameters: eigenvalues, traces by block, worst and average cases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from robustrec.audits.sharpness.audit import LOSS_LABEL, Sitting, remark_of
from robustrec.audits.sharpness.config import Density, Landscapes, ParameterSharpness
from robustrec.audits.sharpness.rows import (
    AUDIT,
    ENTRIES,
    RESCALED,
    ROWS,
    eigenvalue_row,
    loss_condition,
    value_row,
)
from robustrec.curvature.lanczos import Extremes, extremes
from robustrec.curvature.landscapes import Direction, eigenvector_direction, line, plane, random_direction
from robustrec.curvature.loss import AuditLoss, Loss, TrainingLoss, checked_value
from robustrec.curvature.perturbations import average_case, average_curvature, worst_case
from robustrec.curvature.products import Products, check_symmetry, parameter_products
from robustrec.curvature.spaces import blocks_of, latent_scales
from robustrec.curvature.traces import WHOLE, density, traces
from robustrec.curvature.triples import Triples
from robustrec.results.exhibits import Curve, Surface

WHERE = "parameters"
TRAINING = "training loss"
_TRAINING_NOTE = (
    "the model's own training loss on one batch, another scale than the audited loss;"
    " depends on the scale of the scores"
)


def measure_parameters(sitting: Sitting, own: ParameterSharpness, batch: Triples) -> None:
    """Measure one subject in its parameters.

    Args:
        sitting: the subject.
        own: what was asked for.
        batch: triples of its training loss, on its device.

    Raises:
        RobustrecError: a derivative cannot be computed or is not finite.
    """
    sizes = sitting.loss.pairs.pattern.shape
    scales = latent_scales(sitting.loss.parameters, *sizes)
    where = loss_condition(WHERE, standardised=True)
    products, ends = _curvature(sitting, own, sitting.loss, where, f"{remark_of(sitting.loss)}; {RESCALED}")
    _adaptive(sitting, own, sitting.loss, products, scales)
    if own.density:
        _spectrum(sitting, own.density, products)
    space = products.space
    del products
    _worst(sitting, own, sitting.loss)
    if own.landscapes:
        top = eigenvector_direction(space, ends.largest[0].vector, sitting.loss.parameters)
        drawn = [
            random_direction(space, scales, sitting.generator("landscape", which)) for which in ("first", "second")
        ]
        _landscapes(sitting, own.landscapes, top, drawn)
    del ends
    for other in sitting.losses[1:]:
        remark = f"{remark_of(other)}; {RESCALED}"
        _adaptive(sitting, own, other, _curvature(sitting, own, other, WHERE, remark)[0], scales)
        _worst(sitting, own, other)
    if own.training_loss:
        loss = TrainingLoss(sitting.loss.subject, batch)
        value = checked_value(loss)
        sitting.ledger.findings.append(value_row(sitting.whose, TRAINING, "loss", value, _TRAINING_NOTE))
        _curvature(sitting, own, loss, TRAINING, _TRAINING_NOTE)


def _curvature(
    sitting: Sitting, own: ParameterSharpness, loss: Loss, condition: str, remark: str
) -> tuple[Products, Extremes]:
    """Take eigenvalues and traces of a loss; the products and the eigenvectors serve further."""
    rows, whose, label = sitting.ledger.findings, sitting.whose, sitting.subject.subject.label
    products = parameter_products(loss)
    check_symmetry(products, sitting.generator("symmetry"))
    sitting.bench.progress("sharpness eigenvalues", 0, own.steps, label)
    ends = extremes(
        products,
        products.space,
        sitting.generator("start"),
        count=own.eigenvalues,
        steps=own.steps,
        memory=sitting.memory,
    )
    sitting.bench.progress("sharpness eigenvalues", own.steps, own.steps, label)
    for place, each in enumerate(ends.largest, start=1):
        rows.append(eigenvalue_row(whose, condition, f"lambda_{place}", each, remark))
    below = "negative: not at a minimum, the Hessian is indefinite; " if ends.smallest.value < 0 else ""
    rows.append(eigenvalue_row(whose, condition, "lambda_min", ends.smallest, below + remark))
    if ends.by_magnitude is not ends.largest[0]:
        rows.append(eigenvalue_row(whose, condition, "lambda_by_magnitude", ends.by_magnitude, remark))
    blocks = blocks_of(products.space, *sitting.loss.pairs.pattern.shape)
    generator = sitting.generator("probes")
    sums = traces(products, products.space, blocks, probes=own.probes, generator=generator)
    for block, trace in sums.items():
        where = condition if block == WHOLE else f"{condition}: {block}"
        rows.append(value_row(whose, where, "trace", trace, remark))
    sitting.bench.progress("sharpness trace", own.probes, own.probes, label)
    sitting.bench.costs.gradients += 1 + products.count
    return products, ends


def _adaptive(
    sitting: Sitting, own: ParameterSharpness, loss: AuditLoss, products: Products, scales: Mapping[str, Tensor]
) -> None:
    rows, whose, before = sitting.ledger.findings, sitting.whose, products.count
    options = {"radius": own.average_radius}
    condition = loss_condition(f"{WHERE} rho={own.average_radius:g}", standardised=loss.standardised)
    remark = f"{ROWS}; {remark_of(loss)}"
    bent = average_curvature(
        products,
        scales,
        products.space,
        probes=own.curvature_probes,
        generator=sitting.generator("average"),
        **options,
    )
    rows.append(value_row(whose, condition, "row_adaptive_curvature", bent, remark))
    sitting.bench.costs.gradients += products.count - before
    found = average_case(
        loss,
        scales,
        products.space,
        pairs=own.average_pairs,
        generator=sitting.generator("average"),
        **options,
    )
    rows.append(value_row(whose, condition, "average_case", found, remark))
    sitting.bench.costs.representations += 2 * own.average_pairs + 1


def _worst(sitting: Sitting, own: ParameterSharpness, loss: AuditLoss) -> None:
    for metric, radius, adaptive, remark in (
        ("sam_sharpness", own.sam_radius, False, RESCALED),
        ("asam_sharpness", own.asam_radius, True, ENTRIES),
    ):
        found = worst_case(loss, radius=radius, steps=own.ascent_steps, adaptive=adaptive)
        sitting.bench.costs.gradients += own.ascent_steps
        sitting.bench.costs.representations += 1
        for steps in sorted({1, own.ascent_steps}):
            condition = loss_condition(f"{WHERE} rho={radius:g} steps={steps}", standardised=loss.standardised)
            note = f"largest increase found, a lower bound of the worst; {remark}; {remark_of(loss)}"
            sitting.ledger.findings.append(value_row(sitting.whose, condition, metric, found[steps - 1], note))


def _spectrum(sitting: Sitting, asked: Density, products: Products) -> None:
    before = products.count
    found = density(
        products,
        products.space,
        probes=asked.probes,
        steps=asked.steps,
        generator=sitting.generator("density"),
        memory=sitting.memory,
    )
    sitting.bench.costs.gradients += products.count - before
    grid, heights = found.on_grid()
    sitting.ledger.exhibits.append(
        Curve(
            subject=sitting.whose.subject,
            audit=AUDIT,
            name="spectral density",
            x_label="eigenvalue, nats",
            y_label="density",
            x=tuple(grid.tolist()),
            y=tuple(heights.tolist()),
            note=f"stochastic Lanczos quadrature, {asked.probes} probes of {asked.steps} steps, smoothed; {RESCALED}",
        )
    )


def _landscapes(sitting: Sitting, asked: Landscapes, top: Direction, drawn: list[Direction]) -> None:
    steps = np.linspace(-asked.reach, asked.reach, asked.points).tolist()
    for name, direction in (("random direction", drawn[0]), ("top eigenvector", top)):
        sitting.ledger.exhibits.append(
            Curve(
                subject=sitting.whose.subject,
                audit=AUDIT,
                name=f"loss along a {name}",
                x_label="step, in lengths of the parameters",
                y_label=LOSS_LABEL,
                x=tuple(steps),
                y=line(sitting.loss, direction, steps),
            )
        )
        sitting.bench.costs.representations += asked.points
    if not asked.grid:
        return
    sides = np.linspace(-asked.reach, asked.reach, asked.grid).tolist()
    sitting.ledger.exhibits.append(
        Surface(
            subject=sitting.whose.subject,
            audit=AUDIT,
            name="loss in two random directions",
            x_label="first direction",
            y_label="second direction",
            x=tuple(sides),
            y=tuple(sides),
            z=plane(sitting.loss, drawn[0], drawn[1], sides, sides),
            note="each latent vector of a direction is as long as the parameters' own (filter-normalised)",
        )
    )
    sitting.bench.costs.representations += asked.grid**2
