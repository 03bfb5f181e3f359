"""Encoders of networks with frozen weights; each modality is an output of a network.

Missing content: a network with text and picture as input gets no words for an empty text, and a blank picture of the
mean colour for a missing or unreadable one. A vector without any input (an image vector without picture, a fused vector
without text and picture) is the mean vector of the other items of the catalog. The sum of the two vectors of a dual
network is the one vector that there is, and in their concatenation a missing one is its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from robustrec.encoders.own import READS
from robustrec.encoders.pipeline import ABSENT, CUT, PRESENT, UNREADABLE
from robustrec.encoders.rows import EncodedRows, RowContent, catalog_rows
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
        whole = {name: part.cached(self._rows, progress) for name, part in self.parts.items()}
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
                tables[modality] = _joined(pieces, [_mean(*piece) for piece in pieces])
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
        for part in self.parts.values():
            if part.checks:
                part.check(self._rows)
        encoded = {name: part.uncached(rows, progress) for name, part in self.parts.items()}
        tables: dict[str, Tensor] = {}
        for modality, output in self.recipe.items():
            pieces = self._pieces(output, encoded)
            complete = all(read.all() for _, read in pieces)
            means = [table.new_zeros(()) for table, _ in pieces] if complete else self._catalog_means(output)
            if means is not None:
                tables[modality] = _joined(pieces, means)
        return EncodedRows(tables, tuple(self._notes(encoded)))

    @cached_property
    def _rows(self) -> list[RowContent]:
        return catalog_rows(self.catalog, self.home / "digests")

    def _catalog_means(self, output: NetworkOutput) -> list[Tensor] | None:
        """Return the means of the pieces of an output over the catalog; None if it has no content for one."""
        whole = {each.network: self.parts[each.network].cached(self._rows, None) for each in sources(output)}
        pieces = self._pieces(output, whole)
        return [_mean(*piece) for piece in pieces] if all(read.any() for _, read in pieces) else None

    def _pieces(self, output: NetworkOutput, rows: Mapping[str, Rows]) -> list[tuple[Tensor, Tensor]]:
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
        # The image vector of a network with both inputs does not depend on the text.
        reads = ("picture",) if output.output == "image" else network.reads
        return table, torch.stack([sources[part] for part in reads]).any(dim=0)

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


def _joined(pieces: Sequence[tuple[Tensor, Tensor]], means: Sequence[Tensor]) -> Tensor:
    """Return a new table of pieces side by side, each with its mean in the rows without input."""
    filled = [torch.where(read[:, None], table, mean) for (table, read), mean in zip(pieces, means, strict=True)]
    return torch.cat(filled, dim=1)


def _mean(table: Tensor, read: Tensor) -> Tensor:
    return table[read].double().mean(dim=0).float()
