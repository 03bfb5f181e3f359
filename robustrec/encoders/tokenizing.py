"""Tokenizers of model folders, read from `tokenizer.json` as it is.

transformers may rebuild the pipeline in that file by the class in tokenizer_config.json, which gives other token ids in
some versions (a lower-case step is lost, for example). The `tokenizers` library reads the file without changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robustrec.encoders.model_folders import MOST_CONFIG_BYTES, TOKENIZER_CONFIG, check_model_folder
from robustrec.encoders.networks import TokenizedTexts
from robustrec.encoders.weights import Weights, load_tokenizer
from robustrec.errors import RobustrecError
from robustrec.untrusted import UnreadableError, read_json_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
_NO_LIMIT = 10**6  # a tokenizer without a limit has model_max_length 10**30
_CONFIGS = (TOKENIZER_CONFIG, "special_tokens_map.json")


class TextTokenizer(NamedTuple):
    """A tokenizer with the settings of its folder.

    Attributes:
        backend: the tokenizer; it adds the special tokens of its own template.
        pad: id of the padding token.
        unknown: id of the unknown token; None if there is none, or if it is also a special token of each text.
        end: id that is appended to each text, as the template does not end with it; None to append nothing.
        empty: ids of an empty text, at least one.
        limit: maximum number of token ids by the folder; None if it has none.
        side: "right" or "left", where texts are truncated.
        kind: class of transformers by the folder; "" for none.
    """

    backend: Tokenizer
    pad: int
    unknown: int | None
    end: int | None
    empty: list[int]
    limit: int | None
    side: str
    kind: str


def read_tokenizer(
    weights: Weights, vocab_size: int, *, end: str | None = None, only_end: bool = False
) -> TextTokenizer:
    """Return the tokenizer of a folder.

    Args:
        weights: the folder.
        vocab_size: number of token embeddings of the model.
        end: token that must end each text ("" for the eos_token of the folder); None if the template decides.
        only_end: whether this token is the only special token of a text, whatever the template adds.

    Raises:
        RobustrecError: it is missing, unreadable or of another model, or a token that it needs is not defined.
    """
    from tokenizers.processors import TemplateProcessing

    check_model_folder(weights.folder, loading=False)  # loading a model checks the rest
    config = _settings(weights.folder)
    backend = _backend(weights, vocab_size, others=end is None)
    pad = _token(config.get("pad_token"), backend)
    if pad is None:
        pad = (backend.padding or {}).get("pad_id")
    if pad is None:
        raise _unusable(weights, "no pad_token is defined", "add pad_token")
    backend.no_padding()
    backend.no_truncation()
    if only_end:
        backend.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    appended = None
    if end is not None and not _ends(backend):
        appended = _token(end or config.get("eos_token"), backend)
        if appended is None:
            raise _unusable(weights, f"its texts have no end token {end or '(eos_token)'}", "add eos_token")
    empty = [*backend.encode("").ids, *([] if appended is None else [appended])] or [pad]
    unknown = _token(config.get("unk_token") or getattr(backend.model, "unk_token", None), backend)
    limit = config.get("model_max_length")
    known = isinstance(limit, int | float) and 0 < limit < _NO_LIMIT
    return TextTokenizer(
        backend,
        int(pad),
        None if unknown in empty else unknown,
        appended,
        empty,
        int(limit) if known and limit is not None else None,
        "left" if config.get("truncation_side") == "left" else "right",
        str(config.get("tokenizer_class") or "").removesuffix("Fast"),
    )


def tokenised(tokenizer: TextTokenizer, texts: Sequence[str], longest: int) -> TokenizedTexts:
    """Return texts as token ids with special tokens, truncated to `longest` ids; an empty text has no ids."""
    if not texts:
        return TokenizedTexts([], [], [], [])
    end = [] if tokenizer.end is None else [tokenizer.end]
    specials = tokenizer.backend.num_special_tokens_to_add(is_pair=False)
    tokenizer.backend.enable_truncation(longest - len(end), direction=tokenizer.side)
    found = tokenizer.backend.encode_batch(list(texts))
    said = [[*each.ids, *end] if len(each.ids) > specials else [] for each in found]
    words = [len(each.ids) - specials for each in found]
    unknown = [
        100 * ids.count(tokenizer.unknown) // count if ids and tokenizer.unknown is not None else 0
        for ids, count in zip(said, words, strict=True)
    ]
    return TokenizedTexts(list(texts), said, [bool(each.overflowing) for each in found], unknown)


def _settings(folder: Path) -> dict[str, Any]:
    """Return the keys of the configuration of a tokenizer; those of tokenizer_config.json come first."""
    settings: dict[str, Any] = {}
    for name in _CONFIGS:
        if (folder / name).is_file():
            try:
                settings = {**read_json_object(folder / name, most=MOST_CONFIG_BYTES), **settings}
            except UnreadableError as error:
                raise _unusable(
                    Weights(folder, str(folder)), f"{name} cannot be read: {error}", "replace it"
                ) from error
    return settings


def _backend(weights: Weights, vocab_size: int, *, others: bool) -> Tokenizer:
    from tokenizers import Tokenizer

    file = weights.folder / TOKENIZER
    if not file.is_file():
        if not others:
            raise _unusable(weights, f"{TOKENIZER} is missing", f"add {TOKENIZER}")
        # Older folders of BERT and RoBERTa have a vocabulary only, from which transformers makes the tokenizer.
        backend: Tokenizer = load_tokenizer(weights, vocab_size).backend_tokenizer
        return backend
    try:
        backend = Tokenizer.from_file(str(file))
        known = backend.get_vocab(with_added_tokens=True)
        special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    except Exception as error:  # the library raises plain exceptions
        raise _unusable(weights, f"{TOKENIZER} cannot be read: {error}", "replace it") from error
    beyond = {name for name, number in known.items() if number >= vocab_size}
    if beyond - special:
        largest = max(known.values())
        raise _unusable(
            weights, f"it has token id {largest}, but the model has {vocab_size} tokens", "use that of the model"
        )
    # A text never contains special tokens that the model does not have; they are tokenized as words.
    backend.encode_special_tokens = bool(beyond)
    return backend


def _token(given: Any, backend: Tokenizer) -> int | None:
    """Return the id of a token by its text, or by an object with its text."""
    content = given.get("content") if isinstance(given, dict) else given
    return backend.token_to_id(content) if isinstance(content, str) else None


def _ends(backend: Tokenizer) -> bool:
    """Return whether the template of the tokenizer ends a text with a special token."""
    mask = backend.encode("a").special_tokens_mask
    return bool(mask) and mask[-1] == 1


def _unusable(weights: Weights, why: str, fix: str) -> RobustrecError:
    return RobustrecError(
        f"cannot use the tokenizer of {weights.name}: {why}",
        where=str(weights.folder / TOKENIZER_CONFIG),
        fix=f"{fix}, or give --weights a complete folder, as written by save_pretrained",
    )
