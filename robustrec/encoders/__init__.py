"""Encoders: they compute one feature table per modality from a catalog, and encode edited items in the same way.

`basic` is fitted on the catalog, `imported` uses feature files without changes, and all others consist of networks with
frozen weights (`chosen.RECIPES`). To add one, write a class with the methods of `robustrec.encoders.rows.Encoder`, and
add it to the two tables here; a combination of existing networks needs only a line in RECIPES and in these tables.
"""

from __future__ import annotations

NETWORKS_ENCODER = "robustrec.encoders.frozen:FrozenEncoder"
"""The class of all encoders of networks, also of user-defined ones and of those joined by "+"."""

ENCODERS: dict[str, str] = {
    "basic": "robustrec.encoders.fitted:BasicEncoder",
    "imported": "robustrec.encoders.imported:ImportedEncoder",
    "tiny-blip": NETWORKS_ENCODER,
    "blip": NETWORKS_ENCODER,
    "blip-split": NETWORKS_ENCODER,
    "blip+minilm": NETWORKS_ENCODER,
    "blip2": NETWORKS_ENCODER,
    "blip2+minilm": NETWORKS_ENCODER,
    "minilm": NETWORKS_ENCODER,
    "cnn": NETWORKS_ENCODER,
    "minilm+cnn": NETWORKS_ENCODER,
    "lite0": NETWORKS_ENCODER,
    "minilm+lite0": NETWORKS_ENCODER,
    "hf-dual": NETWORKS_ENCODER,
    "hf-text": NETWORKS_ENCODER,
    "hf-image": NETWORKS_ENCODER,
    "siglip2": NETWORKS_ENCODER,
    "clip": NETWORKS_ENCODER,
    "e5": NETWORKS_ENCODER,
    "bge-m3": NETWORKS_ENCODER,
    "qwen3-embedding": NETWORKS_ENCODER,
    "dinov2": NETWORKS_ENCODER,
}
"""Name of each encoder -> "module:class"; nothing is imported until the encoder is used."""

SUMMARIES: dict[str, str] = {
    "basic": "word and colour statistics of the catalog, reduced by PCA; needs no weights",
    "imported": "feature files of the data set in the MMRec layout, used without changes",
    "tiny-blip": "small shipped BLIP, trained on the synthetic sample editions only; default for sample editions",
    "blip": "BLIP checkpoint (--weights FOLDER or hub name): one fused text and picture vector for both modalities",
    "blip-split": "BLIP checkpoint: picture vector as image, fused vector as text",
    "blip+minilm": "BLIP fused vector as image, MiniLM sentence vector as text",
    "blip2": "BLIP-2: mean query vector of text and picture for both modalities",
    "blip2+minilm": "BLIP-2 fused vector as image, MiniLM sentence vector as text",
    "minilm": "sentence vectors of all-MiniLM-L6-v2; text only",
    "cnn": "features of an ImageNet convolutional network before its classifier; image only",
    "minilm+cnn": "convolutional network vector as image, MiniLM sentence vector as text",
    "lite0": "EfficientNet-Lite0 before its classifier; image only; small enough for a laptop",
    "minilm+lite0": "EfficientNet-Lite0 vector as image, MiniLM sentence vector as text; recommended without a GPU",
    "hf-dual": "CLIP, SigLIP and others with a text and a picture tower (--weights hf-dual=FOLDER or hub name)",
    "hf-text": "text encoder of transformers (--weights hf-text=FOLDER or hub name); text only",
    "hf-image": "image encoder of transformers, such as DINOv2 or ResNet (--weights hf-image=FOLDER or hub name); "
    "image only",
    "siglip2": "hf-dual with google/siglip2-base-patch16-224, if no other weights are given",
    "clip": "hf-dual with openai/clip-vit-base-patch32, if no other weights are given",
    "e5": "hf-text with intfloat/multilingual-e5-base, if no other weights are given",
    "bge-m3": "hf-text with BAAI/bge-m3, if no other weights are given",
    "qwen3-embedding": "hf-text with Qwen/Qwen3-Embedding-0.6B, if no other weights are given",
    "dinov2": "hf-image with facebook/dinov2-base, if no other weights are given",
}
"""One-line summary of each encoder."""
