"""Text descriptors: TF-IDF of hashed word and character n-grams, sketched to a fixed width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import normalize

BUCKETS = 2**17
"""Number of hash buckets of word n-grams, and of character n-grams."""
WIDTH = 4096
"""Number of columns of the sketch."""
MAX_CHARACTERS = 20_000
"""Maximum number of characters of a text; longer texts are truncated, to limit time and memory."""
WORD_SHARE = 0.6
"""Share of words in the squared norm of a descriptor; characters have the remaining share."""

_WORD = r"(?u)\b\w+\b"  # including single characters, such as sizes


def count_ngrams(texts: Sequence[str]) -> scipy.sparse.csr_array:
    """Return counts [n, 2 * BUCKETS] of hashed word 1-2-grams, then of character 3-5-grams within words."""
    cut = [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode() for text in texts]  # no lone surrogates
    words = HashingVectorizer(
        n_features=BUCKETS, ngram_range=(1, 2), token_pattern=_WORD, alternate_sign=False, norm=None
    )
    characters = HashingVectorizer(
        n_features=BUCKETS, analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False, norm=None
    )
    counts = scipy.sparse.hstack([words.transform(cut), characters.transform(cut)], format="csr")
    return scipy.sparse.csr_array(counts, dtype=np.float64)


def inverse_document_frequency(counts: scipy.sparse.csr_array) -> NDArray[np.float32]:
    """Return ln((1 + n) / (1 + df)) + 1 for every n-gram, float32 [2 * BUCKETS]; largest for unseen ones."""
    seen = np.bincount(counts.indices, minlength=counts.shape[1])
    weights: NDArray[np.float32] = (np.log((1 + counts.shape[0]) / (1 + seen)) + 1).astype(np.float32)
    return weights


def sketch(counts: scipy.sparse.csr_array, weights: NDArray[np.float32]) -> scipy.sparse.csr_array:
    """Return the descriptors, sparse float32 [n, WIDTH] with rows of norm about 1.

    (1 + ln count) * weight, words and characters each normalised, mixed by WORD_SHARE and added up, with
    signs, into WIDTH columns (a count sketch: inner products are kept up to about 1 / sqrt(WIDTH)).
    """
    weighted = counts.copy()
    weighted.data = (1 + np.log(counts.data)) * weights[counts.indices]
    left = normalize(weighted[:, :BUCKETS]) * np.sqrt(WORD_SHARE)
    right = normalize(weighted[:, BUCKETS:]) * np.sqrt(1 - WORD_SHARE)
    both = scipy.sparse.csr_array(scipy.sparse.hstack([left, right], format="csr"))
    mixed = (both.indices.astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wraps at 2**64
    columns = (mixed >> np.uint64(40)) % np.uint64(WIDTH)
    signs = np.where((mixed >> np.uint64(63)) == 1, -1.0, 1.0)
    folded = scipy.sparse.csr_array(
        (both.data * signs, columns.astype(np.int64), both.indptr), shape=(both.shape[0], WIDTH)
    )
    folded.sum_duplicates()
    return folded.astype(np.float32)
