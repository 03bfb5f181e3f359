"""The report of an audit run: findings, gate results, and provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from robustrec.datasets.split_record import ColdStart, SplitRecord
from robustrec.errors import RobustrecError
from robustrec.evaluation.error_rates import Correction
from robustrec.files import digest_json, write_atomically
from robustrec.invalid import invalid
from robustrec.results.content_use import ContentUse
from robustrec.results.exhibits import Exhibit, Relation
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import GateResult, GateStatus
from robustrec.results.planned import PlannedRecord
from robustrec.results.reports_folder import MAX_BYTES as MAX_BYTES
from robustrec.results.run_record import ArraysRecord as ArraysRecord
from robustrec.results.run_record import Costs as Costs
from robustrec.results.run_record import Environment as Environment
from robustrec.results.section_digests import DIGESTS, refuse_edited, section_digests
from robustrec.results.upgrade import as_version_2, upgraded
from robustrec.results.verdict import VerdictWord, verdict_with_reason
from robustrec.results.waivers import WaiverRecord
from robustrec.subject import Record, Subject
from robustrec.untrusted import UnreadableError, parse_json, read_text

JUDGEMENT_RULES = 5
"""Version of the judging rules. Increase it if the same findings can get another result."""
SCHEMA_VERSION = 3
"""Schema version of written reports. Older versions are read and upgraded to it."""
RULES_WITH_DIGESTS = 2
"""First version of the rules whose reports have digests of their sections."""
_FIRST_WITH_CONDITIONS = 3

_FIX = "run the audit again: robustrec audit --model MODEL --dataset DATASET"


class Filter(Record):
    """Rows of the raw data that were skipped."""

    reason: str
    rows: int = Field(ge=0)


class DatasetRecord(Record):
    """The data set of a run."""

    name: str
    edition: Literal["full", "sample"]
    synthetic: bool
    digest: str = Field(description="sha256 of interactions, texts, pictures and feature files")
    n_users: int = Field(ge=0)
    n_items: int = Field(ge=0)
    n_train: int = Field(
        ge=0, description="interactions in the training split; the next two are for validation and test"
    )
    n_validation: int = Field(ge=0)
    n_test: int = Field(ge=0)
    n_test_users: int | None = Field(
        default=None, ge=0, description="users with training and test rows; None in reports of earlier versions"
    )
    filters: tuple[Filter, ...] = ()
    split: SplitRecord | None = Field(default=None, description="how the interactions were split, if it is recorded")
    cold_start: ColdStart | None = Field(default=None, description="None in reports of earlier versions")
    largest_value: float | None = Field(default=None, ge=0, description="largest value of an item, if measured")
    item_values: str | None = Field(
        default=None, description="sha256 of the values of the items, if metrics of values are measured"
    )

    @model_validator(mode="after")
    def _sample_is_synthetic(self) -> DatasetRecord:
        if self.synthetic != (self.edition == "sample"):
            raise ValueError(
                f"edition {self.edition!r} with synthetic {self.synthetic}: edition sample must be "
                "synthetic, and every other edition must not"
            )
        return self


class SuiteRecord(Record):
    """The suite of a run."""

    name: str
    digest: str
    level: float = Field(default=0.95, gt=0, lt=1, description="confidence level of the intervals")
    content: dict[str, Any] = Field(description="the suite, with all defaults resolved")

    @model_validator(mode="after")
    def _is_of_its_digest(self) -> SuiteRecord:
        check_suite_digest(self.content, self.digest)
        return self


def check_suite_digest(content: dict[str, Any], digest: str) -> None:
    """Check the resolved content of a suite against its digest.

    Raises:
        ValueError: the content was changed.
    """
    found = digest_json(content)
    if found != digest:
        raise ValueError(
            f"the suite was edited: the digest of its content is {found[:16]}…, but the report records {digest[:16]}…"
        )


class TrainingRecord(Record):
    """Training record of a subject."""

    epochs: int = Field(ge=0)
    best_epoch: int | None = Field(default=None, ge=0, description="epoch of the kept parameters")
    best_validation: float | None = None
    metric: str = Field(description="validation metric for early stopping, for example ndcg@20")
    seconds: float = Field(ge=0, description="wall time of the training, in seconds")
    n_parameters: int = Field(ge=0)
    max_epochs: int | None = Field(default=None, ge=0, description="largest number of epochs; None if not recorded")
    cut_off: bool | None = Field(
        default=None, description="whether training reached max_epochs before early stopping; None if not recorded"
    )
    gradient_evaluations: int | None = Field(
        default=None,
        ge=0,
        description="gradient evaluations of batch losses, including SAM ascent steps and mirrored half-steps",
    )
    resumed: bool = Field(default=False, description="whether training was interrupted and resumed")
    reused: bool = Field(
        default=False, description="whether the run comes from the run store instead of a new training"
    )


class MirrorFacts(Record):
    """Statistics of the second half-steps of Mirror Gradient.

    The second half-step is an ascent step: it increases the batch loss, with a cosine to the gradient near 1.
    """

    mirrored_steps: int = Field(ge=0, description="number of mirrored half-steps")
    mean_cosine: float | None = Field(description="mean cosine with the gradient: 1 is ascent, -1 is descent")
    share_ascending: float | None = Field(description="share of mirrored half-steps with a positive cosine")
    probed_steps: int = Field(
        ge=0, description="number of mirrored half-steps after which the batch loss was computed again"
    )
    share_raised_loss: float | None = Field(description="share of these that increased the batch loss")
    mean_length_ratio: float | None = Field(description="mean length relative to the first half-step")
    mean_first_order_change: float | None = Field(description="mean first-order change of the loss")


class WeightsRecord(Record):
    """Weights of a network that computes item features."""

    network: str
    name: str = Field(description="folder, hub name, or name of shipped or installed weights")
    digest: str = Field(description="digest of configuration, tokenizer and weights")


class SubjectRecord(Record):
    """A subject with its provenance."""

    subject: Subject
    features_digest: str | None = Field(
        default=None, description="digest of the feature tables; None for models without features"
    )
    parameters_digest: str = Field(description="digest of the trained parameters")
    run: str = Field(
        description="key of the run in the store: digest of data, features, configuration, format "
        "numbers and torch version"
    )
    config: dict[str, Any] = Field(
        description="configuration of model, training and strategy, with all defaults resolved"
    )
    source: str = Field(default="trained here", description="origin of the parameters or scores")
    training: TrainingRecord | None = Field(
        default=None, description="None if the subject was not trained by robustrec"
    )
    mirror: MirrorFacts | None = None
    notes: tuple[str, ...] = Field(default=(), description="for example: 3 items without a picture: mean vector")
    encoder: dict[str, Any] | None = Field(
        default=None,
        description="inputs of the feature vectors besides the catalogue: networks with the digest of their weights, "
        "settings, versions",
    )
    weights: tuple[WeightsRecord, ...] = Field(
        default=(), description="weights of the encoder's networks; empty for encoders without networks"
    )


class JudgementRecord(Record):
    """Suite, time and error rates of the judgement; `robustrec gate` judges a report again."""

    suite: str = Field(description="name of the suite that defines these gates")
    digest: str = Field(description="sha256 of the resolved content of that suite")
    judged: AwareDatetime
    correction: Correction
    level: float = Field(gt=0, lt=1, description="1 - the false alarm rate that the suite allows")
    findings_judged: dict[str, int] = Field(
        default_factory=dict, description="number of findings in the multiple-testing correction, by severity"
    )
    rules: int = Field(default=1, ge=1, description="version of the judging rules")
    content: dict[str, Any] | None = Field(
        default=None, description="that suite, with all defaults resolved, if it differs from the suite of the report"
    )

    @model_validator(mode="after")
    def _is_of_its_digest(self) -> JudgementRecord:
        if self.content is not None:
            check_suite_digest(self.content, self.digest)
        return self


class BaselineRecord(Record):
    """The accepted earlier report that this report is compared with."""

    file: str
    digest: str = Field(description="sha256 of the file")
    created: AwareDatetime = Field(description="end time of the baseline run")
    robustrec: str = Field(description="robustrec version of the run")
    by_users: int = Field(ge=0, description="number of rows compared user by user")
    by_intervals: int = Field(ge=0, description="number of rows compared by their intervals, as independent samples")
    uncertain: int = Field(default=0, ge=0, description="number of rows compared without an interval")
    notes: tuple[str, ...] = Field(
        default=(), description="differences that may explain a change, for example features"
    )
    gates: dict[str, GateStatus] = Field(
        default_factory=dict,
        description="gate -> its status on the numbers of the baseline, by the limits of this judgement; without gates "
        "that compare with the baseline, and without those that the baseline has no numbers for",
    )


class UserAuditRecord(Record):
    """A user-defined audit of a run."""

    name: str = Field(min_length=1, description="name in the suite and in the findings")
    summary: str = Field(description="what the audit does, in its own words")
    glossary: dict[str, str] = Field(default_factory=dict, description="term -> definition")


class Requirement(Record):
    """A condition of a recommendation."""

    name: str = Field(
        description="condition: measured, alternatives, gates, content use, training, budget, seeds or difference"
    )
    met: bool
    text: str = Field(description="result for this condition")
    command: str = Field(default="", description="command that can meet the condition, if there is one")


class Recommendation(Record):
    """The recommended model and strategy with its conditions, or the reasons for no recommendation."""

    chosen: str = Field(description="name of the recommended candidate; empty if none is recommended")
    headline: str = Field(description="the recommendation with its conditions, or the reasons for no recommendation")
    requirements: tuple[Requirement, ...]
    commands: tuple[str, ...] = Field(default=(), description="commands that can meet the unmet conditions")
    note: str = Field(default="", description="limitation of any recommendation from these data")


class Report(Record):
    """A report of one run. Its verdict must follow from gates, statuses and waivers."""

    schema_version: Literal[3] = 3
    robustrec: str = Field(description="robustrec version")
    created: AwareDatetime = Field(description="end time of the run, UTC")
    command: tuple[str, ...] = Field(description="command line, as a list of words")
    dataset: DatasetRecord
    suite: SuiteRecord
    subjects: tuple[SubjectRecord, ...]
    statuses: tuple[AuditStatus, ...]
    findings: tuple[Finding, ...]
    over_seeds: tuple[Finding, ...] = Field(
        default=(),
        description="means over the training seeds of a model, strategy and features, listed under "
        "the subject of the first seed, with intervals over seeds, draws and users",
    )
    segments: tuple[Finding, ...] = Field(
        default=(), description="findings of segments of the users, which are also part of those of all users"
    )
    segments_over_seeds: tuple[Finding, ...] = Field(
        default=(), description="means of `segments` over training seeds, as in `over_seeds`"
    )
    exhibits: tuple[Exhibit, ...] = ()
    relations: tuple[Relation, ...] = ()
    user_audits: tuple[UserAuditRecord, ...] = ()
    gates: tuple[GateResult, ...]
    waivers: tuple[WaiverRecord, ...] = ()
    judgement: JudgementRecord | None = Field(default=None, description="None in reports of schema version 1")
    baseline: BaselineRecord | None = Field(
        default=None, description="None if the run was not compared with a baseline"
    )
    verdict: VerdictWord
    verdict_reason: str
    warnings: tuple[str, ...] = ()
    recommendation: Recommendation | None = Field(
        default=None, description="recommendation that follows from the report"
    )
    cautions: tuple[str, ...] = Field(default=(), description="warnings that every report format shows")
    content_use: tuple[ContentUse, ...] = Field(
        default=(),
        description="how much of the quality of each subject comes from content; empty in reports of earlier versions",
    )
    seeds: dict[str, int] = Field(description="every seed of the run, by purpose")
    environment: Environment
    durations: dict[str, float] = Field(description="duration of each stage, in seconds")
    costs: Costs
    arrays: ArraysRecord | None = None
    planned: PlannedRecord | None = Field(default=None, description="None in reports of earlier versions")
    digests: dict[str, str] = Field(
        default_factory=dict, description="section -> sha256 of its content, for a report written to a file"
    )

    @model_validator(mode="after")
    def _sound(self) -> Report:
        word, _ = verdict_with_reason(self.gates, self.statuses, self.waivers)
        if word != self.verdict:
            raise ValueError(f"verdict {self.verdict!r} does not match the gates and audits, which give {word!r}")
        known = {record.subject for record in self.subjects}
        if len(known) != len(self.subjects):
            raise ValueError("duplicate subject")
        with_results = {row.subject for row in self.findings} | {row.subject for row in self.statuses}
        if not with_results <= known:
            label = min(subject.label for subject in with_results - known)
            raise ValueError(f"subject {label} has results but no subject record")
        return self


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON, atomically.

    Raises:
        RobustrecError: the folder is not writable.
    """
    write_atomically(path, report_json(report))


def report_json(report: Report) -> str:
    """Return a report as the JSON that `read_report` reads, with the digests of its sections."""
    sealed = report.model_copy(update={DIGESTS: section_digests(report)})
    return f"{sealed.model_dump_json(indent=1)}\n"


def read_report(path: Path) -> Report:
    """Return the report in a JSON file.

    Raises:
        RobustrecError: not readable, too large, not a report, of a later schema version, not consistent, or edited
            after it was written.
    """
    source = str(path)
    try:
        text = read_text(path, most=MAX_BYTES)
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the report: {error}", where=source, fix=_FIX) from error
    if not text:
        raise RobustrecError("not a report: the file is empty", where=source, fix=_FIX)
    try:
        data = parse_json(text)
    except UnreadableError as error:
        raise RobustrecError(f"not a report: {error}", where=source, fix=_FIX) from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version is None:
        raise RobustrecError("not a report: it has no schema_version", where=source, fix=_FIX)
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise RobustrecError(
            f"report of schema version {version!r}; expected a version from 1 to {SCHEMA_VERSION}",
            where=f"{source}, key schema_version",
            fix="read it with the robustrec that wrote it, or " + _FIX,
        )
    if version < SCHEMA_VERSION:
        text = json.dumps(upgraded(data))
    try:
        report = Report.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise invalid(error, Report, source=source, fix=_FIX) from error
    if report.digests or _written_with_digests(report):
        form = as_version_2 if version < _FIRST_WITH_CONDITIONS else dict
        refuse_edited(report, report.digests, source=source, fix=_FIX, form=form)
    return report.model_copy(update={DIGESTS: {}})


def _written_with_digests(report: Report) -> bool:
    """Tell whether the robustrec that wrote a report gave it digests: by its rules, or by sections as old as those."""
    record = report.judgement
    judged = record is not None and (record.rules >= RULES_WITH_DIGESTS or record.content is not None)
    return judged or report.recommendation is not None or bool(report.cautions) or bool(report.over_seeds)


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of written reports."""
    schema = Report.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"robustrec report, schema version {SCHEMA_VERSION}",
    }
