"""Arms of a race: strategies with their settings and features; importable without torch."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.feature_names import named_features, with_filter
from robustrec.invalid import invalid
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import SubjectSpec, evaluations_per_step, reads_features
from robustrec.subject import Record
from robustrec.training.strategy_config import StrategyConfig, owners_of, parse_strategy
from robustrec.training.strategy_names import PLAIN
from robustrec.untrusted import UnreadableError, read_toml

Options = dict[str, dict[str, Any]]

GRID: dict[str, dict[str, tuple[Any, ...]]] = {
    "sam": {"strategy.rho": (0.02, 0.05)},
    "mirror": {"strategy.alpha2": (0.1, 0.2)},
    "sgbd": {"strategy.rho": (0.02, 0.05)},
    "ema": {"strategy.ema_decay": (0.99, 0.999)},
}
"""Part of a strategy -> its settings in a race, unless --set gives others; other parts race with their defaults."""

GRIDS = ("strategy", "training")
"""Sections in which a list is a grid of values."""

LISTS = ("edit_severities", "edit_only", "edit_without")
"""Settings of a strategy that are lists themselves, of which a list of lists is a grid."""

MOST_ARMS = 64

_FIX = '[[arms]], and below it: strategy = "sgbd", and if wanted set = { "strategy.rho" = [0.02, 0.05] }'


@dataclass(frozen=True)
class Arm:
    """A strategy with its settings, on features.

    Attributes:
        name: unique within the race.
        spec: the subject at any training seed.
        reference: whether it is a setting of the strategy that the others are compared with.
    """

    name: str
    spec: SubjectSpec
    reference: bool

    def at(self, seed: int) -> SubjectSpec:
        """Return the subject of a training seed."""
        return replace(self.spec, seed=seed)


class _Entry(Record):
    strategy: str = Field(min_length=1)
    features: str | None = Field(default=None, min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)


class _ArmsFile(Record):
    arms: tuple[_Entry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Wanted:
    """A strategy with its grid of settings.

    Attributes:
        strategy: its name.
        grid: "section.key" -> values.
        features: names of encoder and filter; None for those of the settings.
    """

    strategy: str
    grid: Mapping[str, tuple[Any, ...]]
    features: str | None = None


def read_arms(path: Path) -> list[Wanted]:
    """Return the arms in a TOML file with nothing but [[arms]] tables.

    Raises:
        RobustrecError: not readable, invalid TOML, or an unknown key or value.
    """
    source = str(path)
    try:
        found = _ArmsFile.model_validate_json(json.dumps(read_toml(path), default=str), strict=True)
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the arms: {error}", where=source, fix=_FIX) from error
    except ValidationError as error:
        raise invalid(error, _ArmsFile, source=source, fix=_FIX) from error
    return [
        Wanted(
            each.strategy,
            {key: tuple(value) if _is_grid(key, value) else (value,) for key, value in each.set.items()},
            each.features,
        )
        for each in found.arms
    ]


def arms_of(
    settings: Settings,
    model: str,
    edition: str,
    dataset: str,
    encoder: str,
    *,
    reference: str = PLAIN,
    listed: Sequence[Wanted] = (),
) -> tuple[Arm, ...]:
    """Return the arms of a model: the strategies of the settings with their grids, or those listed in a file.

    A list in `--set strategy.KEY=[…]` or `--set training.KEY=[…]` is a grid of values; of a setting that is a list
    itself, such as `edit_only`, a list of lists is. The reference also races with as many negatives of each positive as
    the costliest arm takes gradients in a step, and with the same lists of settings of the training. Arms that would
    train equal parameters are one.

    Args:
        settings: models, strategies, features, overrides.
        model: the model.
        edition: of the data set.
        dataset: its name.
        encoder: of the features, "none" if the model reads none.
        reference: the strategy that the others are compared with.
        listed: arms of a file; the strategies of the settings race if there are none.

    Raises:
        RobustrecError: an unknown name, key or value, no reference, nothing to compare with it, or too many arms.
    """
    reference = parse_strategy(reference, where="--reference").name
    _check_encoders(settings, listed)
    fixed, given = _split(settings.set)
    wanted = list(listed) or [Wanted(name, {**_own_grid(name, settings.set), **given}) for name in settings.strategy]

    def expanded(one: Wanted) -> list[Arm]:
        return list(_expanded(settings, fixed, one, model, edition, dataset, encoder, reference))

    found = [arm for one in wanted for arm in expanded(one)]
    training = {} if listed else {key: values for key, values in given.items() if key.startswith("training.")}
    if not any(arm.reference for arm in found):
        found = [*(arm for arm in expanded(Wanted(reference, training)) if arm.reference), *found]
    costliest = math.ceil(max(evaluations_per_step(arm.spec) for arm in found))
    if costliest > max(arm.spec.training.negatives for arm in found if arm.reference):
        more = expanded(Wanted(reference, {**training, "training.negatives": (costliest,)}))
        found += [arm for arm in more if arm.reference]
    arms = tuple({_trained(arm.spec): arm for arm in reversed(found)}.values())[::-1]
    if all(arm.reference for arm in arms):
        raise RobustrecError(
            f"all arms are settings of {reference}", where="--race", fix="add a strategy: --strategy sgbd"
        )
    if len(arms) > MOST_ARMS:
        raise RobustrecError(f"{len(arms)} arms", where="--race", fix=f"use at most {MOST_ARMS}: shorten the lists")
    return arms


def _check_encoders(settings: Settings, listed: Sequence[Wanted]) -> None:
    own = named_features(settings.features).encoder
    for each in listed:
        if each.features and named_features(each.features).encoder != own:
            raise RobustrecError(
                f"the arm {each.strategy} is on {each.features}, but the race is on {own}",
                where="features of an arm",
                fix="race one encoder, with and without filters; compare encoders by their reports:"
                " robustrec compare A.json B.json",
            )


def _split(overrides: Mapping[str, Mapping[str, Any]]) -> tuple[Options, dict[str, tuple[Any, ...]]]:
    """Return the overrides without grids, and the grids."""
    fixed: Options = {}
    grids: dict[str, tuple[Any, ...]] = {}
    for section, values in overrides.items():
        for key, value in values.items():
            if section in GRIDS and _is_grid(f"{section}.{key}", value):
                if not value:
                    raise RobustrecError("an empty list", where=f"--set {section}.{key}=[]", fix="list some values")
                grids[f"{section}.{key}"] = tuple(value)
            else:
                fixed.setdefault(section, {})[key] = value
    return fixed, grids


def _is_grid(key: str, value: object) -> bool:
    """Return whether a value is a list of values of a setting, rather than one value that is a list."""
    if not isinstance(value, list):
        return False
    return key.partition(".")[2] not in LISTS or any(isinstance(each, list) for each in value)


def _own_grid(strategy: str, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    grid: dict[str, tuple[Any, ...]] = {}
    for part in parse_strategy(strategy).names:
        grid |= GRID.get(part, {})
    return {key: values for key, values in grid.items() if key.partition(".")[2] not in overrides.get("strategy", {})}


def _expanded(
    settings: Settings,
    fixed: Options,
    wanted: Wanted,
    model: str,
    edition: str,
    dataset: str,
    encoder: str,
    reference: str,
) -> Iterator[Arm]:
    parts = parse_strategy(wanted.strategy)
    base = named_features(settings.features).filters[0]
    # A setting that only other parts read has no value here.
    read = {key: values for key, values in wanted.grid.items() if not _of_others(key, parts.names)}
    read = {key: values if _matters(parts.name, key, values) else values[:1] for key, values in read.items()}
    plain = {
        section: {key: value for key, value in values.items() if not _of_others(f"{section}.{key}", parts.names)}
        for section, values in fixed.items()
    }
    for values in itertools.product(*read.values()):
        chosen = dict(zip(read, values, strict=True))
        options = {section: dict(own) for section, own in plain.items()}
        for key, value in chosen.items():
            section, dot, name = key.partition(".")
            if not dot:
                raise RobustrecError(f"{key!r} is not SECTION.KEY", where="set of an arm", fix=_FIX)
            options.setdefault(section, {})[name] = value
        update: dict[str, Any] = {"model": [model], "strategy": [wanted.strategy], "seeds": 1, "set": options}
        update |= {"features": wanted.features} if wanted.features else {}
        told = {key: value for key, value in chosen.items() if _matters(parts.name, key, wanted.grid[key])}
        for spec in subject_specs(settings.model_copy(update=update), edition, dataset):
            yield Arm(_name(spec, told, encoder), spec, parts.name == reference and spec.shrink == base)


def _of_others(key: str, names: frozenset[str]) -> bool:
    owners = owners_of(key.removeprefix("strategy."))
    return key.startswith("strategy.") and bool(owners) and not owners & names


def _matters(strategy: str, key: str, values: Sequence[Any]) -> bool:
    """Return whether the values of a setting train a strategy differently; of one value it is not asked."""
    section, _, name = key.partition(".")
    if section != "strategy" or len(values) < 2:
        return True
    try:
        effects = {StrategyConfig.model_validate({"name": strategy, name: value}).effective for value in values}
    except ValidationError:
        return True  # whoever makes the arms says what is wrong
    return len(effects) > 1


def _name(spec: SubjectSpec, told: Mapping[str, Any], encoder: str) -> str:
    """Return the name of an arm: strategy, the settings that tell it apart, and the filter of its features."""
    words = [spec.strategy_name]
    words += [f"{key.partition('.')[2]}={v if isinstance(v, str) else json.dumps(v)}" for key, v in told.items()]
    if spec.shrink is not None and reads_features(spec):
        words.append(f"on {with_filter(encoder, spec.shrink)}")
    return " ".join(words)


def _trained(spec: SubjectSpec) -> str:
    """Return what the parameters of an arm depend on besides data, seed and code."""
    shrink = spec.shrink.model_dump(mode="json") if spec.shrink is not None else None
    parts = [spec.model_options, spec.training.model_dump(mode="json"), list(spec.strategy.effective), shrink]
    return json.dumps(parts, default=str, sort_keys=True)
