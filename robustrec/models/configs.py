"""Settings of each recommender and the modalities it reads; importable without torch."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from robustrec.errors import RobustrecError
from robustrec.modalities import ANY_MODALITY, MODALITIES
from robustrec.subject import Record

ItemNeighbours = Annotated[
    int, Field(ge=1, description="number of nearest items k by features, including the item itself")
]
ImageWeight = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="weight of the image item graph; the text item graph has the remaining weight. Not used with other"
        " modalities",
    ),
]
PUBLISHED_IMAGE_WEIGHT = 0.1
DEFAULT_NEIGHBOURS = 10
ROUNDED = 1e-3  # three thirds written as 0.333 have the sum 0.999
NominalBatch = Annotated[int, Field(ge=1, description="divisor of the squared norms, independent of the batch size")]


def _summing_to_one(weights: dict[str, float]) -> dict[str, float]:
    if weights and abs(sum(weights.values()) - 1) > ROUNDED:
        raise ValueError(f"the weights must sum to 1, but got {sum(weights.values()):g}")
    return weights


class ModelConfig(Record):
    """Base of the settings of a recommender.

    Attributes:
        modalities: those that the recommender can read; `ANY_MODALITY` for all that a data set has.
        modalities_in_scores: those that its scores depend on; the others are read in training only.
    """

    # A command needs those of one or two models; `robustrec.models.config_class` completes them.
    model_config = ConfigDict(defer_build=True)

    modalities: ClassVar[tuple[str, ...]] = (ANY_MODALITY,)
    modalities_in_scores: ClassVar[tuple[str, ...]] = (ANY_MODALITY,)

    def check_modalities(self, model: str, modalities: tuple[str, ...]) -> None:
        """Check that these settings suit the modalities of a data set that the recommender would read.

        Raises:
            RobustrecError: they do not; the message names the model and the modalities.
        """


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

    def check_modalities(self, model: str, modalities: tuple[str, ...]) -> None:
        """Refuse MMRec's mixture of the image and text channels of users for other modalities."""
        if self.mmrec_compat and not set(modalities) <= set(MODALITIES):
            raise RobustrecError(
                f"mmrec_compat of {model} mixes the image and text channels of users as MMRec does, and has no meaning"
                f" for the modalities {', '.join(modalities)}",
                where=f"--set {model}.mmrec_compat=true",
                fix=f"omit it: --set {model}.mmrec_compat=false",
            )


class ItemGraphConfig(ModelConfig):
    """Settings of the average of the item graphs of all modalities, of DRAGON, FREEDOM, PGL and MENTOR."""

    item_neighbours: ItemNeighbours = 10
    image_weight: ImageWeight = 0.1
    modality_weights: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], AfterValidator(_summing_to_one)] = (
        Field(
            default_factory=dict,
            description="weight of the item graph of each modality, by name, with the sum 1; empty: image_weight for"
            " image and text, else equal weights",
        )
    )

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out weights that are not given: the settings of image and text stay what they were before these."""
        content: dict[str, Any] = handler(self)
        return content if self.modality_weights else {k: v for k, v in content.items() if k != "modality_weights"}

    def graph_weights(self, modalities: tuple[str, ...]) -> tuple[float, ...]:
        """Return the weight of the item graph of each modality."""
        if self.modality_weights:
            total = sum(self.modality_weights.values())
            return tuple(self.modality_weights[name] / total for name in modalities)
        if modalities == MODALITIES:
            return self.image_weight, 1 - self.image_weight
        return (1 / len(modalities),) * len(modalities)

    def check_modalities(self, model: str, modalities: tuple[str, ...]) -> None:
        """Check that the weights are those of the modalities."""
        equal = json.dumps(dict.fromkeys(modalities, round(1 / len(modalities), 3)))
        example = f"--set '{model}.modality_weights={equal}'"
        if self.modality_weights and set(self.modality_weights) != set(modalities):
            named = ", ".join(self.modality_weights)
            raise RobustrecError(
                f"{model} has modality_weights of {named}, but reads the modalities {', '.join(modalities)}",
                where=f"--set {model}.modality_weights=…",
                fix=f"give the weight of each modality, for example: {example}",
            )
        others = not set(modalities) <= set(MODALITIES)
        if others and self.image_weight != PUBLISHED_IMAGE_WEIGHT and not self.modality_weights:
            raise RobustrecError(
                f"image_weight of {model} is for image and text only, but the model reads {', '.join(modalities)}",
                where=f"--set {model}.image_weight={self.image_weight:g}",
                fix=f"use modality_weights, for example: {example}",
            )


class DRAGONConfig(ItemGraphConfig):
    """Settings of DRAGON."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d per modality")
    user_neighbours: int = Field(40, ge=1, description="number of most similar users in the user graph")
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers L")
    reg_weight: float = Field(
        1e-3, ge=0, description="weight λ of the regularization of preferences and modality weights"
    )


class MENTORConfig(ItemGraphConfig):
    """Settings of MENTOR."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d per modality")
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers N")
    reg_weight: float = Field(
        1e-3, ge=0, description="weight λ of the regularization of preferences and modality weights"
    )
    align_weight: float = Field(0.1, ge=0, description="weight of the alignment of modalities, vectors and guide")
    graph_weight: float = Field(
        1e-3,
        ge=0,
        description="weight of the contrast of two noisy views over all users and all items, whose time grows with"
        " their squares and which trains nothing that is served but the modality weights of users; 0 leaves it out",
    )
    noise: float = Field(0.1, ge=0, description="length ε of the noise of the views per layer, in training")
    temperature: float = Field(0.2, gt=0, description="temperature τ of the contrast of the views")


class FREEDOMConfig(ItemGraphConfig):
    """Settings of FREEDOM."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(2, ge=0, le=16, description="number of user-item graph layers")
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers")
    pruning: float = Field(0.8, ge=0, lt=1, description="fraction ρ of edges dropped in each epoch")
    reg_weight: float = Field(1e-3, ge=0, description="weight λ of the losses on projected features")


class PGLConfig(ItemGraphConfig):
    """Settings of PGL."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d per modality")
    mode: Literal["local", "global"] = Field(
        "local",
        description="training graph: local = edges drawn in each epoch; global = large entries of a low-rank product of"
        " the user-item graph, fixed",
    )
    pruning: float = Field(0.7, ge=0, lt=1, description="fraction ρ of edges dropped in each epoch in mode local")
    layers: int = Field(2, ge=0, le=16, description="number of user-item graph layers L")
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="dropout rate of the two views of a vector in the contrastive loss"
    )
    temperature: float = Field(0.2, gt=0, description="temperature τ of the contrastive loss")
    contrast_weight: float = Field(
        0.05,
        ge=0,
        description="weight λ of the contrastive loss; the published configuration has 0, the published results"
        " have the values used here",
    )


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


class SMOREConfig(ModelConfig):
    """Settings of SMORE."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(3, ge=1, le=16, description="number of user-item graph layers L")
    image_neighbours: int = Field(
        10, ge=1, description="number of nearest items k by image features, including the item itself"
    )
    text_neighbours: int = Field(
        10, ge=1, description="number of nearest items k by text features, including the item itself"
    )
    item_neighbours: int = Field(
        DEFAULT_NEIGHBOURS,
        ge=1,
        description="number of nearest items k by the features of each other modality, including the item itself",
    )
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the preference gates in training")
    temperature: float = Field(0.2, gt=0, description="temperature τ of the contrastive loss")
    contrast_weight: float = Field(0.01, ge=0, description="weight κ of the contrastive loss")
    reg_weight: float = Field(1e-4, ge=0, description="weight of the squared L2 regularization of the batch vectors")
    nominal_batch: NominalBatch = 2048

    def neighbours_of(self, modality: str) -> int:
        """Return the number of nearest items by the features of a modality."""
        named = {"image": self.image_neighbours, "text": self.text_neighbours}
        return named.get(modality, self.item_neighbours)

    def check_modalities(self, model: str, modalities: tuple[str, ...]) -> None:
        """Refuse a number of nearest items of other modalities where there are none."""
        if set(modalities) <= set(MODALITIES) and self.item_neighbours != DEFAULT_NEIGHBOURS:
            chosen = [f"--set {model}.{name}_neighbours={self.item_neighbours}" for name in modalities]
            raise RobustrecError(
                f"item_neighbours of {model} is for other modalities than image and text, but the model reads"
                f" {' and '.join(modalities)}",
                where=f"--set {model}.item_neighbours={self.item_neighbours}",
                fix=f"set the number of each modality: {' '.join(chosen)}",
            )


class MMGCNConfig(ModelConfig):
    """Settings of MMGCN."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    image_width: int = Field(
        256,
        ge=1,
        description="dimension of the projection of image features before the first layer; features of text and of"
        " other modalities are not projected",
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


class DAMRSConfig(ModelConfig):
    """Settings of DA-MRS."""

    latent_width: int = Field(64, ge=1, description="embedding dimension d")
    layers: int = Field(2, ge=0, le=16, description="number of user-item graph layers L")
    item_neighbours: int = Field(
        10,
        ge=1,
        description="largest number k of nearest items of an item in the graph of a modality, including itself",
    )
    item_layers: int = Field(1, ge=0, le=16, description="number of item graph layers N")
    session_neighbours: int = Field(
        2, ge=0, description="largest number of items with the most users in common with an item, at least 2"
    )
    pseudo_positives: int = Field(
        10, ge=1, description="number P of pseudo-neighbours of an item; 2P must be at most the number of items"
    )
    neighbour_weight: float = Field(1e-3, ge=0, description="weight ν of the discrimination of pseudo-neighbours")
    alignment_weight: float = Field(1.0, ge=0, description="weight ζ of the alignment of interactions and item graphs")
