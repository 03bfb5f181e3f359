"""The report of an audit run: everything measured, how it was judged, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from robustrec.errors import RobustrecError
from robustrec.evaluation.error_rates import Correction
from robustrec.files import digest_json, write_atomically
from robustrec.invalid import invalid
from robustrec.results.exhibits import Exhibit, Relation
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import GateResult
from robustrec.results.section_digests import DIGESTS, refuse_edited, section_digests
from robustrec.results.upgrade import upgraded
from robustrec.results.verdict import VerdictWord, verdict_with_reason
from robustrec.results.waivers import WaiverRecord
from robustrec.subject import Record, Subject
from robustrec.untrusted import UnreadableError, parse_json, read_text

JUDGEMENT_RULES = 2
"""Version of the rules that findings are judged by; raise it when the same findings can be judged otherwise."""
SCHEMA_VERSION = 2
"""Version of the reports written; those of earlier versions are read and brought to it."""
_RULES_WITH_DIGESTS = 2
MAX_BYTES = 256 << 20
"""Largest report read, in bytes; a full audit has a few MiB."""

_FIX = "run the audit again: robustrec audit --model MODEL --dataset DATASET"


class Filter(Record):
    """Rows of the raw data that were left out."""

    reason: str
    rows: int = Field(ge=0)


class DatasetRecord(Record):
    """What was recommended to whom."""

    name: str
    edition: Literal["full", "sample"]
    synthetic: bool
    digest: str = Field(description="sha256 over interactions, texts, pictures and feature files")
    n_users: int = Field(ge=0)
    n_items: int = Field(ge=0)
    n_train: int = Field(ge=0, description="interactions in training; likewise for the two below")
    n_validation: int = Field(ge=0)
    n_test: int = Field(ge=0)
    filters: tuple[Filter, ...] = ()

    @model_validator(mode="after")
    def _sample_is_synthetic(self) -> DatasetRecord:
        if self.synthetic != (self.edition == "sample"):
            raise ValueError(f"edition {self.edition!r} with synthetic {self.synthetic}: exactly samples are synthetic")
        return self


class SuiteRecord(Record):
    """What was measured and tolerated."""

    name: str
    digest: str
    level: float = Field(default=0.95, gt=0, lt=1, description="confidence level of the intervals")
    content: dict[str, Any] = Field(description="the suite with all defaults resolved")

    @model_validator(mode="after")
    def _is_of_its_digest(self) -> SuiteRecord:
        check_suite_digest(self.content, self.digest)
        return self


def check_suite_digest(content: dict[str, Any], digest: str) -> None:
    """Make sure that a suite's resolved content is what its digest says.

    Raises:
        ValueError: a limit, a waiver or anything else in it was changed.
    """
    found = digest_json(content)
    if found != digest:
        raise ValueError(f"the suite was edited: its content has the digest {found[:16]}…, recorded is {digest[:16]}…")


class TrainingRecord(Record):
    """How a subject was trained."""

    epochs: int = Field(ge=0)
    best_epoch: int | None = Field(default=None, ge=0, description="epoch whose parameters were kept")
    best_validation: float | None = None
    metric: str = Field(description="validation metric that stopped the training, e.g. ndcg@20")
    seconds: float = Field(ge=0, description="wall time of the training itself")
    n_parameters: int = Field(ge=0)
    max_epochs: int | None = Field(default=None, ge=0, description="limit of the epochs; None where not recorded")
    cut_off: bool | None = Field(
        default=None, description="ended by that limit before early stopping ended it; None where not recorded"
    )
    gradient_evaluations: int | None = Field(
        default=None, ge=0, description="gradients of a batch's loss, those of probes and second half-steps included"
    )
    resumed: bool = Field(default=False, description="taken up again after an interruption")
    reused: bool = Field(default=False, description="taken from the run store instead of trained now")


class MirrorFacts(Record):
    """What the second half-steps of mirrored steps did, with the fields that training records them by.

    A second half-step is meant to climb: to raise the batch loss, along its gradient (cosine near 1).
    """

    mirrored_steps: int = Field(ge=0, description="second half-steps taken")
    mean_cosine: float | None = Field(description="mean cosine with the gradient; 1 climbs, -1 descends")
    share_ascending: float | None = Field(description="share with a positive cosine")
    probed_steps: int = Field(ge=0, description="those after which the batch loss was computed again")
    share_raised_loss: float | None = Field(description="share of the probed ones that raised the batch loss")
    mean_length_ratio: float | None = Field(description="mean length, over that of the first half-step")
    mean_first_order_change: float | None = Field(description="mean change of the loss to first order")


class WeightsRecord(Record):
    """The weights of a network behind the item features."""

    network: str
    name: str = Field(description="folder, hub name, or the name of what is shipped or installed")
    digest: str = Field(description="of configuration, tokenizer and weights")


class SubjectRecord(Record):
    """A subject with everything it was made from."""

    subject: Subject
    features_digest: str | None = Field(
        default=None, description="of the feature tables; None for models without features"
    )
    parameters_digest: str = Field(description="of the trained parameters")
    run: str = Field(
        description="key of the run in the store: digest of data, features, configuration, code and torch version"
    )
    config: dict[str, Any] = Field(description="model, training and strategy, with all defaults resolved")
    source: str = Field(default="trained here", description="where the parameters, or the scores, come from")
    training: TrainingRecord | None = Field(default=None, description="None for what was not trained here")
    mirror: MirrorFacts | None = None
    notes: tuple[str, ...] = Field(default=(), description="e.g. 3 items without a picture: mean vector")
    encoder: dict[str, Any] | None = Field(
        default=None,
        description="what the feature vectors depend on besides the catalogue: networks with their weights by digest, "
        "settings, versions",
    )
    weights: tuple[WeightsRecord, ...] = Field(
        default=(), description="weights of the encoder's networks; none for encoders without"
    )


class Environment(Record):
    """Where it ran."""

    python: str
    torch: str
    numpy: str
    platform: str
    device: str
    threads: int = Field(ge=1)


class Costs(Record):
    """What the audits took, apart from time."""

    trainings: int = Field(default=0, ge=0)
    representations: int = Field(default=0, ge=0, description="forward passes over all users and items")
    rankings: int = Field(default=0, ge=0, description="full rankings of all evaluated users")
    encodings: int = Field(default=0, ge=0, description="edited items that went through the encoder")
    gradients: int = Field(default=0, ge=0, description="gradients and Hessian products over the training graph")


class ArraysRecord(Record):
    """The per-user arrays kept beside the report."""

    file: str = Field(description="name, in the report's folder")
    digest: str


class JudgementRecord(Record):
    """By what, when and how strictly the findings were judged; `gate` judges a report again."""

    suite: str = Field(description="name of the suite whose gates these are")
    digest: str = Field(description="sha256 of that suite's resolved content")
    judged: AwareDatetime
    correction: Correction
    level: float = Field(gt=0, lt=1, description="1 - the chance of a false alarm that the suite allows")
    findings_judged: dict[str, int] = Field(
        default_factory=dict, description="size of the family that the correction is for, by severity"
    )
    rules: int = Field(default=1, ge=1, description="version of the rules of judging")
    content: dict[str, Any] | None = Field(
        default=None, description="that suite with all defaults resolved, where it is not the report's own"
    )

    @model_validator(mode="after")
    def _is_of_its_digest(self) -> JudgementRecord:
        if self.content is not None:
            check_suite_digest(self.content, self.digest)
        return self


class BaselineRecord(Record):
    """The accepted earlier report that this one was compared with."""

    file: str
    digest: str = Field(description="sha256 of the file")
    created: AwareDatetime = Field(description="when the run ended that became the baseline")
    robustrec: str = Field(description="version of the tool that measured it")
    by_users: int = Field(ge=0, description="rows compared user by user")
    by_intervals: int = Field(ge=0, description="rows compared by their intervals, as if of independent samples")
    uncertain: int = Field(default=0, ge=0, description="rows compared without any interval")
    notes: tuple[str, ...] = Field(default=(), description="what differs and may explain a change, e.g. features")


class Requirement(Record):
    """A condition that a recommendation needs."""

    name: str = Field(description="measured, alternatives, gates, training, budget, seeds or difference")
    met: bool
    text: str = Field(description="what was found of it")
    command: str = Field(default="", description="command that meets it, where there is one")


class Recommendation(Record):
    """Which model and strategy is recommended on which conditions, or why none is."""

    chosen: str = Field(description="name of the candidate; empty where none is recommended")
    headline: str = Field(description="the answer with its conditions, or with each one that is not met")
    requirements: tuple[Requirement, ...]
    commands: tuple[str, ...] = Field(default=(), description="what to run to meet the conditions that are not met")
    note: str = Field(default="", description="what limits any recommendation from these data")


class Report(Record):
    """A whole run. The verdict must follow from gates, statuses and waivers: a report cannot claim another."""

    schema_version: Literal[2] = 2
    robustrec: str = Field(description="version of the tool")
    created: AwareDatetime = Field(description="when the run ended, UTC")
    command: tuple[str, ...] = Field(description="the command line, word by word")
    dataset: DatasetRecord
    suite: SuiteRecord
    subjects: tuple[SubjectRecord, ...]
    statuses: tuple[AuditStatus, ...]
    findings: tuple[Finding, ...]
    over_seeds: tuple[Finding, ...] = Field(
        default=(),
        description="means over the training seeds of a model, strategy and features, under the subject of the first "
        "seed, with intervals over seeds, draws and users",
    )
    exhibits: tuple[Exhibit, ...] = ()
    relations: tuple[Relation, ...] = ()
    gates: tuple[GateResult, ...]
    waivers: tuple[WaiverRecord, ...] = ()
    judgement: JudgementRecord | None = Field(default=None, description="None in reports of schema version 1")
    baseline: BaselineRecord | None = Field(default=None, description="None where nothing was compared with one")
    verdict: VerdictWord
    verdict_reason: str
    warnings: tuple[str, ...] = ()
    recommendation: Recommendation | None = Field(default=None, description="follows from everything above")
    cautions: tuple[str, ...] = Field(default=(), description="what a reader must know, as every form shows it")
    seeds: dict[str, int] = Field(description="every seed of the run, by what it seeds")
    environment: Environment
    durations: dict[str, float] = Field(description="seconds by stage")
    costs: Costs
    arrays: ArraysRecord | None = None
    digests: dict[str, str] = Field(
        default_factory=dict, description="section -> sha256 of its content, in a report that was written to a file"
    )

    @model_validator(mode="after")
    def _sound(self) -> Report:
        word, _ = verdict_with_reason(self.gates, self.statuses, self.waivers)
        if word != self.verdict:
            raise ValueError(f"verdict {self.verdict!r} does not follow from the gates and audits, which say {word!r}")
        known = {record.subject for record in self.subjects}
        if len(known) != len(self.subjects):
            raise ValueError("a subject stands there twice")
        with_results = {row.subject for row in self.findings} | {row.subject for row in self.statuses}
        if not with_results <= known:
            label = min(subject.label for subject in with_results - known)
            raise ValueError(f"subject {label} has results but no record")
        return self


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        RobustrecError: the folder cannot be written.
    """
    write_atomically(path, report_json(report))


def report_json(report: Report) -> str:
    """Return a report as the JSON that `read_report` reads, with the digests of its sections."""
    sealed = report.model_copy(update={DIGESTS: section_digests(report)})
    return f"{sealed.model_dump_json(indent=1)}\n"


def moved_arrays(report: Report, source: Path, target: Path) -> Report:
    """Return a report that names its arrays as seen from another folder; without them where they cannot be named."""
    if report.arrays is None or source.resolve().parent == target.resolve().parent:
        return report
    return report.model_copy(update={"arrays": None})


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
            f"report of schema version {version!r}; this robustrec reads versions 1 to {SCHEMA_VERSION}",
            where=f"{source}, key schema_version",
            fix="read it with the robustrec that wrote it, or " + _FIX,
        )
    if version < SCHEMA_VERSION:
        text = json.dumps(upgraded(data))
    try:
        report = Report.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise invalid(error, Report, source=source, fix=_FIX) from error
    if report.digests or (report.judgement and report.judgement.rules >= _RULES_WITH_DIGESTS):
        refuse_edited(report, report.digests, source=source, fix=_FIX)
    return report.model_copy(update={DIGESTS: {}})


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of reports as they are written."""
    schema = Report.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"robustrec report, schema version {SCHEMA_VERSION}",
    }
