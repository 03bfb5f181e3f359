"""Merchant edits for `compare`, applied and encoded once for all strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.merchant.audit import MerchantCondition, choices_of, conditions_of
from robustrec.audits.merchant.config import MerchantAudit
from robustrec.audits.merchant.drawn import Edited, replaced
from robustrec.audits.merchant.encoding import check_edits_arrive, moved
from robustrec.audits.merchant.seen import repeats_of, trained_on
from robustrec.audits.quality import Clean, MetricSuite, stack
from robustrec.comparison.measure import Measure
from robustrec.config import Settings
from robustrec.datasets.registry import Dataset
from robustrec.edits.languages import languages_of
from robustrec.encoders.features import MODALITIES, ItemFeatures, row_encoder
from robustrec.encoders.options import options_of
from robustrec.errors import RobustrecError
from robustrec.evaluation.ranking import Ranking, rank
from robustrec.progress import Progress, silent
from robustrec.results.conditions import Condition
from robustrec.runs.edit_pools import STREAM
from robustrec.runs.editable import not_editable
from robustrec.runs.edited_rows import EditedRows, encode_all
from robustrec.runs.prepared import Split
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import TrainedSubject
from robustrec.runs.treatments import EditApplier, Row, Treatment, applier_of, treatments_of
from robustrec.training.edit_settings import EditPool

Floats = NDArray[np.float64]
EDITS: tuple[str, ...] = ("truncation", "wrong_picture")
"""Default edits: one of the text, one of the picture."""

SEVERITY, SHARE, DRAWS = 3, 0.1, 6


@dataclass(frozen=True)
class EditedCatalog:
    """The edits of a comparison, encoded.

    Attributes:
        draws: condition -> edited items of each draw; each draw chooses the items again.
        why_not: why there are no edits; empty if there are.
    """

    draws: dict[Condition, tuple[Edited, ...]] = field(default_factory=dict)
    why_not: str = ""

    @property
    def n_draws(self) -> int:
        """Number of draws of each condition."""
        return max((len(each) for each in self.draws.values()), default=0)


def edited_catalog(
    dataset: Dataset,
    features: ItemFeatures | None,
    settings: Settings,
    *,
    edits: Sequence[str] = EDITS,
    draws: int = DRAWS,
    share: float = SHARE,
    progress: Progress = silent,
) -> EditedCatalog:
    """Edit a share of the items and encode them again, each edit in several draws.

    Args:
        dataset: with texts or pictures.
        features: of the unedited items; None where no model reads any.
        settings: seed, home and options of the encoder.
        edits: names of edits; none measures no edits.
        draws: number of choices of items.
        share: of the items that are edited.
        progress: callback during encoding.

    Raises:
        RobustrecError: an edit is unknown, the encoder fails, or edits do not reach its vectors.
    """
    if not edits:
        return EditedCatalog(why_not="no edits were requested")
    config = MerchantAudit(kind="merchant", edits=tuple(edits), severities=(SEVERITY,), shares=(share,), draws=draws)
    treatments = treatments_of(edits, where="--edit")
    reason = not_editable(dataset, features.name if features else None, settings.encoder)
    if reason or features is None or dataset.catalog is None:
        return EditedCatalog(why_not=reason)
    applier = applier_of(dataset, settings.home, settings.seed, languages_of(settings.language, settings.vocabulary))
    encoder = _encoder(dataset, features, settings, progress)
    _check_arrival(encoder, applier, treatments)
    found: dict[Condition, tuple[Edited, ...]] = {}
    for treatment in treatments:
        (condition,) = conditions_of(config, treatment)
        found[condition.condition] = tuple(
            _edited(encoder, applier, condition, choices, draw)
            for (_, draw), choices in choices_of(config, dataset, seed=settings.seed).items()
        )
    return EditedCatalog(found)


def trained_on_edits(
    arms: Mapping[str, SubjectSpec], dataset: Dataset, settings: Settings, edits: Sequence[str]
) -> dict[str, str]:
    """Return arm -> which of the edits that arms are compared under were in its training; without arms that saw none.

    Args:
        arms: name -> the subject at any seed.
        dataset: with texts or pictures.
        settings: seed, home and languages.
        edits: names of edits.
    """
    treatments = treatments_of(edits, where="--edit")
    languages = languages_of(settings.language, settings.vocabulary)
    audited = applier_of(dataset, settings.home, settings.seed, languages)

    def trained(pool: EditPool) -> EditApplier:
        return applier_of(dataset, settings.home, pool.seed, languages, stream=STREAM)

    repeats = repeats_of(trained, audited, treatments, (SEVERITY,))
    found = {name: trained_on(spec, treatments, repeats) for name, spec in arms.items()}
    return {name: words for name, words in found.items() if words}


def measure_edits(
    subject: TrainedSubject, clean: Clean, edited: EditedCatalog, split: Split, metric_suite: MetricSuite
) -> dict[Measure, Floats]:
    """Return the effect of edits on the lists of a subject.

    Returns:
        Drift and list stability under each condition -> [D, U]; drift of the exposure of edited items -> [D], the
        change of the share of the edited test items that are in the list of their user. Conditions that change no
        vector the subject reads are left out.
    """
    tables: dict[Measure, Floats] = {}
    (metric,) = metric_suite.metrics
    for condition, draws in edited.draws.items():
        read = [which for each in draws for name, which in each.moved.items() if name in subject.scored_tables]
        if not any(bool(which.any()) for which in read):
            continue
        found, shown = [], []
        for each in draws:
            features = {name: replaced(table, each, name) for name, table in subject.tables.items()}
            ranking = rank(subject.represent(features), split.users, split.mask, k=metric_suite.length)
            found.append(metric_suite.values(ranking, split, clean.ranking))
            shown.append(_shown(ranking, each, split) - _shown(clean.ranking, each, split))
        after = stack(found)
        tables[Measure("drift", metric, condition)] = after[metric] - clean.per_user[metric]
        tables |= {Measure("stability", name, condition): after[name] for name in metric_suite.stability}
        if np.isfinite(shown).all():
            tables[Measure("drift", f"exposure@{metric_suite.length}", condition, "edited")] = np.array(shown)
    return tables


def _shown(ranking: Ranking, edited: Edited, split: Split) -> float:
    """Return the share of edited test items in the top k of their users; NaN if none was edited."""
    wanted = split.relevant[split.users].tocoo()
    pairs = np.isin(wanted.col, edited.items)
    rows, items = wanted.row[pairs], wanted.col[pairs]
    if not len(rows):
        return float("nan")
    return float((ranking.items[rows] == items[:, None]).any(axis=1).mean())


def _encoder(dataset: Dataset, features: ItemFeatures, settings: Settings, progress: Progress) -> EditedRows:
    encoder = row_encoder(dataset, features.name, home=settings.home, options=options_of(settings))
    return EditedRows(encoder, features, settings.home, lambda _: None, progress)


def _check_arrival(encoder: EditedRows, applier: EditApplier, treatments: Sequence[Treatment]) -> None:
    touched = {part.modality for treatment in treatments for part in treatment.parts}
    for modality in MODALITIES:
        read = modality in touched and modality in encoder.features.encoded
        if read and check_edits_arrive(encoder, applier, modality) is False:
            raise RobustrecError(
                f"edits do not reach the features: the {modality} of another item changed no vector of encoder"
                f" {encoder.encoder.name!r}",
                where="robustrec compare",
                fix="use an encoder that reads it, or skip edits: --edit none",
            )


def _edited(
    encoder: EditedRows, applier: EditApplier, condition: MerchantCondition, chosen: NDArray[np.int64], draw: int
) -> Edited:
    items: list[int] = []
    rows: list[Row] = []
    for item in chosen.tolist():
        for _, row in applier.edited(condition.treatment, item, (condition.severity,), draw):
            items.append(item)
            rows.append(row)
    tables = encode_all(rows, encoder.encode)
    own = {name: tables.get(name, table[:0].float()) for name, table in encoder.features.encoded.items()}
    unknown = np.full(len(items), np.nan)  # what the encoder sees is a question of the audits
    return Edited(np.array(items, dtype=np.int64), own, moved(encoder.features, items, own), unknown)
