"""Beam search for the edits of an item that cost or gain it the most exposure among the users of the search.

The first step encodes every edit, severity and draw alone. What a combination does to the exposure is first
estimated, linearly in the displacement of the item's vectors: J(C ∪ {e}) ≈ J(C) + ∇J · (x_e - x), where J is the
smooth exposure of `exposure.Seen`. Only the combinations with the best estimates are encoded and ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from robustrec.audits.worst.combinations import Combination, Editor, combined, singles
from robustrec.audits.worst.conditions import encodings_beside_singles, encodings_of_item
from robustrec.audits.worst.config import WorstAudit
from robustrec.audits.worst.exposure import Exposures, Seen, Vectors
from robustrec.seeds import numpy_generator

LOWEST, HIGHEST = -1, 1


@dataclass(eq=False)
class ItemSearch:
    """The search of one item of one subject.

    Attributes:
        item: the item.
        editor: makes and encodes combinations.
        exposures: ranks them.
        config: the settings.
    """

    item: int
    editor: Editor
    exposures: Exposures
    config: WorstAudit
    ranked: dict[Combination, Seen] = field(default_factory=dict, init=False)
    encoded: dict[Combination, Vectors] = field(default_factory=dict, init=False)
    _effects: dict[Combination, float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Rank the unedited item."""
        self.ranked[()] = self.exposures.clean(self.item)

    def share(self, combination: Combination) -> tuple[float, float]:
        """Return the exposure among the users of the search, and the smooth exposure, which decides between equals."""
        seen = self.ranked[combination]
        return float(seen.shown[self.exposures.searching].mean()), seen.smooth

    def rank(self, combinations: Sequence[Combination]) -> None:
        """Encode and rank combinations; those that do not change the item are as the clean item."""
        new = [each for each in combinations if each not in self.ranked]
        self.encoded.update(self.editor.vectors(self.item, new))
        for each in new:
            self.ranked[each] = self.exposures.edited(self.item, self.encoded.get(each, {}))

    def begin(self) -> None:
        """Encode single edits, all or as many as the limit leaves, and estimate the effect of each."""
        every = singles(self.config, self.editor.edits)
        n_edits = len(self.editor.edits)
        kept = encodings_of_item(self.config, n_edits) - encodings_beside_singles(self.config, n_edits)
        if kept < len(every):
            generator = numpy_generator(self.editor.applier.seed, "worst", "tried edits", self.item)
            every = [every[place] for place in np.sort(generator.choice(len(every), max(0, kept), replace=False))]
        self.encoded.update(self.editor.vectors(self.item, every))
        tables = self.exposures.tables
        rows = {name: table[self.item] for name, table in tables.items()}
        slope = self.exposures.gradient(self.item, rows)
        if slope is None:  # no derivative: the effect of every edit is measured
            self.rank([each for each in every if each in self.encoded])
            base = self.share(())[1]
            self._effects = {each: self.share(each)[1] - base for each in every if each in self.encoded}
        else:
            rows, slope = ({name: each.cpu() for name, each in of.items()} for of in (rows, slope))
            self._effects = {each: _effect(self.encoded[each], rows, slope) for each in every if each in self.encoded}

    def extreme(self, sign: int) -> Combination:
        """Return the combination with the lowest (sign -1) or highest (1) exposure found; () if no edit does more."""
        beam: list[Combination] = [()]
        for _ in range(self.config.budget):
            found: dict[Combination, float] = {}
            for base in beam:
                used = {step.edit for step in base}
                for (step,), effect in self._effects.items():
                    if step.edit not in used:
                        found.setdefault(combined(base, step), self.share(base)[1] + effect)
            chosen = sorted(found, key=lambda each: (-sign * found[each], each))[: self.config.beam]
            if not chosen:
                break
            self.rank(chosen)
            beam = self._best(chosen, sign)
        return self._best(list(self.ranked), sign)[0]

    def _best(self, combinations: Sequence[Combination], sign: int) -> list[Combination]:
        """Return combinations by exposure, the most extreme first, fewer edits before more, at most a beam of them."""

        def order(each: Combination) -> tuple[float, float, int, Combination]:
            share, smooth = self.share(each)
            return -sign * share, -sign * smooth, len(each), each

        return sorted(combinations, key=order)[: self.config.beam]


def _effect(vectors: Vectors, rows: Vectors, slope: dict[str, Tensor]) -> float:
    return sum(float(slope[name] @ (vector - rows[name])) for name, vector in vectors.items() if name in slope)
