"""How a recommender is trained, apart from its strategy; free of torch, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingConfig(BaseModel):
    """Settings of the training loop (spec section 2); every field can be set with `--set training.NAME=VALUE`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="torch optimiser the strategy drives")
    learning_rate: float = Field(1e-3, gt=0, description="step size η")
    weight_decay: float = Field(0.0, ge=0, description="coupled L2 for adam and sgd, decoupled for adamw")
    batch_size: int = Field(
        2048, ge=1, le=10**9, description="triples a step; the last batch of an epoch may be smaller"
    )
    max_epochs: int = Field(1000, ge=1, le=10**9, description="epochs at most")
    patience: int = Field(20, ge=1, le=10**9, description="evaluations without improvement after which training stops")
    evaluate_every: int = Field(1, ge=1, le=10**9, description="epochs between two validation rankings")
    validation_metric: str = Field("ndcg@20", description="metric on validation that selects the parameters, unrounded")
    decay_rate: float = Field(1.0, gt=0, le=1, description="γ; epoch e (from 0) has step size η·γ^(e/s)")
    decay_epochs: float = Field(50, gt=0, description="s, epochs after which the step size has shrunk by γ")
    clip_norm: float | None = Field(
        None, gt=0, description="gradient norm bound at a batch's last half-step; none by default"
    )
