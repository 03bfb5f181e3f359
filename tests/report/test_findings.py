from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_report import SGBD, drift, value
from pydantic import ValidationError

from robustrec.results.findings import AuditStatus, Finding
from robustrec.subject import Subject

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_label_names_everything_that_tells_subjects_apart():
    assert SGBD.label == "slmrec/sgbd/basic/seed 0"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", ["clean", "drift", "relative_drift", "ci_low", "relative_ci_high"])
def test_no_column_holds_what_is_not_a_number(column, number):
    with pytest.raises(ValidationError, match="finite"):
        drift(**{column: number})


def test_unknown_columns_are_refused_and_rows_cannot_change():
    with pytest.raises(ValidationError):
        drift(drifft=1.0)
    with pytest.raises(ValidationError):
        drift().clean = 3.0  # type: ignore[misc]


def test_drift_must_be_the_difference_of_its_row():
    with pytest.raises(ValidationError, match="is not perturbed"):
        drift(clean=0.1, perturbed=0.09, drift=+0.01)
    assert drift(clean=0.1, perturbed=0.3, drift=0.3 - 0.1 + 1e-17).drift is not None


@pytest.mark.parametrize(
    "bounds",
    [{"ci_low": None}, {"relative_ci_high": None}, {"ci_low": 0.2, "ci_high": 0.1}],
)
def test_intervals_are_whole_and_in_order(bounds):
    with pytest.raises(ValidationError):
        drift(**bounds)


def test_a_value_row_has_no_drift():
    with pytest.raises(ValidationError, match="a finding of quantity value must"):
        value(drift=0.1)


def test_a_value_beyond_the_search_has_one_bound_and_drifts_never():
    assert value(number=None, ci_low=1.0).censored
    assert not value(number=None).censored
    assert not value().censored
    with pytest.raises(ValidationError, match="ci_low and ci_high must both be set"):
        value(number=0.5, half_width=None, ci_low=0.4)


@given(FINITE, FINITE)
def test_json_keeps_every_bit(clean, ratio):
    row = value(number=clean, half_width=None, ci_low=min(clean, ratio), ci_high=max(clean, ratio))
    assert Finding.model_validate_json(row.model_dump_json(), strict=True) == row


def test_statuses_are_three():
    with pytest.raises(ValidationError):
        AuditStatus(audit="noise", subject=SGBD, status="skipped")


def test_subjects_are_keys():
    assert len({SGBD, SGBD.model_copy(), Subject(model="bpr", strategy="sgbd", features="none", seed=0)}) == 2
