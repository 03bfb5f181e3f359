"""Edits, conditions and cost of a search; importable without torch."""

from __future__ import annotations

from robustrec.audits.worst.config import WorstAudit
from robustrec.edits import EDITS, edit
from robustrec.edits.contract import Edit
from robustrec.errors import RobustrecError
from robustrec.results.conditions import ALL, Condition, Search

STEP_LENGTHS = 5
"""Number of lengths that the single gradient step is tried with."""


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


def check_encodings(config: WorstAudit, n_edits: int, *, where: str) -> None:
    """Check that the largest number of encodings is enough for what no search of an item goes without.

    Raises:
        RobustrecError: it is not.
    """
    items = config.items + len(config.targets)
    least = items * encodings_beside_singles(config, n_edits)
    if config.encodings < least:
        raise RobustrecError(
            f"encodings = {config.encodings} is too small: the search of {items} items takes at least {least}",
            where=where,
            fix=f"allow more with --set worst.encodings={least}, or search fewer items with --set worst.items=2",
        )


def encodings_of_item(config: WorstAudit, n_edits: int) -> int:
    """Return the largest number of rows that the search of one item encodes."""
    further = encodings_beside_singles(config, n_edits)
    wanted = n_edits * len(config.severities) * config.draws + further
    return min(wanted, config.encodings // (config.items + len(config.targets)))


def encodings_beside_singles(config: WorstAudit, n_edits: int) -> int:
    """Return the rows of an item beside single edits that are tried: of combinations, random ones, and advice."""
    return config.random + 2 * config.beam * (config.budget - 1) + n_edits


def rankings_of_item(config: WorstAudit, n_edits: int) -> int:
    """Return the largest number of rankings of one item: where there is no gradient, each single edit is ranked."""
    every = n_edits * len(config.severities) * config.draws
    return config.random + every + 2 * config.beam * config.budget + n_edits + attacks_of_item(config)


def attacks_of_item(config: WorstAudit) -> int:
    """Return the number of rankings of the gradient attacks on one item: on two losses, lengths of FGSM and a PGD."""
    return 2 * (STEP_LENGTHS + 1) * bool(config.ascent)


def gradients_of_item(config: WorstAudit) -> int:
    """Return the number of gradients of one item: for the estimates, and the attacks on two losses."""
    return 1 + 2 * config.ascent
