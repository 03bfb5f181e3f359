"""The model card as JSON: training data, training and results on held-out items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from robustrec import __version__
from robustrec.pretraining.architecture import BlipModels
from robustrec.pretraining.batches import PICTURE_SHARES, TEXT_SHARES
from robustrec.pretraining.checkpoint import TrainingProgress
from robustrec.pretraining.settings import TrainingSettings
from robustrec.pretraining.training import LOSSES

FORMAT = 1
LIMITS = (
    "It was trained on the catalogs above only; its vectors and captions of other products are not reliable.",
    "Results are on held-out items of these catalogs; retrieval searches the held-out items of one catalog.",
    "Captions are generated from the picture alone, so attributes that it does not show are guessed.",
)


def make_card(
    blip: BlipModels,
    *,
    training: TrainingSettings,
    start: Mapping[str, str] | None,
    sources: Sequence[Mapping[str, Any]],
    done: TrainingProgress,
    temperature: float,
    held_out: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    environment: Mapping[str, str | int],
    code: str,
) -> dict[str, Any]:
    """Return the card.

    Args:
        blip: the trained models.
        training: its settings, with the actual number of steps.
        start: initial weights; None for random ones.
        sources: record of each catalog: name, digest, whether synthetic, counts.
        done: progress of the training.
        temperature: final temperature of the contrastive loss.
        held_out: result of `measure`.
        examples: result of `examples`.
        environment: machine, device and threads.
        code: digest of the training code.
    """
    config = blip.itm.config
    vision, text = config.vision_config, config.text_config
    return {
        "format": FORMAT,
        "kind": "BLIP: BlipForImageTextRetrieval in itm/, BlipForConditionalGeneration in caption/",
        "data": [dict(source) for source in sources],
        "start": dict(start) if start is not None else "random weights",
        "shape": {
            "image_size": blip.side,
            "patch_size": vision.patch_size,
            "vision_layers": vision.num_hidden_layers,
            "vision_width": vision.hidden_size,
            "text_layers": text.num_hidden_layers,
            "text_width": text.hidden_size,
            "heads": text.num_attention_heads,
            "projection": config.image_text_hidden_size,
            "vocabulary": text.vocab_size,
            "positions": text.max_position_embeddings,
            "parameters_itm": sum(p.numel() for p in blip.itm.parameters()),
            "parameters_caption": sum(p.numel() for p in blip.caption.parameters()),
        },
        "tokens": blip.specials._asdict(),
        "training": {
            **training.model_dump(),
            "losses": "contrastive with in-batch negatives (no momentum encoder, no queue), matching with hard "
            "negatives drawn by contrastive similarity, captioning; and one that BLIP does not have: a linear "
            "prediction of the caption's words from the fused vector",
            "text_views": TEXT_SHARES,
            "picture_views": PICTURE_SHARES,
            "dropout": 0.0,
            "weights_stored": "float16, read as float32",
        },
        "cost": {"seconds": round(done.seconds, 1), "starts": done.starts, **environment},
        "versions": {
            "robustrec": __version__,
            "torch": version("torch"),
            "transformers": version("transformers"),
            "tokenizers": version("tokenizers"),
            "safetensors": version("safetensors"),
        },
        "code": code,
        "temperature": temperature,
        "losses": {"columns": ["steps", *LOSSES], "rows": [[round(v, 4) for v in row] for row in done.curve]},
        "held_out": dict(held_out),
        "examples": [dict(example) for example in examples],
        "recommenders": None,
        "limits": list(LIMITS),
    }
