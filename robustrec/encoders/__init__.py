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
}
"""One-line summary of each encoder."""
