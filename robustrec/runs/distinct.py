"""Checks that subjects differ: equal strategies are rejected before training, equal parameters after it.

Two subjects with equal parameters have a difference of exactly zero under every perturbation, because of a setting
without effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from robustrec.errors import RobustrecError
from robustrec.runs.specs import SubjectSpec
from robustrec.training.strategy_config import STRENGTHS, StrategyConfig
from robustrec.training.strategy_names import STRATEGIES, canonical_strategy

if TYPE_CHECKING:
    from torch import Tensor

    from robustrec.runs.trained import TrainedSubject

_FIX = (
    "increase the settings of the strategy, for example --set strategy.rho=0.05 --set strategy.alpha2=0.1,"
    " or remove one of them"
)


class Identity(NamedTuple):
    """Identity of a subject, to compare it with others.

    Attributes:
        label: its name for messages, "slmrec/sgbd/basic/seed 0".
        strategy: its training strategy, or "external".
        parameters: digest of its parameters; None for a scorer.
        mirrored_steps: number of mirrored steps in training; None for external subjects.
        scores: digest of some of its clean scores; None if they are not computed.
    """

    label: str
    strategy: str
    parameters: str | None
    mirrored_steps: int | None
    scores: str | None = None


def identity_of(subject: TrainedSubject, scores: Tensor | None = None) -> Identity:
    """Return the identity of a trained subject.

    Args:
        subject: trained, loaded, or a scorer.
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
    """Return the position of each subject that is equal to another one or has no mirrored step, with reason and fix.

    A subject is listed if its strategy takes mirrored steps but its training recorded none, or if another subject has
    equal parameters or equal clean scores.

    Args:
        subjects: subjects of one command, or of one budget in a comparison.
    """
    faults: dict[int, str] = {}
    for place, each in enumerate(subjects):
        promised = any(STRATEGIES[part].mirror for part in each.strategy.split("+") if part in STRATEGIES)
        if promised and each.mirrored_steps == 0:
            faults[place] = (
                f"strategy {each.strategy!r} took no mirrored step in training;"
                " use --set strategy.alpha2=0.1, or another strategy"
            )
    for what, key in _KINDS:
        for place, other in _equal_pairs(subjects, key):
            message = f"{what} are equal to those of {subjects[other].label}; {_FIX}"
            faults.setdefault(place, message)
    return faults


def check_distinct(subjects: Sequence[Identity]) -> None:
    """Check that `indistinct` lists no subject.

    Raises:
        RobustrecError: it lists one.
    """
    for place, message in indistinct(subjects).items():
        what, _, fix = message.partition("; ")
        raise RobustrecError(f"{subjects[place].label}: {what}", where="training strategies", fix=fix)


def check_strategies(specs: Iterable[SubjectSpec]) -> None:
    """Check before training that settings do not disable the steps of a strategy, and that no two strategies are equal.

    Raises:
        RobustrecError: a strategy fails the check.
    """
    seen: dict[Hashable, SubjectSpec] = {}
    for spec in specs:
        if not spec.trains:
            continue
        config, steps = spec.strategy, spec.strategy.steps
        _check_not_idle(config)
        if steps.mirror and not config.active_steps.mirror:
            raise RobustrecError(
                f"strategy {config.name!r} with alpha2 = {config.alpha2:g} takes no mirrored step",
                where="--set strategy.alpha2",
                fix="use --set strategy.alpha2=0.1,"
                f" or --strategy {_with_step(config, 'sam' if config.active_steps.probe else 'vanilla')}",
            )
        if steps.probe and not steps.mirror and not config.active_steps.probe:
            radius = "asam_rho" if config.parts.step == "asam" else "rho"
            default = StrategyConfig.model_fields[radius].default
            raise RobustrecError(
                f"strategy {config.name!r} with {radius} = 0 takes no ascent step",
                where=f"--set strategy.{radius}",
                fix=f"use --set strategy.{radius}={default}, or --strategy {_with_step(config, 'vanilla')}",
            )
        key = (spec.model, spec.seed, spec.shrink, config.effective)
        other = seen.setdefault(key, spec)
        if other is not spec and other.strategy.name != config.name:
            raise RobustrecError(
                f"strategies {other.strategy.name!r} and {config.name!r} are equal with these settings"
                f" (rho = {config.rho:g}, alpha2 = {config.alpha2:g}), so that both train equal parameters",
                where="--strategy and --set strategy",
                fix=f"{_FIX}: --strategy {config.name}",
            )


def _check_not_idle(config: StrategyConfig) -> None:
    """Check that settings disable no treatment and no average.

    Raises:
        RobustrecError: they disable one.
    """
    for part in config.idle_parts:
        key = STRENGTHS[part]
        rest = canonical_strategy("+".join(each for each in config.name.split("+") if each != part) or "vanilla")
        raise RobustrecError(
            f"strategy {config.name!r} with {key} = 0 is without {part}",
            where=f"--set strategy.{key}",
            fix=f"use --set strategy.{key}={StrategyConfig.model_fields[key].default}, or --strategy {rest}",
        )


def _with_step(config: StrategyConfig, step: str) -> str:
    """Return the name of a strategy with another step rule."""
    return config.parts._replace(step=step).name


def _equal_pairs(subjects: Sequence[Identity], key: Callable[[Identity], str | None]) -> Iterable[tuple[int, int]]:
    """Yield (position, position of another) for each subject with the key of another one."""
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
