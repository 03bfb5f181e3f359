"""Names of strategies: a step rule, treatments of the content, and averaging, joined by "+"."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from robustrec.errors import RobustrecError

PLAIN = "vanilla"
"""The step rule of a name without one."""


class StrategySteps(NamedTuple):
    """Which additional steps a step rule takes besides gradient descent.

    Attributes:
        probe: the descent gradient is taken at θ + ρ g/(‖g‖+δ) (sharpness-aware).
        mirror: every beta-th step is followed by a half-step with the opposite sign of the gradient.
    """

    probe: bool
    mirror: bool


STRATEGIES: dict[str, StrategySteps] = {
    "vanilla": StrategySteps(probe=False, mirror=False),
    "sam": StrategySteps(probe=True, mirror=False),
    "mirror": StrategySteps(probe=False, mirror=True),
    "sgbd": StrategySteps(probe=True, mirror=True),
    "asam": StrategySteps(probe=True, mirror=False),
    "gsam": StrategySteps(probe=True, mirror=False),
    "looksam": StrategySteps(probe=True, mirror=False),
}
"""The step rules."""

STRATEGY_NAMES = ("vanilla", "sam", "mirror", "sgbd")
"""The step rules of the paper on SGBD, which are compared by default."""

RACED = (*STRATEGY_NAMES, "edit-aug")
"""Strategies of a race where none are named."""

TREATMENTS: dict[str, str] = {
    "edit-aug": "in each epoch, a share of the items has edited texts and pictures",
    "noise-aug": "Gaussian noise on the features, relative to the norm of each row",
    "modality-dropout": "one modality of some items replaced by its mean",
    "amr": "adversarial training: a second loss on features moved to where it is larger",
}
"""Treatments of the content that a batch reads, in the order in which they act -> what each does."""

AVERAGING: dict[str, str] = {
    "swa": "mean of the parameters after each epoch from an epoch on",
    "ema": "moving average of the parameters over the steps",
}
"""Averages of the parameters, of which a strategy has one at most -> what each is."""


_STEP_SUMMARIES = {
    "vanilla": "standard training",
    "sam": "SAM ascent step",
    "mirror": "Mirror Gradient",
    "sgbd": "Mirror Gradient with a SAM ascent step in mirrored steps",
    "asam": "SAM ascent step scaled by the size of each parameter",
    "gsam": "SAM ascent step that also lowers the gap between the two losses",
    "looksam": "SAM ascent step in every fifth step, its direction used in between",
}

SUMMARIES: dict[str, tuple[str, str]] = {
    **{name: ("step rule", what) for name, what in _STEP_SUMMARIES.items()},
    **{name: ("treatment of the content", what) for name, what in TREATMENTS.items()},
    **{name: ("average", what) for name, what in AVERAGING.items()},
}
"""Part -> its kind and what it does."""


class StrategyParts(NamedTuple):
    """The parts of a strategy.

    Attributes:
        step: the step rule.
        treatments: of the content, in the order in which they act.
        averaging: "swa", "ema" or None.
    """

    step: str
    treatments: tuple[str, ...] = ()
    averaging: str | None = None

    @property
    def name(self) -> str:
        """The canonical name; "vanilla" is left out where there is another part."""
        more = [*self.treatments, *([self.averaging] if self.averaging else [])]
        return "+".join(more if more and self.step == PLAIN else [self.step, *more])

    @property
    def names(self) -> frozenset[str]:
        """The names of all parts."""
        return frozenset({self.step, *self.treatments} | ({self.averaging} if self.averaging else set()))


def parse_strategy(name: str, *, where: str = "--strategy") -> StrategyParts:
    """Return the parts of a strategy, whose name has them in any order: "amr+sgbd" is "sgbd+amr".

    Args:
        name: parts joined by "+".
        where: the option, or the file and key, of the name.

    Raises:
        RobustrecError: a part is unknown or occurs twice, or there are two step rules or two averages.
    """
    parts = [part.strip() for part in name.split("+")]
    for part in parts:
        if part not in (*STRATEGIES, *TREATMENTS, *AVERAGING):
            raise _unknown(part, name, where)
    twice = next((part for part in parts if parts.count(part) > 1), None)
    if twice:
        fix = "+".join(dict.fromkeys(parts))
        raise RobustrecError(f"strategy {name!r} has {twice!r} twice", where=where, fix=f"use --strategy {fix}")
    steps, averages = ([part for part in parts if part in known] for known in (STRATEGIES, AVERAGING))
    for what, found in (("step rules", steps), ("averages", averages)):
        if len(found) > 1:
            kept = "+".join(part for part in parts if part == found[-1] or part not in found)
            raise RobustrecError(
                f"strategy {name!r} has {len(found)} {what} ({', '.join(found)}), but can have one only",
                where=where,
                fix=f"keep one of them, for example --strategy {kept}",
            )
    return StrategyParts(
        step=steps[0] if steps else PLAIN,
        treatments=tuple(each for each in TREATMENTS if each in parts),
        averaging=averages[0] if averages else None,
    )


def canonical_strategy(name: str) -> str:
    """Return the canonical name of a strategy; what is not one ("external", "sgbd*") stays as it is."""
    try:
        return parse_strategy(name).name
    except RobustrecError:
        return name


def _unknown(part: str, name: str, where: str) -> RobustrecError:
    known = (*STRATEGIES, *TREATMENTS, *AVERAGING)
    near = difflib.get_close_matches(part.lower(), known, n=1, cutoff=0.5)
    what = f"unknown strategy {name!r}" if part == name.strip() else f"unknown part {part!r} of strategy {name!r}"
    groups = (("step rules", STRATEGIES), ("treatments of the content", TREATMENTS), ("averages", AVERAGING))
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in groups if names)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return RobustrecError(
        what, where=where, fix=f"{hint}{listed}; join parts with +, and see: robustrec list strategies"
    )
