"""Settings of each recommender and the modalities it reads; importable without torch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from robustrec.modalities import MODALITIES
from robustrec.subject import Record

ItemNeighbours = Annotated[
    int, Field(ge=1, description="number of nearest items k by features, including the item itself")
]
ImageWeight = Annotated[
    float,
    Field(ge=0, le=1, description="weight of the image item graph; the text item graph has the remaining weight"),
]
NominalBatch = Annotated[int, Field(ge=1, description="divisor of the squared norms, independent of the batch size")]


class ModelConfig(Record):
    """Base of the settings of a recommender.

    Attributes:
        modalities: those that the recommender can read.
        modalities_in_scores: those that its scores depend on; the others are read in training only.
    """

    modalities: ClassVar[tuple[str, ...]] = MODALITIES
    modalities_in_scores: ClassVar[tuple[str, ...]] = MODALITIES


class BPRConfig(ModelConfig):
    """Settings of BPR."""

    modalities: ClassVar[tuple[str, ...]] = ()
    modalities_in_scores: ClassVar[tuple[str, ...]] = ()

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    reg_weight: float = Field(1e-1, ge=0, description="weight λ of the embedding regularization")


class LightGCNConfig(ModelConfig):
    """Settings of LightGCN."""

    modalities: ClassVar[tuple[str, ...]] = ()
    modalities_in_scores: ClassVar[tuple[str, ...]] = ()

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(3, ge=0, le=16, description="number of graph propagation layers L")
    reg_weight: float = Field(
        1e-4, ge=0, description="weight λ of the regularization of the embeddings before propagation"
    )


class VBPRConfig(ModelConfig):
    """Settings of VBPR."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d, also of the projected features")
    reg_weight: float = Field(1e-1, ge=0, description="weight λ of the regularization of the batch vectors")


class SLMRecConfig(ModelConfig):
    """Settings of SLMRec."""

    latent_width: int = Field(64, ge=2, description="embedding dimension d per channel and of the fused vectors")
    layers: int = Field(3, ge=0, le=16, description="number of graph propagation layers L")
    temperature: float = Field(0.2, gt=0, description="temperature of the user-item contrastive loss on cosines")
    ssl_temp: float = Field(0.5, gt=0, description="temperature τ of the contrastive losses between channels")
    ssl_alpha: float = Field(0.1, ge=0, description="weight α of the contrastive losses between channels")


class DualGNNConfig(ModelConfig):
    """Settings of DualGNN."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    user_neighbours: int = Field(40, ge=1, description="number of most similar users k in the user graph")
    reg_weight: float = Field(
        1e-3, ge=0, description="weight λ of the regularization of preferences and modality weights"
    )
    mmrec_compat: bool = Field(
        False,
        description="reproduce MMRec: the image channel of a user has image + text because MMRec overwrites a table in"
        " place, and item weights occur in the regularization only",
    )


class DRAGONConfig(ModelConfig):
    """Settings of DRAGON."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d per modality")
    user_neighbours: int = Field(40, ge=1, description="number of most similar users in the user graph")
    item_neighbours: ItemNeighbours = 10
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers L")
    image_weight: ImageWeight = 0.1
    reg_weight: float = Field(
        1e-3, ge=0, description="weight λ of the regularization of preferences and modality weights"
    )


class FREEDOMConfig(ModelConfig):
    """Settings of FREEDOM."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(2, ge=0, le=16, description="number of user-item graph layers")
    item_neighbours: ItemNeighbours = 10
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers")
    image_weight: ImageWeight = 0.1
    pruning: float = Field(0.8, ge=0, lt=1, description="fraction ρ of edges dropped in each epoch")
    reg_weight: float = Field(1e-3, ge=0, description="weight λ of the losses on projected features")


class BM3Config(ModelConfig):
    """Settings of BM3."""

    modalities_in_scores: ClassVar[tuple[str, ...]] = ()

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(1, ge=0, le=16, description="number of graph propagation layers L")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout rate of the prediction targets in training")
    reg_weight: float = Field(0.1, ge=0, description="weight λ of the embedding regularization")
    feature_weight: float = Field(2.0, ge=0, description="weight of the losses with item features")


class LATTICEConfig(ModelConfig):
    """Settings of LATTICE."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(2, ge=0, le=16, description="number of user-item graph layers")
    item_neighbours: ItemNeighbours = 10
    item_layers: int = Field(1, ge=1, le=16, description="number of item graph layers")
    frozen_share: float = Field(
        0.9, ge=0, le=1, description="weight λ of the frozen graphs of raw features; the learned graph has weight 1 - λ"
    )
    reg_weight: float = Field(1e-4, ge=0, description="weight of the squared L2 regularization of the batch vectors")
    nominal_batch: NominalBatch = 2048


class MGCNConfig(ModelConfig):
    """Settings of MGCN."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(2, ge=1, le=16, description="number of user-item graph layers L")
    item_neighbours: ItemNeighbours = 10
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers")
    temperature: float = Field(0.2, gt=0, description="temperature τ of the contrastive loss")
    contrast_weight: float = Field(0.01, ge=0, description="weight κ of the contrastive loss")
    reg_weight: float = Field(1e-4, ge=0, description="weight of the squared L2 regularization of the batch vectors")
    nominal_batch: NominalBatch = 2048


class MMGCNConfig(ModelConfig):
    """Settings of MMGCN."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    image_width: int = Field(
        256,
        ge=1,
        description="dimension of the projection of image features before the first layer; text features are not"
        " projected",
    )
    layers: int = Field(3, ge=1, le=16, description="number of graph convolutions L per modality")
    reg_weight: float = Field(
        1e-3, ge=0, description="weight λ of the regularization of the batch ids and of the image preferences of users"
    )
    mmrec_compat: bool = Field(
        False,
        description="reproduce MMRec: ids and user preferences keep their initial values because MMRec does not"
        " register them as parameters",
    )


class GRCNConfig(ModelConfig):
    """Settings of GRCN."""

    latent_width: int = Field(
        64, ge=1, description="embedding dimension d of the id channel and of each modality channel"
    )
    routings: int = Field(3, ge=0, le=16, description="number of routing iterations")
    layers: int = Field(2, ge=0, le=16, description="number of id propagation layers L")
    reg_weight: float = Field(1e-3, ge=0, description="weight λ of the regularization of ids and preferences")
    mmrec_compat: bool = Field(
        False,
        description="reproduce MMRec: routing has no effect because its edges lead from users to items only",
    )


class LGMRecConfig(ModelConfig):
    """Settings of LGMRec."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    ui_layers: int = Field(2, ge=0, le=16, description="number of id propagation layers L")
    mm_layers: int = Field(2, ge=0, le=16, description="number of content propagation layers")
    hyper_layers: int = Field(1, ge=1, le=16, description="number of hypergraph layers")
    hyperedges: int = Field(4, ge=1, description="number of hyperedges H per modality")
    keep_rate: float = Field(0.5, gt=0, le=1, description="keep probability of the hypergraph dropout")
    alpha: float = Field(0.3, ge=0, description="weight α of the hypergraph embeddings")
    temperature: float = Field(
        0.2, gt=0, description="temperature τ of the hyperedge memberships and of the contrastive loss"
    )
    cl_weight: float = Field(
        1e-4, ge=0, description="weight of the contrastive loss between modalities, summed over the batch"
    )
    reg_weight: float = Field(1e-6, ge=0, description="weight of the regularization of the batch vectors")
