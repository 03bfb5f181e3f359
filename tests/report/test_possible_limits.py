"""Gates that nothing could ever breach, or keep, are refused when the suite is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_report import SGBD, drift, value

from robustrec.audits.suites import load_suite, parse_suite, suite_names
from robustrec.errors import RobustrecError
from robustrec.results.gates import Gate
from robustrec.results.judging import judge

SUITE = """
schema_version = 1
name = "mine"
metrics = ["ndcg@20"]
stability = ["rbo@20", "changed@20"]
[[audits]]
kind = "noise"
break_point = { sigma2_min = 1e-6, sigma2_max = 1.0 }
[[audits]]
kind = "merchant"
edits = ["typos"]
[[gates]]
name = "g"
"""


def suite_with(select, quantity, limits):
    return parse_suite(f'{SUITE}select = {{ {select} }}\nquantity = "{quantity}"\n{limits}', source="mine.toml")


@pytest.mark.parametrize(
    ("select", "quantity", "limits", "says"),
    [
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -1", "never fail"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -1.5", "never fail"),
        ('audit = "noise", metric = "*"', "relative_drift", "min = -2", "never fail"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -1e308", "outside the range"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -1e308\nmax = 0.1", "outside the range"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "max = 1e300", "outside the range"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "max = -1.1", "never pass"),
        ('audit = "noise", metric = "ndcg@20"', "drift", "min = -1", "never fail"),
        ('audit = "noise", metric = "rbo@20"', "drift", "max = 0.1", "never fail"),
        ('audit = "noise", metric = "rbo@*"', "drift", "min = -1", "never fail"),
        ('audit = "noise", metric = "changed@20"', "drift", "max = 1", "never fail"),
        ('audit = "noise", metric = "changed@20"', "drift", "min = -0.1", "never fail"),
        ('audit = "clean", metric = "ndcg@20"', "value", "min = 0", "never fail"),
        ('audit = "clean", metric = "ndcg@20"', "value", "min = 0\nmax = 1", "never fail"),
        ('audit = "clean", metric = "ndcg@20"', "value", "min = 1.2", "never pass"),
        ('audit = "clean", metric = "ndcg@20"', "drift", "min = -0.1", "no drift without"),
        ('audit = "clean", metric = "ndcg@20", reference = "vanilla"', "relative_drift", "min = -1", "never fail"),
        ('audit = "noise", metric = "ndcg@20", reference = "vanilla"', "drift", "min = -2", "never fail"),
        ('audit = "merchant", metric = "exposure@20_edited"', "relative_drift", "min = -1.0", "never fail"),
        ('audit = "merchant", metric = "seen"', "value", "max = 1", "never fail"),
        ('audit = "merchant", metric = "rank_edited"', "relative_drift", "min = -1", "never fail"),
        ('audit = "noise", metric = "sigma2"', "value", "min = 1e-6", "never fail"),
        ('audit = "noise", metric = "sigma2"', "value", "min = 2.0", "never pass"),
        ('audit = "noise", metric = "sigma2"', "value", "max = 1.0", "never fail"),
    ],
)
def test_limits_that_cannot_be_breached_or_kept_are_refused(select, quantity, limits, says):
    with pytest.raises(RobustrecError) as caught:
        suite_with(select, quantity, limits)
    assert says in caught.value.what
    assert "mine.toml" in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    ("select", "quantity", "limits"),
    [
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -0.99"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = -1\nmax = 0.02"),
        ('audit = "noise", metric = "ndcg@20"', "relative_drift", "min = 0.5"),
        ('audit = "noise", metric = "rbo@20"', "drift", "min = -0.1\nmax = 0.1"),
        ('audit = "noise", metric = "sigma2"', "value", "min = 1e-3"),
        ('audit = "noise", metric = "snr_db_image"', "value", "min = 20"),
        ('audit = "merchant", metric = "rank_edited"', "drift", "max = 50"),
    ],
)
def test_limits_that_can_be_breached_are_read(select, quantity, limits):
    assert suite_with(select, quantity, limits).gates


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_read(name):
    assert load_suite(name).gates


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["value", "drift", "relative_drift"]), st.floats(-3, 3))
def test_what_is_accepted_can_fail_for_a_possible_number_and_what_is_refused_cannot(clean, perturbed, quantity, limit):
    fields = {"name": "g", "select": {"metric": "ndcg@20"}, "quantity": quantity, "bound": "estimate", "min": limit}
    row = (
        value(SGBD, clean, 0.0)
        if quantity == "value"
        else drift(
            SGBD,
            (perturbed - clean) / clean if clean > 1e-6 else None,
            clean=clean,
            perturbed=perturbed,
            drift=perturbed - clean,
            ci_low=-1.0,
            ci_high=1.0,
            relative_ci_low=None,
            relative_ci_high=None,
        )
    )
    try:
        gate = Gate.model_validate(fields)
    except ValueError:
        # Everything possible is on one side of the limit.
        loose = Gate.model_construct(**{**fields, "select": Gate.model_validate({**fields, "min": 0.5}).select})
        loose = loose.model_copy(update={"max": None, "against": None, "severity": "error"})
        results = {judge([loose], [row])[0].status} - {"error"}
        assert results in (set(), {"pass"} if limit < 0.5 else {"fail"})
    else:
        assert judge([gate], [row])[0].status in ("pass", "fail", "error")
