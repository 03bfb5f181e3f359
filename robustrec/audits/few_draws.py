"""Warnings for gates with few random draws, before any measurement."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.audits.registry import kind_of
from robustrec.audits.suites import Suite
from robustrec.results.selection import matches

ADVISED = 6
"""Advised number of draws for a gate; with fewer its interval is too wide or too narrow."""


def few_draws(suite: Suite) -> list[str]:
    """Return a warning for each setting with fewer than `ADVISED` draws that gates of a suite use."""
    gates: dict[tuple[str, str, int], list[str]] = {}
    for gate in suite.gates:
        for audit in suite.audits:
            if gate.bound == "interval" and matches(audit.kind, gate.select.audit):
                for setting, draws in kind_of(audit.kind).draws(audit, gate):
                    if draws < ADVISED:
                        gates.setdefault((audit.kind, setting, draws), []).append(gate.name)
    return [
        f"{kind} audit, {setting} = {draws}: {_named(names)} at least {ADVISED} draws;"
        " with fewer draws an interval can be too narrow, or too wide to decide"
        for (kind, setting, draws), names in gates.items()
    ]


def _named(gates: Sequence[str]) -> str:
    several = len(gates) > 1
    return f"gate{'s' * several} {', '.join(map(repr, gates))} need{'s' * (not several)}"
