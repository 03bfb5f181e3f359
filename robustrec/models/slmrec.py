"""SLMRec: self-supervised multimodal recommendation with contrastive learning."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.modalities import MODALITIES
from robustrec.models.configs import SLMRecConfig
from robustrec.models.contract import (
    Batch,
    Features,
    Loss,
    Problem,
    RecommenderModule,
    Representation,
    feature_table,
    read_modalities,
)
from robustrec.models.dense import times_transposed
from robustrec.models.graphs import Propagated, UserItemGraph
from robustrec.models.initial import linear, table
from robustrec.models.losses import contrast
from robustrec.models.propagated_features import NORM_FLOOR, FeatureConstants, Sides, feature_constants, row_scales


class SLMRec(RecommenderModule):
    """SLMRec: LightGCN channels for ids and for each modality, linearly fused and trained with contrastive losses.

    Source: Tao et al., TMM 2022, task FAC (fine and coarse). The channels share one user table.

    With one modality missing, its channel and its contrast are left out and two channels are fused. A modality other
    than image and text has a channel and a contrast with the ids like that of images.
    The published model scores with σ(z_u·z_i); the inner product ranks alike and does not saturate.
    """

    Config = SLMRecConfig
    static_passes = True
    modalities: tuple[str, ...] = SLMRecConfig.modalities

    def __init__(self, problem: Problem, config: SLMRecConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.n_items = problem.n_items
        self.widths = dict(problem.feature_widths)
        self.modalities = read_modalities("slmrec", problem, type(self).modalities)
        d = config.latent_width
        channels = 1 + len(self.modalities)
        self.users = table(problem.n_users, d, "xavier_uniform", generator)
        self.items = table(problem.n_items, d, "xavier_uniform", generator)

        def layer(width_in: int, width_out: int) -> nn.Linear:
            return linear(width_in, width_out, generator, weight="xavier_uniform")

        self.projections = nn.ModuleDict({m: layer(self.widths[m], d) for m in self.modalities})
        self.fuse_users = layer(channels * d, d)
        self.fuse_items = layer(channels * d, d)
        self.heads = nn.ModuleDict({"id": layer(d, d)})
        if "image" in self.modalities:
            self.heads["image"] = layer(d, d)
        if "text" in self.modalities:
            self.heads["middle"] = layer(d, d)
            self.heads["id_to_text"] = layer(d, d // 2)
            self.heads["text"] = layer(d, d // 2)
        for modality in self.modalities:
            if modality not in MODALITIES:
                self.heads[modality] = layer(d, d)
        self.graph = UserItemGraph(problem.n_users, problem.n_items, problem.edges, offset=1e-8)

    def training_constants(self, features: Features, batch_size: int) -> FeatureConstants:
        """Return the propagated features, (U + I) ΣD_m numbers, and the norms of their rows."""
        tables = {m: feature_table(features, m, self.n_items, self.widths[m]) for m in self.modalities}
        return feature_constants(tables, self.graph, self.config.layers, batch_size)

    def represent(self, features: Features) -> Representation:
        """Return the fused vectors z_u [U, d] and z_i [I, d]."""
        mean = self._propagate(features)
        return Representation(
            self.fuse_users(self._channels(mean.users_from_users, mean.users_from_items)),
            self.fuse_items(self._channels(mean.items_from_users, mean.items_from_items)),
        )

    def loss(self, features: Features, batch: Batch) -> Loss:
        """Return the contrast of users with their positives plus α times the contrasts between channels.

        The batch's negatives are not used: the other positives serve as such. Only batch rows are fused.
        """
        users, items = self._batch_channels(features, batch)
        z_users = functional.normalize(self.fuse_users(users), dim=1, eps=NORM_FLOOR)
        z_items = functional.normalize(self.fuse_items(items), dim=1, eps=NORM_FLOOR)
        terms = {"contrast": contrast(z_users, z_items, self.config.temperature)}
        for modality, value in self._channel_contrasts(items).items():
            terms[f"ssl_{modality}"] = self.config.ssl_alpha * value
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def _batch_channels(self, features: Features, batch: Batch) -> Sides:
        """Return the channels of a batch's users and of its positives [B, channels·d]."""
        tables = {m: feature_table(features, m, self.n_items, self.widths[m]) for m in self.modalities}
        known = batch.constants
        known = known if known is not None and all(known.are_of(m, x) for m, x in tables.items()) else None
        if known is None or not known.propagated:
            mean = self._propagate(features, known)
            own = Sides(
                functional.embedding(batch.users, mean.users_from_items),
                functional.embedding(batch.positives, mean.items_from_items),
            )
        else:
            mean = self.graph.propagate(self.users, self.items, self.config.layers)
            parts = [
                Sides(
                    functional.embedding(batch.users, mean.users_from_items),
                    functional.embedding(batch.positives, mean.items_from_items),
                )
            ]
            for modality in self.modalities:
                layer = cast(nn.Linear, self.projections[modality])
                parts.append(known.project(modality, layer, batch.users, batch.positives))
            own = Sides(*(torch.cat(side, dim=1) for side in zip(*parts, strict=True)))
        return Sides(
            self._channels(functional.embedding(batch.users, mean.users_from_users), own.users),
            self._channels(functional.embedding(batch.positives, mean.items_from_users), own.items),
        )

    def _propagate(self, features: Features, known: FeatureConstants | None = None) -> Propagated:
        """Propagate the user table [U, d] and all channels' item inputs side by side [I, channels·d]."""
        inputs: list[Tensor] = [self.items]
        for modality in self.modalities:
            raw = feature_table(features, modality, self.n_items, self.widths[modality])
            layer = cast(nn.Linear, self.projections[modality])
            # Rows are normalised after the product: same numbers, and no second table of the features' size.
            scale = row_scales(raw) if known is None else known.scales[modality]
            inputs.append(times_transposed(raw, layer.weight) * scale + layer.bias)
        return self.graph.propagate(self.users, torch.cat(inputs, dim=1), self.config.layers)

    def _channels(self, shared: Tensor, own: Tensor) -> Tensor:
        """Return the channels side by side; what started on the users [n, d] is the same in every channel."""
        return own + shared.repeat(1, 1 + len(self.modalities))

    def _channel_contrasts(self, items: Tensor) -> dict[str, Tensor]:
        """Return the contrast of the id channel with each modality's, for positives [B, channels·d]."""
        parts = dict(zip(("id", *self.modalities), items.chunk(1 + len(self.modalities), dim=1), strict=True))
        head = self.heads
        own = head["id"](parts["id"])
        losses = {}
        for modality in self.modalities:
            query = head["id_to_text"](head["middle"](own)) if modality == "text" else own
            losses[modality] = contrast(query, head[modality](parts[modality]), self.config.ssl_temp)
        return losses
