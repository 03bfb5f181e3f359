"""Encoders made of networks with frozen weights: which output of which network is which modality.

The rule for what is missing: a network that reads text and picture gets no words for an empty text and a blank
picture of the mean colour for a missing or unreadable one. A vector of which nothing was read (no picture under a
picture's vector, neither text nor picture under a fused one) is the mean vector of the catalogue's other items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from robustrec.encoders.networks import Network
from robustrec.encoders.notes import items, picture_notes
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.pipeline import ABSENT, CUT, PRESENT, UNREADABLE
from robustrec.encoders.rows import EncodedRows, RowContent, catalog_rows
from robustrec.encoders.store import Encoded
from robustrec.encoders.stored_network import Rows, StoredNetwork
from robustrec.encoders.weights import UsedWeights, given_networks
from robustrec.errors import RobustrecError
from robustrec.progress import Progress

if TYPE_CHECKING:
    from robustrec.datasets.registry import Dataset


class Output(NamedTuple):
    """An output of a network."""

    network: str
    output: str


Recipe = Mapping[str, Output]
"""Modality -> the output that is its vector."""

TINY_FUSED = Output("tiny-blip", "fused")
FUSED = Output("blip", "fused")
FUSED2 = Output("blip2", "fused")
SENTENCE = Output("minilm", "sentence")
POOLED = Output("cnn", "pooled")

RECIPES: dict[str, Recipe] = {
    "tiny-blip": {"image": TINY_FUSED, "text": TINY_FUSED},
    "blip": {"image": FUSED, "text": FUSED},
    "blip-split": {"image": Output("blip", "image"), "text": FUSED},
    "blip+minilm": {"image": FUSED, "text": SENTENCE},
    "blip2": {"image": FUSED2, "text": FUSED2},
    "blip2+minilm": {"image": FUSED2, "text": SENTENCE},
    "minilm": {"text": SENTENCE},
    "cnn": {"image": POOLED},
    "minilm+cnn": {"image": POOLED, "text": SENTENCE},
}
"""What each encoder of frozen networks gives for each modality by name."""


def has_captions(name: str) -> bool:
    """Tell whether an encoder has the matching head and captioner that `--denoise capfilt` needs."""
    return any(output.network in ("tiny-blip", "blip") for output in RECIPES.get(name, {}).values())


class FrozenEncoder:
    """Frozen networks over a data set; see `robustrec.encoders.rows.RowEncoder`.

    Args:
        name: key in RECIPES.
        dataset: whose catalogue gives the mean vectors.
        home: the folder that holds the store.
        options: weights, device and the rest.

    Raises:
        RobustrecError: no catalogue, an option that this encoder has no use for, or weights that are not there.
    """

    def __init__(self, name: str, dataset: Dataset, home: Path, options: EncoderOptions) -> None:
        self.name = name
        self.recipe = RECIPES[name]
        self.home = home
        self.dataset_name = dataset.name
        if dataset.catalog is None:
            raise self._nothing_to_read("it has no catalog")
        self.catalog = dataset.catalog
        names = tuple(dict.fromkeys(output.network for output in self.recipe.values()))
        given_networks(options, names[0], (*names, *(("captioner",) if has_captions(name) else ())))
        if options.denoise != "none" and not has_captions(name):
            raise RobustrecError(
                f"encoder {name!r} does not support --denoise: it has no captioner and no matching head",
                where=f"--denoise {options.denoise}",
                fix="use --features blip --weights FOLDER, or omit it",
            )
        self.parts = {network: StoredNetwork(network, options, home, first=names[0]) for network in names}

    @property
    def weights(self) -> tuple[UsedWeights, ...]:
        """Return the weights of every network, by name and digest."""
        return tuple(used for part in self.parts.values() for used in part.network.used)

    @property
    def identity(self) -> dict[str, Any]:
        """Return what the vectors depend on besides the rows: every network with its weights and settings."""
        return {
            "recipe": {modality: list(output) for modality, output in self.recipe.items()},
            "networks": {name: part.identity for name, part in self.parts.items()},
        }

    def catalogue(self, progress: Progress | None) -> Encoded:
        """Return the features of the catalogue's items; what the store lacks is encoded now and kept there.

        Raises:
            RobustrecError: the catalogue has nothing that the encoder reads, or the store cannot be written.
        """
        fuses = any(len(part.network.reads) > 1 for part in self.parts.values())
        if fuses and not self.catalog.n_pictures:
            raise self._nothing_to_read("no item has a picture")
        whole = {name: part.kept(self._rows, progress) for name, part in self.parts.items()}
        if fuses and not any((rows.facts["picture"] == PRESENT).any() for rows in whole.values()):
            raise self._nothing_to_read("no picture can be read")
        tables: dict[str, Tensor] = {}
        notes: list[str] = []
        for modality, output in self.recipe.items():
            table, read = self._read(output, whole)
            if read.any():
                tables[modality] = _filled(table, read, _mean(table, read))
            else:
                notes.append(f"no content to encode for {modality}: the features omit this modality")
        if not tables:
            raise self._nothing_to_read("; ".join(notes))
        return Encoded(tables, (*notes, *self._notes(whole)), {})

    def encode(self, rows: Sequence[RowContent], progress: Progress | None = None) -> EncodedRows:
        """Return the vectors of rows; rows whose content is a catalogue item's come from the store.

        A modality of which the catalogue has nothing is absent, and so is every modality of no rows.
        """
        if not rows:
            return EncodedRows({}, ())
        encoded = {name: part.fresh(rows, progress) for name, part in self.parts.items()}
        tables: dict[str, Tensor] = {}
        for modality, output in self.recipe.items():
            table, read = self._read(output, encoded)
            fallback = table.new_zeros(()) if read.all() else self._catalogue_mean(output)
            if fallback is not None:
                tables[modality] = _filled(table, read, fallback)
        return EncodedRows(tables, tuple(self._notes(encoded)))

    @cached_property
    def _rows(self) -> list[RowContent]:
        return catalog_rows(self.catalog, self.home / "digests")

    def _catalogue_mean(self, output: Output) -> Tensor | None:
        table, read = self._read(output, {output.network: self.parts[output.network].kept(self._rows, None)})
        return _mean(table, read) if read.any() else None

    def _read(self, output: Output, rows: Mapping[str, Rows]) -> tuple[Tensor, Tensor]:
        """Return an output's table, and which of its rows come from anything, bool [n]."""
        network = self.parts[output.network].network
        facts = rows[output.network].facts
        sources = {"text": facts["text"] != ABSENT, "picture": facts["picture"] == PRESENT}
        # The picture's own vector in a network that reads both knows nothing of the text.
        reads = ("picture",) if output.output == "image" else network.reads
        return rows[output.network].outputs[output.output], torch.stack([sources[part] for part in reads]).any(dim=0)

    def _notes(self, rows: Mapping[str, Rows]) -> list[str]:
        """Return what was missing, unreadable or cut, with the rule, each said once."""
        notes: list[str] = []
        for name, part in self.parts.items():
            notes += _missing(part.network, rows[name], split=Output(name, "image") in self.recipe.values())
            notes += part.network.notes(rows[name].facts)
            if rows[name].damaged:
                notes.append(f"{items(rows[name].damaged, 'stored file')} of {name} damaged: encoded again")
        return list(dict.fromkeys(notes))

    def _nothing_to_read(self, why: str) -> RobustrecError:
        return RobustrecError(
            f"dataset {self.dataset_name!r} has no content that encoder {self.name!r} can read: {why}",
            where=f"--features {self.name}",
            fix="use --features minilm for texts alone, --features basic for any available content, or a model that"
            " needs no features (--model bpr or --model lightgcn)",
        )


def _missing(network: Network, rows: Rows, *, split: bool) -> list[str]:
    fused = len(network.reads) > 1
    text, picture = rows.facts["text"], rows.facts["picture"]
    notes: list[str] = []
    if "picture" in network.reads:
        rule = "blank picture" if fused else "mean vector"
        unreadable = [
            (place, rows.messages.get(place, "")) for place in torch.nonzero(picture == UNREADABLE).flatten().tolist()
        ]
        rule += ", and the mean vector for the picture's own" if split else ""
        notes += picture_notes(int((picture == ABSENT).sum()), unreadable, rule)
    if "text" in network.reads:
        if count := int((text == ABSENT).sum()):
            notes.append(f"{items(count)} without a text: {'the picture alone' if fused else 'mean vector'}")
        if count := int((text == CUT).sum()):
            notes.append(f"{items(count)} with a longer text than {network.name} reads: cut")
        if count := int((rows.facts["unknown"] > 50).sum()):
            notes.append(
                f"{items(count)} with a text of which {network.name} does not know most words: read as unknown"
            )
    if fused and (count := int(((text == ABSENT) & (picture != PRESENT)).sum())):
        notes.append(f"{items(count)} with neither text nor picture: mean vector")
    return notes


def _filled(table: Tensor, read: Tensor, fallback: Tensor) -> Tensor:
    """Return a copy of a table with a fallback in the rows that come from nothing."""
    return torch.where(read[:, None], table, fallback)


def _mean(table: Tensor, read: Tensor) -> Tensor:
    return table[read].double().mean(dim=0).float()
