"""The flatness measures that strategies are compared by: in the item features, and in the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from robustrec.curvature.inputs import input_products, input_traces, inputs_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, audited, checked_value
from robustrec.curvature.perturbations import worst_case
from robustrec.curvature.products import parameter_products
from robustrec.curvature.traces import WHOLE, traces
from robustrec.curvature.triples import draw_triples, pairs_of
from robustrec.errors import RobustrecError
from robustrec.runs.prepared import Prepared
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator

AUDITED_LOSS = "audited loss"
RADIUS = 0.05
"""ρ of the worst case, that of the strategies (Foret et al., arXiv 2010.01412)."""


def flatness_by(
    prepared: Prepared, *, seed: int, triples: int, probes: int, steps: int
) -> Callable[[TrainedSubject], Mapping[str, float]]:
    """Return what measures the flatness of a subject, on the same triples for all of them.

    "input sharpness M" is ½ s² tr ∇²_X L for modality M with the features' standard deviation s, the loss that noise of
    one standard deviation adds to second order; "λ₁", "trace" and "worst case" are of the parameters, and change when
    a model's factors are rescaled without changing a score.

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

    def flatness(subject: TrainedSubject) -> dict[str, float]:
        if subject.model is None:
            raise RobustrecError(
                f"{subject.spec.model} only scores: it has no curvature", where="robustrec compare", fix="leave it out"
            )
        loss = AuditLoss(audited(subject.model, subject.tables, subject.graphs), pairs)
        found = {AUDITED_LOSS: checked_value(loss)}
        inputs = inputs_of(subject.scored_tables)
        if inputs.tables:
            products = input_products(loss, inputs, list(inputs.tables))
            generator = torch_generator(seed, "compare", "input probes")
            measured = input_traces(products, inputs, probes=probes, generator=generator)
            found |= {f"input sharpness {name}": measured.modalities[name].value for name in inputs.tables}
        own = parameter_products(loss)
        top = extremes(own, own.space, torch_generator(seed, "compare", "start"), count=1, steps=steps)
        found["λ₁"] = top.largest[0].value
        spread = traces(own, own.space, {}, probes=probes, generator=torch_generator(seed, "compare", "probes"))
        found["trace"] = spread[WHOLE].value
        found["worst case"] = worst_case(loss, radius=RADIUS)[0]
        if not all(math.isfinite(value) for value in found.values()):
            raise RobustrecError(
                f"a flatness measure of {subject.subject.label} is not finite: {found}",
                where="robustrec compare",
                fix="look at its training: robustrec train",
            )
        return found

    return flatness
