"""Which edits a training on edited content applies, from its settings; importable without torch."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from robustrec.edits import ALL, EDITS, FAULTS, JOIN
from robustrec.errors import RobustrecError

if TYPE_CHECKING:
    from robustrec.training.strategy_config import StrategyConfig

EDIT_AUG = "edit-aug"
"""Name of training on edited content."""


class EditPool(NamedTuple):
    """Settings of the pool of edited content that a training draws from.

    Attributes:
        pools: number of edited versions of the catalogue; each is one encoding of the catalogue.
        edits: names of the edits, sorted.
        severities: of which each edit draws one.
        seed: of the edits.
    """

    pools: int
    edits: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int


def edit_pool(config: StrategyConfig) -> EditPool | None:
    """Return the pool of a strategy that trains on edited content; None for other strategies.

    Raises:
        RobustrecError: a name is a combination of edits, a pattern matches no edit, or no edit is left.
    """
    if EDIT_AUG not in config.active_treatments:
        return None
    edits = _edits(config.edit_only, config.edit_without)
    return EditPool(config.edit_pools, edits, tuple(sorted(set(config.edit_severities))), config.edit_seed)


def _edits(only: tuple[str, ...], without: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the edits, sorted; "all" names the built-in ones without upload faults."""
    every = [each for each in EDITS if each not in FAULTS]
    named = [each for name in only for each in (every if name == ALL else (name,))]
    for name in named:
        if JOIN in name:
            raise RobustrecError(
                f"{name!r} is a combination of edits, but training combines edits itself",
                where="strategy.edit_only",
                fix=f"name its parts: --set 'strategy.edit_only={_listed(name.split(JOIN))}'",
            )
    for pattern in without:
        if not any(fnmatchcase(name, pattern) for name in {*named, *EDITS}):
            raise RobustrecError(
                f"{pattern!r} matches no edit",
                where="strategy.edit_without",
                fix="use names of edits, or patterns such as promo_*: robustrec list edits",
            )
    left = {name for name in named if not any(fnmatchcase(name, pattern) for pattern in without)}
    if not left:
        raise RobustrecError(
            "no edit is left for training",
            where="strategy.edit_only and strategy.edit_without",
            fix="leave out fewer edits, or choose another strategy: robustrec list strategies",
        )
    return tuple(sorted(left))


def _listed(names: list[str]) -> str:
    return "[" + ",".join(f'"{name}"' for name in names) + "]"
