"""Waivers: a breach is shown as waived, never as a pass; they run out; what they do not cover still counts."""

from __future__ import annotations

import datetime

import pytest
from made_up_report import SGBD, VANILLA, drift
from pydantic import ValidationError

from robustrec.errors import RobustrecError
from robustrec.results.findings import AuditStatus
from robustrec.results.gates import Gate
from robustrec.results.judging import judge_all
from robustrec.results.verdict import exit_code, verdict_with_reason
from robustrec.results.waivers import Waiver, read_waivers, warnings_of

TODAY = datetime.date(2026, 6, 30)
OK = [AuditStatus(audit="noise", subject=SGBD, status="ok")]
FAILING = {"relative": -0.05}
OPEN = {"relative": -0.02}
FINE = {"relative": 0.0}


def waiver(**changes):
    fields = {"gate": "g", "reason": "ticket 7", "expires": "2026-06-30"}
    return Waiver.model_validate({**fields, **changes})


def judged(rows, waivers, *, severity="error", today=TODAY):
    gate = Gate(name="g", select={"metric": "ndcg@20"}, quantity="relative_drift", min=-0.02, severity=severity)
    found = judge_all([gate], rows, waivers=waivers, today=today)
    word, reason = verdict_with_reason(found.gates, OK, found.waivers)
    codes = [exit_code(word, found.gates, each) for each in ("error", "warn", "inconclusive", "never")]
    return found.gates[0], [each.state for each in found.waivers], word, reason, codes


def test_a_waived_failure_is_shown_and_does_not_count():
    result, states, word, reason, codes = judged([drift(**FAILING)], [waiver()])
    assert (result.status, result.effective, states, word) == ("fail", "pass", ["used"], "pass")
    assert (result.waived.reason, result.waived.expires, result.waived.findings) == ("ticket 7", TODAY, 1)
    assert result.message.startswith("waived until 2026-06-30 (ticket 7): ndcg@20 fell by 5.00 %")
    assert "waived until 2026-06-30: g" in reason
    assert codes == [0, 0, 0, 0]


def test_without_the_waiver_the_same_findings_fail():
    result, _, word, _, codes = judged([drift(**FAILING)], [])
    assert (result.status, result.waived, word, codes) == ("fail", None, "fail", [1, 1, 1, 0])


@pytest.mark.parametrize("rows", [[drift(**FAILING)], [drift(**FINE)]])
def test_an_expired_waiver_fails_the_run_whatever_the_gate_says(rows):
    result, states, word, reason, codes = judged(rows, [waiver(expires="2026-06-29")])
    assert (states, word, codes) == (["expired"], "fail", [1, 1, 1, 0])
    assert result.waived is None
    assert "expired on 2026-06-29" in reason
    assert "ticket 7" in reason


@pytest.mark.parametrize(
    ("rows", "effective", "word", "codes"),
    [
        ([drift(VANILLA, **FAILING), drift(SGBD, **FINE)], "pass", "pass", [0, 0, 0, 0]),
        ([drift(VANILLA, **FAILING), drift(SGBD, **OPEN)], "inconclusive", "inconclusive", [0, 0, 1, 0]),
        ([drift(VANILLA, **FAILING), drift(SGBD, **FAILING)], "fail", "fail", [1, 1, 1, 0]),
        ([drift(VANILLA, **OPEN), drift(SGBD, **FAILING)], "fail", "fail", [1, 1, 1, 0]),
        ([drift(VANILLA, **FAILING), drift(SGBD, n_users=0)], "error", "error", [2, 2, 2, 2]),
        ([drift(VANILLA, **OPEN), drift(SGBD, **FINE)], "pass", "pass", [0, 0, 0, 0]),
    ],
)
def test_what_a_waiver_does_not_cover_still_counts(rows, effective, word, codes):
    result, states, found, _, exits = judged(rows, [waiver(subject="slmrec/vanilla/*")])
    assert (result.effective, found, exits) == (effective, word, codes)
    assert states == ["used"]
    assert (result.status == "pass") is False
    if result.status == effective:
        assert result.waived is None
        assert result.subject == SGBD


def test_what_cannot_be_judged_is_never_waived():
    result, states, word, _, codes = judged([drift(n_users=0)], [waiver()])
    assert (result.status, result.waived, states, word) == ("error", None, ["not_needed"], "error")
    assert codes == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("changes", "state"),
    [({"gate": "other"}, "matches_nothing"), ({"subject": "bpr/*"}, "matches_nothing"), ({}, "not_needed")],
)
def test_a_waiver_that_does_nothing_is_a_warning(changes, state):
    gate = Gate(name="g", select={"metric": "ndcg@20"}, quantity="relative_drift", min=-0.02)
    found = judge_all([gate], [drift(**FINE)], waivers=[waiver(**changes)], today=TODAY)
    assert found.waivers[0].state == state
    assert len(warnings_of(found.waivers)) == 1
    assert found.gates[0].status == "pass"


def test_a_waived_warning_counts_for_no_fail_on():
    *_, codes = judged([drift(**FAILING)], [waiver()], severity="warn")
    assert codes[1] == 0
    *_, codes = judged([drift(**FAILING)], [], severity="warn")
    assert codes[1] == 1


@pytest.mark.parametrize(
    "changes", [{"reason": ""}, {"expires": "soon"}, {"gate": ""}, {"until": "2026-01-01"}, {"expires": None}]
)
def test_a_waiver_says_why_and_until_when(changes):
    with pytest.raises(ValidationError):
        waiver(**changes)


def test_waivers_from_a_file(tmp_path):
    path = tmp_path / "waivers.toml"
    path.write_text('[[waivers]]\ngate = "g"\nreason = "ticket 7"\nexpires = 2026-06-30\n')
    assert read_waivers(path) == (waiver(),)
    for content, says in [
        (None, "cannot read"),
        ("a =", "not valid TOML"),
        ("", "is missing"),
        ('[[waivers]]\ngate = "g"\nreason = "x"\nexpires = 2026-06-30\nuntil = 1', "unknown key 'until'"),
        ('[[waivers]]\ngate = "g"\nreason = "x"\nexpires = 2026-06-30T10:00:00', "date"),
        ('[[waivers]]\ngate = "g"\nexpires = 2026-06-30', "'reason' is missing"),
    ]:
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
        with pytest.raises(RobustrecError) as caught:
            read_waivers(path)
        assert says in caught.value.what
        assert caught.value.fix
