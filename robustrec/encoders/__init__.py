"""Encoders: a catalogue becomes one feature table per modality, and an edited item is encoded like any other.

`basic` fits on the catalogue, `imported` takes feature files as they are, all others are made of networks with frozen
weights (`frozen.RECIPES`). To add one, write a class with the shape of `robustrec.encoders.rows.Encoder`, and give
its place and a summary here; a combination of networks is a line in RECIPES and one each here.
"""

from __future__ import annotations

ENCODERS: dict[str, str] = {
    "basic": "robustrec.encoders.fitted:BasicEncoder",
    "imported": "robustrec.encoders.imported:ImportedEncoder",
    "tiny-blip": "robustrec.encoders.frozen:FrozenEncoder",
    "blip": "robustrec.encoders.frozen:FrozenEncoder",
    "blip-split": "robustrec.encoders.frozen:FrozenEncoder",
    "blip+minilm": "robustrec.encoders.frozen:FrozenEncoder",
    "blip2": "robustrec.encoders.frozen:FrozenEncoder",
    "blip2+minilm": "robustrec.encoders.frozen:FrozenEncoder",
    "minilm": "robustrec.encoders.frozen:FrozenEncoder",
    "cnn": "robustrec.encoders.frozen:FrozenEncoder",
    "minilm+cnn": "robustrec.encoders.frozen:FrozenEncoder",
}
"""Name of each encoder -> "module:class"; nothing is imported until the encoder is used."""

SUMMARIES: dict[str, str] = {
    "basic": "no weights needed: word and colour statistics, reduced on the catalogue",
    "imported": "the feature files of a folder in the MMRec layout, as they are",
    "tiny-blip": "the small BLIP that is shipped: knows the synthetic sample editions only, and is their default",
    "blip": "a BLIP checkpoint of yours (--weights FOLDER or hub name): text and picture fused into one vector",
    "blip-split": "as blip: the picture's own vector as image, the fused one as text",
    "blip+minilm": "BLIP's fused vector as image, MiniLM's sentence vector as text",
    "blip2": "BLIP-2: the mean query vector of text and picture, which is both modalities",
    "blip2+minilm": "BLIP-2's fused vector as image, MiniLM's sentence vector as text",
    "minilm": "sentence vectors of all-MiniLM-L6-v2; no image",
    "cnn": "a convolutional network for ImageNet, before its classifier; no text",
    "minilm+cnn": "a convolutional network's vector as image, MiniLM's as text",
}
"""What each encoder is, in a line."""
