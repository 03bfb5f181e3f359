"""Settings of pretraining and their defaults."""

from __future__ import annotations

from pydantic import Field

from robustrec.subject import Record


class Shape(Record):
    """Model sizes for training from scratch; initial weights have their own sizes."""

    image_size: int = Field(64, ge=16, le=512, description="height and width of the pictures in pixels")
    patch_size: int = Field(
        16, ge=4, le=32, description="height and width of a patch in pixels; must divide image_size"
    )
    width: int = Field(
        128, ge=16, le=768, description="hidden width of image and text encoder; must be a multiple of heads"
    )
    heads: int = Field(4, ge=1, le=12, description="number of attention heads of image and text encoder")
    vision_layers: int = Field(4, ge=1, le=12, description="number of image encoder layers")
    text_layers: int = Field(3, ge=1, le=12, description="number of text encoder layers, each with cross-attention")
    projection: int = Field(64, ge=8, le=256, description="dimension of the joint image-text embedding")
    vocabulary: int = Field(2000, ge=64, le=30_000, description="maximum size of the WordPiece vocabulary")
    positions: int = Field(128, ge=16, le=512, description="maximum number of tokens of a text")


class TrainingSettings(Record):
    """Settings of the training."""

    steps: int = Field(2200, ge=1, description="optimizer steps")
    seed: int = Field(0, ge=0, description="seed of initial weights, batches, negatives and the split")
    batch_size: int = Field(32, ge=2, description="batch size in pairs, all from one catalog")
    matching_pairs: int = Field(12, ge=1, description="pairs per step of the matching loss, each used three times")
    matching_weight: float = Field(4.0, ge=0, description="weight of the matching loss")
    word_pairs: int = Field(24, ge=0, description="pairs per step of the word-prediction loss")
    word_weight: float = Field(
        4.0, ge=0, description="weight of the word-prediction loss; 0 trains with BLIP's three losses only"
    )
    caption_warmup: float = Field(
        0.25, ge=0, lt=1, description="share of the first steps that train on captions only, without the matching loss"
    )
    hard_negative_ramp: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of the steps after caption_warmup in which random negatives are replaced by hard negatives",
    )
    learning_rate: float = Field(1e-3, gt=0, description="maximum learning rate of AdamW")
    warmup: float = Field(
        0.05, ge=0, lt=1, description="share of the steps with learning rate warm-up, followed by a cosine schedule"
    )
    weight_decay: float = Field(0.05, ge=0, description="weight decay of AdamW, on matrices only")
    temperature: float = Field(0.07, gt=0, description="initial temperature of the contrastive loss; it is learned")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing of the captioning loss")
    clip_norm: float = Field(1.0, gt=0, description="maximum gradient norm")
    held_out: float = Field(0.1, gt=0, lt=1, description="share of the items held out for evaluation")
    words: int = Field(50, ge=1, le=500, description="maximum number of words of a text")
    caption_words: int = Field(24, ge=1, le=200, description="maximum number of words of a caption")
