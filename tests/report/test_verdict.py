from __future__ import annotations

import itertools

import pytest
from made_up_report import SGBD

from robustrec.results.findings import AuditStatus
from robustrec.results.gates import GateResult
from robustrec.results.verdict import exit_code, verdict, verdict_with_reason

OK = AuditStatus(audit="noise", subject=SGBD, status="ok")
BROKEN = AuditStatus(audit="reach", subject=SGBD, status="error", message="image did not reach the scores")
SPARED = AuditStatus(audit="noise", subject=SGBD, status="not_applicable", message="reads no features")


def result(status, severity="error"):
    return GateResult(
        gate=f"{status} {severity}",
        severity=severity,
        status=status,
        message="",
        selected=1,
        quantity="drift",
        min=0.0,
        max=None,
    )


PASS, FAIL, OPEN, ERROR = (result(each) for each in ("pass", "fail", "inconclusive", "error"))
MILD_PASS, MILD_FAIL, MILD_OPEN, MILD_ERROR = (
    result(each, "warn") for each in ("pass", "fail", "inconclusive", "error")
)


@pytest.mark.parametrize(
    ("results", "statuses", "expected"),
    [
        ([PASS], [OK], "pass"),
        ([PASS, FAIL], [OK], "fail"),
        ([PASS, OPEN], [OK], "inconclusive"),
        ([PASS, FAIL, OPEN], [OK], "fail"),
        ([PASS, FAIL, OPEN, ERROR], [OK], "error"),
        ([PASS, MILD_FAIL, MILD_OPEN], [OK], "pass"),
        ([PASS, MILD_ERROR], [OK], "error"),
        ([PASS], [OK, BROKEN], "error"),
        ([PASS], [], "error"),
        ([PASS], [SPARED], "error"),
        ([PASS], [OK, SPARED], "pass"),
        ([], [], "error"),
        ([], [OK], "inconclusive"),
        ([MILD_PASS], [OK], "inconclusive"),
    ],
)
def test_verdicts(results, statuses, expected):
    assert verdict(results, statuses) == expected


def test_reasons_name_what_decided():
    assert verdict_with_reason([PASS], [OK, BROKEN])[1].endswith("image did not reach the scores")
    assert verdict_with_reason([PASS, FAIL], [OK])[1].startswith("1 of 2 blocking gates failed: fail error")
    assert verdict_with_reason([PASS, OPEN], [OK])[1].startswith("1 of 2 blocking gates inconclusive: ")
    assert "no blocking gate" in verdict_with_reason([], [OK])[1]


def test_the_reason_counts_blocking_and_warning_gates_and_those_without_power():
    reason = verdict_with_reason([PASS, MILD_FAIL, MILD_OPEN, MILD_PASS, MILD_PASS], [OK])[1]
    assert reason.startswith("1 blocking gate passed; 4 warning gates: 1 failed (fail warn), 1 inconclusive")
    assert "(inconclusive warn), 2 passed" in reason
    assert reason.endswith("power of 1 of 1 blocking gates is unknown")
    weak = PASS.model_copy(update={"min": -0.02, "detects_below": -0.05, "gate": "weak"})
    strong = PASS.model_copy(update={"min": -0.02, "detects_below": -0.039, "gate": "strong"})
    assert verdict_with_reason([weak, strong], [OK])[1] == (
        "2 blocking gates passed; 1 of 2 blocking gates is underpowered"
    )
    assert verdict_with_reason([strong], [OK])[1] == "1 blocking gate passed"
    assert (weak.underpowered, strong.underpowered, PASS.underpowered) == (True, False, None)
    upward = PASS.model_copy(update={"min": None, "max": 0.01, "detects_above": 0.03})
    assert upward.underpowered is True
    blind = PASS.model_copy(update={"quantity": "relative_drift", "min": -0.75, "detects_below": -1.07})
    assert blind.underpowered is True, "not even the loss of everything would fail"


@pytest.mark.parametrize(
    ("results", "codes"),
    [  # for --fail-on error, warn, inconclusive, never
        ([PASS], (0, 0, 0, 0)),
        ([PASS, FAIL], (1, 1, 1, 0)),
        ([PASS, OPEN], (0, 0, 1, 0)),
        ([PASS, MILD_FAIL], (0, 1, 1, 0)),
        ([PASS, MILD_OPEN], (0, 0, 1, 0)),
        ([], (0, 0, 1, 0)),
        ([PASS, ERROR], (2, 2, 2, 2)),
    ],
)
def test_exit_codes(results, codes):
    word = verdict(results, [OK])
    assert tuple(exit_code(word, results, each) for each in ("error", "warn", "inconclusive", "never")) == codes


def test_over_all_small_runs_pass_means_that_everything_decisive_passed():
    kinds = (PASS, FAIL, OPEN, ERROR, MILD_PASS, MILD_FAIL, MILD_OPEN, MILD_ERROR)
    for size in range(4):
        for results in itertools.combinations(kinds, size):
            for statuses in ([], [OK], [SPARED], [OK, BROKEN]):
                word = verdict(results, statuses)
                codes = [exit_code(word, results, each) for each in ("never", "error", "warn", "inconclusive")]
                assert codes == sorted(codes)
                assert (word == "error") == (set(codes) == {2})
                if word == "pass":
                    decisive = [each for each in results if each.severity == "error"]
                    assert decisive
                    assert {each.status for each in decisive} == {"pass"}
                    assert "error" not in {each.status for each in results}
                    assert statuses == [OK]
