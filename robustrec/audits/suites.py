"""Suites: what an audit run measures and what it tolerates, read from TOML."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import digest_json, shipped
from robustrec.reporting.findings import Record
from robustrec.reporting.gates import Gate, matches
from robustrec.reporting.invalid import invalid

QUALITY_KINDS = ("recall", "precision", "ndcg", "map")
STABILITY_KINDS = ("rbo", "overlap", "changed")
LONGEST_LIST = 50

_METRIC = re.compile(r"(?P<kind>[a-z]+)@(?P<k>\d{1,4})")
_MAX_BYTES = 1 << 20


def _metric_of(kinds: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        match = _METRIC.fullmatch(name)
        kind = match["kind"] if match else name.partition("@")[0]
        if kind not in kinds:
            error = unknown_name("metric", name, (f"{each}@20" for each in kinds), where="")
            raise ValueError(f"{error.what}; {error.fix}, or at another length from 1 to {LONGEST_LIST}")
        if not match or not 1 <= int(match["k"]) <= LONGEST_LIST:
            raise ValueError(f"metric {name!r} needs a list length from 1 to {LONGEST_LIST}, for example {kind}@20")
        return f"{kind}@{int(match['k'])}"

    return AfterValidator(check)


def _distinct(values: tuple[object, ...]) -> tuple[object, ...]:
    twice = [value for position, value in enumerate(values) if value in values[:position]]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice")
    return values


QualityMetric = Annotated[str, _metric_of(QUALITY_KINDS)]
StabilityMetric = Annotated[str, _metric_of(STABILITY_KINDS)]
Variance = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Draws = Annotated[int, Field(ge=1, le=1000)]


class BreakPoint(Record):
    """Search, on a logarithmic scale, for the smallest noise that costs more than is tolerated."""

    metric: QualityMetric = "ndcg@20"
    max_relative_drop: float = Field(
        default=0.05, gt=0, lt=1, description="tolerated loss, as a share of the clean value"
    )
    sigma2_min: float = Field(default=1e-8, gt=0, description="smallest variance tried")
    sigma2_max: float = Field(default=1.0, gt=0, le=1e6, description="largest variance tried")
    draws: Draws = 4
    steps: int = Field(default=12, ge=1, le=60, description="bisection steps")

    @model_validator(mode="after")
    def _ordered(self) -> BreakPoint:
        if self.sigma2_min >= self.sigma2_max:
            raise ValueError(f"sigma2_min {self.sigma2_min} must be smaller than sigma2_max {self.sigma2_max}")
        return self


class TrainingNoise(Record):
    """Noise that was there from the start: train once more on noisy features and serve on the same."""

    sigma2: Annotated[tuple[Variance, ...], Field(min_length=1), AfterValidator(_distinct)]
    draws: Draws = Field(default=1, description="trainings per variance, each with its own noise")


class NoiseAudit(Record):
    """Gaussian noise on the item features before any normalisation inside the model."""

    kind: Literal["noise"]
    sigma2: Annotated[tuple[Variance, ...], AfterValidator(_distinct)] = Field(
        default=(1e-6,), description="variances of the noise; 0 is an A/A audit and must find nothing"
    )
    relative: Annotated[tuple[Share, ...], AfterValidator(_distinct)] = Field(
        default=(),
        description="expected length of the noise, as a share of each feature vector's norm",
    )
    scopes: Annotated[tuple[Literal["all", "image", "text"], ...], Field(min_length=1), AfterValidator(_distinct)] = (
        Field(default=("all",), description="modalities that get the noise")
    )
    graphs: Annotated[tuple[Literal["rebuilt", "frozen"], ...], Field(min_length=1), AfterValidator(_distinct)] = Field(
        default=("rebuilt",),
        description="item graphs rebuilt from the noisy features (the pipeline ran again), or kept as they were",
    )
    draws: Draws = 10
    break_point: BreakPoint | None = None
    training: TrainingNoise | None = None

    @model_validator(mode="after")
    def _measures_something(self) -> NoiseAudit:
        if not (self.sigma2 or self.relative or self.break_point or self.training):
            raise ValueError("a noise audit needs sigma2, relative, break_point or training")
        return self


# Another kind of audit joins here: Annotated[NoiseAudit | OtherAudit, Field(discriminator="kind")].
AuditConfig = NoiseAudit
AUDIT_KINDS: dict[str, type[Record]] = {"noise": NoiseAudit}
"""Kind of audit, as a suite names it -> its configuration."""


class Bootstrap(Record):
    """How intervals are made."""

    replicates: int = Field(default=2000, ge=100, le=100_000)
    level: float = Field(default=0.95, ge=0.5, le=0.999, description="confidence level")


class Suite(Record):
    """What a run measures (`audits`), in which metrics, and what it tolerates (`gates`)."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    description: str = ""
    require_edition: Literal["any", "full"] = "any"
    metrics: Annotated[tuple[QualityMetric, ...], Field(min_length=1), AfterValidator(_distinct)]
    stability: Annotated[tuple[StabilityMetric, ...], AfterValidator(_distinct)] = ()
    compare_with: str | None = Field(
        default="vanilla", min_length=1, description="strategy that the others are compared with"
    )
    mask_validation: bool = Field(default=False, description="hide validation items too at test")
    bootstrap: Bootstrap = Bootstrap()
    audits: tuple[AuditConfig, ...] = Field(min_length=1)
    gates: tuple[Gate, ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of the resolved content."""
        return digest_json(self.model_dump(mode="json"))

    @model_validator(mode="after")
    def _fits_together(self) -> Suite:
        _distinct(tuple(audit.kind for audit in self.audits))
        _distinct(tuple(gate.name for gate in self.gates))
        audits = ("clean", *(audit.kind for audit in self.audits))
        listed = (*self.metrics, *self.stability)
        for gate in self.gates:
            select = gate.select
            if not any(matches(audit, select.audit) for audit in audits):
                error = unknown_name("audit", select.audit, audits, where="")
                raise ValueError(f"gate {gate.name!r} selects {error.what}, which the suite does not run; {error.fix}")
            if "@" in select.metric and not any(matches(metric, select.metric) for metric in listed):
                error = unknown_name("metric", select.metric, listed, where="")
                raise ValueError(f"gate {gate.name!r} selects {error.what}, which the suite does not list; {error.fix}")
            if select.reference not in ("clean", self.compare_with):
                raise ValueError(
                    f"gate {gate.name!r} compares with {select.reference!r}, but the suite with {self.compare_with!r}"
                )
        for audit in self.audits:
            if audit.break_point and audit.break_point.metric not in self.metrics:
                raise ValueError(
                    f"the break point's metric {audit.break_point.metric!r} is not among the suite's metrics"
                )
        return self


def suite_names() -> list[str]:
    """Return the names of the shipped suites, sorted."""
    return sorted(path.stem for path in shipped("audits", "quick.toml").parent.glob("*.toml"))


def load_suite(name_or_path: str) -> Suite:
    """Return a shipped suite by its name, or one's own by the path of its TOML file.

    Raises:
        RobustrecError: unknown name, unreadable file, bad TOML, or a key or value that does not belong.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml" and len(path.parts) == 1:
        names = suite_names()
        if name_or_path not in names:
            raise unknown_name("suite", name_or_path, names, where="--suite (a name, or the path of a .toml file)")
        path = shipped("audits", f"{name_or_path}.toml")
    return parse_suite(_read(path), source=str(path))


def parse_suite(text: str, *, source: str) -> Suite:
    """Return the suite that a TOML text describes.

    Args:
        text: the TOML.
        source: where it came from, for errors.

    Raises:
        RobustrecError: bad TOML, or a key or value that does not belong.
    """
    fix = "see a suite that works: robustrec config show --suite quick"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RobustrecError(f"not valid TOML: {error}", where=source, fix="mend the place named above") from error
    try:
        # By way of JSON: strict, so that "8" or true is no number, yet with lists for tuples.
        return Suite.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise invalid(error, Suite, source=source, fix=fix) from error


def _read(path: Path) -> str:
    fix = f"give a suite's name ({', '.join(suite_names())}) or the path of a .toml file"
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RobustrecError(f"{path} is larger than 1 MiB, no suite is", where="--suite", fix=fix)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RobustrecError(f"cannot read suite {path}: {reason}", where="--suite", fix=fix) from error
