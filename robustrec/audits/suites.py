"""Suites: audits, metrics and gates of a run, read from TOML."""

from __future__ import annotations

import difflib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)

from robustrec.audits.item_values import with_value
from robustrec.audits.kind import AuditConfig
from robustrec.audits.registry import KINDS, UserAudit, built_in, check_known
from robustrec.audits.values import (
    QualityMetric,
    StabilityMetric,
    distinct,
    length_of_main,
    strata_metrics,
    use_metrics,
)
from robustrec.columns import COLUMN_NAME, of_users
from robustrec.config import Settings
from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation.error_rates import Correction
from robustrec.evaluation.kinds import LONGEST_LIST, QUALITY, STABILITY, VALUE, kind_of, named
from robustrec.files import digest_json, shipped, shown_path
from robustrec.invalid import invalid
from robustrec.results.findings import BASELINE, CLEAN, CONTENT_USE, EXPOSURE, SegmentKind
from robustrec.results.gates import Gate
from robustrec.results.selection import matches
from robustrec.results.waivers import Waiver
from robustrec.runs.plan import evaluation_options
from robustrec.subject import Record
from robustrec.training.strategy_names import canonical_strategy
from robustrec.untrusted import UnreadableError, parse_toml, read_text

_USER_DEFINED = "package.module:Class"


def kind(settings: Any) -> str | None:
    """Return which model reads the settings of an audit; its name is in pydantic's errors."""
    found = settings.get("kind") if isinstance(settings, dict) else getattr(settings, "kind", None)
    if not isinstance(found, str):
        return None
    return found if found in KINDS else _USER_DEFINED


if TYPE_CHECKING:
    _AnyAudit = AuditConfig
else:
    _models = [Annotated[built_in(name).config, Tag(name)] for name in KINDS]
    _AnyAudit = SerializeAsAny[
        Annotated[Union[*_models, Annotated[UserAudit, Tag(_USER_DEFINED)]], Discriminator(kind)]
    ]


class Bootstrap(Record):
    """Settings of the confidence intervals."""

    replicates: int = Field(
        default=2000, ge=100, le=100_000, description="number of bootstrap samples of users and draws"
    )
    level: float = Field(default=0.95, ge=0.5, le=0.999, description="confidence level")


class Suite(Record):
    """A suite: audits, metrics and gates of a run."""

    schema_version: Literal[1]
    name: str = Field(min_length=1, description="name of the suite in reports")
    description: str = Field(default="", description="what the suite measures, in one line")
    require_edition: Literal["any", "full"] = Field(
        default="any", description="any: no restriction; full: refuse synthetic sample editions"
    )
    metrics: Annotated[tuple[QualityMetric, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        description=f"metrics of lists, for example ndcg@20: {named(QUALITY)} at a list length from 1 to {LONGEST_LIST}"
    )
    stability: Annotated[tuple[StabilityMetric, ...], AfterValidator(distinct)] = Field(
        default=(),
        description=f"list stability metrics: {named(STABILITY)} at a list length from 1 to {LONGEST_LIST}",
    )
    compare_with: Annotated[str, AfterValidator(canonical_strategy)] | None = Field(
        default="vanilla", min_length=1, description="reference strategy for comparisons"
    )
    mask_validation: bool = Field(default=False, description="also mask validation items in the test ranking")
    users: int | None = Field(
        default=None, ge=2, description="number of test users to rank, a stratified sample; all if there are no more"
    )
    segments: Annotated[tuple[SegmentKind, ...], AfterValidator(distinct)] = Field(
        default=(),
        description="segments of the users with findings of their own: activity (thirds by training interactions), a "
        "column of the users (user:country), or users by the popularity, category, brand, price or a column "
        "(item:season) of their test items",
    )
    value: str | None = Field(
        default=None,
        pattern=f"^{COLUMN_NAME}$",
        description="numeric column of the catalog, such as price or margin, whose values weigh the items in value@k "
        "and value_ndcg@k",
    )
    bootstrap: Bootstrap = Field(default=Bootstrap(), description="settings of the confidence intervals")
    audits: tuple[_AnyAudit, ...] = Field(min_length=1, description="audits to run, one table for each kind")
    gates: tuple[Gate, ...] = Field(
        default=(), description="limits on findings; without gates the verdict is inconclusive"
    )
    correction: Correction = Field(
        default="holm", description="correction for multiple testing over the findings of gates"
    )
    waivers: tuple[Waiver, ...] = Field(default=(), description="breaches of gates that are accepted until a date")

    @property
    def digest(self) -> str:
        """Return the sha256 of the resolved content."""
        return digest_json(self.model_dump(mode="json"))

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # A key that is not given changes no digest of a suite, nor of what was measured by it.
        return {name: value for name, value in handler(self).items() if name not in ("segments", "value") or value}

    @model_validator(mode="after")
    def _fits_together(self) -> Suite:
        distinct(tuple(audit.kind for audit in self.audits))
        distinct(tuple(gate.name for gate in self.gates))
        of_values = next((name for name in self.metrics if kind_of(name) in VALUE), None)
        if of_values and self.value is None:
            raise ValueError(f'metric {of_values!r} needs a value of each item; add value = "price"')
        if self.value is not None and not of_values:
            raise ValueError(f"value = {self.value!r} is read by no metric; add value@20 or value_ndcg@20 to metrics")
        audits = (CLEAN, CONTENT_USE, *(audit.kind for audit in self.audits))
        strata = strata_metrics(self.metrics)
        own = [metric for audit in self.audits for metric in audit.own_metrics]
        own += [metric for audit in self.audits if self.value is not None for metric in audit.value_metrics]
        of_groups = [f"{EXPOSURE}@{length_of_main(self.metrics)}"] if not all(map(of_users, self.segments)) else []
        listed = (*self.metrics, *self.stability, *strata, *own, *use_metrics(self.metrics), *of_groups)
        unknown = [audit.kind for audit in self.audits if isinstance(audit, UserAudit)]
        for gate in self.gates:
            select = gate.select
            if not any(matches(audit, select.audit) for audit in audits):
                error = unknown_name("audit", select.audit, audits, where="")
                raise ValueError(
                    f"gate {gate.name!r} selects {select.audit!r}, which the suite does not run; {error.fix}"
                )
            wanted, listed_elsewhere = select.metric_name, any(matches(kind, select.audit) for kind in unknown)
            if "@" in wanted and not listed_elsewhere and not any(matches(metric, wanted) for metric in listed):
                error = unknown_name("metric", wanted, listed, where="")
                raise ValueError(f"gate {gate.name!r} selects {wanted!r}, which the suite does not list; {error.fix}")
            if select.segment_by is not None and select.segment_by not in self.segments:
                close = difflib.get_close_matches(select.segment_by, self.segments, n=1)
                measured = ",".join((*self.segments, select.segment_by))
                raise ValueError(
                    f"gate {gate.name!r} selects segments by {select.segment_by}, but the suite does not measure them; "
                    + (f"did you mean {close[0]!r}? otherwise " if close else "")
                    + f'add segments = ["{select.segment_by}"], or use --segments {shlex.quote(measured)}'
                )
            if select.segment_by is not None and (gate.reference != CLEAN or select.group is not None):
                raise ValueError(f"gate {gate.name!r} selects segments, which have no group and no other reference")
            if gate.reference not in (CLEAN, BASELINE, self.compare_with):
                raise ValueError(
                    f"gate {gate.name!r} compares with {gate.reference!r}, but compare_with is {self.compare_with!r}; "
                    f"compare with {' or '.join(each for each in (self.compare_with, BASELINE) if each)}, or set "
                    f'compare_with = "{gate.reference}" in the suite'
                )
        for audit in self.audits:
            if audit.kind in KINDS:
                built_in(audit.kind).fits(audit, self)
        return self


def suite_names() -> list[str]:
    """Return the names of the shipped suites, sorted."""
    return sorted(path.stem for path in shipped("audits", "quick.toml").parent.glob("*.toml"))


def load_suite(name_or_path: str) -> Suite:
    """Return a shipped suite by its name, or your own suite by the path of its TOML file.

    Raises:
        RobustrecError: unknown name, unreadable file, invalid TOML, or an unknown key or value.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml" and len(path.parts) == 1:
        names = suite_names()
        if name_or_path not in names:
            raise unknown_name("suite", name_or_path, names, where="--suite (a name, or the path of a .toml file)")
        path = shipped("audits", f"{name_or_path}.toml")
    return parse_suite(_read(path), source=str(path))


def suite_of(settings: Settings, suite: Suite | None = None) -> Suite:
    """Return a suite, by default that of the settings, with the overrides of `--set evaluation` and `--users`.

    Raises:
        RobustrecError: as `load_suite`, or an override is invalid.
    """
    suite, mask = suite or load_suite(settings.suite), evaluation_options(settings).mask_validation
    changes = {"mask_validation": mask, "users": settings.users, "segments": settings.segments}
    changed = {name: value for name, value in changes.items() if value is not None}
    suite = suite.model_copy(update=changed) if changed else suite
    return with_value(suite, settings.value)


def suite_text(name_or_path: str) -> str:
    """Return the TOML of a suite as written, including comments; see `load_suite`."""
    load_suite(name_or_path)
    path = Path(name_or_path)
    shipped_name = path.suffix != ".toml" and len(path.parts) == 1
    return _read(shipped("audits", f"{name_or_path}.toml") if shipped_name else path)


def parse_suite(text: str, *, source: str) -> Suite:
    """Parse a suite from a TOML text.

    Args:
        text: the TOML.
        source: where it came from, for errors.

    Raises:
        RobustrecError: invalid TOML, or an unknown key or value.
    """
    fix = "see an example: robustrec config show --suite quick"
    try:
        data = parse_toml(text)
    except UnreadableError as error:
        raise RobustrecError(str(error), where=source, fix="fix the key or line named above") from error
    try:
        # Read as JSON: strict, so that "8" or true is not a number, but a list can be a tuple.
        suite = Suite.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise invalid(error, Suite, source=source, fix=fix) from error
    for place, audit in enumerate(suite.audits):
        check_known(audit.kind, where=f"{source}, key audits[{place}].kind")
    return suite


def recorded_suite(content: dict[str, Any], *, source: str) -> Suite:
    """Return the suite of a report from its resolved content.

    Raises:
        RobustrecError: the content is not a suite.
    """
    try:
        return Suite.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise invalid(error, Suite, source=f"{source}, key suite.content", fix="pass a suite with --suite") from error


def _read(path: Path) -> str:
    fix = f"pass the name of a suite ({', '.join(suite_names())}) or the path of a .toml file"
    try:
        return read_text(path)
    except UnreadableError as error:
        raise RobustrecError(f"cannot read suite {shown_path(path)}: {error}", where="--suite", fix=fix) from error
