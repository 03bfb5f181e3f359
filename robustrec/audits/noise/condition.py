"""Gaussian noise on the item features: perturbations, signal-to-noise ratio, and break point search.

The noise is added to the raw features of each modality, before any normalisation inside a model. The whole
representation is computed again from the noisy features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from robustrec.audits.noise.config import BreakPointSearch, NoiseAudit
from robustrec.errors import RobustrecError
from robustrec.results.conditions import ALL, Condition

if TYPE_CHECKING:
    from torch import Tensor

# Share of unchanged entries from which on noise counts as rounded away. Until about there rounding takes steps that are
# as much too long as they are too rare, so that the noise keeps its variance.
NEARLY_ALL = 0.9


@dataclass(frozen=True)
class NoiseCondition:
    """Kind and amount of noise.

    Attributes:
        amount: σ² where `relative` is False; where it is True, σ as a share of the item's feature norm.
        relative: whether `amount` is relative.
        scope: "all", or the modality with noise.
        trained: whether the model was trained on the noisy features too.
        frozen: whether to keep the item graphs of the clean features instead of rebuilding them.
    """

    amount: float
    relative: bool = False
    scope: str = ALL
    trained: bool = False
    frozen: bool = False

    @property
    def condition(self) -> Condition:
        """The condition in the findings."""
        return Condition(
            kind="noise",
            sigma2=None if self.relative else self.amount,
            sigma_rel=self.amount if self.relative else None,
            modality=self.scope,
            graphs="frozen" if self.frozen else "rebuilt",
            trained=self.trained,
        )

    @property
    def label(self) -> str:
        """Name of the condition."""
        return self.condition.label

    @property
    def idle(self) -> bool:
        """Whether the amount is zero (an A/A audit)."""
        return self.amount == 0

    def touches(self, modality: str) -> bool:
        """Return whether a modality has noise."""
        return self.scope in {ALL, modality}


def conditions_of(config: NoiseAudit) -> tuple[NoiseCondition, ...]:
    """Return the conditions of a noise audit at inference, scopes innermost."""
    return tuple(
        NoiseCondition(amount, relative, scope, frozen=graphs == "frozen")
        for graphs in config.graphs
        for relative, amounts in ((False, config.sigma2), (True, config.relative))
        for amount in amounts
        for scope in config.scopes
    )


def training_conditions_of(config: NoiseAudit) -> tuple[NoiseCondition, ...]:
    """Return the conditions of a noise audit with another training."""
    return tuple(NoiseCondition(amount, trained=True) for amount in (config.training.sigma2 if config.training else ()))


def break_point_condition(config: BreakPointSearch) -> Condition:
    """Return the condition of the finding of a break point search."""
    return Condition(kind="break_point", metric=config.metric, drop=config.max_relative_drop)


def add_noise(tables: dict[str, Tensor], noise: dict[str, Tensor], condition: NoiseCondition) -> dict[str, Tensor]:
    """Return the features with noise of a condition's strength: X + σZ.

    Args:
        tables: modality -> float32 [I, D_m], left as they are.
        noise: modality -> N(0, 1) of the same shape.
        condition: σ² for all entries, or σ_i = share · ‖x_i‖ / √D_m, so that the noise vector's expected norm is that
            share of the item's own.
    """
    noisy = dict(tables)
    for modality, table in tables.items():
        if condition.touches(modality):
            noisy[modality] = table + _sigma(table, condition) * noise[modality]
    return noisy


def share_lost(
    tables: dict[str, Tensor], noisy: dict[str, Tensor], condition: NoiseCondition, modalities: Collection[str]
) -> dict[str, float]:
    """Return the share of unchanged entries after float32 addition, for each modality with noise.

    Rounding removes noise far below the float32 spacing of the features.

    Args:
        tables: modality -> float32 [I, D_m].
        noisy: what `add_noise` made of them.
        condition: entries whose noise has length 0 do not count.
        modalities: which to look at.
    """
    shares = {}
    for modality in modalities:
        table = tables[modality]
        counted = meant(table, condition)
        if condition.touches(modality) and bool(counted.any()):
            shares[modality] = float((noisy[modality] == table)[counted].double().mean())
    return shares


def meant(table: Tensor, condition: NoiseCondition) -> Tensor:
    """Return the rows [I] of a table whose noise has a length other than 0."""
    return (_sigma(table, condition) > 0).expand(len(table), 1)[:, 0]


def refuse_lost_noise(shares: Mapping[str, float], condition: NoiseCondition) -> float:
    """Return the largest share of entries that `share_lost` found unchanged.

    Raises:
        RobustrecError: nearly all entries of a modality are unchanged.
    """
    for modality, share in shares.items():
        if share >= NEARLY_ALL:
            raise noise_lost(condition.label, share, modality, where="the noise audit")
    return max(shares.values(), default=0.0)


def noise_lost(label: str, share: float, modality: str, *, where: str) -> RobustrecError:
    """Return the error for noise that float32 rounding removes in a share of the entries of a modality."""
    return RobustrecError(
        f"noise {label} leaves {share:.1%} of the {modality} feature entries unchanged: it is smaller than the"
        " float32 rounding of these entries",
        where=where,
        fix="use noise relative to the features (relative = [0.01] in the suite), a larger sigma2, or features"
        " divided by their standard deviation"
        if where == "the noise audit"
        else "use a larger sigma in the suite, or subtract each feature's mean from the features and import them again",
    )


def _sigma(table: Tensor, condition: NoiseCondition) -> Tensor:
    import torch

    if condition.relative:
        norms: Tensor = torch.linalg.vector_norm(table, dim=1, keepdim=True)
        return condition.amount * norms / math.sqrt(table.shape[1])
    return torch.tensor(math.sqrt(condition.amount), dtype=table.dtype, device=table.device)


def snr_db(table: Tensor, condition: NoiseCondition) -> float:
    """Return the signal-to-noise ratio in decibels: 10 log₁₀ of Σ‖x_i‖² over the expected Σ‖noise_i‖².

    Args:
        table: [I, D].
        condition: the noise; infinite where its strength is 0.
    """
    sigma = _sigma(table, condition).double().expand(len(table), 1)
    noise = float(sigma.square().sum()) * table.shape[1]
    signal = float(table.double().square().sum())
    return 10.0 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf if signal > 0 else -math.inf


class BreakPoint(NamedTuple):
    """Result of a break point search: where the drop first exceeds its limit.

    Attributes:
        safe: largest strength tried below the break that kept the limit; None where the smallest already breached it.
        broken: smallest strength tried that breached it; None where none did.
        trials: how many strengths were tried.
    """

    safe: float | None
    broken: float | None
    trials: int


def strengths_between(low: float, high: float) -> list[float]:
    """Return the amounts of the ascending search: from low to high, one decade apart."""
    return [low * 10.0**i for i in range(max(1, math.ceil(math.log10(high / low) - 1e-9)))] + [high]


def find_break_point(breaches: Callable[[float], bool], *, low: float, high: float, steps: int) -> BreakPoint:
    """Find the smallest amount that breaches a limit: ascend by decades to the first breach, then bisect.

    Walking up from below, rather than bisecting the whole range, finds the first breach even where the drop is not
    monotone between decades.

    Args:
        breaches: whether a strength breaches the limit.
        low: smallest strength.
        high: largest strength.
        steps: bisections inside the decade; each halves its width on the log scale.
    """
    safe: float | None = None
    broken: float | None = None
    trials = 0
    for strength in strengths_between(low, high):
        trials += 1
        if breaches(strength):
            broken = strength
            break
        safe = strength
    if broken is None or safe is None:
        return BreakPoint(safe, broken, trials)
    for _ in range(steps):
        middle = math.sqrt(safe * broken)
        trials += 1
        if breaches(middle):
            broken = middle
        else:
            safe = middle
    return BreakPoint(safe, broken, trials)
