"""Tables of the shipped suites and of every key of a suite, from the models that read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from site_schemas import Schema, section, table, text, without_meaning

from robustrec.audits.registry import KINDS, built_in
from robustrec.audits.suites import Suite, load_suite, suite_names
from robustrec.results.gates import Gate

_FIRST = ("Gate", "Select", "Waiver", "Bootstrap")


def shipped_table() -> str:
    """Return a section for each shipped suite with its audits, metrics and gates."""
    return "\n\n".join(_shipped(name) for name in suite_names())


def suite_keys() -> str:
    """Return a section for each table of a suite file."""
    audits = {built_in(name).config.__name__: name for name in KINDS}
    every = definitions()
    return "\n\n".join(section(name, each, title=_title(name, every, audits)) for name, each in every.items())


def definitions() -> dict[str, dict[str, Any]]:
    """Return the schema of every table in a suite file, the whole file first."""
    schema = Suite.model_json_schema()
    inner: dict[str, dict[str, Any]] = schema.pop("$defs")
    kinds = [built_in(name).config.__name__ for name in KINDS]
    order = [*_FIRST, *kinds, "UserAudit", *(name for name in inner if name not in (*_FIRST, *kinds, "UserAudit"))]
    return {"Suite": schema, **{name: inner[name] for name in order}}


def undescribed() -> Iterator[str]:
    """Yield the keys of suites without a description."""
    for name, each in definitions().items():
        yield from without_meaning(name, each)


def _title(name: str, every: Mapping[str, Schema], audits: Mapping[str, str]) -> str:
    """Return how a table is written in the file: [[gates]], or KEY of its parent table."""
    if name == "UserAudit":
        return "`[[audits]]` of a user-defined audit"
    if name in audits:
        return f'`[[audits]]` with `kind = "{audits[name]}"`'
    for parent, each in every.items():
        for key, value in each["properties"].items():
            if f'#/$defs/{name}"' in json.dumps(value):
                if parent == "Suite":
                    return f"`[[{key}]]`" if value.get("type") == "array" else f"`{key}`"
                where = f"the {audits[parent]} audit" if parent in audits else _title(parent, every, audits)
                return f"`{key}` of {where}"
    return "The file itself"


def _shipped(name: str) -> str:
    suite = load_suite(name)
    listed = ", ".join(f"`{metric}`" for metric in (*suite.metrics, *suite.stability))
    audits = ", ".join(f"`{audit.kind}`" for audit in suite.audits)
    parts = [f"### {name}", text(suite.description), f"Audits: {audits}. Metrics: {listed}."]
    if suite.gates:
        rows = [(text(gate.name), _selected(gate), _limit(gate), _severity(gate)) for gate in suite.gates]
        parts.append(table(("gate", "selects", "limit", "severity"), rows))
    else:
        parts.append("It has no gates, so its verdict is inconclusive.")
    return "\n\n".join(parts)


def _selected(gate: Gate) -> str:
    select = gate.select
    narrowed = {"strategy": select.strategy, "model": select.model, "features": select.features}
    words = [f"`{gate.quantity}` of `{select.metric_name}`", f"audit `{select.audit}`"]
    words += [f"{key} `{json.dumps(value)}`" for key, value in select.fields.items()]
    words += [f"{key} `{value}`" for key, value in narrowed.items() if value != "*"]
    words += [f"against {gate.reference}"] if gate.reference != "clean" else []
    return ", ".join(words)


def _limit(gate: Gate) -> str:
    bounds = [("at least", gate.min), ("at most", gate.max)]
    return ", ".join(f"{words} {value:g}" for words, value in bounds if value is not None)


def _severity(gate: Gate) -> str:
    return f"{gate.severity}, optional" if gate.optional else gate.severity
