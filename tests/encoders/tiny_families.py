"""Folders of the families that the generic networks support: random weights, hand-made tokenizers and processors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

WIDTH, HEADS, LAYERS = 32, 2, 2
WORDS = ["red", "blue", "green", "lamp", "rug", "cup", "of", "wool", "large", "small", "new", "sale", "number", "a"]
TOWER: dict[str, Any] = {
    "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
}  # fmt: skip
VISION: dict[str, Any] = {**TOWER, "image_size": 32, "patch_size": 8}
CLIP_PICTURES = {
    "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
}  # fmt: skip
SQUARE_PICTURES = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def save_tokenizer(
    folder: Path,
    *,
    specials: Mapping[str, int],
    template: str = "",
    lower: bool = False,
    **settings: Any,
) -> int:
    """Save a tokenizer of whole words; return its number of tokens.

    Args:
        folder: where tokenizer.json and tokenizer_config.json are saved.
        specials: special tokens with their ids; words have the other ids, "<unk>" is one of them.
        template: what is added to a text, such as "<s> $A </s>".
        lower: whether tokenizer.json has a step that makes texts lower case.
        settings: keys of tokenizer_config.json.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing

    rest = [number for number in range(len(specials) + len(WORDS) + 1) if number not in specials.values()]
    ids = {**specials, **dict(zip(["<unk>", *WORDS], rest, strict=True))}
    backend = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([AddedToken(name, special=True) for name in specials])
    if lower:
        backend.normalizer = Lowercase()
    if template:
        used = [(name, number) for name, number in specials.items() if name in template.split()]
        backend.post_processor = TemplateProcessing(single=template, special_tokens=used)
    folder.mkdir(exist_ok=True, parents=True)
    backend.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {"unk_token": "<unk>", "model_max_length": 10**30, **settings})
    return len(ids)


def randomise(model: Any, seed: int = 3) -> Any:
    """Return the model with weights far from their small initial ones, so that a wrong call shows in its vectors."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() > 1:
                values.copy_(torch.randn(values.shape, generator=generator) * (1.5 / values[0].numel() ** 0.5))
            elif "bias" in name:
                values.copy_(torch.randn(values.shape, generator=generator) * 0.2)
    return model


def save_clip(folder: Path, *, kind: str = "CLIP", positions: int = 12, eos: int = 20, **more: Any) -> Path:
    """Save a CLIP or MetaCLIP 2 whose end token has the largest id, as in the checkpoints."""
    import transformers

    specials = {"<|startoftext|>": 19, "<|endoftext|>": 20}
    size = save_tokenizer(
        folder, specials={"<extra>": 0, "<more>": 1, "<most>": 2, "<pad>": 3, "<last>": 4, **specials},
        template="<|startoftext|> $A <|endoftext|>", pad_token="<|endoftext|>", eos_token="<|endoftext|>",
        tokenizer_class="CLIPTokenizer",
    )  # fmt: skip
    text = {**TOWER, "vocab_size": size, "max_position_embeddings": positions, "eos_token_id": eos, "bos_token_id": 19}
    config = getattr(transformers, f"{kind}Config")(
        text_config=text | {"pad_token_id": 20}, vision_config=VISION, projection_dim=24, **more
    )
    randomise(getattr(transformers, f"{kind}Model")(config)).save_pretrained(folder)
    write(folder / "preprocessor_config.json", CLIP_PICTURES)
    return folder


def save_siglip(folder: Path, *, tokenizer_class: str = "GemmaTokenizer", template: str = "$A <eos>") -> Path:
    """Save a SigLIP with the tokenizer of SigLIP 2, which has no lower-case step of its own."""
    from transformers import SiglipConfig, SiglipModel

    size = save_tokenizer(
        folder, specials={"<pad>": 0, "<eos>": 1, "<bos>": 2}, template=template, pad_token="<pad>",
        eos_token={"content": "<eos>"}, tokenizer_class=tokenizer_class,
    )  # fmt: skip
    text = {**TOWER, "vocab_size": size, "max_position_embeddings": 64, "projection_size": WIDTH}
    randomise(SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))).save_pretrained(folder)
    write(folder / "preprocessor_config.json", SQUARE_PICTURES)
    return folder


def save_chinese_clip(folder: Path) -> Path:
    """Save a Chinese-CLIP: BERT as text tower, whose padding must be masked."""
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    size = save_bert_tokenizer(folder)
    text = {**TOWER, "vocab_size": size, "max_position_embeddings": 40, "pad_token_id": 0}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    randomise(ChineseCLIPModel(config)).save_pretrained(folder)
    write(folder / "preprocessor_config.json", {**CLIP_PICTURES, "image_processor_type": "ChineseCLIPImageProcessor"})
    return folder


def save_altclip(folder: Path) -> Path:
    """Save an AltCLIP: XLM-R as text tower, with 20 positions of which 18 are usable."""
    from transformers import AltCLIPConfig, AltCLIPModel

    size = save_roberta_tokenizer(folder)
    text = {**TOWER, "vocab_size": size, "max_position_embeddings": 20, "pad_token_id": 1, "project_dim": 24}
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    randomise(AltCLIPModel(config)).save_pretrained(folder)
    write(folder / "preprocessor_config.json", CLIP_PICTURES)
    return folder


def save_bert_tokenizer(folder: Path, **more: Any) -> int:
    return save_tokenizer(
        folder, specials={"[PAD]": 0, "[CLS]": 1, "[SEP]": 2}, template="[CLS] $A [SEP]", pad_token="[PAD]", lower=True,
        **more,
    )  # fmt: skip


def save_roberta_tokenizer(folder: Path, **more: Any) -> int:
    return save_tokenizer(
        folder, specials={"<s>": 0, "<pad>": 1, "</s>": 2}, template="<s> $A </s>", pad_token="<pad>", **more
    )


TEXT_CONFIGS: dict[str, dict[str, Any]] = {
    "Albert": {"embedding_size": 16},
    "Bert": {},
    "Camembert": {"pad_token_id": 1},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "DistilBert": {"dim": WIDTH, "hidden_dim": 2 * WIDTH, "n_layers": LAYERS, "n_heads": HEADS},
    "Electra": {"embedding_size": 16},
    "EuroBert": {"num_key_value_heads": HEADS},
    "ModernBert": {"pad_token_id": 1, "eos_token_id": 2, "bos_token_id": 0, "cls_token_id": 0, "sep_token_id": 2},
    "MPNet": {"pad_token_id": 1},
    "NomicBert": {},
    "Roberta": {"pad_token_id": 1},
    "XLMRoberta": {"pad_token_id": 1},
}
"""Class prefix -> settings of its configuration, for encoders that read a text in both directions."""


def save_text(folder: Path, kind: str, *, positions: int = 40, seed: int = 3, **settings: Any) -> Path:
    """Save an encoder of texts without its pooler, as a checkpoint of a masked language model would have it."""
    import transformers

    given = TEXT_CONFIGS[kind]
    save = save_roberta_tokenizer if given.get("pad_token_id") == 1 else save_bert_tokenizer
    size = save(folder, **settings)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=size, max_position_embeddings=positions, **{**TOWER, "pad_token_id": 0, **given}
    )
    model = getattr(transformers, f"{kind}Model")(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    randomise(model, seed).save_pretrained(folder)
    return folder


def save_qwen3(folder: Path, *, template: str = "$A <|endoftext|>") -> Path:
    """Save a Qwen3 whose tokenizer ends texts with another token than its eos_token, as Qwen3-Embedding does."""
    from transformers import Qwen3Config, Qwen3Model

    size = save_tokenizer(
        folder, specials={"<|endoftext|>": 0, "<|im_end|>": 1}, template=template, pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
    )  # fmt: skip
    config = Qwen3Config(vocab_size=size, max_position_embeddings=64, num_key_value_heads=HEADS, head_dim=16, **TOWER)
    randomise(Qwen3Model(config)).save_pretrained(folder)
    return folder


def save_gemma(folder: Path) -> Path:
    """Save a Gemma 3 that reads texts in both directions, as EmbeddingGemma does."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    size = save_tokenizer(
        folder, specials={"<pad>": 0, "<eos>": 1, "<bos>": 2}, template="<bos> $A <eos>", pad_token="<pad>"
    )
    config = Gemma3TextConfig(
        vocab_size=size, max_position_embeddings=64, num_key_value_heads=HEADS, head_dim=16,
        use_bidirectional_attention=True, **TOWER,
    )  # fmt: skip
    randomise(Gemma3TextModel(config)).save_pretrained(folder)
    return folder


def describe(folder: Path, pooling: str, *kinds: str, old: bool = True, **settings: Any) -> Path:
    """Write the files of sentence-transformers: its layout up to version 5, or that of version 6."""
    library = "sentence_transformers.models" if old else "sentence_transformers.sentence_transformer.modules"
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "",
         "type": f"{library}.{kind}" if old else f"{library}.{kind.lower()}.{kind}"}
        for place, kind in enumerate(("Transformer", "Pooling", *kinds))
    ]  # fmt: skip
    write(folder / "modules.json", modules)
    keys = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    old_config = {f"pooling_mode_{key}": name == pooling for name, key in keys.items()}
    write(folder / "1_Pooling" / "config.json", old_config if old else {"pooling_mode": pooling})
    if settings:
        write(folder / "sentence_bert_config.json", settings)
    return folder


CONV = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
IMAGE_CONFIGS: dict[str, dict[str, Any]] = {
    "ConvNext": CONV,
    "ConvNextV2": CONV,
    "Dinov2": VISION,
    "Dinov2WithRegisters": {**VISION, "num_register_tokens": 2},
    "DINOv3ConvNext": CONV,
    "DINOv3ViT": {**VISION, "num_register_tokens": 2},
    "MobileNetV2": {"depth_multiplier": 0.35, "image_size": 32},
    "RegNet": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1], "groups_width": 4},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]},
    "Swin": {"image_size": 32, "patch_size": 4, "embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2],
             "window_size": 4},
    "ViT": VISION,
    "CLIPVision": VISION,
    "SiglipVision": VISION,
}  # fmt: skip
"""Class prefix -> configuration of an image encoder that reads 32 x 32 pixels."""


def save_image(folder: Path, kind: str, **processor: Any) -> Path:
    """Save an image encoder."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**IMAGE_CONFIGS[kind])
    model = getattr(transformers, f"{kind}Model")(config)
    if kind == "ViT":
        model.pooler = None  # classifiers have none
    model = randomise(model)
    for name, buffer in model.named_buffers():  # of batch norms
        if name.endswith("running_mean"):
            buffer.fill_(0.1)
    model.save_pretrained(folder)
    write(folder / "preprocessor_config.json", {**CLIP_PICTURES, **processor})
    return folder
