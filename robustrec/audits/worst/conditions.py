"""Edits, conditions and cost of a search; importable without torch."""

from __future__ import annotations

from robustrec.audits.worst.config import WorstAudit
from robustrec.edits import EDITS, edit
from robustrec.edits.contract import Edit
from robustrec.errors import RobustrecError
from robustrec.results.conditions import ALL, Condition, Search


def searched_edits(config: WorstAudit, *, where: str = "suite, audits.edits") -> tuple[Edit, ...]:
    """Return the edits that a search combines; user-defined edits are checked.

    Raises:
        RobustrecError: an edit is unknown or invalid, or none of them keeps the meaning.
    """
    names = [each for name in config.edits for each in (EDITS if name == ALL else (name,))]
    found = tuple(edit(name, where=where) for name in dict.fromkeys(names))
    kept = tuple(each for each in found if config.meaning == "any" or each.keeps_meaning)
    if not kept:
        raise RobustrecError(
            f"no edit keeps what the product is: {', '.join(each.name for each in found)}",
            where=where,
            fix='name others, or search these too with meaning = "any"',
        )
    return kept


def condition_of(config: WorstAudit, search: Search) -> Condition:
    """Return the condition of a search."""
    return Condition(kind="search", search=search, budget=config.budget, severity=config.severity)


def searches_of(config: WorstAudit) -> tuple[Search, ...]:
    """Return the searches of an audit."""
    return ("random", "worst", "best", *(("fgsm", "pgd") if config.ascent else ()))


def encodings_of_item(config: WorstAudit, n_edits: int) -> int:
    """Return the largest number of rows that the search of one item encodes."""
    further = encodings_beside_singles(config, n_edits)
    wanted = n_edits * len(config.severities) * config.draws + further
    return min(wanted, max(further, config.encodings // (config.items + len(config.targets))))


def encodings_beside_singles(config: WorstAudit, n_edits: int) -> int:
    """Return the rows of an item beside single edits that are tried: of combinations, random ones, and advice."""
    return config.random + 2 * config.beam * (config.budget - 1) + n_edits


def rankings_of_item(config: WorstAudit, n_edits: int) -> int:
    """Return the largest number of rankings of one item: where there is no gradient, each single edit is ranked."""
    every = n_edits * len(config.severities) * config.draws
    return config.random + every + 2 * config.beam * config.budget + n_edits + 4 * bool(config.ascent)


def gradients_of_item(config: WorstAudit) -> int:
    """Return the number of gradients of one item: for the estimates, and the attacks on two losses."""
    return 1 + 2 * (1 + config.ascent) * bool(config.ascent)
