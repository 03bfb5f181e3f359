"""Recommender registry and default training settings; importable without torch."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from pydantic import BaseModel

from robustrec.errors import unknown_name
from robustrec.modalities import ANY_MODALITY
from robustrec.models import configs
from robustrec.models.own import is_own, load_own
from robustrec.plugins import distinct_names
from robustrec.untrusted import read_toml

# To add a model: a module with its class, its settings in configs.py, a line here and below, a table in defaults.toml.
MODELS: dict[str, str] = distinct_names(
    "model",
    [
        ("bpr", "robustrec.models.bpr:BPR"),
        ("lightgcn", "robustrec.models.lightgcn:LightGCN"),
        ("vbpr", "robustrec.models.vbpr:VBPR"),
        ("slmrec", "robustrec.models.slmrec:SLMRec"),
        ("dualgnn", "robustrec.models.dualgnn:DualGNN"),
        ("dragon", "robustrec.models.dragon:DRAGON"),
        ("freedom", "robustrec.models.freedom:FREEDOM"),
        ("bm3", "robustrec.models.bm3:BM3"),
        ("lattice", "robustrec.models.lattice:LATTICE"),
        ("mgcn", "robustrec.models.mgcn:MGCN"),
        ("smore", "robustrec.models.smore:SMORE"),
        ("mentor", "robustrec.models.mentor:MENTOR"),
        ("mmgcn", "robustrec.models.mmgcn:MMGCN"),
        ("grcn", "robustrec.models.grcn:GRCN"),
        ("lgmrec", "robustrec.models.lgmrec:LGMRec"),
        ("pgl", "robustrec.models.pgl:PGL"),
        ("da-mrs", "robustrec.models.da_mrs:DAMRS"),
    ],
)

SUMMARIES: dict[str, str] = {
    "bpr": "matrix factorization trained with the pairwise BPR loss; uses no graph and no item features",
    "lightgcn": "user and item embeddings propagated on the user-item graph and averaged; uses no item features",
    "vbpr": "matrix factorization with item vectors extended by a linear projection of item features",
    "slmrec": "LightGCN channels for ids and each modality, linearly fused and trained with contrastive losses",
    "dualgnn": "modality-specific graph convolutions, weighted by user and combined with a user co-occurrence graph",
    "dragon": "modality-specific graph convolutions, concatenated and combined with an item-item and a user-user graph",
    "freedom": "LightGCN on a randomly pruned user-item graph, plus a frozen item-item graph of the features",
    "bm3": "LightGCN embeddings trained by self-supervised prediction of items and item features, without negatives",
    "lattice": "LightGCN plus a latent item-item graph, a mix of frozen and learned feature similarity graphs",
    "mgcn": "LightGCN plus item graphs of features gated by behaviour, fused by attention and user preferences",
    "smore": "LightGCN plus item graphs of features filtered and multiplied by frequency, weighted by user preferences",
    "mentor": "modality-specific graph convolutions with an item-item graph, aligned with each other and with ids",
    "mmgcn": "graph neural network per modality on the user-item graph with id embeddings, averaged over modalities",
    "grcn": "id embeddings propagated on a user-item graph refined by content affinity, plus modality content",
    "lgmrec": "local graph embeddings of ids and modalities, plus global embeddings from learned hypergraphs",
    "pgl": "projected item features instead of item ids, propagated in training on a principal part of the graph",
    "da-mrs": "LightGCN plus item graphs of similar content and of items taken together, trained to denoise feedback",
}
"""One-line summary of each recommender."""


_COMPLETING = Lock()
"""Older versions of pydantic do not complete a class safely in two threads at once."""


def model_class(name: str) -> type[Any]:
    """Return the class of a recommender by its name or by "package.module:Name"; this imports torch.

    A class takes `(problem, config, generator)`, has `Config` (its Pydantic class) and `modalities`, and
    is a `robustrec.models.contract.Recommender`. A user-defined one may also be a scorer (`robustrec.models.own`).

    Raises:
        RobustrecError: the model is unknown.
    """
    known(name)
    if is_own(name):
        return load_own(name).kind  # type: ignore[no-any-return]
    module, _, attribute = MODELS[name].partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


def config_class(name: str) -> type[BaseModel]:
    """Return the class of a recommender's settings; torch is imported for user-defined ones only.

    Raises:
        RobustrecError: the model is unknown.
    """
    return _declaration(name).Config if is_own(name) else _declaration(name)  # type: ignore[no-any-return]


def modalities_of(name: str) -> tuple[str, ...]:
    """Return the modalities that a recommender can read, with "*" for any; a scorer that does not say reads any.

    Raises:
        RobustrecError: the model is unknown.
    """
    return tuple(getattr(_declaration(name), "modalities", (ANY_MODALITY,)))


def modalities_in_scores(name: str) -> tuple[str, ...]:
    """Return the modalities that a recommender's scores can depend on; () where it reads some in training only.

    Raises:
        RobustrecError: the model is unknown.
    """
    return tuple(getattr(_declaration(name), "modalities_in_scores", modalities_of(name)))


def has_item_graphs(name: str) -> bool:
    """Return whether a recommender derives item graphs from the item features; nothing is imported for built-in ones.

    Raises:
        RobustrecError: the model is unknown.
    """
    declared = _declaration(name)
    return hasattr(declared, "item_graphs") or "item_neighbours" in getattr(declared, "model_fields", ())


def _declaration(name: str) -> Any:
    """Return what declares the modalities: the settings of a built-in model, or a user-defined class."""
    known(name)
    if is_own(name):
        return load_own(name).kind
    config: type[BaseModel] = getattr(configs, f"{MODELS[name].partition(':')[2]}Config")
    with _COMPLETING:
        config.model_rebuild()
    return config


def known(name: str) -> None:
    """Check that a name is a registered model or has the form of a user-defined one.

    Raises:
        RobustrecError: it is neither of them.
    """
    if name not in MODELS and not is_own(name):
        raise unknown_name("model", name, MODELS, where="--model (a name, or package.module:Class for your own model)")


def section_of(name: str) -> str:
    """Return the `--set` section of a model: its name, or the class name of a user-defined model."""
    return name.partition(":")[2] if is_own(name) else name


def training_defaults(
    name: str, edition: Literal["full", "sample"] = "full", dataset: str | None = None
) -> dict[str, Any]:
    """Return the default training settings of a model.

    Args:
        name: model name; a user-defined model has the defaults of its Config and of the training loop.
        edition: "sample" applies the overrides of the model for the small synthetic editions.
        dataset: name of the data set, for the overrides of its full edition.

    Returns:
        Fields of `TrainingConfig` and of the model config in one dict.

    Raises:
        RobustrecError: the model is unknown.
    """
    known(name)
    table = {} if is_own(name) else _defaults()[name]
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return {**plain, **table.get("sample" if edition == "sample" else dataset or "", {})}


@cache
def _defaults() -> dict[str, dict[str, Any]]:
    return read_toml(Path(__file__).parent / "defaults.toml")
