"""Treatments of the content that a model cannot train with, refused before any work."""

from __future__ import annotations

from collections.abc import Iterable

from robustrec.errors import RobustrecError
from robustrec.models import modalities_of
from robustrec.runs.specs import SubjectSpec
from robustrec.training.strategy_config import StrategyConfig

_NO_GRADIENT = {
    "freedom": "reaches its scores only through the choice of each item's nearest items, which has no gradient",
    "bm3": "reads item features in training only; its scores do not depend on them",
}
"""Built-in model whose scores no gradient in the features reaches -> how it reads them."""

_GRAPHS_ONLY = ("da-mrs",)
"""Built-in models that read features in the choice of item graphs only, which training makes from the clean ones."""


def check_content(specs: Iterable[SubjectSpec]) -> None:
    """Check that the models of strategies with a treatment of the content read it in training, for `amr` by a gradient.

    Raises:
        RobustrecError: a model does not.
    """
    for spec in specs:
        treatments = spec.strategy.parts.treatments if spec.trains else ()
        if treatments and not modalities_of(spec.model):
            raise RobustrecError(
                f"{spec.model} reads no item features, so {' and '.join(treatments)} can change nothing",
                where=f"--model {spec.model} --strategy {spec.strategy_name}",
                fix="choose a model that reads features, for example --model vbpr,"
                f" or --strategy {_without(spec.strategy)}",
            )

        if treatments and spec.model in _GRAPHS_ONLY:
            raise RobustrecError(
                f"{spec.model} reads item features through item graphs only, and training derives these from the clean"
                f" features, so {' and '.join(treatments)} can change nothing",
                where=f"--model {spec.model} --strategy {spec.strategy_name}",
                fix="choose a model that reads features in its loss, for example --model vbpr,"
                f" or --strategy {_without(spec.strategy)}",
            )

        why = _NO_GRADIENT.get(spec.model)
        if why and "amr" in treatments:
            raise RobustrecError(
                f"{spec.model} {why}, so amr does not apply to it",
                where=f"--model {spec.model} --strategy {spec.strategy_name}",
                fix="choose a model that encodes features, for example --model vbpr, or --strategy noise-aug",
            )


def _without(config: StrategyConfig) -> str:
    return config.parts._replace(treatments=()).name
