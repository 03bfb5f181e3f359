"""The kinds of audits: built in, installed, and user-defined, which are found by name and tried before any work.

User-defined kinds are imported only for an audit whose suite names them, never to read or judge a report.
"""

from __future__ import annotations

import copy
import inspect
import json
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError

from robustrec.audits.kind import AuditConfig, AuditKind
from robustrec.errors import RobustrecError, described, unknown_name
from robustrec.invalid import invalid
from robustrec.plugins import Plugins

if TYPE_CHECKING:
    from robustrec.audits.suites import Suite
    from robustrec.results.report import UserAuditRecord

KINDS: dict[str, str] = {
    "noise": "robustrec.audits.noise.kind",
    "merchant": "robustrec.audits.merchant.kind",
    "encoder": "robustrec.audits.encoder.kind",
    "missing": "robustrec.audits.missing.kind",
    "cause": "robustrec.audits.cause.kind",
    "worst": "robustrec.audits.worst.kind",
    "guarantee": "robustrec.audits.guarantee.kind",
    "migration": "robustrec.audits.migration.kind",
    "sharpness": "robustrec.audits.sharpness.kind",
}
"""Name of each built-in kind -> module with the object KIND."""


def built_in(name: str) -> AuditKind[Any]:
    """Return a built-in kind by its name in `KINDS`."""
    found: AuditKind[Any] = import_module(KINDS[name]).KIND
    return found


PLUGINS = Plugins("robustrec.audits", "audit", "Class", KINDS)
_ADVICE = "see docs/own-audits.md"


class UserAudit(AuditConfig):
    """Settings of a user-defined audit, whose class checks them before the run."""

    model_config = ConfigDict(extra="allow")


def check_known(name: str, *, where: str) -> None:
    """Check that a kind of audit is built in, installed, or a place to import from; nothing is imported.

    Raises:
        RobustrecError: it is none of these.
    """
    if name not in KINDS and ":" not in name and name not in PLUGINS.points():
        raise unknown_name("audit", name, [*KINDS, *PLUGINS.points()], where=where)


@cache
def kind_of(name: str) -> AuditKind[Any]:
    """Return a kind of audit by its name in a suite; a user-defined kind is imported and tried.

    Raises:
        RobustrecError: there is none, it cannot be imported, or it is not an `AuditKind`.
    """
    if name in KINDS:
        return built_in(name)
    where = f"suite, audits of kind {name!r}"
    found = PLUGINS.load(name, where=where)
    if found is None:
        raise unknown_name("audit", name, [*KINDS, *PLUGINS.points()], where=where)
    return _tried(name, *found)


def kinds() -> list[tuple[AuditKind[Any], str]]:
    """Return the built-in and installed kinds, each with its place; the place of built-in kinds is empty."""
    points = PLUGINS.points()
    return [
        *((built_in(name), "") for name in KINDS),
        *((kind_of(name), points[name].value) for name in sorted(points)),
    ]


def resolved(suite: Suite, *, source: str) -> Suite:
    """Return a suite with the settings of user-defined audits read by their classes, with all defaults.

    Raises:
        RobustrecError: a kind cannot be used, or its settings are invalid.
    """
    audits: list[AuditConfig] = []
    for place, audit in enumerate(suite.audits):
        if audit.kind not in KINDS:
            kind = kind_of(audit.kind)
            try:
                text = json.dumps(audit.model_dump(mode="json"))
                config = kind.config.model_validate_json(text, strict=True)
                kind.fits(config, suite)
            except ValidationError as error:
                where = f"suite {source}, audits[{place}] of kind {audit.kind!r}"
                raise invalid(error, kind.config, source=where, fix=_ADVICE) from error
            audits.append(config)
        else:
            audits.append(audit)
    return suite.model_copy(update={"audits": tuple(audits)})


def user_audits(suite: Suite) -> tuple[UserAuditRecord, ...]:
    """Return what reports say of the user-defined audits of a suite."""
    from robustrec.results.report import UserAuditRecord

    own = [kind_of(audit.kind) for audit in suite.audits if audit.kind not in KINDS]
    return tuple(UserAuditRecord(name=kind.name, summary=kind.summary, glossary=dict(kind.glossary)) for kind in own)


def _tried(name: str, found: object, place: str) -> AuditKind[Any]:
    """Return a user-defined kind under its name.

    Raises:
        RobustrecError: it is not an `AuditKind` with settings and a method `measure`.
    """
    where = f"audit {name}: {place}"
    try:
        kind = found() if inspect.isclass(found) else copy.copy(found)
    except Exception as error:
        raise RobustrecError(
            f"the audit {name!r} cannot be made: {described(error)}", where=where, fix=_ADVICE
        ) from error
    fault = ""
    config = getattr(kind, "config", None)
    if not isinstance(kind, AuditKind):
        fault = "is not a class derived from robustrec.audits.kind.AuditKind"
    elif not (inspect.isclass(config) and issubclass(config, AuditConfig)):
        fault = "has no config that is a class derived from robustrec.audits.kind.AuditConfig"
    elif not config.__dict__.get("__doc__"):
        fault = "has a config without a docstring; its first line describes the audit"
    elif not (
        isinstance(kind.glossary, dict)
        and all(isinstance(each, str) for pair in kind.glossary.items() for each in pair)
    ):
        fault = "has a glossary that is not a dict of term -> definition"
    elif type(kind).measure is AuditKind.measure:
        fault = "has no method measure(self, config, audited)"
    if fault:
        raise RobustrecError(f"the audit {name!r} {fault}", where=where, fix=_ADVICE)
    assert isinstance(kind, AuditKind)
    kind.name = name
    return kind
