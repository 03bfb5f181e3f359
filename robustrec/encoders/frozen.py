"""Encoders of networks with frozen weights; each modality is an output of a network.

Missing content: a network with text and picture as input gets no words for an empty text, and a blank picture of the
mean colour for a missing or unreadable one. A vector without any input (an image vector without picture, a fused vector
without text and picture) is the mean vector of the other items of the catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from robustrec.encoders.chosen import NetworkOutput, check_recipe, first_network, nothing_to_read, recipe_of
from robustrec.encoders.networks import Network
from robustrec.encoders.notes import items, picture_notes
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.own import READS
from robustrec.encoders.pipeline import ABSENT, CUT, PRESENT, UNREADABLE
from robustrec.encoders.rows import EncodedRows, RowContent, catalog_rows
from robustrec.encoders.store import Encoded
from robustrec.encoders.stored_network import Rows, StoredNetwork
from robustrec.encoders.weights import UsedWeights
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.catalog import Catalog
    from robustrec.datasets.registry import Dataset


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
        self.recipe = recipe_of(name)
        self.home = home
        self.dataset_name = dataset.name
        names = check_recipe(name, dataset, options)
        self.catalog = cast("Catalog", dataset.catalog)
        self.parts = {network: StoredNetwork(network, options, home, first=first_network(names)) for network in names}

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return the weights of every network, by name and digest."""
        return tuple(used for part in self.parts.values() for used in part.network.used)

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

    def catalog_features(self, progress: Progress | None) -> Encoded:
        """Return the features of the items of the catalog; encode and store those that are not in the store.

        Raises:
            RobustrecError: the catalog has no content for the encoder, or the store cannot be written.
        """
        fuses = any(_fuses(part.network) for part in self.parts.values())
        if fuses and not self.catalog.n_pictures:
            raise nothing_to_read(self.name, self.dataset_name, "no item has a picture")
        whole = {name: part.cached(self._rows, progress) for name, part in self.parts.items()}
        if fuses and not any((rows.facts["picture"] == PRESENT).any() for rows in whole.values()):
            raise nothing_to_read(self.name, self.dataset_name, "no picture can be read")
        tables: dict[str, Tensor] = {}
        notes: list[str] = []
        for modality, output in self.recipe.items():
            table, read = self._read(output, whole)
            if read.any():
                tables[modality] = _filled(table, read, _mean(table, read))
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
            table, read = self._read(output, encoded)
            fallback = table.new_zeros(()) if read.all() else self._catalog_mean(output)
            if fallback is not None:
                tables[modality] = _filled(table, read, fallback)
        return EncodedRows(tables, tuple(self._notes(encoded)))

    @cached_property
    def _rows(self) -> list[RowContent]:
        return catalog_rows(self.catalog, self.home / "digests")

    def _catalog_mean(self, output: NetworkOutput) -> Tensor | None:
        table, read = self._read(output, {output.network: self.parts[output.network].cached(self._rows, None)})
        return _mean(table, read) if read.any() else None

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
            notes += _missing(part.network, rows[name], split=NetworkOutput(name, "image") in self.recipe.values())
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


def _missing(network: Network, rows: Rows, *, split: bool) -> list[str]:
    fused = _fuses(network)
    text, picture = rows.facts["text"], rows.facts["picture"]
    notes: list[str] = []
    if "picture" in network.reads:
        rule = "blank picture" if fused else _rule(network, "picture")
        unreadable = [
            (place, rows.messages.get(place, "")) for place in torch.nonzero(picture == UNREADABLE).flatten().tolist()
        ]
        rule += ", and mean vector for the image vector" if split else ""
        notes += picture_notes(int((picture == ABSENT).sum()), unreadable, rule)
    if "text" in network.reads:
        if count := int((text == ABSENT).sum()):
            notes.append(f"{items(count)} without a text: {'picture only' if fused else _rule(network, 'text')}")
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


def _filled(table: Tensor, read: Tensor, fallback: Tensor) -> Tensor:
    """Return a copy of a table with a fallback in the rows without input."""
    return torch.where(read[:, None], table, fallback)


def _mean(table: Tensor, read: Tensor) -> Tensor:
    return table[read].double().mean(dim=0).float()
