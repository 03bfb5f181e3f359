"""Tokenization with the BertTokenizer of transformers and a trained vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustrec.encoders.weights import quiet
from robustrec.pretraining.vocabulary import DECODE, ENCODE


class TokenBatch(NamedTuple):
    """Token ids [B, T] and mask [B, T], 1 for tokens and 0 for padding."""

    ids: Tensor
    mask: Tensor


class Specials(NamedTuple):
    """Ids of the special tokens of a BLIP."""

    pad: int
    cls: int
    sep: int
    decode: int
    encode: int


def make_tokenizer(vocabulary: dict[str, int], positions: int) -> Any:
    """Return a BertTokenizer with a vocabulary of `train_vocabulary`.

    Args:
        vocabulary: token -> id.
        positions: maximum number of tokens of a text, stored with the tokenizer.
    """
    with quiet():
        from transformers import BertTokenizer

        return BertTokenizer(
            vocab=vocabulary,
            do_lower_case=True,
            model_max_length=positions,
            bos_token=DECODE,
            additional_special_tokens=[ENCODE],
        )


def special_ids(tokenizer: Any, vocab_size: int) -> Specials:
    """Return the special ids; without names in the tokenizer, [DEC] and [ENC] are the last two."""
    known = tokenizer.get_vocab()
    return Specials(
        pad=int(tokenizer.pad_token_id),
        cls=int(tokenizer.cls_token_id),
        sep=int(tokenizer.sep_token_id),
        decode=int(known.get(DECODE, vocab_size - 2)),
        encode=int(known.get(ENCODE, vocab_size - 1)),
    )


def token_table(tokenizer: Any, texts: Sequence[str], longest: int) -> list[list[int]]:
    """Return the token ids of each text with [CLS] and [SEP], truncated to `longest`."""
    if not texts:
        return []
    ids = tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"]
    return [list(map(int, row)) for row in ids]


def padded(rows: Sequence[Sequence[int]], pad: int, *, first: int | None = None) -> TokenBatch:
    """Return texts as a batch, padded to the longest one.

    Args:
        rows: [B] token ids.
        pad: id of the padding token.
        first: id that replaces the first token ([CLS]).
    """
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[place, : len(row)] = 1
    if first is not None:
        ids[:, 0] = first
    return TokenBatch(ids, mask)
