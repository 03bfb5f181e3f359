"""A WordPiece vocabulary by byte-pair merges of words, deterministic on every machine.

The trainer of the `tokenizers` package breaks ties by hash order, so that its vocabulary can differ between runs.
"""

from __future__ import annotations

import heapq
import itertools
import string
from collections import Counter, defaultdict
from collections.abc import Iterable

FIRST = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Ids 0 to 4."""
DECODE, ENCODE = "[DEC]", "[ENC]"
"""The last two ids: the first token of a caption, and that of a text with a picture instead of [CLS]."""
LETTERS = string.ascii_lowercase + string.digits

Pair = tuple[str, str]


def train_vocabulary(texts: Iterable[str], size: int, *, least: int = 2) -> dict[str, int]:
    """Return token -> id: special tokens, characters, and pieces merged by the frequency of adjacent pairs.

    All letters and digits are included as first and as later characters, so that a misspelled word is never unknown.

    Args:
        texts: cleaned texts.
        size: maximum size, including special tokens; all characters are included even if they exceed it.
        least: minimum frequency of a merged pair.
    """
    from tokenizers import normalizers, pre_tokenizers

    normalise, cut = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(normalise.normalize_str(text)))
    characters = {piece for word, count in words.items() if count >= least for piece in _characters(word)}
    pieces = {*LETTERS, *(f"##{letter}" for letter in LETTERS), *characters}
    room = size - len(FIRST) - 2 - len(pieces)
    merged = _learn_merges(
        {word: count for word, count in words.items() if {*_characters(word)} <= pieces}, room, least
    )
    tokens = [*FIRST, *sorted(pieces), *(piece for piece in merged if piece not in pieces), DECODE, ENCODE]
    return {token: place for place, token in enumerate(tokens)}


def _characters(word: str) -> list[str]:
    return [word[0], *(f"##{letter}" for letter in word[1:])]


def _learn_merges(words: dict[str, int], room: int, least: int) -> list[str]:
    """Return at most `room` merged pieces, the most frequent pair first; ties in alphabetical order."""
    spelled = {word: _characters(word) for word in words}
    counts: Counter[Pair] = Counter()
    places: defaultdict[Pair, set[str]] = defaultdict(set)
    for word, pieces in spelled.items():
        for pair in itertools.pairwise(pieces):
            counts[pair] += words[word]
            places[pair].add(word)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    found: dict[str, None] = {}
    while heap and len(found) < room:
        negative, pair = heapq.heappop(heap)
        if -negative != counts[pair]:
            continue  # an outdated entry; the heap also has the pair with its current count
        if -negative < least:
            break
        whole = pair[0] + pair[1].removeprefix("##")
        found[whole] = None
        touched: set[Pair] = set()
        for word in places.pop(pair):
            before = spelled[word]
            after = spelled[word] = _merge_pair(before, pair, whole)
            for old in itertools.pairwise(before):
                counts[old] -= words[word]
                touched.add(old)
            for new in itertools.pairwise(after):
                counts[new] += words[word]
                places[new].add(word)
                touched.add(new)
        for changed in touched:
            if counts[changed] > 0:
                heapq.heappush(heap, (-counts[changed], changed))
    return list(found)


def _merge_pair(pieces: list[str], pair: Pair, whole: str) -> list[str]:
    out: list[str] = []
    at = 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            out.append(whole)
            at += 2
        else:
            out.append(pieces[at])
            at += 1
    return out
