"""Subjects that claim to differ must differ: equal strategies are refused before training, equal parameters after it.

Two subjects with equal parameters show a difference of exactly zero under every perturbation. That is the sign of a
setting without effect, not a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from robustrec.errors import RobustrecError
from robustrec.runs.specs import SubjectSpec
from robustrec.training.strategy_config import STRATEGIES

if TYPE_CHECKING:
    from torch import Tensor

    from robustrec.runs.trained import TrainedSubject

_FIX = (
    "raise the settings of the strategy, for example --set strategy.rho=0.05 --set strategy.alpha2=0.1,"
    " or leave one of the two out"
)


class Identity(NamedTuple):
    """What tells a subject from another.

    Attributes:
        label: its name for messages, "slmrec/sgbd/basic/seed 0".
        strategy: its training strategy, or "external".
        parameters: digest of its parameters; None where only a function scores.
        mirrored_steps: how many mirrored steps its training took; None where it was not trained here.
        scores: digest of some of its clean scores; None where they were not computed.
    """

    label: str
    strategy: str
    parameters: str | None
    mirrored_steps: int | None
    scores: str | None = None


def identity_of(subject: TrainedSubject, scores: Tensor | None = None) -> Identity:
    """Return the identity of a trained subject.

    Args:
        subject: trained here, loaded, or a function that scores.
        scores: some of its clean scores, of the same users for all subjects compared.
    """
    mirror = subject.record.get("mirror")
    return Identity(
        label=subject.subject.label,
        strategy=subject.subject.strategy,
        parameters=None if subject.spec.origin == "scorer" else subject.record["parameters_digest"],
        mirrored_steps=int(mirror["mirrored_steps"]) if mirror else None,
        scores=None if scores is None else hashlib.sha256(scores.detach().cpu().numpy().tobytes()).hexdigest(),
    )


def indistinct(subjects: Sequence[Identity]) -> dict[int, str]:
    """Return the place of every subject that is not what it claims to be, with the reason and what to do.

    A subject is listed where its strategy takes mirrored steps and its training recorded none, where another subject
    has equal parameters, or where another subject has equal clean scores.

    Args:
        subjects: those of one command, or of one budget in a comparison.
    """
    faults: dict[int, str] = {}
    for place, each in enumerate(subjects):
        promised = each.strategy in STRATEGIES and STRATEGIES[each.strategy].mirror
        if promised and each.mirrored_steps == 0:
            faults[place] = (
                f"strategy {each.strategy!r} recorded no mirrored step in training, so it is not what its name says;"
                " use --set strategy.alpha2=0.1, or another strategy"
            )
    for what, key in _KINDS:
        for place, other in _equal_pairs(subjects, key):
            message = f"its {what} are equal to those of {subjects[other].label}: the two do not differ; {_FIX}"
            faults.setdefault(place, message)
    return faults


def check_distinct(subjects: Sequence[Identity]) -> None:
    """Refuse subjects of which `indistinct` lists any.

    Raises:
        RobustrecError: names the subject, the one it equals, and what to do.
    """
    for place, message in indistinct(subjects).items():
        what, _, fix = message.partition("; ")
        raise RobustrecError(f"{subjects[place].label}: {what}", where="training strategies", fix=fix)


def check_strategies(specs: Iterable[SubjectSpec]) -> None:
    """Refuse, before anything is trained, a strategy whose settings leave nothing of it, and two that are the same.

    Raises:
        RobustrecError: names the strategies and the settings.
    """
    seen: dict[Hashable, SubjectSpec] = {}
    for spec in specs:
        if not spec.trains:
            continue
        config, moves = spec.strategy, STRATEGIES[spec.strategy.name]
        if moves.mirror and not config.moves.mirror:
            raise RobustrecError(
                f"strategy {config.name!r} with alpha2 = {config.alpha2:g} takes no mirrored step",
                where="--set strategy.alpha2",
                fix=f"use --set strategy.alpha2=0.1, or --strategy {'sam' if config.moves.probe else 'vanilla'}",
            )
        if moves.probe and not moves.mirror and not config.moves.probe:
            raise RobustrecError(
                f"strategy {config.name!r} with rho = {config.rho:g} takes no ascent step",
                where="--set strategy.rho",
                fix="use --set strategy.rho=0.05, or --strategy vanilla",
            )
        key = (spec.model, spec.seed, config.effective)
        other = seen.setdefault(key, spec)
        if other is not spec and other.strategy.name != config.name:
            raise RobustrecError(
                f"strategies {other.strategy.name!r} and {config.name!r} are the same with these settings"
                f" (rho = {config.rho:g}, alpha2 = {config.alpha2:g}): both would train equal parameters",
                where="--strategy and --set strategy",
                fix=f"{_FIX}: --strategy {config.name}",
            )


def _equal_pairs(subjects: Sequence[Identity], key: Callable[[Identity], str | None]) -> Iterable[tuple[int, int]]:
    """Yield (place, place of another) for every subject whose key is also another's."""
    places: dict[str, list[int]] = {}
    for place, each in enumerate(subjects):
        value = key(each)
        if value is not None:
            places.setdefault(value, []).append(place)
    for group in places.values():
        for place in group if len(group) > 1 else ():
            yield place, next(other for other in group if other != place)


_KINDS: tuple[tuple[str, Callable[[Identity], str | None]], ...] = (
    ("parameters", lambda each: each.parameters),
    ("scores", lambda each: each.scores),
)
