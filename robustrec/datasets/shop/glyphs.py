"""Letters of five by seven bits, for what is written on pictures; fonts differ between machines."""

from __future__ import annotations

import numpy as np

from robustrec.datasets.shop.shapes import Mask

# Seven rows a letter, five bits a row, the leftmost bit the highest.
_LETTERS: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "N": (17, 25, 25, 21, 19, 19, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "W": (17, 17, 17, 21, 21, 27, 17),
    "Y": (17, 17, 10, 4, 4, 4, 4),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "%": (24, 25, 2, 4, 8, 19, 3),
    "-": (0, 0, 0, 31, 0, 0, 0),
}


def written(word: str) -> Mask:
    """Return a word as bits, [7, 6 * letters - 1].

    Raises:
        KeyError: the word has a letter that was never drawn; the shop's vocabulary uses only those above.
    """
    bits = np.zeros((7, 6 * len(word) - 1), dtype=bool)
    for place, letter in enumerate(word):
        for row, value in enumerate(_LETTERS[letter]):
            for column in range(5):
                bits[row, 6 * place + column] = bool(value >> (4 - column) & 1)
    return bits
