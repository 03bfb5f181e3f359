"""Compare a report with an accepted baseline, finding by finding.

With the per-user arrays of both, the comparison is paired by user and draw (`evaluation.statistics`). Without them, the
interval of a difference is computed from the two intervals as for independent samples (MOVER: Zou and Donner 2008,
"Construction of confidence limits about effect measures", Statistics in Medicine 27). The same users correlate the two
measurements, so this interval is conservative; the finding has a note.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from robustrec.audits.suites import Suite
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import largest_changes, of_all_lists
from robustrec.evaluation.statistics import ONE_DRAW, PairedIntervals, differences_of_drifts, paired_intervals
from robustrec.files import digest_json
from robustrec.results.arrays import USERS, Arrays, both_states
from robustrec.results.baseline import Baseline
from robustrec.results.conditions import Condition
from robustrec.results.findings import BASELINE, CLEAN, Finding
from robustrec.results.report import BaselineRecord, DatasetRecord
from robustrec.subject import Subject

MEASURED = ("metrics", "stability", "value", "mask_validation", "users", "bootstrap", "audits")
"""Keys of a suite that affect the numbers; gates, waivers and names do not."""

ONE_TRAINING = "one training each: the interval does not account for other trainings"
AS_INDEPENDENT = "from two intervals, as for independent samples: conservative"
NO_INTERVAL = "no interval, because the baseline or the report has none"

_FIX = "accept a report with the same settings: robustrec baseline accept REPORT --output FILE"


class MeasuredState(NamedTuple):
    """Measurement settings of a report or a run.

    Attributes:
        dataset: the data.
        suite: resolved content of the suite.
        audit_seed: seed of the perturbations.
        parameters: digest of each subject's parameters.
        features: digest of each subject's feature tables.
    """

    dataset: DatasetRecord
    suite: dict[str, Any]
    audit_seed: int | None
    parameters: dict[Subject, str]
    features: dict[Subject, str | None]


def side_of(baseline: Baseline) -> MeasuredState:
    """Return the measurement settings of a baseline."""
    record = baseline.record
    return MeasuredState(
        record.dataset,
        record.suite.content,
        record.audit_seed,
        {each.subject: each.parameters_digest for each in record.subjects},
        {each.subject: each.features_digest for each in record.subjects},
    )


class SettingDifference(NamedTuple):
    """A setting with different values in two suites."""

    place: str
    ours: Any
    theirs: Any

    def __str__(self) -> str:
        """Return the setting with both values."""
        theirs, ours = (
            "all" if self.place == "users" and each is None else json.dumps(each) for each in (self.theirs, self.ours)
        )
        return f"{self.place} {theirs}, not {ours}"


def measured_differently(ours: dict[str, Any], theirs: dict[str, Any]) -> list[SettingDifference]:
    """Return the settings that make the numbers of two suites different."""
    first, second = ({key: _resolved(suite).get(key) for key in MEASURED} for suite in (ours, theirs))
    return list(_differences(first, second, ""))


def refuse_incomparable(ours: MeasuredState, baseline: Baseline) -> None:
    """Check, before any work if possible, that a report and a baseline are comparable.

    Raises:
        RobustrecError: different data, edition, metrics or perturbations; the different digest is named.
    """
    theirs, where = side_of(baseline), f"baseline {baseline.file}"
    mine, other = ours.dataset, theirs.dataset
    if mine.edition != other.edition:
        raise RobustrecError(
            f"a report of the {mine.edition} edition cannot be compared with a baseline of the {other.edition} edition",
            where=f"{where}, key dataset.edition",
            fix=_FIX,
        )
    if mine.digest != other.digest:
        raise RobustrecError(
            f"the baseline is of different data: {other.name} with digest {other.digest[:16]}, "
            f"not {mine.name} with digest {mine.digest[:16]}",
            where=f"{where}, key dataset.digest",
            fix=_FIX,
        )
    if mine.item_values != other.item_values and None not in (mine.item_values, other.item_values):
        raise RobustrecError(
            f"the items have other values ({ours.suite.get('value')}) than in the baseline: digest "
            f"{str(other.item_values)[:16]}, not {str(mine.item_values)[:16]}",
            where=f"{where}, key dataset.item_values",
            fix=_FIX,
        )
    if differing := measured_differently(ours.suite, theirs.suite):
        digests = (digest_json({key: _resolved(suite).get(key) for key in MEASURED}) for suite in (theirs[1], ours[1]))
        raise RobustrecError(
            f"the baseline has different settings: {'; '.join(map(str, differing[:3]))} "
            f"(digest {next(digests)[:16]}, not {next(digests)[:16]})",
            where=f"{where}, key suite.content",
            fix=_FIX,
        )
    if ours.audit_seed != theirs.audit_seed:
        raise RobustrecError(
            f"the baseline has audit seed {theirs.audit_seed}, but the report has {ours.audit_seed}",
            where=f"{where}, key audit_seed",
            fix=f"use the same seed: --seed {theirs.audit_seed}",
        )


def _resolved(suite: dict[str, Any]) -> dict[str, Any]:
    """A suite's content with the defaults of today, so that a setting that is new says the same as its default."""
    try:
        return Suite.model_validate_json(json.dumps(suite), strict=True).model_dump(mode="json")
    except ValidationError:
        return suite


def _differences(ours: Any, theirs: Any, place: str) -> Iterator[SettingDifference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*theirs, *ours)):
            yield from _differences(ours.get(key), theirs.get(key), f"{place}.{key}" if place else str(key))
    elif place == "audits" and isinstance(ours, list) and isinstance(theirs, list):
        yield from _differences(_by_kind(ours), _by_kind(theirs), place)
    elif ours != theirs:
        yield SettingDifference(place, ours, theirs)


def _by_kind(audits: list[Any]) -> dict[str, Any]:
    return {str(each.get("kind")): each for each in audits if isinstance(each, dict)}


def compare_with_baseline(
    findings: Sequence[Finding], arrays: Arrays | None, ours: MeasuredState, baseline: Baseline
) -> tuple[tuple[Finding, ...], BaselineRecord]:
    """Return a finding with reference "baseline" for each finding in the baseline, and a record of the comparison.

    A row of audit "clean" has the baseline's quality in `clean` and this report's in `perturbed`; any other row the
    two drifts, or the two values, likewise.

    Raises:
        RobustrecError: not comparable, see `refuse_incomparable`, or of other users.
    """
    refuse_incomparable(ours, baseline)
    theirs = baseline.arrays
    if arrays is not None and theirs is not None and not np.array_equal(arrays[USERS], theirs[USERS]):
        raise RobustrecError(
            "the per-user arrays of the baseline are of different users",
            where=f"baseline {baseline.file}, array users",
            fix=_FIX,
        )
    known = {_identity(row): row for row in baseline.record.findings}
    pairs = [(row, known[_identity(row)]) for row in findings if row.reference == CLEAN and _identity(row) in known]
    same = _same_models(ours, side_of(baseline))
    paired = _by_users(pairs, arrays, theirs, ours, same) if arrays is not None and theirs is not None else {}
    rows = []
    counts = {"by_users": len(paired), "by_intervals": 0, "uncertain": 0}
    for mine, other in pairs:
        row = paired.get(_identity(mine)) or _by_intervals(mine, other)
        if row is None:
            continue
        if _identity(mine) not in paired:
            counts["by_intervals" if row.ci_low is not None else "uncertain"] += 1
        rows.append(row)
    record = BaselineRecord(
        file=baseline.file,
        digest=baseline.digest,
        created=baseline.record.created,
        robustrec=baseline.record.robustrec,
        notes=tuple(_notes(ours, side_of(baseline))),
        **counts,
    )
    return tuple(rows), record


def _identity(row: Finding) -> tuple[Subject, str, Condition, str, str]:
    return row.subject, row.audit, row.condition, row.metric, row.quantity


def _notes(ours: MeasuredState, theirs: MeasuredState) -> Iterator[str]:
    for subject, digest in ours.features.items():
        if subject in theirs.features and theirs.features[subject] != digest:
            yield f"{subject.label}: item features differ from the baseline"
    for subject, digest in ours.parameters.items():
        if subject not in theirs.parameters:
            yield f"{subject.label}: not in the baseline"
        elif theirs.parameters[subject] == digest:
            yield f"{subject.label}: the same parameters as in the baseline"
    for subject in theirs.parameters:
        if subject not in ours.parameters:
            yield f"{subject.label}: in the baseline only"


def _same_models(ours: MeasuredState, theirs: MeasuredState) -> set[Subject]:
    """Return the subjects with the same parameters and features as in the baseline, which cannot differ."""
    return {
        subject
        for subject, digest in ours.parameters.items()
        if theirs.parameters.get(subject) == digest
        and ours.features.get(subject) == theirs.features.get(subject) is not None
    }


def _by_users(
    pairs: Sequence[tuple[Finding, Finding]], arrays: Arrays, theirs: Arrays, ours: MeasuredState, same: set[Subject]
) -> dict[tuple[Subject, str, Condition, str, str], Finding]:
    """Return the findings compared user by user, resampled once for each subject and condition."""
    tables: dict[tuple[Subject, str, Condition], list[tuple[Finding, Finding, Any, Any]]] = {}
    for mine, other in pairs:
        if of_all_lists(mine.metric) and mine.subject not in same:
            continue  # in how many lists both reports differ is not known
        own, their = both_states(mine, arrays), both_states(other, theirs)
        if own is None or their is None:
            continue
        if own[1].shape != their[1].shape:  # draws were averaged to be kept
            own, their = ((clean, perturbed.mean(axis=0, keepdims=True)) for clean, perturbed in (own, their))
        tables.setdefault((mine.subject, mine.audit, mine.condition), []).append((mine, other, own, their))
    bootstrap = _resolved(ours.suite)["bootstrap"]
    rows = {}
    for (subject, audit, condition), table in tables.items():
        seed = int(digest_json([ours.audit_seed, subject.label, audit, condition.label])[:15], 16)
        options = {"seed": seed, "level": bootstrap["level"], "replicates": bootstrap["replicates"]}
        largest = None if subject in same else largest_changes(mine.metric for mine, *_ in table)
        if audit == CLEAN:
            found = paired_intervals(
                {mine.metric: their[0] for mine, _, _, their in table},
                {mine.metric: own[1] for mine, _, own, _ in table},
                **options,
                largest=largest,
            )
        else:
            found = differences_of_drifts(
                {mine.metric: own[0] for mine, _, own, _ in table},
                {mine.metric: own[1] for mine, _, own, _ in table},
                {mine.metric: their[0] for mine, _, _, their in table},
                {mine.metric: their[1] for mine, _, _, their in table},
                **options,
                largest=largest,
            )
        for mine, other, _, _ in table:
            rows[_identity(mine)] = _paired_row(mine, other, found[mine.metric])
    return rows


def _paired_row(mine: Finding, other: Finding, found: PairedIntervals) -> Finding:
    clean = mine.audit == CLEAN
    caveat = found.note.replace(ONE_DRAW, "") if clean else found.note
    relative = found.relative if clean else None
    return Finding(
        **_shared(mine, other),
        drift=found.drift.estimate,
        ci_low=found.drift.low,
        ci_high=found.drift.high,
        relative_drift=relative.estimate if relative else None,
        relative_ci_low=relative.low if relative else None,
        relative_ci_high=relative.high if relative else None,
        degrees=found.degrees,
        n_changed=found.n_changed,
        note="; ".join(text for text in ("compared user by user", caveat.strip("; "), ONE_TRAINING) if text),
    )


def _by_intervals(mine: Finding, other: Finding) -> Finding | None:
    """Return the difference of two findings from their estimates and intervals; None without numbers."""
    shared = _shared(mine, other)
    a, b = shared["clean"], shared["perturbed"]
    if a is None or b is None or "bracket" in (mine.interval, other.interval):
        return None
    drift = b - a
    columns: dict[str, Any] = {"drift": drift, "relative_drift": drift / a if a and mine.audit == CLEAN else None}
    bounds = (mine.ci_low, mine.ci_high, other.ci_low, other.ci_high)
    if None in bounds:
        return Finding(**shared, **columns, note=NO_INTERVAL)
    low, high, their_low, their_high = (float(bound or 0.0) for bound in bounds)
    columns |= {
        "ci_low": drift - math.hypot(b - low, their_high - a),
        "ci_high": drift + math.hypot(high - b, a - their_low),
        "degrees": min((each.degrees for each in (mine, other) if each.degrees), default=None),
    }
    if columns["relative_drift"] is not None:
        ratio = b / a
        columns |= {
            "relative_ci_low": columns["relative_drift"] - math.hypot(b - low, ratio * (their_high - a)) / abs(a),
            "relative_ci_high": columns["relative_drift"] + math.hypot(high - b, ratio * (a - their_low)) / abs(a),
        }
    return Finding(**shared, **columns, note=f"{AS_INDEPENDENT}; {ONE_TRAINING}")


def _shared(mine: Finding, other: Finding) -> dict[str, Any]:
    """Common fields of findings against the baseline."""
    before, after = (row.clean if row.quantity == "value" else row.drift for row in (other, mine))
    return {
        "subject": mine.subject,
        "audit": mine.audit,
        "condition": mine.condition,
        "metric": mine.metric,
        "group": mine.group,
        "modality": mine.modality,
        "reference": BASELINE,
        "quantity": "drift",
        "clean": before,
        "perturbed": after,
        "n_users": mine.n_users,
        "n_draws": 0 if mine.audit == CLEAN else mine.n_draws,
        "unit": mine.unit,
    }
