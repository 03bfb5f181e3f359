"""Combinations of edits of one item, and the vectors that the encoder makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from robustrec.audits.missing.removed import ROUNDING
from robustrec.audits.worst.config import WorstAudit
from robustrec.edits.content import Content, content_of, text_of
from robustrec.edits.contract import Edit, apply_edit
from robustrec.encoders.rows import StoredPicture
from robustrec.errors import RobustrecError
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.treatments import EditApplier, Row, Shown, row_of
from robustrec.seeds import derive_seed, numpy_generator

TRIES = 20
"""Random combinations that are drawn for one that changes the item."""


class Step(NamedTuple):
    """One edit of an item: its place among the edits, severity and number of the draw."""

    edit: int
    severity: int
    draw: int


Combination = tuple[Step, ...]
"""Distinct edits in the order in which they are applied, which is that of the edits of the audit."""


def combined(combination: Combination, step: Step) -> Combination:
    """Return a combination with a further edit."""
    return tuple(sorted((*combination, step)))


def singles(config: WorstAudit, edits: Sequence[Edit]) -> list[Combination]:
    """Return every edit with every severity and draw."""
    return [
        (Step(place, severity, draw),)
        for place in range(len(edits))
        for severity in config.severities
        for draw in range(config.draws)
    ]


@dataclass(frozen=True, eq=False)
class Editor:
    """Edits items, and encodes each combination once for all subjects.

    Its random numbers have names of their own: no edit of a training, nor of another audit, is drawn with them.

    Attributes:
        edits: what combinations are made of.
        applier: the items of the catalogue.
        encoder: encodes edited rows, and keeps the vectors on disk.
        clean: modality -> [I, D] vectors of the unedited items.
    """

    edits: tuple[Edit, ...]
    applier: EditApplier
    encoder: EditedRows
    clean: Mapping[str, Tensor]
    _vectors: dict[tuple[int, Combination], dict[str, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def words(self, combination: Combination) -> str:
        """Return a combination in words: "crop 3 + promo_phrase 1"."""
        return " + ".join(f"{self.edits[step.edit].name} {step.severity}" for step in combination) or "no edit"

    def before(self, item: int) -> Content:
        """Return an unedited item; a picture that cannot be read is None."""
        try:
            return content_of(self.applier.catalog, item)
        except RobustrecError:
            return content_of(self.applier.catalog, item, picture=False)

    def after(self, before: Content, item: int, combination: Combination) -> Content:
        """Return the item after all edits of a combination, or the object `before` itself if nothing changed."""
        content, seed = before, derive_seed(self.applier.seed, "worst")
        for step in combination:
            each = self.edits[step.edit]
            generator = numpy_generator(seed, "edit", each.name, step.draw, item)
            content = apply_edit(each, content, step.severity, generator, self.applier.view)
        return content

    def vectors(self, item: int, combinations: Sequence[Combination]) -> dict[Combination, dict[str, Tensor]]:
        """Return combination -> modality -> [D] vectors that it moves, of those that change the item.

        A vector that changes by no more than rounding is the clean one, and is left out.
        """
        lacking = [each for each in dict.fromkeys(combinations) if (item, each) not in self._vectors]
        edited: list[Combination] = []

        def rows() -> Iterator[Row]:
            before = self.before(item)
            own = self.applier.rows[item].picture
            assert isinstance(own, StoredPicture)
            for each in lacking:
                after = self.after(before, item, each)
                if after is not before:
                    edited.append(each)
                    yield row_of(text_of(after), own if after.picture is before.picture else Shown(after.picture))

        tables = encode_all(rows(), self.encoder.encode) if lacking else {}
        self._vectors.update({(item, each): {} for each in lacking})
        for name, table in tables.items():
            clean = self.clean[name][item].cpu()
            far = (table - clean).norm(dim=1) > ROUNDING * clean.norm().clamp_min(1e-12)
            for place in far.nonzero().flatten().tolist():
                self._vectors[item, edited[place]][name] = table[place]
        return {each: self._vectors[item, each] for each in combinations if self._vectors[item, each]}

    def random(self, item: int, number: int, config: WorstAudit) -> Combination:
        """Return a random combination of `budget` distinct edits that changes the item; () if none is found.

        Args:
            item: the item.
            number: of the combination.
            config: the settings.
        """
        generator = numpy_generator(self.applier.seed, "worst", "random combination", number, item)
        before, size = self.before(item), min(config.budget, len(self.edits))
        for _ in range(TRIES):
            places = np.sort(generator.choice(len(self.edits), size, replace=False))
            found = tuple(
                Step(int(place), int(generator.choice(config.severities)), int(generator.integers(0, config.draws)))
                for place in places
            )
            if self.after(before, item, found) is not before:
                return found
        return ()
