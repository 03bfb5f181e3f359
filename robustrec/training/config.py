"""Settings of the training loop; importable without torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from robustrec.subject import Record

BF16 = "bf16"


FEWEST_PATIENCE = 5
"""With fewer evaluations without improvement, a chance fall of validation can have ended a training.

More are no proof: a training of SLMRec has stopped in an early plateau with 10 (docs/recommendation.md). The
defaults of models, from 6 on, were chosen on validation curves.
"""

DEFAULT_PATIENCE = 20


class TrainingConfig(Record):
    """Settings of the training loop; every field can be set with `--set training.NAME=VALUE`."""

    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="PyTorch optimizer")
    learning_rate: float = Field(1e-3, gt=0, description="learning rate η")
    weight_decay: float = Field(
        0.0, ge=0, description="weight decay: coupled (L2) for adam and sgd, decoupled for adamw"
    )
    batch_size: int = Field(
        2048, ge=1, le=10**9, description="batch size in training triples; the last batch of an epoch may be smaller"
    )
    max_epochs: int = Field(1000, ge=1, le=10**9, description="maximum number of epochs")
    patience: int = Field(
        DEFAULT_PATIENCE,
        ge=1,
        le=10**9,
        description="early stopping: evaluations without improvement before training stops",
    )
    evaluate_every: int = Field(1, ge=1, le=10**9, description="epochs between two validation evaluations")
    validation_metric: str = Field(
        "ndcg@20", description="validation metric that selects the best parameters, unrounded"
    )
    decay_rate: float = Field(1.0, gt=0, le=1, description="decay factor γ: epoch e (from 0) has rate η·γ^(e/s)")
    decay_epochs: float = Field(
        50, gt=0, description="number of epochs s after which the learning rate is multiplied by γ"
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="inputs of the dense matrix products of training steps. bf16 (GPU only): sums, parameters,"
        " optimizer, validation and audits stay float32",
    )
    negatives: int = Field(
        1,
        ge=1,
        le=1000,
        description="negatives of each positive in a step; each takes a gradient evaluation of the batch, and the step"
        " their mean",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="maximum gradient norm in the last half-step of a batch; default: no clipping"
    )

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A setting that came later changes no key of a stored run while it has its default.
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "negatives" or value != 1}
