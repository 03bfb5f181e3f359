"""Model types of transformers that the generic networks support, and how each is called; importable without torch.

`hf-text`, `hf-image` and `hf-dual` read the `model_type` in the config.json of their weights. A type that is not in the
tables here is refused: its vector would have to be guessed. An alias is a generic network with default weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from robustrec.errors import RobustrecError
from robustrec.untrusted.documents import read_json_object
from robustrec.untrusted.files import UnreadableError

TEXT, IMAGE, DUAL = "hf-text", "hf-image", "hf-dual"
"""Names of the generic networks."""
TOWERS = ("image", "text")
"""What follows a point in the names of the two networks of `hf-dual`."""


class TextFamily(NamedTuple):
    """How a text encoder is called.

    Attributes:
        kind: class of transformers.
        pooler: whether the class has a pooler that checkpoints may lack; it is left out, as its output is not used.
        end: token that must end a text whose vector is that of the last token; "" if the tokenizer decides.
    """

    kind: str
    pooler: bool = False
    end: str = ""


class DualFamily(NamedTuple):
    """How a model with a text and a picture tower is called.

    Attributes:
        kind: class of transformers.
        full: whether texts are padded to all positions of the model, which its vectors depend on.
        mask: whether padding is masked.
        lower: whether texts become lower case.
        end: whether the vector is that of an end token, which each text must have.
    """

    kind: str
    full: bool = False
    mask: bool = False
    lower: bool = False
    end: bool = True


class ImageFamily(NamedTuple):
    """How an image encoder is called.

    Attributes:
        kind: class of transformers.
        pooler: whether the class has a pooler that is left out; the vector is then the first token.
        tower: attribute of the model with the image encoder; "" for the model itself.
        fixed: whether pictures must have the side `image_size` of the configuration.
    """

    kind: str
    pooler: bool = False
    tower: str = ""
    fixed: bool = False


TEXT_FAMILIES: dict[str, TextFamily] = {
    "albert": TextFamily("AlbertModel", pooler=True),
    "bert": TextFamily("BertModel", pooler=True),
    "camembert": TextFamily("CamembertModel", pooler=True),
    "deberta-v2": TextFamily("DebertaV2Model"),
    "distilbert": TextFamily("DistilBertModel"),
    "electra": TextFamily("ElectraModel"),
    "eurobert": TextFamily("EuroBertModel"),
    "gemma3_text": TextFamily("Gemma3TextModel"),
    "modernbert": TextFamily("ModernBertModel"),
    "mpnet": TextFamily("MPNetModel", pooler=True),
    "nomic_bert": TextFamily("NomicBertModel", pooler=True),
    "qwen3": TextFamily("Qwen3Model", end="<|endoftext|>"),
    "roberta": TextFamily("RobertaModel", pooler=True),
    "xlm-roberta": TextFamily("XLMRobertaModel", pooler=True),
}
"""model_type -> how it is called by `hf-text`."""

DUAL_FAMILIES: dict[str, DualFamily] = {
    "altclip": DualFamily("AltCLIPModel", mask=True, end=False),
    "chinese_clip": DualFamily("ChineseCLIPModel", mask=True, end=False),
    "clip": DualFamily("CLIPModel"),
    "metaclip_2": DualFamily("MetaClip2Model"),
    "siglip": DualFamily("SiglipModel", full=True, lower=True),
}
"""model_type -> how it is called by `hf-dual`. SigLIP reads its text vector at the last position and has no mask."""

IMAGE_FAMILIES: dict[str, ImageFamily] = {
    "clip": ImageFamily("CLIPModel", tower="vision_model", fixed=True),
    "clip_vision_model": ImageFamily("CLIPVisionModel", fixed=True),
    "convnext": ImageFamily("ConvNextModel"),
    "convnextv2": ImageFamily("ConvNextV2Model"),
    "dinov2": ImageFamily("Dinov2Model"),
    "dinov2_with_registers": ImageFamily("Dinov2WithRegistersModel"),
    "dinov3_convnext": ImageFamily("DINOv3ConvNextModel"),
    "dinov3_vit": ImageFamily("DINOv3ViTModel"),
    "mobilenet_v2": ImageFamily("MobileNetV2Model"),
    "regnet": ImageFamily("RegNetModel"),
    "resnet": ImageFamily("ResNetModel"),
    "siglip": ImageFamily("SiglipModel", tower="vision_model", fixed=True),
    "siglip_vision_model": ImageFamily("SiglipVisionModel", fixed=True),
    "swin": ImageFamily("SwinModel"),
    "vit": ImageFamily("ViTModel", pooler=True, fixed=True),
}
"""model_type -> how it is called by `hf-image`."""


class Alias(NamedTuple):
    """A short name: a generic network, and the hub name of its weights if no others are given."""

    network: str
    hub: str


ALIASES: dict[str, Alias] = {
    "minilm": Alias(TEXT, "sentence-transformers/all-MiniLM-L6-v2"),
    "e5": Alias(TEXT, "intfloat/multilingual-e5-base"),
    "bge-m3": Alias(TEXT, "BAAI/bge-m3"),
    "qwen3-embedding": Alias(TEXT, "Qwen/Qwen3-Embedding-0.6B"),
    "siglip2": Alias(DUAL, "google/siglip2-base-patch16-224"),
    "clip": Alias(DUAL, "openai/clip-vit-base-patch32"),
    "dinov2": Alias(IMAGE, "facebook/dinov2-base"),
}
"""Short name -> generic network and default weights."""

Family = TypeVar("Family", TextFamily, DualFamily, ImageFamily)


def generic(network: str) -> str:
    """Return the generic network of an alias, also of one of its towers; other names are returned unchanged."""
    name = owner(network)
    return f"{ALIASES[name].network}{network.removeprefix(name)}" if name in ALIASES else network


def owner(network: str) -> str:
    """Return the name by which weights are given to a network: that of both towers for a tower."""
    name, _, tower = network.rpartition(".")
    return name if tower in TOWERS and name in networks_of(DUAL) else network


def networks_of(name: str) -> tuple[str, ...]:
    """Return the names of a generic network: its own and its aliases."""
    return (name, *(alias for alias, each in ALIASES.items() if each.network == name))


def model_type(folder: Path) -> str:
    """Return the model type in the config.json of a folder; "" for none.

    Raises:
        RobustrecError: the file is missing or unreadable.
    """
    file = folder / "config.json"
    try:
        return str(read_json_object(file).get("model_type", ""))
    except (OSError, UnreadableError) as error:
        raise RobustrecError(
            f"cannot be read: {error}",
            where=str(file),
            fix="give --weights a complete folder, as written by save_pretrained",
        ) from error


def text_family(folder: Path) -> TextFamily:
    """Return how the text encoder in a folder is called.

    Raises:
        RobustrecError: its model type is not in TEXT_FAMILIES.
    """
    return _family(TEXT, TEXT_FAMILIES, folder)


def dual_family(folder: Path) -> DualFamily:
    """Return how the model of text and picture in a folder is called.

    Raises:
        RobustrecError: its model type is not in DUAL_FAMILIES.
    """
    return _family(DUAL, DUAL_FAMILIES, folder)


def image_family(folder: Path) -> ImageFamily:
    """Return how the image encoder in a folder is called.

    Raises:
        RobustrecError: its model type is not in IMAGE_FAMILIES.
    """
    return _family(IMAGE, IMAGE_FAMILIES, folder)


def _family(network: str, families: Mapping[str, Family], folder: Path) -> Family:
    found = model_type(folder)
    if found in families:
        return families[found]
    tables: dict[str, Mapping[str, object]] = {DUAL: DUAL_FAMILIES, TEXT: TEXT_FAMILIES, IMAGE: IMAGE_FAMILIES}
    others = [name for name, table in tables.items() if found in table]
    raise RobustrecError(
        f"{network} does not support model_type {found!r} (supported: {', '.join(families)})",
        where=f"{folder / 'config.json'}: model_type",
        fix=f"use --features {others[0]} --weights {folder}"
        if others
        else "write an encoder of your own around the model: --features package.module:MyEncoder (docs/encoders.md)",
    )
