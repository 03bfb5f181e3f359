"""In which directions edits move vectors.

`python -m benchmarks.edit_directions --dataset movielens --features minilm+lite0`.
It needs at most 400 encodings besides those of the catalog, and trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustrec.config import default_home, resolve
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.encoders.options import options_of
from robustrec.encoders.shrink import fit_shrink, fit_shrink_edits
from robustrec.runs.fitting import displacements
from robustrec.runs.prepared import edit_source
from robustrec.seeds import numpy_generator

TOP = (1, 8, 32, 128)
KEPT = 0.7


def participation(values: NDArray[np.floating[Any]]) -> float:
    """Return (Σ e)² / Σ e², the number of equal eigenvalues that spread as much."""
    return float(values.sum() ** 2 / np.square(values).sum())


def lines_of(table: NDArray[np.float32], moved: NDArray[np.float32]) -> Iterator[tuple[str, str]]:
    """Yield (measure, value) of one modality; directions and filters are fitted on one half of the displacements."""
    clean = table.astype(np.float64) - table.mean(axis=0, dtype=np.float64)
    order = numpy_generator(0, "edit directions").permutation(len(moved))
    fit, held = np.array_split(moved[order].astype(np.float64), 2)
    width = table.shape[1]
    between, within = clean.T @ clean / len(clean), moved.T.astype(np.float64) @ moved / len(moved)
    values, vectors = np.linalg.eigh(between)
    own = np.linalg.svd(fit, full_matrices=False)[2]
    energy = np.square(held).sum()
    size = np.sqrt(np.square(moved.astype(np.float64)).sum() / len(moved))
    yield "width d; displaced items", f"{width}; {len(moved)}"
    yield "size of a displacement, share of an item's distance from the mean", f"{size / np.sqrt(values.sum()):.2f}"
    yield "effective rank of the catalog", f"{participation(values):.0f}"
    yield (
        "effective rank of the displacements (at most the number of them)",
        f"{participation(np.linalg.eigvalsh(within)):.0f}",
    )
    for k in TOP:
        catalog = vectors[:, -k:]
        yield (
            f"top {k}: variance of the catalog; energy of edits along the catalog's; along those of other edits",
            f"{values[-k:].sum() / values.sum():.0%}; {np.square(held @ catalog).sum() / energy:.0%};"
            f" {np.square(held @ own[:k].T).sum() / energy:.0%}",
        )
    ratio = np.sqrt(width * np.vdot(within, between) / (np.trace(within) * np.trace(between)))
    yield (
        "effect on scores along the catalog, of edits against noise of the same size",
        f"{ratio:.1f} (at most {width**0.5:.1f})",
    )
    for name, fitted in (
        (f"shrink={KEPT}", fit_shrink(table, KEPT)),
        (f"shrink={KEPT},edits", fit_shrink_edits(table, KEPT, fit.astype(np.float32))),
    ):
        assert fitted is not None
        matrix = fitted.matrix
        edits, noise = np.square(held @ matrix.T).sum() / energy, np.square(matrix).sum() / width
        yield (
            f"{name}: energy kept of the catalog, of other edits, of noise",
            f"{fitted.kept:.0%}; {edits:.0%}; {noise:.0%}",
        )


def main() -> None:
    """Print a Markdown table for each modality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="clothing")
    parser.add_argument("--features", default="basic")
    parser.add_argument("--home", type=Path, default=default_home())
    given = parser.parse_args()
    settings = resolve(vars(given), environment={}).settings
    dataset = load_dataset(settings.dataset, home=settings.home)
    features = item_features(dataset, settings.features, home=settings.home, options=options_of(settings))
    moved = displacements(dataset, features, edit_source(settings))
    found = {name: dict(lines_of(features.tables[name].numpy(), each)) for name, each in moved.items()}
    print(f"| measure | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for measure in next(iter(found.values())):
        print(f"| {measure} | {' | '.join(each[measure] for each in found.values())} |")


if __name__ == "__main__":
    main()
