"""PyTorch Geometric (PyG) modules as recommenders; torch_geometric itself is imported when its LightGCN is built.

Sizes: U users, I items, E training interactions, d width of the embeddings, D_m width of the features of modality m.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, cast

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch, Features, Loss, Problem, Representation, feature_table, read_modalities
from robustrec.models.losses import bpr_loss, half_squares
from robustrec.seeds import derive_seed
from robustrec.subject import Record

FIX = "see docs/pyg.md, and check the model: robustrec doctor --model {}"


class EmbeddingNetwork(Protocol):
    """A module that a `PyGRecommender` calls without an `embeddings` of its own.

    It returns user and item embeddings, one table of all nodes [U + I, d], or {"user": ..., "item": ...}.
    """

    def __call__(self, features: dict[str, Tensor], edge_index: Tensor) -> Any:
        """Return the embeddings for item features modality -> [I, D_m] and a graph; see `PyGRecommender`."""
        ...


class PyGConfig(Record):
    """Settings of a PyG recommender without settings of its own."""

    reg_weight: float = Field(1e-4, ge=0, description="training only: weight of the squared embeddings of a batch")


class PyGRecommender(nn.Module):
    """Base class that makes a recommender of a PyG module: override `build`, and `embeddings` if necessary.

    The parameters keep the names they have in the module, so its `state_dict` is the checkpoint. The module is in
    evaluation mode, except in a training step of robustrec, where dropout is drawn from the seed of the step.

    Attributes:
        Config: pydantic class of the settings (`--set`).
        modalities: on the class: modalities that the module reads; on an instance: those of this data set.
        bipartite: the graph has edges from users 0 … U-1 to items 0 … I-1, int64 [2, E]; otherwise it has
            both directions between nodes of one numbering, int64 [2, 2E], where users are 0 … U-1 and items U … U+I-1.
        items_first: in the one numbering, items are 0 … I-1 and users I … I+U-1.
        network: the module.
        edge_index: the graph of the training interactions.
    """

    Config: ClassVar[type[BaseModel]] = PyGConfig
    modalities: tuple[str, ...] = ()
    bipartite: ClassVar[bool] = False
    items_first: bool = False
    network: nn.Module
    edge_index: Tensor

    def __init__(self, problem: Problem, config: BaseModel, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.items_first = bool(getattr(config, "items_first", self.items_first))
        readable = type(self).modalities
        self.modalities = read_modalities(type(self).__name__, problem, readable) if readable else ()
        self.n_users, self.n_items = problem.n_users, problem.n_items
        self.widths = {modality: problem.feature_widths[modality] for modality in self.modalities}
        edges = training_graph(problem, bipartite=self.bipartite, items_first=self.items_first)
        self.register_buffer("edge_index", edges)
        # Modules of torch and PyG draw from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            network = self.build(problem, config)
            if not isinstance(network, nn.Module):
                raise self._wrong(f"build must return a torch.nn.Module, but got a {type(network).__name__}")
            self.network = network.to("cpu", torch.float32).eval()
            if any(is_lazy(each) for each in (*network.parameters(), *network.buffers())):
                with torch.no_grad():
                    self.embeddings({m: torch.zeros(problem.n_items, width) for m, width in self.widths.items()})

    def build(self, problem: Problem, config: Any) -> nn.Module:
        """Return the untrained module for a problem (sizes, feature widths) and the settings.

        Raises:
            NotImplementedError: it was not overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(self, problem, config)")

    def embeddings(self, features: dict[str, Tensor]) -> Any:
        """Return user embeddings [U, d] and item embeddings [I, d]; override it for modules with other arguments.

        Args:
            features: modality -> [I, D_m], the modalities of this data set.

        Returns:
            A pair of tensors, one tensor of all nodes [U + I, d], or a mapping with the keys "user" and "item".
        """
        return cast(EmbeddingNetwork, self.network)(features, self.edge_index)

    def represent(self, features: Features) -> Representation:
        """Return copies of the user embeddings [U, d] and item embeddings [I, d].

        Raises:
            RobustrecError: the module returned something else.
        """
        tables = {m: feature_table(features, m, self.n_items, width) for m, width in self.widths.items()}
        versions = {m: table._version for m, table in tables.items()}
        users, items = self._pair(self.embeddings(dict(tables)))
        changed = [m for m, table in tables.items() if table._version != versions[m]]
        if changed:
            raise self._wrong(f"the module changes its {' and '.join(changed)} features in place; work on a copy")
        for what, vectors, rows in (("user", users, self.n_users), ("item", items, self.n_items)):
            if not _is_table(vectors):
                raise self._wrong(f"the {what} embeddings must be a floating-point tensor [n, d]; got {_said(vectors)}")
            if len(vectors) != rows:
                swapped = (len(users), len(items)) == (self.n_items, self.n_users)
                hint = "; return users first, then items" if swapped else ""
                raise self._wrong(f"expected {rows} {what} embeddings, but got {len(vectors)}{hint}")
        if users.shape[1] != items.shape[1]:
            raise self._wrong(f"user embeddings have width {users.shape[1]}, item embeddings {items.shape[1]}")
        dtype = next((each.dtype for each in self.network.parameters()), torch.float32)
        return Representation(users.to(dtype, copy=True), items.to(dtype, copy=True))

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the BPR loss plus reg_weight · ½ Σ‖e‖² / B over the embeddings of the batch; only training uses it."""
        with self.training_step(batch):
            users, items = self.represent(features)
        u = functional.embedding(batch.users, users)
        positive, negative = functional.embedding(batch.positives, items), functional.embedding(batch.negatives, items)
        weight = float(getattr(self.config, "reg_weight", 0.0))
        terms = {
            "bpr": bpr_loss((u * positive).sum(1), (u * negative).sum(1)),
            "regularisation": weight * half_squares(u, positive, negative) / len(u),
        }
        return Loss(terms["bpr"] + terms["regularisation"], terms)

    @contextmanager
    def training_step(self, batch: Batch) -> Iterator[None]:
        """Put the module into training mode if the batch has a seed; its noise is drawn from that seed.

        Raises:
            RobustrecError: the module has batch normalisation, whose statistics are changed by each call.
        """
        if batch.seed is None:
            yield
            return
        if any(isinstance(each, _BatchNorm) for each in self.network.modules()):
            raise self._wrong(
                "batch normalisation changes its statistics in each call, so robustrec cannot train this module",
                fix="train it with PyG and audit it with --checkpoint, or use LayerNorm",
            )
        device = self.edge_index.device
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device], device_type="cuda"):
            torch.manual_seed(derive_seed(batch.seed, "network"))
            self.network.train()
            try:
                yield
            finally:
                self.network.eval()

    def module(self) -> nn.Module:
        """Return the model as the `nn.Module` it is."""
        return self

    def train(self, mode: bool = True) -> PyGRecommender:
        """Set the mode; the module stays in evaluation mode outside `training_step`."""
        super().train(mode)
        if hasattr(self, "network"):
            self.network.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the parameters and buffers of the module, by its names."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load the parameters and buffers of the module, by its names."""
        return self.network.load_state_dict(state_dict, *args, **kwargs)

    def _pair(self, found: Any) -> tuple[Any, Any]:
        """Return the user and the item embeddings of what the module returned."""
        if isinstance(found, Mapping) and {"user", "item"} <= set(found):
            return found["user"], found["item"]
        if isinstance(found, tuple | list) and len(found) == 2:
            return found[0], found[1]
        nodes = self.n_users + self.n_items
        if isinstance(found, Tensor) and not self.bipartite and found.dim() == 2 and len(found) == nodes:
            first = self.n_items if self.items_first else self.n_users
            return (found[first:], found[:first]) if self.items_first else (found[:first], found[first:])
        all_nodes = "" if self.bipartite else f", one tensor of all {nodes} nodes"
        raise self._wrong(
            f"expected a pair of user and item embeddings{all_nodes} or a mapping of user and item; got {_said(found)}"
        )

    def _wrong(self, what: str, fix: str | None = None) -> RobustrecError:
        name = f"{type(self).__module__}:{type(self).__qualname__}"
        return RobustrecError(what, where=f"--model {name}", fix=fix or FIX.format(name))


class PyGLightGCNConfig(Record):
    """Settings of PyG's LightGCN."""

    embedding_dim: int = Field(64, ge=1, description="embedding dimension d")
    num_layers: int = Field(3, ge=0, le=16, description="number of LGConv layers")
    normalize: bool = Field(default=True, description="symmetric normalization of the LGConv layers")
    items_first: bool = Field(default=False, description="nodes 0 … I-1 are the items and not the users")
    reg_weight: float = Field(1e-4, ge=0, description="training only: lambda_reg of PyG's recommendation_loss")


class PyGLightGCN(PyGRecommender):
    """LightGCN of `torch_geometric.nn.models` with its computation, parameter names and loss; reads no item features.

    Source: He et al., SIGIR 2020, arXiv 2002.02126.
    """

    __module__ = "robustrec.adapters.pyg"
    Config = PyGLightGCNConfig

    def build(self, problem: Problem, config: PyGLightGCNConfig) -> nn.Module:
        """Return PyG's LightGCN over users and items."""
        from torch_geometric.nn.models import LightGCN as Model

        nodes = problem.n_users + problem.n_items
        return cast(nn.Module, Model(nodes, config.embedding_dim, config.num_layers, normalize=config.normalize))

    def embeddings(self, features: dict[str, Tensor]) -> Any:  # noqa: ARG002 - it reads none
        """Return the embeddings of all nodes [U + I, d]."""
        return cast(Any, self.network).get_embedding(self.edge_index)

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return PyG's `recommendation_loss`: BPR plus reg_weight · ‖e⁰‖² / B over the different nodes of the batch."""
        users, items = self.represent(features)
        u = functional.embedding(batch.users, users)
        scores = [(u * functional.embedding(each, items)).sum(1) for each in (batch.positives, batch.negatives)]
        user_offset, item_offset = (self.n_items, 0) if self.items_first else (0, self.n_users)
        rows = (batch.users + user_offset, batch.positives + item_offset, batch.negatives + item_offset)
        nodes, weight = torch.unique(torch.cat(rows)), cast(PyGLightGCNConfig, self.config).reg_weight
        total = cast(Any, self.network).recommendation_loss(*scores, node_id=nodes, lambda_reg=weight)
        bpr = bpr_loss(*scores)
        return Loss(total, {"bpr": bpr, "regularisation": total - bpr})


def training_graph(problem: Problem, *, bipartite: bool = False, items_first: bool = False) -> Tensor:
    """Return the training interactions as a PyG `edge_index`.

    Args:
        problem: sizes and training interactions.
        bipartite: edges from users to items, each numbered from 0, int64 [2, E]; otherwise both directions
            between nodes of one numbering, int64 [2, 2E].
        items_first: in the one numbering, items come before users.
    """
    if bipartite:
        return problem.edges.clone()
    user_offset, item_offset = (problem.n_items, 0) if items_first else (0, problem.n_users)
    edges = torch.stack([problem.edges[0] + user_offset, problem.edges[1] + item_offset])
    return torch.cat([edges, edges.flip(0)], dim=1)


def _is_table(found: Any) -> bool:
    dense = isinstance(found, Tensor) and found.layout is torch.strided
    return dense and found.dim() == 2 and found.is_floating_point()


def _said(found: Any) -> str:
    if isinstance(found, Tensor):
        sparse = "" if found.layout is torch.strided else "sparse "
        return f"a {sparse}tensor of {found.dtype} {tuple(found.shape)}"
    size = f" of {len(found)}" if isinstance(found, tuple | list | Mapping) else ""
    return f"a {type(found).__name__}{size}"
