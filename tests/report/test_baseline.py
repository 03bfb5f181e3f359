"""Baselines: what is kept, what is refused, and comparisons user by user and by intervals."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from made_up_report import SGBD, VANILLA, made_up_report
from measured_report import AGAINST, CONDITION, SUITE, measured, suite_of, written
from scipy import stats

from robustrec.audits.judged import judged_again
from robustrec.errors import RobustrecError
from robustrec.results import arrays as arrays_module
from robustrec.results.arrays import array_key, arrays_beside, packed, unpacked
from robustrec.results.baseline import Baseline, baseline_of, read_baseline, write_baseline
from robustrec.results.conditions import CLEAN_TEST
from robustrec.results.findings import AuditStatus
from robustrec.results.report import read_report

NOW = datetime.datetime(2026, 6, 30, 12, tzinfo=datetime.UTC)
STRICT = suite_of(SUITE + AGAINST)


def accepted(tmp_path, *, most_bytes=1 << 20, **options):
    report, arrays = measured(**options)
    path = tmp_path / "baseline.json"
    write_baseline(baseline_of(report, arrays, most_bytes=most_bytes), path)
    return read_baseline(path)


def against(report, arrays, baseline, suite=STRICT):
    return judged_again(report, suite, arrays=arrays, baseline=baseline, now=NOW)


def rows(report, **wanted):
    chosen = [row for row in report.findings if row.reference == "baseline"]
    return [row for row in chosen if all(getattr(row, key) == value for key, value in wanted.items())]


def gate(report, name="as accepted"):
    return next(each for each in report.gates if each.gate == name)


def test_a_baseline_comes_back_as_it_was_and_is_small(tmp_path):
    report, arrays = measured()
    path = tmp_path / "baseline.json"
    record = baseline_of(report, arrays)
    write_baseline(record, path)
    back = read_baseline(path)
    assert back.record == record
    assert {name: values.tolist() for name, values in back.arrays.items()} == {
        name: values.tolist() for name, values in arrays.items()
    }
    assert all(row.reference == "clean" for row in record.findings)
    assert len([line for line in path.read_text().splitlines() if '"metric"' in line]) >= len(record.findings)
    assert back.subjects == (VANILLA, SGBD)


def test_arrays_too_large_to_commit_are_averaged_over_the_draws_or_left_out():
    _, arrays = measured()
    whole = packed(arrays, most_bytes=1 << 20)
    size = len(whole.data) * 3 // 4
    means = packed(arrays, most_bytes=size - 1)
    assert (whole.form, means.form) == ("draws", "means")
    name = array_key(SGBD, "noise", CONDITION, "ndcg@20")
    assert np.array_equal(unpacked(means, source="x")[name], arrays[name].mean(axis=0))
    assert packed(arrays, most_bytes=100) is None


def test_the_same_model_again_differs_by_exactly_nothing(tmp_path):
    report, arrays = measured()
    judged = against(report, arrays, accepted(tmp_path))
    found = rows(judged)
    assert {row.metric for row in found} == {"ndcg@20", "recall@20", "rbo@20"}
    assert len(found) == 2 * (2 + 3)
    for row in found:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0)
        assert row.note.startswith("compared user by user")
    assert (judged.verdict, gate(judged).status) == ("pass", "pass")
    assert gate(judged).detects_below < -0.1
    assert judged.baseline.by_users == len(found)
    assert "the same parameters" in judged.baseline.notes[0]


@pytest.mark.parametrize(("factor", "status"), [(1.0, "pass"), (0.7, "fail"), (0.9, "inconclusive")])
def test_a_gate_against_the_baseline_passes_fails_and_stays_open(factor, status, tmp_path):
    report, arrays = measured(seed=3, level={SGBD: factor})
    judged = against(report, arrays, accepted(tmp_path))
    assert gate(judged).status == status
    assert judged.verdict == status
    (row,) = rows(judged, subject=SGBD, audit="clean", metric="ndcg@20")
    assert row.relative_drift == pytest.approx(factor - 1, abs=0.01)
    if status == "fail":
        assert "below the baseline's" in gate(judged).message


def test_a_gate_against_the_baseline_is_an_error_without_one_or_for_another_subject(tmp_path):
    report, arrays = measured()
    with pytest.raises(RobustrecError, match="compares with the baseline, but no baseline was given") as caught:
        judged_again(report, STRICT, now=NOW)
    assert "--baseline" in caught.value.fix
    other = SGBD.model_copy(update={"seed": 9})
    selecting = suite_of(SUITE + AGAINST.replace("metric =", "strategy = 'sgbd', metric ="))
    baseline = accepted(tmp_path)
    moved = baseline.record.model_copy(
        update={
            "subjects": (baseline.record.subjects[0], baseline.record.subjects[1].model_copy(update={"subject": other}))
        }
    )
    with pytest.raises(RobustrecError, match="in the baseline too"):
        against(report, arrays, Baseline(moved, None, "b.json", ""), selecting)


def test_differences_are_those_of_the_arrays_and_paired_by_draw(tmp_path):
    report, arrays = measured(seed=4, noise=0.2)
    base_report, base = measured()
    judged = against(report, arrays, accepted(tmp_path))
    for row in rows(judged, audit="noise", metric="ndcg@20"):
        key, clean = (
            array_key(row.subject, *part, "ndcg@20") for part in (("noise", CONDITION), ("clean", CLEAN_TEST))
        )
        mine, theirs = ((each[key] - each[clean]).mean() for each in (arrays, base))
        assert (row.clean, row.perturbed) == pytest.approx((theirs, mine))
        assert row.drift == pytest.approx(mine - theirs)
        assert (row.n_draws, row.n_users) == (4, 300)
    (row,) = rows(judged, audit="clean", metric="ndcg@20", subject=SGBD)
    key = array_key(SGBD, "clean", CLEAN_TEST, "ndcg@20")
    difference = arrays[key] - base[key]
    half = stats.sem(difference) * 1.96
    assert row.ci_high - row.ci_low == pytest.approx(2 * half, rel=0.15)
    assert base_report.findings != report.findings


def test_without_arrays_the_intervals_decide_and_are_wider(tmp_path):
    report, arrays = measured(seed=3)
    by_users, by_intervals = (
        against(report, arrays, accepted(tmp_path)),
        against(report, None, accepted(tmp_path)),
    )
    assert by_intervals.baseline.by_intervals == len(rows(by_intervals)) == len(rows(by_users))
    for paired, wide in zip(rows(by_users), rows(by_intervals), strict=True):
        assert wide.drift == pytest.approx(paired.drift, abs=1e-12)
        assert wide.relative_drift == pytest.approx(paired.relative_drift) if paired.relative_drift else True
        assert wide.ci_low <= wide.drift <= wide.ci_high
        assert "as for independent samples" in wide.note
    (paired,), (wide,) = (
        rows(each, subject=SGBD, audit="clean", metric="ndcg@20") for each in (by_users, by_intervals)
    )
    assert wide.ci_high - wide.ci_low > 3 * (paired.ci_high - paired.ci_low)
    assert wide.relative_ci_high - wide.relative_ci_low > 3 * (paired.relative_ci_high - paired.relative_ci_low)
    mine, theirs = (
        next(row for row in each.findings if (row.subject, row.audit, row.metric) == (SGBD, "clean", "ndcg@20"))
        for each in (report, measured()[0])
    )
    expected = np.hypot(mine.ci_high - mine.clean, theirs.clean - theirs.ci_low)
    assert wide.ci_high - wide.drift == pytest.approx(expected)


def test_draws_averaged_in_the_baseline_are_averaged_here_too(tmp_path):
    report, arrays = measured(seed=3)
    size = len(packed(arrays, most_bytes=1 << 20).data) * 3 // 4
    judged = against(report, arrays, accepted(tmp_path, most_bytes=size - 1))
    (row,) = rows(judged, subject=SGBD, audit="noise", metric="ndcg@20")
    assert "user by user" in row.note
    assert "one draw: the interval covers users only" in row.note


def test_a_whole_report_is_a_baseline_too(tmp_path):
    path = written(tmp_path, "earlier")
    baseline = read_baseline(path)
    report, arrays = measured(seed=3)
    assert against(report, arrays, baseline).baseline.by_users == 10
    (tmp_path / "earlier.users.npz").unlink()
    assert read_baseline(path).arrays is None


@pytest.mark.parametrize(
    ("change", "says", "where"),
    [
        ({"dataset": {"digest": "e" * 64}}, "different data: clothing with digest eeeeeeeeeeeeeeee", "dataset.digest"),
        ({"dataset": {"edition": "full", "synthetic": False}}, "the sample edition cannot be compared", "edition"),
        ({"seeds": {"audit": 7}}, "has audit seed 7, but the report has 0", "audit_seed"),
        ({"suite": SUITE.replace("draws = 4", "draws = 5")}, "audits.noise.draws 5, not 4 (digest ", "suite.content"),
        ({"suite": SUITE.replace('name = "own"', 'name = "own"\nmask_validation = true')}, "mask_validation", "suite"),
        ({"suite": SUITE.replace('name = "own"', 'name = "own"\nusers = 150')}, "users 150, not all", "suite"),
        ({"suite": SUITE.replace('["ndcg@20", "recall@20"]', '["ndcg@20"]')}, "metrics", "suite.content"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_the_digest_is_named(change, says, where, tmp_path):
    report, arrays = measured()
    dataset, suite = change.get("dataset"), change.get("suite")
    changed = report
    if dataset:
        changed = report.model_copy(update={"dataset": report.dataset.model_copy(update=dataset)})
    elif suite:
        other = suite_of(suite)
        record = report.suite.model_copy(update={"content": other.model_dump(mode="json"), "digest": other.digest})
        changed = report.model_copy(update={"suite": record})
    else:
        changed = report.model_copy(update=change)
    path = tmp_path / "baseline.json"
    write_baseline(baseline_of(changed, arrays), path)
    with pytest.raises(RobustrecError) as caught:
        against(report, arrays, read_baseline(path))
    assert says in caught.value.what
    assert where in caught.value.where
    assert "baseline accept" in caught.value.fix or "--seed" in caught.value.fix


def test_limits_and_waivers_may_change_without_a_new_baseline(tmp_path):
    report, arrays = measured()
    looser = suite_of(SUITE.replace("-0.9", "-0.8").replace('"own"', '"other name"') + AGAINST)
    assert against(report, arrays, accepted(tmp_path), looser).verdict == "pass"


def test_gates_of_the_baseline_that_are_not_judged_any_more_are_named(tmp_path):
    report, arrays = measured()
    kept = report.suite.content["gates"][0]["name"]
    renamed = suite_of(SUITE.replace(f'"{kept}"', '"new name"') + AGAINST)
    notes = against(report, arrays, accepted(tmp_path), renamed).baseline.notes
    assert notes[0] == f"not judged any more: gate '{kept}' of the baseline"
    assert not any("any more" in note for note in against(report, arrays, accepted(tmp_path)).baseline.notes)


def test_other_users_are_refused(tmp_path):
    report, arrays = measured()
    shifted = {**arrays, "users": arrays["users"] + 1}
    with pytest.raises(RobustrecError, match="of different users"):
        against(report, shifted, accepted(tmp_path))


def test_an_error_never_becomes_a_baseline(tmp_path):
    broken = [AuditStatus(audit="reach", subject=SGBD, status="error", message="no")]
    with pytest.raises(RobustrecError, match="verdict error cannot become a baseline"):
        baseline_of(made_up_report(statuses=broken), None)
    path = tmp_path / "r.json"
    path.write_text(made_up_report(statuses=broken).model_dump_json())
    with pytest.raises(RobustrecError, match="is not a baseline"):
        read_baseline(path)


def test_damage_is_refused(tmp_path, monkeypatch):
    baseline = accepted(tmp_path)
    path = tmp_path / "baseline.json"
    data = json.loads(path.read_text())
    for keys, wrong, says in [
        (("arrays", "data"), "AAAA", "damaged"),
        (("arrays", "data"), "no base64!", "damaged"),
        (("arrays", "digest"), "0" * 64, "damaged"),
        (("schema_version",), 3, "Input should be 2"),
        (("verdict",), None, "string"),
        (("surprise",), 1, "unknown key"),
    ]:
        changed = json.loads(json.dumps(data))
        target = changed
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = wrong
        path.write_text(json.dumps(changed))
        with pytest.raises(RobustrecError) as caught:
            read_baseline(path)
        assert says in caught.value.what
    monkeypatch.setattr(arrays_module, "LARGEST_RAW", 1000)
    with pytest.raises(RobustrecError, match="too large"):
        unpacked(baseline.record.arrays, source="b.json")
    for content in ("", "[1", "[]", '{"kind": "robustrec baseline"}'):
        path.write_text(content)
        with pytest.raises(RobustrecError):
            read_baseline(path)


def test_arrays_of_another_report_are_refused(tmp_path):
    path = written(tmp_path)
    (tmp_path / "report.users.npz").write_bytes(b"something else")
    with pytest.raises(RobustrecError, match="does not match the report"):
        arrays_beside(read_report(path), path)


def test_rows_whose_arrays_mean_something_else_are_compared_by_their_intervals(tmp_path):
    report, arrays = measured(seed=3)
    name = array_key(SGBD, "noise", CONDITION, "ndcg@20")
    judged = against(report, {**arrays, name: arrays[name] + 0.1}, accepted(tmp_path))
    (row,) = rows(judged, subject=SGBD, audit="noise", metric="ndcg@20")
    assert "as for independent samples" in row.note
    assert (judged.baseline.by_users, judged.baseline.by_intervals) == (9, 1)


def test_a_report_compared_before_is_judged_again_as_it_is(tmp_path):
    report, arrays = measured(seed=3)
    judged = against(report, arrays, accepted(tmp_path))
    again = judged_again(judged, STRICT, now=NOW)
    assert (again.findings, again.gates, again.baseline) == (judged.findings, judged.gates, judged.baseline)
    other = against(judged, arrays, accepted(tmp_path))
    assert other.findings == judged.findings
