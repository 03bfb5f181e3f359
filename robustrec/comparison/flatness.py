"""Sharpness measures of `compare`, in the item features and in the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from robustrec.comparison.measure import Measure
from robustrec.curvature.inputs import input_products, input_traces, inputs_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, audited, checked_value
from robustrec.curvature.perturbations import average_curvature, worst_case
from robustrec.curvature.products import parameter_products
from robustrec.curvature.spaces import latent_scales
from robustrec.curvature.traces import WHOLE, traces
from robustrec.curvature.triples import draw_triples, pairs_of
from robustrec.errors import RobustrecError
from robustrec.runs.prepared import Prepared
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator

RADIUS = 0.05
"""ρ of the worst case, that of the strategies (Foret et al., arXiv 2010.01412)."""

ADAPTIVE_RADIUS = 0.5
"""ρ of the adaptive worst case (Kwon et al., arXiv 2102.11600)."""

ROW_RADIUS = 0.1
"""ρ of the row-adaptive curvature (Andriushchenko et al., arXiv 2302.07011)."""

Found = dict[str, float]


def flatness_by(
    prepared: Prepared, *, seed: int, triples: int, probes: int, steps: int
) -> Callable[[TrainedSubject], Mapping[Measure, float]]:
    """Return the function that measures the sharpness of a subject, on the same triples for all subjects.

    The loss has margins standardised to variance 1, so it does not change if all scores are multiplied by a
    constant. "input sharpness M" is ½ s² tr ∇²_X L for modality M with the features' standard deviation
    s, the loss that noise of one standard deviation adds to second order; "worst case (ASAM)" and "row-adaptive
    curvature" are of the parameters, in steps relative to their own size. Measures that depend on the scale come
    last: input sharpness of the margins as they are, and λ₁, trace and the worst case of SAM. They change when a model
    only multiplies its scores or rescales its factors, so no conclusion follows from them.

    Args:
        prepared: data and features.
        seed: of triples, probes and starts.
        triples: n.
        probes: of the traces.
        steps: Hessian products for λ₁.
    """
    problem = prepared.problem
    pairs = pairs_of(
        draw_triples(problem.edges.cpu(), problem.n_items, triples, seed), problem.n_users, problem.n_items
    ).to(prepared.device)

    def flatness(subject: TrainedSubject) -> Mapping[Measure, float]:
        if subject.model is None:
            raise RobustrecError(
                f"{subject.spec.model} is a scoring function and has no curvature",
                where="robustrec compare",
                fix="remove it from the command",
            )
        raw = AuditLoss(audited(subject.model, subject.tables, subject.graphs), pairs)
        free = AuditLoss(raw.subject, pairs, standardised=True)
        checked_value(free)
        found = _of_inputs(free, subject, probes, seed)
        found["worst case (ASAM)"] = worst_case(free, radius=ADAPTIVE_RADIUS, adaptive=True)[0]
        found["row-adaptive curvature"] = _row_adaptive(free, probes, seed)
        scaled = {f"{name}, raw margins": value for name, value in _of_inputs(raw, subject, probes, seed).items()}
        scaled |= {"audited loss": checked_value(raw)} | _of_parameters(raw, probes, steps, seed)
        measures = {Measure("flatness", name): value for name, value in found.items()}
        measures |= {Measure("flatness", name, scale_dependent=True): value for name, value in scaled.items()}
        if not all(map(math.isfinite, measures.values())):
            raise RobustrecError(
                f"a flatness measure of {subject.subject.label} is not finite: {found | scaled}",
                where="robustrec compare",
                fix="check its training: robustrec train",
            )
        return measures

    return flatness


def _of_inputs(loss: AuditLoss, subject: TrainedSubject, probes: int, seed: int) -> Found:
    """Return the input sharpness by modality; nothing where the scores have no derivative in the features.

    Scores that depend on features only through graph neighbours have no derivative; 0 would mean flat.
    """
    inputs = inputs_of(subject.scored_tables)
    if not inputs.tables:
        return {}
    products = input_products(loss, inputs, list(inputs.tables))
    if not products.influential or not bool(products.gradient.any()):
        return {}
    generator = torch_generator(seed, "compare", "input probes", device=products.space.device)
    measured = input_traces(products, inputs, probes=probes, generator=generator)
    return {f"input sharpness {name}": measured.modalities[name].value for name in inputs.tables}


def _row_adaptive(loss: AuditLoss, probes: int, seed: int) -> float:
    own = parameter_products(loss)
    scales = latent_scales(loss.parameters, *loss.pairs.pattern.shape)
    generator = torch_generator(seed, "compare", "average", device=own.space.device)
    return average_curvature(own, scales, radius=ROW_RADIUS, probes=probes, generator=generator).value


def _of_parameters(loss: AuditLoss, probes: int, steps: int, seed: int) -> Found:
    own = parameter_products(loss)
    start = torch_generator(seed, "compare", "start", device=own.space.device)
    top = extremes(own, start, count=1, steps=steps)
    generator = torch_generator(seed, "compare", "probes", device=own.space.device)
    spread = traces(own, {}, probes=probes, generator=generator)
    return {
        "λ₁": top.largest[0].value,
        "trace": spread[WHOLE].value,
        "worst case (SAM)": worst_case(loss, radius=RADIUS)[0],
    }
