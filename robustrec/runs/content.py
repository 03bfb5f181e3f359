"""Treatments of the content that a model cannot train with are refused before any work."""

from __future__ import annotations

from collections.abc import Iterable

from robustrec.errors import RobustrecError
from robustrec.models import modalities_of
from robustrec.runs.specs import SubjectSpec
from robustrec.training.strategy_config import StrategyConfig


def check_content(specs: Iterable[SubjectSpec]) -> None:
    """Check that the models of strategies with a treatment of the content read content.

    Raises:
        RobustrecError: a model reads none.
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


def _without(config: StrategyConfig) -> str:
    return config.parts._replace(treatments=()).name
