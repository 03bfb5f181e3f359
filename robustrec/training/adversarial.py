"""Adversarial training of the item features (AMR): the loss of a batch on features moved to where it is larger."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch, Features, Graphs, Loss, Recommender, batch_loss
from robustrec.seeds import torch_generator
from robustrec.training.content import Treatment
from robustrec.training.strategy_config import StrategyConfig

NORM_FLOOR = 1e-12
RANKING_TERMS = ("bpr", "contrast")
"""Names of the term of a loss that ranks items, by precedence; the whole loss without one of them."""

PGD_LENGTH = 2.5
"""Length of all steps of PGD together, in radii (Madry et al., ICLR 2018, section 5)."""


class Radius(NamedTuple):
    """Radius of the adversarial change of a modality in three units.

    Attributes:
        length: ‖δ_i‖ in the units of the features.
        of_norm: that as a share of the mean norm of the rows.
        of_spread: that as a share of the spread of the rows, the root mean square distance from their mean.
    """

    length: float
    of_norm: float
    of_spread: float


def radius_of(table: Tensor, config: StrategyConfig) -> Radius:
    """Return the radius ε of a modality.

    Args:
        table: features [I, D].
        config: `amr_epsilon` and its unit.
    """
    exact = table.double()
    norm = float(torch.linalg.vector_norm(exact, dim=1).mean())
    spread = float((exact - exact.mean(dim=0)).square().sum(dim=1).mean().sqrt())
    length = config.amr_epsilon * {"norm": norm, "spread": spread, "absolute": 1.0}[config.amr_unit]
    return Radius(length, *(length / size if size > 0 else 0.0 for size in (norm, spread)))


def radius_words(features: Features, config: StrategyConfig) -> str:
    """Return how far amr moves feature rows, in all three units: "image 0.03 (3.0 % of the mean norm, …)".

    Args:
        features: clean, modality -> [I, D_m].
        config: of a strategy with amr.
    """
    found = {modality: radius_of(table, config) for modality, table in features.items()}
    return "; ".join(
        f"{modality} {each.length:.3g} ({each.of_norm:.1%} of the mean row norm, {each.of_spread:.1%} of the spread)"
        for modality, each in found.items()
    )


def ranking_term(loss: Loss) -> Tensor:
    """Return the term of a loss that ranks items."""
    return next((loss.terms[name] for name in RANKING_TERMS if name in loss.terms), loss.total)


class Adversarial(Treatment):
    """Adds λ L_rank(θ; X + δ, batch), with δ constant, to the loss of a batch.

    For each modality m and item i, Γ_m,i is the gradient of L_rank(θ; X, batch) in the features of the item, and
    δ_m,i = ε Γ_m,i / max(‖Γ_m,i‖, 1e-12), toward a larger loss; 0 for items without a gradient. With `amr_steps` k > 1
    (PGD), k such steps of length min(1, 2.5/k) ε are taken, each from the last and projected row by row to length ε.
    The item graphs are held while δ acts. δ is computed again at each evaluation of the loss. As a control, the
    direction can be random, the same for all evaluations of a step.
    Source: Tang et al., TKDE 2019, arXiv 1809.07062; PGD: Madry et al., ICLR 2018, arXiv 1706.06083.

    Args:
        config: `amr_epsilon`, `amr_unit`, `amr_weight`, `amr_steps` and `amr_direction`.
        model: the recommender.
        features: clean, modality -> [I, D_m]; the radii are those of the clean features.
        graphs: item graphs of the model.
        seed: of random directions.
    """

    def __init__(
        self, config: StrategyConfig, model: Recommender, features: Features, graphs: Graphs | None, seed: int
    ) -> None:
        self.config, self.model, self.graphs, self.seed = config, model, graphs, seed
        self.radii = {modality: radius_of(table, config) for modality, table in features.items()}
        self._random: dict[str, Tensor] = {}
        if config.amr_direction == "random":
            self._random = {modality: torch.empty_like(table) for modality, table in features.items()}

    def of_step(self, features: Features, step: int, /) -> Features:
        """Draw the random directions of a step into their memory; the features stay as they are."""
        for modality, direction in self._random.items():
            direction.normal_(generator=torch_generator(self.seed, "amr", modality, step, device=direction.device))
        return features

    def term(self, features: Features, batch: Batch, /) -> Tensor:
        """Return λ L_rank(θ; X + δ, batch) with its graph in the parameters."""
        moved = {modality: features[modality] + change for modality, change in self.change(features, batch).items()}
        return self.config.amr_weight * self._ranking({**features, **moved}, batch)

    def change(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Return δ, modality -> [I, D_m], without a graph."""
        if self._random:
            return {modality: self._unit(modality, direction) for modality, direction in self._random.items()}
        steps = self.config.amr_steps
        share = min(1.0, PGD_LENGTH / steps)
        found = {modality: self._unit(modality, each) for modality, each in self.gradient(features, batch).items()}
        if share < 1:
            found = {modality: share * change for modality, change in found.items()}
        for _ in range(steps - 1):
            moved = {modality: features[modality] + change for modality, change in found.items()}
            for modality, each in self.gradient({**features, **moved}, batch).items():
                further = found[modality] + share * self._unit(modality, each)
                norms = torch.linalg.vector_norm(further, dim=1, keepdim=True)
                radius = self.radii[modality].length
                found[modality] = further * (radius / norms.clamp_min(max(radius, NORM_FLOOR)))
        return found

    def gradient(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Return Γ for the modalities that L_rank depends on, [I, D_m] each.

        Raises:
            RobustrecError: it depends on none by a gradient.
        """
        with torch.enable_grad():
            leaves = {modality: table.detach().requires_grad_() for modality, table in features.items()}
            loss = self._ranking(leaves, batch)
            reached = (
                torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
                if loss.requires_grad
                else [None] * len(leaves)
            )
        found = {modality: each for modality, each in zip(leaves, reached, strict=True) if each is not None}
        if not found:
            raise RobustrecError(
                "the loss of the model has no gradient in the item features, so there is no adversarial change of them",
                where="strategy amr",
                fix="choose a model that encodes features, for example --model vbpr, or --strategy noise-aug",
            )
        return found

    def _unit(self, modality: str, direction: Tensor) -> Tensor:
        """Return a direction with rows of length ε, rows of zeros staying zero."""
        norms = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
        scaled: Tensor = direction * (self.radii[modality].length / norms.clamp_min(NORM_FLOOR))
        return scaled

    def _ranking(self, features: Features, batch: Batch) -> Tensor:
        return ranking_term(batch_loss(self.model, features, batch._replace(constants=None), self.graphs))
