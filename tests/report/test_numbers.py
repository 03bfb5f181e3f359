from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustrec.results.numbers import as_given, bracketed, percent, plain


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (-0.0, "0 %"),
        (1e-9, "<0.001 %"),
        (-1e-9, "-<0.001 %"),
        (-0.0003, "-0.030 %"),
        (0.0123, "1.23 %"),
        (-0.456, "-45.6 %"),
        (1.0, "100.0 %"),
        (None, "-"),
    ],
)
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.99999, "1.0000"),
        (0.0851234, "0.0851"),
        (0.00086, "0.00086"),
        (1.23e-5, "1.2e-05"),
        (-3e-7, "-3.0e-07"),
        (31.17, "31.2"),
        (2.5e7, "2.5e+07"),
        (None, "-"),
    ],
)
def test_plain(value, text):
    assert plain(value) == text


def test_signs_and_intervals():
    assert percent(0.01, signed=True) == "+1.00 %"
    assert plain(0.01, signed=True) == "+0.0100"
    assert plain(0.0, signed=True) == "0"
    assert bracketed(-0.01, 0.02, percent, signed=True) == "[-1.00, +2.00]"
    assert bracketed(None, 0.02, percent) == ""
    assert as_given(-0.02) == "-0.02"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_zero_differs_from_nearly_zero(value):
    assert (percent(value) == "0 %") == (value == 0)
    assert (plain(value) == "0") == (value == 0)
    assert plain(value).startswith("-") == (value < 0)
