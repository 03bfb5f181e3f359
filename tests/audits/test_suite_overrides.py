"""`--set` of sections that a run does not have: an error names those that it has."""

from __future__ import annotations

import pytest

from robustrec.audits.suite_overrides import with_overrides
from robustrec.audits.suites import load_suite
from robustrec.config import Settings, resolve
from robustrec.errors import RobustrecError


def test_an_audit_that_the_suite_does_not_have_is_said_to_be_missing() -> None:
    with pytest.raises(RobustrecError, match="suite 'quick' has no audit 'worst'; its audits: merchant") as raised:
        with_overrides(load_suite("quick"), Settings(set={"worst": {"draws": 3}}))
    assert raised.value.where == "--set worst.…"


def test_a_mistyped_section_gets_the_audits_of_the_suite_too() -> None:
    with pytest.raises(RobustrecError, match="unknown section 'merchnt'") as raised:
        with_overrides(load_suite("quick"), Settings(set={"merchnt": {"draws": 3}}))
    assert "did you mean 'merchant'?" in raised.value.fix


def test_an_invalid_setting_is_told_without_words_of_pydantic() -> None:
    with pytest.raises(RobustrecError, match=r"segments = .*unknown segments 'activty'") as raised:
        resolve({"segments": "activty"})
    assert "Value error" not in raised.value.what
