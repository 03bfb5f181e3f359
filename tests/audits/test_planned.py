"""What a run records before its first measurement, and packs of real runs whose numbers are all recomputed."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_plans import small_plan

from robustrec.api import auditing
from robustrec.audits import segment_groups
from robustrec.audits.checked import checked_report
from robustrec.audits.plan import Plan
from robustrec.audits.planned import forget_plan, record_plan
from robustrec.evidence.pack import pack_of
from robustrec.evidence.recompute import recomputed
from robustrec.evidence.verify import RefusedError, check_judgement, verify
from robustrec.results.arrays import arrays_beside
from robustrec.results.planned import criteria_digest
from robustrec.results.report import Report, read_report

SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20", "coverage@20"]
stability = ["rbo@20"]
segments = ["activity"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [0.0, 0.1]
draws = 2
[[audits]]
kind = "missing"
shares = [0.5]
[[gates]]
name = "noise"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.9
[[waivers]]
gate = "noise"
owner = "Ana"
reason = "known"
expires = 2126-01-01
"""


@pytest.fixture(scope="module")
def run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    folder = tmp_path_factory.mktemp("planned")
    plan = small_plan(tiny_folder, folder, SUITE, strategy=("vanilla", "sgbd"), seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_groups, "FEWEST_USERS", 20)
        auditing.run_plan(plan, command=["robustrec"], output=folder / "report.json")
    return plan, folder / "report.json"


def test_a_run_records_its_plan_and_forgets_it_when_the_report_is_written(run: tuple[Plan, Path]) -> None:
    plan, path = run
    report = read_report(path)
    assert report.planned is not None
    assert report.planned.time < report.created
    assert report.planned.suite_digest == plan.suite.digest
    assert report.planned.criteria_digest == criteria_digest(report.suite.content)
    assert report.planned.dataset_digest == plan.dataset.digest
    assert sorted(report.planned.seeds.values()) == sorted(report.seeds.values())
    assert [each.owner for each in report.planned.waivers] == ["Ana"]
    assert list((plan.home / "planned").iterdir()) == []


def test_the_plan_is_recorded_before_anything_is_measured_and_kept_by_a_run_that_resumes(
    run: tuple[Plan, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = run

    def interrupted(*_: object, **__: object) -> None:
        assert len(list((plan.home / "planned").iterdir())) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(auditing, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        auditing.run_plan(plan, command=["robustrec"])
    first = record_plan(plan)
    assert record_plan(plan) == first
    (path,) = (plan.home / "planned").iterdir()
    path.write_text(path.read_text().replace(first.suite_digest, "0" * 64))
    assert record_plan(plan).time > first.time, "a record of something else is not used"
    path.write_text("{")
    assert record_plan(plan).suite_digest == plan.suite.digest
    forget_plan(plan)
    assert list((plan.home / "planned").iterdir()) == []


def test_every_number_of_noise_and_missing_content_is_recomputed(run: tuple[Plan, Path], tmp_path: Path) -> None:
    path = tmp_path / "pack.zip"
    path.write_bytes(pack_of(run[1])[0])
    found = verify(path)
    report = read_report(run[1])
    assert report.segments
    assert report.segments_over_seeds
    assert report.over_seeds
    assert {name: n for name, n in found.numbers.stated.items() if n} == {"noise": 8}, "signal-to-noise ratios"
    assert found.notes == ()


@pytest.mark.parametrize("table", ["findings", "over_seeds", "segments", "segments_over_seeds"])
def test_any_changed_number_of_any_table_differs(run: tuple[Plan, Path], table: str) -> None:
    report = read_report(run[1])
    arrays = arrays_beside(report, run[1])
    assert arrays is not None
    rows = list(getattr(report, table))
    at = next(place for place, row in enumerate(rows) if row.quantity == "drift" and row.ci_high)
    rows[at] = rows[at].model_copy(update={"ci_high": (rows[at].ci_high or 0) * (1 + 1e-7)})
    other = Report.model_construct(**{**dict(report), table: tuple(rows)})
    assert any(each.startswith("ci_high of") for each in recomputed(other, arrays).differences)
    if table != "findings":  # a mean or a segment that is left out
        fewer = Report.model_construct(**{**dict(report), table: tuple(rows[:at] + rows[at + 1 :])})
        assert any("is not in the report" in each for each in recomputed(fewer, arrays).differences)


def test_every_part_of_the_judgement_is_compared(run: tuple[Plan, Path]) -> None:
    report = read_report(run[1])
    judged = checked_report(run[1])
    assert check_judgement(report, judged) == []
    gate = report.gates[0]
    assert gate.low is not None
    forged: list[dict[str, object]] = [
        {"gates": (gate.model_copy(update={"message": "passed with a large margin"}),)},
        {"gates": (gate.model_copy(update={"low": gate.low + 1e-6}),)},
        {"verdict_reason": "all is well"},
        {"cautions": report.cautions[1:]},
        {"warnings": ("nothing to see",)},
        {"content_use": ()},
        {"recommendation": None},
    ]
    assert report.cautions
    for changes in forged:
        other = Report.model_construct(**{**dict(report), **changes})
        with pytest.raises(RefusedError, match=f"{next(iter(changes))} in the report"):
            check_judgement(other, judged)
