"""A WordPiece vocabulary by byte-pair merges over words, the same for the same texts on every machine.

(The trainer of the `tokenizers` package breaks ties by hash order, so that two runs can give two vocabularies.)
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
"""The last two ids: what opens a caption, and what takes the place of [CLS] where a picture is read along."""
LETTERS = string.ascii_lowercase + string.digits

Pair = tuple[str, str]


def train_vocabulary(texts: Iterable[str], size: int, *, least: int = 2) -> dict[str, int]:
    """Return token -> id: special tokens, characters, and pieces merged by how often they stand side by side.

    Every letter and digit is there, at a word's beginning and inside it, so that a typo is spelled and not unknown.

    Args:
        texts: cleaned texts.
        size: most entries, special tokens included; characters come on top where it is smaller than they are.
        least: a merge must have been seen so often.
    """
    from tokenizers import normalizers, pre_tokenizers

    normalise, cut = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(normalise.normalize_str(text)))
    characters = {piece for word, count in words.items() if count >= least for piece in _spelled(word)}
    pieces = {*LETTERS, *(f"##{letter}" for letter in LETTERS), *characters}
    room = size - len(FIRST) - 2 - len(pieces)
    merged = _merges({word: count for word, count in words.items() if {*_spelled(word)} <= pieces}, room, least)
    tokens = [*FIRST, *sorted(pieces), *(piece for piece in merged if piece not in pieces), DECODE, ENCODE]
    return {token: place for place, token in enumerate(tokens)}


def _spelled(word: str) -> list[str]:
    return [word[0], *(f"##{letter}" for letter in word[1:])]


def _merges(words: dict[str, int], room: int, least: int) -> list[str]:
    """Return at most `room` merged pieces, the most frequent pair first; ties by the alphabet."""
    spelled = {word: _spelled(word) for word in words}
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
            continue  # an older entry; the pair is in the heap again under its present count
        if -negative < least:
            break
        whole = pair[0] + pair[1].removeprefix("##")
        found[whole] = None
        touched: set[Pair] = set()
        for word in places.pop(pair):
            before = spelled[word]
            after = spelled[word] = _joined(before, pair, whole)
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


def _joined(pieces: list[str], pair: Pair, whole: str) -> list[str]:
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
