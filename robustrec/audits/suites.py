"""Suites: what an audit run measures and what it tolerates, read from TOML."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from robustrec.audits.noise_config import NoiseAudit
from robustrec.audits.values import QualityMetric, StabilityMetric, distinct
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import digest_json, shipped
from robustrec.reporting.findings import Record
from robustrec.reporting.gates import Gate, matches
from robustrec.reporting.invalid import invalid

_MAX_BYTES = 1 << 20

# Another kind of audit joins here: Annotated[NoiseAudit | OtherAudit, Field(discriminator="kind")]; its runner in
# `runner.RUNNERS`, what it costs in `plan.COSTS`.
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
    metrics: Annotated[tuple[QualityMetric, ...], Field(min_length=1), AfterValidator(distinct)]
    stability: Annotated[tuple[StabilityMetric, ...], AfterValidator(distinct)] = ()
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
        distinct(tuple(audit.kind for audit in self.audits))
        distinct(tuple(gate.name for gate in self.gates))
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
            if isinstance(audit, NoiseAudit) and audit.break_point and audit.break_point.metric not in self.metrics:
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
