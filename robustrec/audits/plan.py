"""The plan of an audit: resolved settings and cost, before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustrec.audits.few_draws import few_draws
from robustrec.audits.item_values import item_values
from robustrec.audits.kind import Cost
from robustrec.audits.plan_checks import check_gates_select, check_strata, of_modalities, unmeasured
from robustrec.audits.registry import kind_of, resolved
from robustrec.audits.segment_checks import check_segments
from robustrec.audits.suites import Suite, suite_of
from robustrec.audits.values import main_accuracy
from robustrec.config import Settings
from robustrec.datasets.interactions import TEST
from robustrec.datasets.registry import Dataset, load_dataset
from robustrec.edits.languages import languages_of
from robustrec.encoders.chosen import encoder_name, features_label, modalities_of_features, opened_weights
from robustrec.encoders.options import options_of
from robustrec.encoders.own import NO_DIGEST
from robustrec.encoders.weights import UsedWeights
from robustrec.errors import RobustrecError
from robustrec.evaluation.metrics import evaluated_users
from robustrec.feature_names import encoder_of, with_filter
from robustrec.modalities import read_of
from robustrec.models import modalities_in_scores
from robustrec.progress import Progress, silent
from robustrec.results.gates import NO_BASELINE_FIX, applicable_gates, label_warnings
from robustrec.results.waivers import Waiver
from robustrec.runs.editable import check_edited_training, edited_encodings, not_editable
from robustrec.runs.plan import subject_specs
from robustrec.runs.precision import precision_notes
from robustrec.runs.specs import SubjectSpec, reads_features
from robustrec.runs.user_sample import plan_words
from robustrec.subject import Subject

if TYPE_CHECKING:
    from robustrec.results.baseline import Baseline


@dataclass(frozen=True)
class Plan:
    """Plan of a command.

    Attributes:
        settings: resolved settings.
        suite: the suite.
        dataset: loaded and checked.
        specs: the subjects, in the order they were named.
        encoder: name of the encoder of their features; None if no model reads features.
        weights: the encoder's weights, by name and digest.
        warnings: warnings before the run.
        baseline: the baseline of the report, or None.
        waivers: waivers in addition to those of the suite.
        notes: audits without measurements for a model, with the reason.
    """

    settings: Settings
    suite: Suite
    dataset: Dataset
    specs: tuple[SubjectSpec, ...]
    encoder: str | None
    weights: tuple[UsedWeights, ...] = ()
    warnings: tuple[str, ...] = ()
    baseline: Baseline | None = None
    waivers: tuple[Waiver, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def home(self) -> Path:
        """The folder of data sets, features and runs."""
        return self.settings.home


def make_plan(
    settings: Settings,
    *,
    progress: Progress = silent,
    suite: Suite | None = None,
    baseline: Baseline | None = None,
    waivers: tuple[Waiver, ...] = (),
    gates: Sequence[str] = (),
) -> Plan:
    """Resolve settings into a plan; nothing is encoded or trained.

    Args:
        settings: resolved settings.
        progress: reports the making of a sample edition.
        suite: the suite; None: the one that the settings name.
        baseline: the baseline of the report, or None.
        waivers: waivers in addition to those of the suite.
        gates: gates in addition to those of the suite, each in one line.

    Raises:
        RobustrecError: an unknown name or key, a missing data set, an edition that the suite refuses, or a suite
            that can measure nothing for the models.
    """
    source = settings.suite if suite is None else suite.name
    suite, of_subjects = resolved(suite_of(settings, suite), source=source), settings
    if settings.set:
        from robustrec.audits.suite_overrides import with_overrides

        suite, of_subjects = with_overrides(suite, settings)
    if gates:
        from robustrec.audits.gate_text import with_gates

        suite = with_gates(suite, gates)
    edition = settings.edition
    if suite.require_edition == "full" and edition == "sample":
        raise RobustrecError(
            f"suite {suite.name!r} requires the full edition, but --edition is sample",
            where="suite, require_edition",
            fix="omit --edition, or choose another suite: robustrec list suites",
        )
    # Names are checked on either edition's defaults before anything is built.
    subject_specs(of_subjects, "sample")
    given = options_of(settings)
    for audit in suite.audits:
        kind_of(audit.kind).check(audit, where=f"suite {suite.name!r}")
    check_gates_select(suite)
    languages_of(settings.language, settings.vocabulary)
    wanted = "full" if suite.require_edition == "full" else edition
    dataset = load_dataset(settings.dataset, home=settings.home, edition=wanted, progress=progress)
    if suite.require_edition == "full" and dataset.synthetic:
        raise RobustrecError(
            f"suite {suite.name!r} requires the full edition, but {settings.dataset!r} is a synthetic sample",
            where="suite, require_edition",
            fix=f"import the real data: robustrec data import FOLDER --name {dataset.name}",
        )
    specs = _needed(suite, subject_specs(of_subjects, dataset.edition, dataset.name))
    encoder = encoder_name(dataset, encoder_of(settings.features)) if any(map(reads_features, specs)) else None
    check_edited_training(specs, dataset, settings)
    _check_gates(suite, specs, encoder and features_label(encoder, given.denoise), baseline)
    check_strata(suite, dataset)
    check_segments(suite, dataset)
    for audit in suite.audits:
        kind_of(audit.kind).check_dataset(audit, dataset, where=f"suite {suite.name!r}")
    item_values(dataset, suite.value)  # refused before any work if there are none
    _check_editable(suite, dataset, encoder, settings.encoder)
    used, warnings = opened_weights(dataset, encoder, home=settings.home, options=given) if encoder else ((), ())
    _check_workers(settings, used)
    all_warnings = (*warnings, *few_draws(suite), *label_warnings(suite.gates))
    if encoder == "imported":
        from robustrec.audits.memory import refuse_too_large

        refuse_too_large(dataset.feature_files, specs, where=f"data set {dataset.name}, feature files")
    plan = Plan(settings, suite, dataset, specs, encoder, used, all_warnings, baseline, waivers)
    return replace(plan, notes=(*of_modalities(plan), *precision_notes(specs), *unmeasured(plan)))


def _needed(suite: Suite, specs: tuple[SubjectSpec, ...]) -> tuple[SubjectSpec, ...]:
    """Return one subject if the suite audits only the encoder, else all subjects."""
    encoder_only = all(kind_of(audit.kind).of_encoder for audit in suite.audits)
    kinds = {audit.kind for audit in suite.audits}
    if not (encoder_only and all(gate.select.audit in kinds for gate in suite.gates)):
        return specs
    return next(((spec,) for spec in specs if reads_features(spec)), specs)


def _check_gates(suite: Suite, specs: tuple[SubjectSpec, ...], encoder: str | None, baseline: Baseline | None) -> None:
    subjects = [
        Subject(
            model=spec.model,
            strategy=spec.strategy_name,
            features=with_filter(str(encoder), spec.shrink) if reads_features(spec) else "none",
            seed=spec.seed,
        )
        for spec in specs
    ]
    applicable = applicable_gates(suite.gates, subjects, baseline.subjects if baseline else None)
    if applicable.unmet:
        fix = "add the subject with --model or --strategy, or set optional = true for the gate"
        raise RobustrecError(
            applicable.unmet[0],
            where=f"suite {suite.name!r}, gates",
            fix=NO_BASELINE_FIX if applicable.needs_baseline else fix,
        )


def _check_editable(suite: Suite, dataset: Dataset, encoder: str | None, again: str | None) -> None:
    """Refuse a suite without possible measurements; with other audits, edits are only not applicable."""
    reason = not_editable(dataset, encoder, again)
    if reason and all(kind_of(audit.kind).of_edits for audit in suite.audits):
        raise RobustrecError(
            f"suite {suite.name!r} edits item texts and pictures, but {reason}",
            where=f"--dataset {dataset.name}, --features {encoder}",
            fix="use --features basic on a data set with texts or pictures, or choose another suite: "
            "robustrec list suites",
        )


def _check_workers(settings: Settings, used: Sequence[UsedWeights]) -> None:
    """Refuse several processes for an encoder whose vectors are not stored: each would encode all items again."""
    unnamed = [each.network for each in used if each.digest == NO_DIGEST]
    if unnamed and (settings.workers > 1 or settings.engine != "local"):
        raise RobustrecError(
            f"the encoder {unnamed[0]!r} has no digest: its vectors are not stored, and processes cannot share them",
            where=f"--engine {settings.engine}, --workers {settings.workers}, --features {settings.features}",
            fix="give the encoder a digest (docs/own-encoders.md), or use --engine local --workers 1",
        )


def cost_of(plan: Plan) -> Cost:
    """Return the largest cost of a plan in trainings, rankings, encodings and gradients."""
    rankings = sum(1 + content_use_rankings(plan, spec) for spec in plan.specs)
    pools = edited_encodings(plan.specs, plan.dataset.interactions.n_items)
    own = Cost(trainings=sum(spec.trains for spec in plan.specs), rankings=rankings, encodings=pools)
    parts = [own, *(kind_of(audit.kind).cost(audit, plan) for audit in plan.suite.audits)]
    return Cost(*(sum(column) for column in zip(*parts, strict=True)))


def content_use_rankings(plan: Plan, spec: SubjectSpec) -> int:
    """Return the largest number of rankings that measure the content use of a subject.

    They are with mean features, with rebuilt and with frozen item graphs; with those of other items; and with the mean
    of each modality if there are several. The representation on clean features counts like a ranking.
    """
    if not reads_features(spec) or main_accuracy(plan.suite.metrics) is None:
        return 0
    available = modalities_of_features(plan.dataset, plan.encoder or "auto")
    read = len(read_of(modalities_in_scores(spec.model), available))
    return 0 if not read else 4 + (read if read > 1 else 0)


def users_words(plan: Plan) -> str:
    """Return which test users are ranked and what change they detect; empty where all of few users are ranked."""
    users = evaluated_users(plan.dataset.interactions, TEST)
    return plan_words(plan.suite.users, len(users), plan.suite.bootstrap.level)


def plan_memory_words(plan: Plan) -> str:
    """Return the memory that the feature files take; empty for other encoders, whose widths are not known yet."""
    if plan.encoder != "imported":
        return ""
    from robustrec.audits.memory import memory_words

    return memory_words(plan.dataset.feature_files, plan.specs)


def cost_words(cost: Cost) -> str:
    """Return the nonzero costs of a plan as a text."""
    counted = [
        f"{cost.trainings} trainings",
        f"{cost.rankings} full rankings",
        *([f"{cost.encodings} encodings of edited items"] if cost.encodings else []),
        *([f"{cost.gradients} gradients"] if cost.gradients else []),
    ]
    return f"{', '.join(counted[:-1])} and {counted[-1]}"
