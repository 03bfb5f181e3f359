"""`--set KIND.KEY=VALUE`: settings of the audits of a suite, such as merchant.draws=12."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from robustrec.audits.kind import AuditConfig
from robustrec.audits.registry import KINDS
from robustrec.audits.suites import Suite
from robustrec.config import Settings
from robustrec.errors import RobustrecError, unknown_name
from robustrec.invalid import invalid
from robustrec.models import MODELS
from robustrec.runs.plan import SECTIONS, sections_of


def with_overrides(suite: Suite, settings: Settings) -> tuple[Suite, Settings]:
    """Return a suite with the overridden settings of its audits, and the settings without them, for the subjects.

    A section that also means something else, such as encoder, keeps that meaning.

    Raises:
        RobustrecError: an unknown section or key, or an invalid value.
    """
    kinds = {audit.kind for audit in suite.audits} - {*SECTIONS, *MODELS}
    known = {*sections_of(settings), *kinds}
    for section in settings.set:
        if section in KINDS and section not in known:
            raise RobustrecError(
                f"suite {suite.name!r} has no audit {section!r}; its audits: {', '.join(sorted(kinds))}",
                where=f"--set {section}.…",
                fix=f"remove --set {section}.…, or choose a suite with this audit: robustrec list suites",
            )
        if section not in known:
            raise unknown_name("section", section, known, where=f"--set {section}.…")
    given = {section: values for section, values in settings.set.items() if section in kinds}
    if not given:
        return suite, settings
    audits = tuple(_overridden(audit, given[audit.kind]) if audit.kind in given else audit for audit in suite.audits)
    rest = {section: values for section, values in settings.set.items() if section not in given}
    return suite.model_copy(update={"audits": audits}), settings.model_copy(update={"set": rest})


def _overridden(audit: AuditConfig, values: Mapping[str, Any]) -> AuditConfig:
    content = {**audit.model_dump(mode="json"), **values, "kind": audit.kind}
    try:
        return type(audit).model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        key = next(iter(values))
        raise invalid(
            error,
            type(audit),
            source=f"--set {audit.kind}.{key}=…",
            fix="see the keys of the audit: robustrec config show --suite SUITE, and docs/suites.md",
        ) from error
