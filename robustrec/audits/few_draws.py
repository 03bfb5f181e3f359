"""Warnings for gates with few random draws, before any measurement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.noise.audit import conditions_of, training_conditions_of
from robustrec.audits.noise.config import NoiseAudit
from robustrec.audits.sharpness.config import SharpnessAudit
from robustrec.audits.suites import BREAK_POINT, Suite
from robustrec.results.gates import Gate, matches, plain_condition

ADVISED = 6
"""Advised number of draws for a gate; with fewer its interval is too wide or too narrow."""


def few_draws(suite: Suite) -> list[str]:
    """Return a warning for each setting with fewer than `ADVISED` draws that gates of a suite use."""
    gates: dict[tuple[str, str, int], list[str]] = {}
    for gate in suite.gates:
        for audit in suite.audits:
            if gate.bound == "interval" and matches(audit.kind, gate.select.audit):
                for setting, draws in _draws_behind(gate, audit):
                    if draws < ADVISED:
                        gates.setdefault((audit.kind, setting, draws), []).append(gate.name)
    return [
        f"{kind} audit, {setting} = {draws}: gate {', '.join(map(repr, names))} needs at least {ADVISED} draws;"
        " with fewer draws its interval can be too narrow, or too wide to decide"
        for (kind, setting, draws), names in gates.items()
    ]


def _draws_behind(gate: Gate, audit: Any) -> Iterator[tuple[str, int]]:
    """Yield (key of the suite, draws) for the findings that a gate checks in an audit."""
    metric = gate.select.metric
    if isinstance(audit, MerchantAudit):
        yield "draws", audit.draws
    elif isinstance(audit, NoiseAudit) and metric != BREAK_POINT and not metric.startswith("snr_"):
        if audit.training and _selects(gate, [each.label for each in training_conditions_of(audit)]):
            yield "training.draws", audit.training.draws
        if _selects(gate, [each.label for each in conditions_of(audit)]):
            yield "draws", audit.draws
    elif isinstance(audit, SharpnessAudit):
        if audit.noise_pairs and ("@" in metric or metric.startswith("delta_loss")):
            yield "noise_pairs", audit.noise_pairs
        elif metric.startswith("input_sharpness"):
            yield "input_probes", audit.input_probes


def _selects(gate: Gate, conditions: list[str]) -> bool:
    wanted = plain_condition(gate.select.condition)
    return any(matches(plain_condition(each), wanted) for each in conditions)
