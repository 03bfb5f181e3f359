"""Encoders of networks with frozen weights; each modality is an output of a network.

Missing content: a network with text and picture as input gets no words for an empty text, and a blank picture of the
mean colour for a missing or unreadable one. A vector without any input (an image vector without picture, a fused vector
without text and picture) is the mean vector of the other items of the catalog. The sum of the two vectors of a dual
network is the one vector that there is, and in their concatenation a missing one is its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.functional import normalize

from robustrec.encoders.chosen import (
    NetworkOutput,
    check_recipe,
    first_network,
    fused_output,
    nothing_to_read,
    recipe_of,
    sources,
)
from robustrec.encoders.families import DUAL, generic, owner
from robustrec.encoders.networks import Network
from robustrec.encoders.notes import items, picture_notes
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.own import READS, has_needed
from robustrec.encoders.pipeline import ABSENT, CUT, PRESENT, UNREADABLE
from robustrec.encoders.purity import TOLERANCE, difference
from robustrec.encoders.rows import EncodedRows, RowContent, catalog_rows, has_picture_file
from robustrec.encoders.store import Encoded
from robustrec.encoders.stored_network import Rows, StoredNetwork
from robustrec.encoders.visibility import PictureView
from robustrec.encoders.weights import UsedWeights
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.catalog import Catalog
    from robustrec.datasets.registry import Dataset


_FUSIONS = {
    "sum": "the vector of the other side, or the mean vector without both",
    "concat": "mean vector in this half",
}
"""What replaces a missing side of a dual network, by `encoder.fusion`."""


Piece = tuple[Tensor, Tensor]
"""Vectors float32 [n, D], and which of the rows have any input, bool [n]."""


class FrozenEncoder:
    """Encoder of frozen networks for a data set; see `robustrec.encoders.rows.RowEncoder`.

    Args:
        name: an encoder with a recipe, see `robustrec.encoders.chosen.recipe_of`.
        dataset: data set with the catalog, also for the mean vectors.
        home: folder of the store.
        options: weights, device and others.

    Raises:
        RobustrecError: the catalog or weights are missing, or an option is not supported.
    """

    def __init__(self, name: str, dataset: Dataset, home: Path, options: EncoderOptions) -> None:
        self.name = name
        first = first_network(check_recipe(name, dataset, options))
        self.options = options
        self.recipe = {modality: fused_output(output, options.fusion) for modality, output in recipe_of(name).items()}
        self.home = home
        self.dataset_name = dataset.name
        self.catalog = cast("Catalog", dataset.catalog)
        networks = dict.fromkeys(source.network for output in self.recipe.values() for source in sources(output))
        self.parts = {network: StoredNetwork(network, options, home, first=first) for network in networks}

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return the weights of every network, by name and digest; those of two towers once."""
        return tuple(dict.fromkeys(used for part in self.parts.values() for used in part.network.used))

    @property
    def kept(self) -> bool:
        """Return whether its vectors may be stored on disk."""
        return all(part.kept for part in self.parts.values())

    @property
    def identity(self) -> dict[str, Any]:
        """Return the inputs of the vectors besides the rows: each network with its weights and settings."""
        return {
            "recipe": {modality: list(output) for modality, output in self.recipe.items()},
            "networks": {name: part.identity for name, part in self.parts.items()},
        }

    @property
    def picture_views(self) -> tuple[PictureView, ...]:
        """Return what each network sees of a picture; () if none reads pictures, or if that of one is not known."""
        networks = [part.network for part in self.parts.values() if "picture" in part.network.reads]
        rules = [getattr(network, "picture_rule", None) for network in networks]
        return () if None in rules else tuple(rule for rule in rules if rule is not None)

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the features of the items of the catalog; encode and store those that are not in the store.

        Raises:
            RobustrecError: the catalog has no content for the encoder, or the store cannot be written.
        """
        both = any(len(sources(output)) > 1 for output in self.recipe.values())
        fuses = both or any(_fuses(part.network) for part in self.parts.values())
        if fuses and not self.catalog.n_pictures:
            raise nothing_to_read(self.name, self.dataset_name, "no item has a picture")
        whole = {name: part.cached(self.rows, progress) for name, part in self.parts.items()}
        pictures = [
            rows.facts["picture"] for name, rows in whole.items() if "picture" in self.parts[name].network.reads
        ]
        if fuses and not any((facts == PRESENT).any() for facts in pictures):
            raise nothing_to_read(self.name, self.dataset_name, "no picture can be read")
        if both and not self.catalog.n_texts:
            raise nothing_to_read(self.name, self.dataset_name, "no item has a text")
        tables: dict[str, Tensor] = {}
        notes: list[str] = []
        for modality, output in self.recipe.items():
            pieces = self._pieces(output, whole)
            if all(read.any() for _, read in pieces):
                tables[modality] = joined(pieces, [_mean(*piece) for piece in pieces])
            else:
                notes.append(f"no content to encode for {modality}: no {modality} features")
        if not tables:
            raise nothing_to_read(self.name, self.dataset_name, "; ".join(notes))
        return Encoded(tables, (*notes, *self._notes(whole)), {})

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows; rows with the content of a catalog item come from the store.

        Modalities without content in the catalog are omitted. Without rows, there are no modalities.
        """
        if not rows:
            return EncodedRows({}, ())
        encoded = self._uncached(rows, progress)
        tables: dict[str, Tensor] = {}
        for modality, output in self.recipe.items():
            pieces = self._pieces(output, encoded)
            complete = all(read.all() for _, read in pieces)
            means = [table.new_zeros(()) for table, _ in pieces] if complete else self._catalog_means(output)
            if means is not None:
                tables[modality] = joined(pieces, means)
        return EncodedRows(tables, tuple(self._notes(encoded)))

    def read(
        self, rows: Sequence[RowContent], progress: Progress | None = None, *, store: bool = False
    ) -> dict[str, list[Piece]]:
        """Return modality -> the pieces of its vectors, side by side, and which of their rows have any input.

        Args:
            rows: the rows, n >= 1.
            progress: reports the number of encoded rows.
            store: store what is encoded; only for rows of the catalog.
        """
        if store:
            encoded = {name: part.cached(rows, progress) for name, part in self.parts.items()}
        else:
            encoded = self._uncached(rows, progress)
        return {modality: self._pieces(output, encoded) for modality, output in self.recipe.items()}

    def parts_of(self, modality: str) -> tuple[str, ...]:
        """Return what the vectors of a modality may depend on, of "text" and "picture"."""
        found = {part for source in sources(self.recipe[modality]) for part in self._parts_of(source)}
        return tuple(part for part in READS if part in found)

    def has_content(self, modality: str, row: RowContent) -> bool:
        """Return whether a row of the catalog has what a vector needs, by its text and picture file."""
        has = {"text": bool(row.text.strip()), "picture": has_picture_file(row)}
        output = self.recipe[modality]
        if need := _own_needs(self.parts[sources(output)[0].network].network).get(output.output):
            return has_needed(need, **has)
        return (all if output.output == "concat" else any)(has[part] for part in self.parts_of(modality))

    def moved_by(self, rows: Sequence[RowContent]) -> dict[str, tuple[str, ...]]:
        """Return modality -> what its vectors follow, as swapped texts and pictures show it, for user-defined encoders.

        Args:
            rows: rows of the catalog with text and picture.
        """
        owned = [name for name, output in self.recipe.items() if output.network in self.parts]
        names = [name for name in owned if _own_needs(self.parts[self.recipe[name].network].network)]
        names = [name for name in names if len(self.parts_of(name)) > 1]
        if len(rows) < 2 or not names:
            return {}
        other = [*rows[1:], rows[0]]
        before = self.read(rows)
        changed = {
            "text": self.read([replace(row, text=each.text) for row, each in zip(rows, other, strict=True)]),
            "picture": self.read([replace(row, picture=each.picture) for row, each in zip(rows, other, strict=True)]),
        }
        return {
            name: tuple(
                part
                for part, after in changed.items()
                if difference({name: before[name][0][0].numpy()}, {name: after[name][0][0].numpy()}).share
                > TOLERANCE["full"]
            )
            for name in names
        }

    @cached_property
    def rows(self) -> list[RowContent]:
        """The rows of the catalog."""
        return catalog_rows(self.catalog, self.home / "digests")

    def _uncached(self, rows: Sequence[RowContent], progress: Progress | None) -> dict[str, Rows]:
        for part in self.parts.values():
            if part.checks:
                part.check(self.rows)
        return {name: part.uncached(rows, progress) for name, part in self.parts.items()}

    def _catalog_means(self, output: NetworkOutput) -> list[Tensor] | None:
        """Return the means of the pieces of an output over the catalog; None if it has no content for one."""
        whole = {each.network: self.parts[each.network].cached(self.rows, None) for each in sources(output)}
        pieces = self._pieces(output, whole)
        return [_mean(*piece) for piece in pieces] if all(read.any() for _, read in pieces) else None

    def _pieces(self, output: NetworkOutput, rows: Mapping[str, Rows]) -> list[Piece]:
        """Return the tables [n, D] that are joined to an output, and which of their rows have any input, bool [n]."""
        pieces = [self._read(source, rows) for source in sources(output)]
        if len(pieces) == 1 or output.output != "sum":
            return pieces
        total = sum((table * read[:, None] for table, read in pieces[1:]), pieces[0][0] * pieces[0][1][:, None])
        read = torch.stack([read for _, read in pieces]).any(dim=0)
        return [(total if self.options.normalise is False else normalize(total, dim=1), read)]

    def _read(self, output: NetworkOutput, rows: Mapping[str, Rows]) -> tuple[Tensor, Tensor]:
        """Return the table of an output, and which of its rows have any input, bool [n]."""
        network = self.parts[output.network].network
        facts = rows[output.network].facts
        sources = {"text": facts["text"] != ABSENT, "picture": facts["picture"] == PRESENT}
        table = rows[output.network].outputs[output.output]
        if need := _own_needs(network).get(output.output):
            whole = torch.stack([sources[part] for part in READS if need in (part, "any", "both")])
            return table, whole.all(dim=0) if need == "both" else whole.any(dim=0)
        return table, torch.stack([sources[part] for part in self._parts_of(output)]).any(dim=0)

    def _parts_of(self, output: NetworkOutput) -> tuple[str, ...]:
        network = self.parts[output.network].network
        # The image vector of a network with both inputs does not depend on the text.
        return ("picture",) if output.output == "image" and not _own_needs(network) else network.reads

    def _notes(self, rows: Mapping[str, Rows]) -> list[str]:
        """Return notes on missing, unreadable and truncated content, with the rule for it, without repetition."""
        notes: list[str] = []
        for name, part in self.parts.items():
            split = _fuses(part.network) and NetworkOutput(name, "image") in self.recipe.values()
            fusion = self.options.fusion if generic(owner(name)) == DUAL else "none"
            notes += _missing(part.network, rows[name], split=split, fusion=fusion)
            notes += part.network.notes(rows[name].facts)
            if rows[name].damaged:
                notes.append(f"{items(rows[name].damaged, 'stored file')} of {name} damaged: encoded again")
        return list(dict.fromkeys(notes))


def _own_needs(network: Network) -> Mapping[str, str]:
    """Return what each output of a user-defined encoder needs; {} for other networks."""
    needs: Mapping[str, str] = getattr(network, "needs", {})
    return needs


def _fuses(network: Network) -> bool:
    """Return whether a built-in network reads text and picture for one vector."""
    return len(network.reads) > 1 and not _own_needs(network)


def _missing(network: Network, rows: Rows, *, split: bool, fusion: str) -> list[str]:
    fused = _fuses(network)
    text, picture = rows.facts["text"], rows.facts["picture"]
    notes: list[str] = []
    if "picture" in network.reads:
        rule = "blank picture" if fused else _FUSIONS.get(fusion) or _rule(network, "picture")
        unreadable = [
            (place, rows.messages.get(place, "")) for place in torch.nonzero(picture == UNREADABLE).flatten().tolist()
        ]
        rule += ", and mean vector for the image vector" if split else ""
        notes += picture_notes(int((picture == ABSENT).sum()), unreadable, rule)
    if "text" in network.reads:
        if count := int((text == ABSENT).sum()):
            rule = "picture only" if fused else _FUSIONS.get(fusion) or _rule(network, "text")
            notes.append(f"{items(count)} without a text: {rule}")
        if count := int((text == CUT).sum()):
            notes.append(f"{items(count)} with a longer text than {network.name} reads: cut")
        if count := int((rows.facts["unknown"] > 50).sum()):
            notes.append(f"{items(count)} with a text of mostly unknown words for {network.name}")
    if fused and (count := int(((text == ABSENT) & (picture != PRESENT)).sum())):
        notes.append(f"{items(count)} with neither text nor picture: mean vector")
    return notes


def _rule(network: Network, missing: str) -> str:
    """Return what rows of a network that does not fuse get without a text or picture."""
    needs = _own_needs(network)
    without = [modality for modality, need in needs.items() if need in (missing, "both")]
    if needs and not without:
        return "picture only" if missing == "text" else "text only"
    return f"mean vector for {' and '.join(without)}" if len(without) < len(needs) else "mean vector"


def joined(pieces: Sequence[Piece], means: Sequence[Tensor]) -> Tensor:
    """Return a new table of pieces side by side, each with its mean, float32 [D], in the rows without input."""
    filled = [torch.where(read[:, None], table, mean) for (table, read), mean in zip(pieces, means, strict=True)]
    return torch.cat(filled, dim=1)


def _mean(table: Tensor, read: Tensor) -> Tensor:
    return table[read].double().mean(dim=0).float()
