"""Recommenders: the dict of names, and the defaults they train with; importable without torch."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from robustrec.errors import unknown_name


def _distinct(entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the entries as a dict.

    Raises:
        ValueError: a name occurs twice.
    """
    table: dict[str, str] = {}
    for name, target in entries:
        if name in table:
            raise ValueError(f"the model name {name!r} is registered twice: {table[name]} and {target}")
        table[name] = target
    return table


# To add a model: a module with its Config and its class, a line here, and a table in defaults.toml.
MODELS: dict[str, str] = _distinct(
    [
        ("bpr", "robustrec.models.bpr:BPR"),
        ("lightgcn", "robustrec.models.lightgcn:LightGCN"),
        ("vbpr", "robustrec.models.vbpr:VBPR"),
        ("slmrec", "robustrec.models.slmrec:SLMRec"),
    ]
)


def model_class(name: str) -> type[Any]:
    """Return the class of a recommender by its name; this imports torch.

    The class takes `(problem, config, generator)`, has `Config` (its Pydantic class) and `modalities`, and
    is a `robustrec.models.contract.Recommender`.

    Raises:
        RobustrecError: no model has the name.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS, where="--model")
    module, _, attribute = MODELS[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


def training_defaults(name: str, edition: Literal["full", "sample"] = "full") -> dict[str, Any]:
    """Return the settings a model trains with unless told otherwise.

    Args:
        name: a model's name.
        edition: "sample" applies the model's overrides for the small synthetic editions.

    Returns:
        Fields of `TrainingConfig` and of the model's own config, flat.

    Raises:
        RobustrecError: no model has the name.
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS, where="--model")
    table = dict(_defaults()[name])
    overrides = table.pop("sample", {})
    return {**table, **overrides} if edition == "sample" else table


@cache
def _defaults() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "defaults.toml").read_text(encoding="utf-8"))
