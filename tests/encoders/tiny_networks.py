"""Networks with random weights in the structure of the checkpoints, saved as folders, a few seconds to make."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch

HEADS, WIDTH, LAYERS = 12, 48, 2


def tiny_tokenizer(positions: int) -> Any:
    from transformers import BertTokenizer

    letters = [*string.ascii_lowercase, *string.digits, *"<>/&?,'-_@%$"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokens += ["red", "blue", "green", "lamp", "rug", "cup", "##s", "of", "wool", "[DEC]", "[ENC]"]
    return BertTokenizer(
        vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))},
        do_lower_case=True,
        model_max_length=positions,
        additional_special_tokens=["[DEC]", "[ENC]"],
    )


def _text(tokenizer: Any, positions: int, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "encoder_hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": positions,
        **more,
    }


def _vision(side: int) -> dict[str, Any]:
    return {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "image_size": side,
        "patch_size": 8,
    }


def _save(model: Any, tokenizer: Any, folder: Path, side: int) -> Path:
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    # Weights far from their small initial ones, so that wrong attention shows in the outputs.
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() > 1:
                values.copy_(torch.randn(values.shape, generator=generator) * (1.5 / values[0].numel() ** 0.5))
            elif "bias" in name:
                values.copy_(torch.randn(values.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def save_blip(folder: Path, *, side: int = 32, positions: int = 64, captioner: bool = False) -> Path:
    """Save a matching model to folder/itm, and a captioner to folder/caption."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipForImageTextRetrieval

    tokenizer = tiny_tokenizer(positions)
    decoder, encoder = tokenizer.convert_tokens_to_ids(["[DEC]", "[ENC]"])
    assert encoder == len(tokenizer) - 1
    text = _text(
        tokenizer, positions, bos_token_id=decoder, sep_token_id=tokenizer.sep_token_id, pad_token_id=0,
        eos_token_id=tokenizer.sep_token_id, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
    )  # fmt: skip
    config = BlipConfig(text_config=text, vision_config=_vision(side), projection_dim=16, image_text_hidden_size=16)
    _save(BlipForImageTextRetrieval(config), tokenizer, folder / "itm", side)
    if captioner:
        _save(BlipForConditionalGeneration(config), tokenizer, folder / "caption", side)
    return folder


def save_blip2(folder: Path, *, side: int = 32, positions: int = 64) -> Path:
    """Save a first stage of BLIP-2 with 32 queries and cross-attention in every second layer."""
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    tokenizer = tiny_tokenizer(positions)
    config = Blip2Config(
        qformer_config=_text(tokenizer, positions, cross_attention_frequency=2, use_qformer_text_input=True),
        vision_config=_vision(side),
        text_config={"model_type": "opt", "vocab_size": 16, "hidden_size": 16, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 16},
        num_query_tokens=32,
        image_text_hidden_size=16,
    )  # fmt: skip
    return _save(Blip2ForImageTextRetrieval(config), tokenizer, folder, side)


def save_sentence(folder: Path, *, positions: int = 64) -> Path:
    """Save a BERT with random weights and its tokenizer, without any file of sentence-transformers."""
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer(positions)
    text = _text(tokenizer, positions, pad_token_id=0)
    del text["encoder_hidden_size"]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        BertModel(BertConfig(**text)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_roberta(folder: Path, *, positions: int) -> Path:
    """Save an XLM-RoBERTa with random weights and a tokenizer of whole words without a limit of its own."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    words = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "red", "lamp"])}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    config = XLMRobertaConfig(
        vocab_size=len(words), hidden_size=24, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=positions, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(6)
        XLMRobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
