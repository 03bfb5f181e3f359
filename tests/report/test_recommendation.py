"""A recommendation is made where every condition is met, withheld where one is not, and the same in every form."""

from __future__ import annotations

import datetime
import html
import io
import json
import shlex
import urllib.parse
from pathlib import Path

import pytest
from junitparser import JUnitXml
from made_up_report import SGBD, VANILLA, drift, made_up_report, noise_only, use_findings, value
from rich.console import Console

from robustrec.audits.checked import checked_report
from robustrec.audits.judged import judged_again
from robustrec.audits.suites import load_suite, recorded_suite
from robustrec.cli.main import run
from robustrec.reading.glance import at_a_glance, largest_loss, quality_of
from robustrec.reading.recommendation import (
    SMALLEST_DIFFERENCE,
    recommend,
    relative_difference,
    with_recommendation,
)
from robustrec.reading.summary import cautions, summary_of
from robustrec.report.console.console import print_report
from robustrec.report.console.screen import print_screen
from robustrec.report.forms import FORMATS
from robustrec.results.findings import AuditStatus
from robustrec.results.gates import Gate
from robustrec.results.report import write_report
from robustrec.results.selection import Select
from robustrec.results.waivers import Waiver

CONDITIONS = {"gates", "content use", "training", "budget", "seeds", "difference"}
QUALITY = {"vanilla": 0.10, "sgbd": 0.11}


def seeded(subject, seed):
    return subject.model_copy(update={"seed": seed})


def earned(
    *, seeds=3, quality=QUALITY, half_width=0.002, losses=None, training=None, difference=None, left=None, **changes
):
    """A report in which sgbd is better than vanilla and every condition is met; the arguments take conditions away.

    Args:
        seeds: training seeds of each strategy.
        quality: clean NDCG@20 by strategy.
        half_width: of the interval of the paired difference, in NDCG@20.
        losses: relative drift under noise by strategy.
        training: changes of each strategy's training record.
        difference: paired difference instead of that of the qualities.
        left: share of the quality with mean features by strategy.
        changes: fields of the report.
    """
    findings, over_seeds, records, statuses = [], [], [], []
    record = made_up_report().subjects[0]
    gap = quality["sgbd"] - quality["vanilla"] if difference is None else difference
    for subject in (VANILLA, SGBD):
        name = subject.strategy
        for seed in range(seeds):
            one, loss = seeded(subject, seed), (losses or {}).get(name, -0.002)
            for metric in ("ndcg@20", "recall@20"):
                findings += [value(one, quality[name], 0.004, metric=metric)]
                findings += [drift(one, loss, clean=quality[name], metric=metric)]
            findings += [drift(one, -0.01, clean=1.0, metric="rbo@20"), *use_findings(one, (left or {}).get(name, 0.4))]
            trained = {"cut_off": False, "gradient_evaluations": 1000, "max_epochs": 1000}
            own = record.training.model_copy(update={**trained, **(training or {}).get(name, {})})
            records.append(record.model_copy(update={"subject": one, "training": own, "mirror": None}))
            statuses.append(AuditStatus(audit="noise", subject=one, status="ok"))
            if name == "sgbd":
                findings.append(paired(one, gap, half_width, quality["vanilla"]))
        over_seeds.append(value(subject, quality[name], 0.005, note=f"mean of {seeds} training seeds"))
        over_seeds.append(drift(subject, loss, clean=quality[name]))
        over_seeds += use_findings(subject, (left or {}).get(name, 0.4))
    over_seeds.append(paired(SGBD, gap, half_width, quality["vanilla"]))
    suite = noise_only(load_suite("ci"))
    suite = suite.model_copy(update={"gates": tuple(gate for gate in suite.gates if not gate.against)})
    return made_up_report(
        suite,
        findings=findings,
        over_seeds=tuple(over_seeds) if seeds > 1 else (),
        statuses=statuses,
        subjects=tuple(records),
        **changes,
    )


def paired(subject, gap, half_width, base):
    relative = {"relative_ci_low": (gap - half_width) / base, "relative_ci_high": (gap + half_width) / base}
    return drift(
        subject,
        gap / base,
        clean=base,
        perturbed=base + gap,
        drift=gap,
        ci_low=gap - half_width,
        ci_high=gap + half_width,
        audit="clean",
        condition="test",
        n_draws=0,
        reference="vanilla",
        degrees=40.0,
        **relative,
    )


def told(report):
    return recommend(summary_of(report))


def unmet(report):
    return {each.name for each in told(report).requirements if not each.met}


def test_what_is_earned_is_recommended_with_its_conditions():
    found = told(earned())
    assert found.chosen == "sgbd"
    assert found.headline.startswith("Recommendation: sgbd (")
    assert "all 6 trainings ended by early stopping" in found.headline
    assert "3 training seeds each" in found.headline
    assert "against vanilla ndcg@20 +10.00 % [+8.00, +12.0]" in found.headline
    assert {each.name for each in found.requirements} == CONDITIONS
    assert found.commands == ()
    assert found.note.startswith("The sample edition is synthetic")


@pytest.mark.parametrize(
    ("changes", "condition", "says", "command"),
    [
        ({"training": {"vanilla": {"cut_off": True}}}, "training", "before early stopping", "training.max_epochs=1000"),
        (
            {"training": {"sgbd": {"cut_off": True, "epochs": 500}}},
            "training",
            "sgbd at 500",
            "training.max_epochs=5000",
        ),
        ({"training": {"sgbd": {"cut_off": None}}}, "training", "does not record", "robustrec audit"),
        ({"training": {"sgbd": {"gradient_evaluations": 1670}}}, "budget", "sgbd used 1.67 times", "robustrec compare"),
        ({"training": {"vanilla": {"gradient_evaluations": 1200}}}, "budget", "vanilla used 1.20", "robustrec compare"),
        ({"training": {"sgbd": {"gradient_evaluations": None}}}, "budget", "does not record", "robustrec compare"),
        ({"seeds": 1}, "seeds", "1 training seed each", "--seeds 5"),
        ({"seeds": 2}, "seeds", "2 training seeds each", "--seeds 5"),
        ({"half_width": 0.02}, "difference", "no significant difference between sgbd and vanilla", "--seeds 5"),
        (
            {"quality": {"vanilla": 0.1, "sgbd": 0.1006}, "half_width": 0.0001},
            "difference",
            "by less than 1.00 % (ndcg@20 +0.60 % [+0.50, +0.70])",
            "robustrec compare",
        ),
        (
            {"quality": {"vanilla": 0.11, "sgbd": 0.1}, "losses": {"vanilla": -0.019}},
            "difference",
            "sgbd is worse than vanilla (ndcg@20 -9.09 % [-10.9, -7.27])",
            "robustrec compare",
        ),
        ({"losses": {"sgbd": -0.3, "vanilla": -0.3}}, "gates", "sgbd fails", ""),
        ({"losses": {"sgbd": -0.019, "vanilla": -0.019}}, "gates", "is inconclusive for", ""),
        ({"losses": {"vanilla": -0.019}}, "gates", "vanilla is inconclusive for", ""),
    ],
)
def test_each_condition_that_is_not_met_withholds_it_and_names_the_command(changes, condition, says, command):
    report = earned(**changes)
    found = told(report)
    assert found.chosen == ""
    assert found.headline.startswith("No recommendation: ")
    assert condition in unmet(report)
    assert says in found.headline
    assert any(command in each for each in found.commands) or not command
    for each in found.commands:
        words = shlex.split(each)
        assert words[0] == "robustrec"
        assert words.count("--seeds") <= 1


def test_every_failed_condition_is_named_at_once():
    training = {"sgbd": {"cut_off": True, "gradient_evaluations": 1670}}
    assert unmet(earned(seeds=1, training=training, half_width=0.02)) == {"training", "budget", "seeds", "difference"}


def test_what_fails_a_gate_is_no_rival_and_one_that_is_left_has_none():
    report = earned(losses={"vanilla": -0.3})
    assert report.verdict == "fail"
    found = told(report)
    assert found.chosen == "sgbd", "what failed is no alternative"
    alone = made_up_report(
        findings=[row for row in earned().findings if row.subject.strategy == "sgbd" and row.reference == "clean"],
        subjects=tuple(each for each in earned().subjects if each.subject.strategy == "sgbd"),
        statuses=[each for each in earned().statuses if each.subject.strategy == "sgbd"],
        suite=noise_only(load_suite("ci")).model_copy(update={"gates": load_suite("ci").gates[:2]}),
    )
    assert "only sgbd was audited" in told(alone).headline


@pytest.mark.parametrize(
    ("left", "chosen", "says"),
    [
        ({"sgbd": 0.99}, "", "vanilla is not better"),
        ({"vanilla": 0.99}, "", "only sgbd uses content"),
        ({"sgbd": 0.99, "vanilla": 1.2}, "", "no candidate uses content"),
        ({"sgbd": 0.94}, "", "may not use content"),
        ({"sgbd": 0.7}, "sgbd", "sgbd uses content, 70.0 % of ndcg@20 is left"),
    ],
)
def test_no_recommendation_names_what_does_not_use_content(left, chosen, says):
    """sgbd has the higher quality; the intervals of what is left with mean features are ±2 points."""
    found = told(earned(left=left))
    assert found.chosen == chosen
    assert says in found.headline
    summary = summary_of(earned(left=left))
    for candidate in summary.candidates:
        share = left.get(candidate.subjects[0].strategy, 0.4)
        assert candidate.use.kept == pytest.approx(share)
        assert candidate.use.trivial == ("content-free" in candidate.name) == (share >= 0.95)
        assert candidate.use.uncertain == (abs(share - 0.95) < 0.02)


def test_a_report_of_rules_without_content_use_is_judged_again_and_recommends_nothing(tmp_path):
    """An earlier version recommended it; whether it uses content is not known."""
    report = with_recommendation(earned())
    assert report.recommendation.chosen == "sgbd"
    bare = [row for row in report.findings if row.audit != "content_use"]
    over = tuple(row for row in report.over_seeds if row.audit != "content_use")
    suite = recorded_suite(report.suite.content, source="report")
    judged = judged_by(report.model_copy(update={"findings": tuple(bare), "over_seeds": over}), suite)
    record = judged.judgement.model_copy(update={"rules": 2})
    old = {"judgement": record, "recommendation": report.recommendation, "content_use": (), "arrays": None}
    path = tmp_path / "old.json"
    write_report(judged.model_copy(update=old), path)
    read = checked_report(path)
    assert read.recommendation.chosen == ""
    assert "content use was not measured" in read.recommendation.headline
    assert any("judged again with the rules of this version" in warning for warning in read.warnings)
    assert not any("no digests" in warning for warning in read.warnings)


def judged_by(report, suite, **waived):
    """The report as `robustrec gate --suite` judges it."""
    return judged_again(report, suite, now=report.created, **waived)


def _limits(report, low):
    """The suite that a report was measured by with another limit on drift, its name and its gates' names kept."""
    suite = recorded_suite(report.suite.content, source="report")
    gates = [g.model_copy(update={"min": low}) if g.quantity == "relative_drift" else g for g in suite.gates]
    return suite.model_copy(update={"gates": tuple(gates)})


def _with_segments(report, **losses):
    """The report with a segment of the users and a gate on it that breaks at a loss of 5 %, judged."""

    def rows(findings):
        segment = {"segment_by": "activity", "segment": "low"}
        return tuple(
            drift(row.subject, loss, **segment)
            for row in findings
            if row.audit == "noise" and row.quantity == "drift" and row.metric == "ndcg@20"
            for loss in [losses[row.subject.strategy]]
        )

    measured = report.model_copy(
        update={"segments": rows(report.findings), "segments_over_seeds": rows(report.over_seeds)}
    )
    suite = recorded_suite(report.suite.content, source="report")
    select = Select(audit="noise", metric="ndcg@20", segment_by="activity", segment="low")
    gate = Gate(name="least active users", select=select, quantity="relative_drift", min=-0.05)
    return judged_by(measured, suite.model_copy(update={"segments": ("activity",), "gates": (*suite.gates, gate)}))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_model_that_fails_a_gate_on_a_segment_is_not_recommended(seeds):
    held = _with_segments(earned(seeds=3), vanilla=-0.002, sgbd=-0.002)
    assert held.recommendation.chosen == "sgbd"
    failed = _with_segments(earned(seeds=seeds), vanilla=-0.002, sgbd=-0.3)
    assert failed.verdict == "fail"
    assert {each.name: each.standing for each in summary_of(failed).candidates} == {"vanilla": "pass", "sgbd": "fail"}
    assert failed.recommendation.chosen != "sgbd"


def test_findings_of_segments_count_in_the_correction_of_each_model():
    """p = 0.012 fails among the four findings without segments, and not among all six."""
    report = _with_segments(earned(seeds=1, losses={"sgbd": -0.0252}), vanilla=-0.002, sgbd=-0.002)
    assert {each.family for each in report.gates if each.severity == "error"} == {6}
    assert report.verdict == "inconclusive"
    standings = {each.name: each.standing for each in summary_of(report).candidates}
    assert standings == {"vanilla": "pass", "sgbd": "inconclusive"}


def test_a_report_judged_by_another_suite_is_recommended_by_the_limits_of_that_suite():
    """The gates keep their names: by the limits that it was measured with, sgbd would pass."""
    report = earned()
    judged = judged_by(report, _limits(report, 0.5))
    assert judged.verdict == "fail"
    assert judged.recommendation.chosen == ""
    assert "no candidate passed all blocking gates" in judged.recommendation.headline
    assert {each.standing for each in summary_of(judged).candidates} == {"fail"}


@pytest.mark.parametrize(
    ("expires", "verdict", "says"), [("2126-01-01", "pass", "is waived"), ("2020-01-01", "fail", "")]
)
def test_a_breach_that_a_waiver_tolerates_is_not_a_gate_passed(expires, verdict, says):
    report = earned()
    suite = _limits(report, 0.5)
    waivers = [
        Waiver(gate=gate.name, reason="known", expires=datetime.date.fromisoformat(expires))
        for gate in suite.gates
        if gate.quantity == "relative_drift"
    ]
    judged = judged_by(report, suite, waivers=waivers)
    assert judged.verdict == verdict
    assert judged.recommendation.chosen == ""
    assert "all blocking gates passed" not in judged.recommendation.headline
    assert says in judged.recommendation.headline


def test_a_waiver_that_has_expired_fails_the_run_and_withholds_the_recommendation():
    report = earned()
    gate = recorded_suite(report.suite.content, source="report").gates[0].name
    old = Waiver(gate=gate, reason="known", expires=datetime.date(2020, 1, 1))
    judged = judged_by(report, recorded_suite(report.suite.content, source="report"), waivers=[old])
    assert judged.verdict == "fail"
    assert judged.recommendation.chosen == ""
    assert "has expired" in judged.recommendation.headline


def _external(report, *strategies):
    """The report with the subjects of some strategies trained elsewhere: nothing is known of their trainings."""
    records = [
        each.model_copy(update={"training": None}) if each.subject.strategy in strategies else each
        for each in report.subjects
    ]
    return report.model_copy(update={"subjects": tuple(records)})


def test_what_was_trained_elsewhere_has_no_budget_that_anybody_knows():
    elsewhere = told(_external(earned(), "vanilla", "sgbd"))
    assert "budgets are not known" in elsewhere.headline
    assert "differ by at most" not in elsewhere.headline
    mixed = told(_external(earned(), "vanilla"))
    assert mixed.chosen == ""
    assert "budgets are not known: vanilla trained elsewhere" in mixed.headline
    assert "vanilla trained once elsewhere" in " ".join(each.text for each in mixed.requirements)


def test_an_error_and_an_audit_of_the_encoder_alone_recommend_nothing():
    statuses = [AuditStatus(audit="reach", subject=SGBD, status="error", message="image did not reach the scores")]
    assert "ended in an error" in told(made_up_report(statuses=statuses)).headline
    rows = [row for row in made_up_report().findings if row.audit == "clean"]
    rows.append(value(VANILLA, 0.3, 0.1, audit="encoder", condition="edit=crop severity=3", metric="movement_image"))
    report = made_up_report(findings=rows, gates=(), verdict="inconclusive", verdict_reason="no gate")
    assert "only the encoder was audited" in told(report).headline


def test_a_difference_between_models_takes_both_intervals_and_is_corrected_for_the_rivals():
    summary = summary_of(earned(seeds=1, difference=0.01))
    vanilla, sgbd = summary.candidates
    one = relative_difference(summary, sgbd, vanilla)
    back = relative_difference(summary, vanilla, sgbd)
    assert one.estimate == pytest.approx(0.1)
    assert back.estimate == pytest.approx(-0.01 / 0.11)
    assert (back.low, back.high) == (pytest.approx(-0.012 / 0.11), pytest.approx(-0.008 / 0.11))
    many = relative_difference(summary, sgbd, vanilla, comparisons=5)
    assert many.low < one.low < one.high < many.high
    rows = [row for row in summary.report.findings if row.reference == "clean"]
    unpaired = summary_of(summary.report.model_copy(update={"findings": tuple(rows)}))
    wide = relative_difference(unpaired, unpaired.candidates[1], unpaired.candidates[0])
    assert wide.high - wide.low == pytest.approx(2 * (2 * 0.004**2) ** 0.5 / 0.1)
    assert SMALLEST_DIFFERENCE == 0.01


def test_several_seeds_have_the_interval_over_seeds_and_not_the_extremes_of_each():
    summary = summary_of(earned())
    found = quality_of(summary, summary.candidates[0])
    assert (found.mean, found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.095), pytest.approx(0.105))
    without = summary_of(earned().model_copy(update={"over_seeds": ()}))
    assert quality_of(without, without.candidates[0]).low is None
    assert at_a_glance(summary).rows[0].cells[0].interval == "[0.0950, 0.1050]"


def test_the_largest_of_several_losses_says_so_and_has_a_wider_interval():
    conditions = ["sigma2=1e-06", "sigma2=1e-06 image", "sigma2=1e-06 text"]  # all of them are what the gate looks at
    rows = [drift(VANILLA, -0.01 * place, condition=name, degrees=5.0) for place, name in enumerate(conditions)]
    summary = summary_of(earned(seeds=1).model_copy(update={"findings": (*earned(seeds=1).findings[:1], *rows)}))
    worst = largest_loss(summary, "noise", summary.candidates[0])
    assert worst.row.condition.label == conditions[-1]
    n = worst.of
    assert n == 3
    assert worst.words == f"worst of {n}"
    assert worst.row.relative_ci_high - worst.row.relative_ci_low > 2 * 0.004
    only = largest_loss(summary_of(earned(seeds=1)), "noise", summary_of(earned(seeds=1)).candidates[0])
    assert (only.of, only.words) == (1, "")
    assert only.row.relative_ci_low == pytest.approx(-0.006)


def printed(show, report):
    stream = io.StringIO()
    show(report, Console(file=stream, width=100_000, highlight=False))
    return stream.getvalue()


def shown(form, report):
    """The text that a reader of a form sees."""
    if form == "screen":
        return printed(print_screen, report)
    if form == "console":
        return printed(print_report, report)
    content = FORMATS[form](report).decode()
    if form == "junit":
        properties = [each for suite in JUnitXml.fromstring(content) for each in suite.properties()]
        return "\n".join(str(each.value) for each in properties)
    if form == "json":
        data = json.loads(content)
        return "\n".join([data["recommendation"]["headline"], *data["recommendation"]["commands"], *data["cautions"]])
    if form == "markdown":
        return content.replace("\\", "").replace("\N{WORD JOINER}", "")
    if form == "github":
        return urllib.parse.unquote(content)
    return html.unescape(content)


@pytest.mark.parametrize("form", ["screen", "console", "html", "markdown", "github", "junit", "json"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_every_form_carries_the_same_recommendation_and_warnings(form, seeds):
    report = earned(seeds=seeds, training={"sgbd": {"cut_off": True}}, warnings=("one thing", "and another"))
    found, expected = told(report), cautions(report)
    assert len(expected) >= 4
    text = " ".join(shown(form, report).split())
    if form == "screen":  # it has the first of them
        assert found.headline.partition(":")[0] in text
        assert all(command in text for command in found.commands[:1])
    else:
        assert found.headline in text
    if form not in ("junit", "screen"):
        assert all(command in text for command in found.commands)
    missing = [line for line in expected if line not in text]
    assert missing == [] or (form == "screen" and "more (show them with --full)" in text)


def test_no_form_calls_anything_to_be_shipped():
    report = with_recommendation(earned(seeds=1))
    for form in ("screen", "console", "html", "markdown", "github", "junit", "json"):
        text = shown(form, report)
        assert "Ship " not in text
        assert "ship this" not in text


def test_an_edited_recommendation_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    report = earned(seeds=1)
    made, path = tmp_path / "made.json", tmp_path / "report.json"
    made.write_bytes(FORMATS["json"](report))
    assert run(["gate", str(made), "--output-format", f"json:{path}"]) == 0
    assert run(["report", "show", str(path)]) == 0
    data = json.loads(Path(path).read_text())
    data["recommendation"]["chosen"] = "sgbd"
    path.write_text(json.dumps(data))
    assert run(["report", "show", str(path)]) == 2


@pytest.mark.parametrize(
    "features", [["--features", "minilm+lite0"], ["-f", "minilm+lite0"], ["--features=minilm+lite0"]]
)
def test_the_command_that_compares_uses_the_same_data_encoder_and_settings(features, capfd):
    sets = ["--set", "encoder.fit=pad", "--set", "training.max_epochs=25", "--set", "vbpr.width=32"]
    weights = ["--weights", "lite0=w.pth", "--weights", "minilm=m"]
    command = [
        "robustrec",
        "audit",
        "--model",
        "slmrec",
        "-d",
        "shops/mine",
        *features,
        *weights,
        *sets,
        "--seeds",
        "2",
        "--users",
        "500",
    ]
    report = earned(training={"sgbd": {"gradient_evaluations": 1670}}).model_copy(update={"command": tuple(command)})
    (words,) = {tuple(shlex.split(each)) for each in told(report).commands if each.startswith("robustrec compare")}
    assert words[4:8] == ("--dataset", "shops/mine", "--seeds", "5")
    kept = [*zip(words[8::2], words[9::2], strict=True)]
    assert kept == [
        ("--features", "minilm+lite0"),
        ("--weights", "lite0=w.pth"),
        ("--weights", "minilm=m"),
        ("--set", "encoder.fit=pad"),
        ("--set", "vbpr.width=32"),
        ("--users", "500"),
    ]
    assert run([*words[1:], "--dry-run"]) == 2  # the data set is not there
    assert "No such option" not in capfd.readouterr().err
