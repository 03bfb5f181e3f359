"""The facts of the first screen in each state of a report, and the axis that all gates share."""

from __future__ import annotations

import math
import shlex
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_exhibits import MANY, fragile
from made_up_report import (
    SGBD,
    VANILLA,
    comparisons,
    drift,
    made_up_report,
    noise_findings,
    noise_only,
    use_findings,
    value,
)
from page_checks import is_harmless

from robustrec.audits.suites import load_suite
from robustrec.reading.first_screen import facts, hurt_most
from robustrec.reading.gate_axis import gate_marks
from robustrec.reading.more_draws import MoreDraws, more_draws
from robustrec.reading.recommendation import recommend
from robustrec.reading.rerun import audit_again
from robustrec.reading.summary import summary_of
from robustrec.reading.texts import title_of
from robustrec.reading.verdict_words import verdict_words
from robustrec.report.html import html_page
from robustrec.report.html.first_screen import KEPT_GATES, MOST_GATES
from robustrec.results.exhibits import Look
from robustrec.results.findings import AuditStatus
from robustrec.results.gates import GateResult
from robustrec.results.numbers import tenths
from robustrec.results.report import BaselineRecord


def report_of(loss, half_width=0.004, **changes):
    """A report on noise alone whose limits are -2 % and +2 %."""
    rows = []
    for subject in (VANILLA, SGBD):
        rows += [value(subject, metric=metric) for metric in ("ndcg@20", "recall@20")] + use_findings(subject)
        rows += [drift(subject, loss, half_width=half_width, metric=metric) for metric in ("ndcg@20", "recall@20")]
        rows.append(drift(subject, -0.01, clean=1.0, metric="rbo@20"))
    return made_up_report(findings=rows + comparisons("sigma2=1e-06"), **changes)


def fact(report, key):
    return next(each for each in facts(summary_of(report)) if each.key == key)


def result(**changes):
    fields = {"gate": "g", "severity": "error", "status": "pass", "message": "m", "selected": 1}
    fields |= {"quantity": "relative_drift", "min": None, "max": None, "metric": "ndcg@20"}
    return GateResult(**{**fields, **changes})


def mark_of(**changes):
    return gate_marks(made_up_report().model_copy(update={"gates": (result(**changes),)}))[0]


@given(
    st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1).filter(lambda limit: abs(limit) > 1e-3), st.sampled_from("<>")
)
def test_an_interval_crosses_the_line_exactly_if_it_contains_the_limit(low, width, limit, side):
    high = low + width
    places = mark_of(estimate=(low + high) / 2, low=low, high=high, **{"min" if side == ">" else "max": limit}).places
    inside = low >= limit if side == ">" else high <= limit
    outside = high < limit if side == ">" else low > limit
    assert (places.high <= 1) == inside or math.isclose(places.high, 1)
    assert (places.low > 1) == outside or math.isclose(places.low, 1)


def test_a_gate_without_numbers_has_no_mark():
    mark = mark_of(min=-0.05, status="error")
    assert mark.places[:3] == (None, None, None)
    assert mark.text == "no number"
    is_harmless(html_page(report_of(0.0).model_copy(update={"gates": (result(min=-0.05, status="error"),)})))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_rounding_never_moves_a_number_onto_a_limit(share, limit):
    text = tenths(share, apart_from=(0.0, limit))
    shown = float(text.removesuffix(" %"))
    if abs(share) > 1e-7:
        assert shown != 0
    if abs(share - limit) > 1e-7:
        assert abs(shown - 100 * limit) > 1e-9 or abs(limit) < 1e-9


@pytest.mark.parametrize(
    ("share", "text"), [(-0.0003, "-0.03 %"), (-0.05, "-5.0 %"), (0.0, "0.0 %"), (-0.0504, "-5.04 %"), (None, "-")]
)
def test_percentages_have_one_decimal_where_that_tells_enough(share, text):
    assert tenths(share, apart_from=(0.0, -0.05)) == text


def test_pass_names_the_gate_nearest_to_its_limit():
    words = verdict_words(summary_of(report_of(-0.005)))
    assert words.state == "pass"
    assert words.why.startswith("All 2 blocking gates passed. Nearest to its limit: ")
    assert "limits -2 to 2 %" in words.why
    assert words.command == ""


def test_fail_says_which_gate_and_a_training_to_try():
    words = verdict_words(summary_of(report_of(-0.05)))
    assert words.state == "fail"
    assert words.why.startswith("2 of 2 blocking gates failed: ")
    assert "fell by 5.00 %" in words.why
    assert words.command == (
        "robustrec audit --model slmrec --dataset clothing --strategy vanilla --strategy noise-aug"
    )
    assert words.more[-1] == "Exit code 1."


def test_inconclusive_says_what_narrows_the_interval():
    report = report_of(-0.015, half_width=0.01)
    words = verdict_words(summary_of(report))
    assert words.state == "inconclusive"
    assert words.why.startswith("No blocking gate failed, and 2 of 2 are inconclusive: ")
    assert words.step == (
        "More draws do not decide it, more test users can: with the same estimate about 4,800 test users are needed."
    )
    rows = [each.model_copy(update={"degrees": 7.0}) for each in report.findings]
    report = made_up_report(findings=rows, durations={"training": 100.0, "clean": 20.0, "noise": 40.0})
    words = verdict_words(summary_of(report))
    (answer,) = more_draws(report)
    assert 8 < answer.needed <= 40
    assert words.step == (
        f"If the estimate stays, {answer.needed} noise draws instead of 8 decide it "
        f"(about {round((20 + 5 * answer.needed) / 60)} min):"
    )
    assert words.command.endswith(f"--set noise.draws={answer.needed}")
    assert words.more[-1] == "Exit code 0; with --fail-on inconclusive it is 1."


def test_more_draws_are_not_promised_where_few_users_changed():
    # Their bound for rare changes has fixed degrees of freedom, which look like those of draws.
    few = {"degrees": 7.0, "n_changed": 3}
    rows = [each.model_copy(update=few) for each in report_of(-0.015, half_width=0.01).findings]
    report = made_up_report(findings=rows, durations={"clean": 20.0, "noise": 40.0})
    assert [each.needed for each in more_draws(report)] == [None]
    assert verdict_words(summary_of(report)).step == "More draws do not decide it, more test users can."


def test_draws_that_decide_other_gates_than_the_one_shown_are_not_said_to_decide_it(monkeypatch):
    summary = summary_of(report_of(-0.015, half_width=0.01))
    answer = MoreDraws("merchant", 6, 8, 60.0, ("exposure under truncation",))
    monkeypatch.setattr("robustrec.reading.verdict_words.more_draws", lambda _: [answer])
    assert verdict_words(summary).step == (
        "More test users can decide it. If the estimates stay, 8 merchant draws instead of 6 decide"
        " exposure under truncation (about 1 min):"
    )


def test_an_error_says_the_reason_and_how_to_run_it_again():
    status = AuditStatus(audit="reach", subject=SGBD, status="error", message="image did not reach the scores")
    report = report_of(0.0, statuses=[status, AuditStatus(audit="noise", subject=SGBD, status="ok")])
    words = verdict_words(summary_of(report))
    assert words.state == "error"
    assert "image did not reach the scores" in words.why
    assert words.command == shlex.join(report.command)
    page = html_page(report)
    assert 'class="verdict error"' in page
    assert "Exit code 2." in page


def test_a_broken_warning_gate_is_a_warning_and_never_a_failure():
    suite = noise_only(load_suite("quick"))
    mild = tuple(gate.model_copy(update={"severity": "warn"}) for gate in suite.gates)
    page = html_page(report_of(-0.05).model_copy(update={"gates": ()}))
    assert "No blocking gate" in page
    rows = list(report_of(-0.05).findings)
    report = made_up_report(suite.model_copy(update={"gates": mild}), findings=rows)
    assert report.verdict == "inconclusive"
    marks = gate_marks(report)
    assert {mark.state for mark in marks if mark.word == "FAIL (warn)"} == {"warn"}
    words = verdict_words(summary_of(report))
    assert words.command.endswith("--suite quick")


def test_all_gates_are_on_the_axis_or_counted():
    gates = tuple(result(gate=f"gate {number}", min=-0.05, estimate=0.0, low=-0.01, high=0.01) for number in range(60))
    page = html_page(report_of(0.0).model_copy(update={"gates": gates}))
    assert page.count('class="limf"') == MOST_GATES
    assert f"{60 - MOST_GATES} more gates" in page
    mild = tuple(each.model_copy(update={"gate": f"warn {each.gate}", "severity": "warn"}) for each in gates[:20])
    page = html_page(report_of(0.0).model_copy(update={"gates": (*gates, *mild)}))
    assert page.count('class="limf"') == MOST_GATES
    assert f"{60 - MOST_GATES + KEPT_GATES} more gates" in page
    assert f"{20 - KEPT_GATES} more gates" in page


def test_power_names_the_gates_that_detect_too_little():
    weak = result(gate="weak", min=-0.02, estimate=0.0, low=-0.01, high=0.01, detects_below=-0.07)
    strong = weak.model_copy(update={"gate": "strong", "detects_below": -0.03})
    unknown = weak.model_copy(update={"gate": "unknown", "detects_below": None})
    for gates, state, headline in (
        ((weak, strong), "warn", "1 of 2 blocking gates is underpowered"),
        ((strong, strong), "pass", "All 2 blocking gates detect twice the limit"),
        ((strong, unknown), "warn", "The power of 1 of 2 blocking gates is unknown"),
        ((unknown,), "warn", "It is not known what the gates detect"),
        ((), "none", "No blocking gate"),
    ):
        found = fact(report_of(0.0).model_copy(update={"gates": gates}), "power")
        assert (found.state, found.headline) == (state, headline)
    zero = strong.model_copy(update={"gate": "zero", "min": 0.0})
    for gates, headline in (
        ((strong, zero), "1 of 2 blocking gates detect twice the limit; the limit of 1 is 0"),
        ((zero, zero), "0 of 2 blocking gates detect twice the limit; the limit of 2 is 0"),
    ):
        found = fact(report_of(0.0).model_copy(update={"gates": gates}), "power")
        assert (found.state, found.headline) == ("none", headline)
    both = weak.model_copy(update={"max": 0.02, "detects_below": -1.3, "detects_above": 0.07})
    found = fact(report_of(0.0).model_copy(update={"gates": (both,)}), "power")
    assert "too few users: not even a loss of 100 % fails" in found.lines[0]
    assert "130" not in found.lines[0]
    assert "a true rise of 7.00 % or more" in found.lines[0]
    found = fact(report_of(0.0).model_copy(update={"gates": (weak, strong)}), "power")
    assert found.lines == ("weak: a true fall of 7.00 % or more fails this gate in 80 % of runs.",)
    above = weak.model_copy(update={"min": None, "max": 0.02, "detects_below": None, "detects_above": 0.07})
    found = fact(report_of(0.0).model_copy(update={"gates": (above,)}), "power")
    assert found.lines == ("weak: a true rise of 7.00 % or more fails this gate in 80 % of runs.",)


def trained(cut_off):
    records = made_up_report().subjects
    return tuple(
        each.model_copy(update={"training": each.training.model_copy(update={"cut_off": cut, "max_epochs": 55})})
        for each, cut in zip(records, cut_off, strict=True)
    )


def test_a_training_that_was_cut_off_is_named_with_the_command_that_continues_it():
    found = fact(report_of(0.0, subjects=trained([False, True])), "convergence")
    assert (found.state, found.headline) == ("warn", "1 of 2 trainings reached the epoch limit")
    assert found.lines[0] == "sgbd stopped at 55 epochs."
    assert found.command.endswith("--set training.max_epochs=1000")
    fine = fact(report_of(0.0, subjects=trained([False, False])), "convergence")
    assert (fine.state, fine.headline, fine.command) == ("pass", "All 2 trainings ended by early stopping", "")
    unknown = fact(report_of(0.0), "convergence")
    assert unknown.headline == "Early stopping of 2 of 2 trainings is not recorded"
    elsewhere = tuple(each.model_copy(update={"training": None}) for each in made_up_report().subjects)
    assert fact(report_of(0.0, subjects=elsewhere), "convergence").headline == "Trained outside robustrec"


def test_a_training_that_a_short_patience_stopped_is_not_called_converged():
    first, second = trained([False, False])
    short = first.model_copy(update={"config": {**first.config, "training": {"patience": 1}}})
    report = report_of(0.0, subjects=(short, second))
    found = fact(report, "convergence")
    assert (found.state, found.headline) == ("warn", "1 of 2 trainings stopped with a patience below 5")
    assert found.lines[0] == "vanilla stopped after 1 evaluation without improvement."
    assert found.command.endswith("--set training.patience=20")
    (needed,) = [each for each in recommend(summary_of(report)).requirements if each.name == "training"]
    assert not needed.met
    assert "vanilla after 1 evaluation without improvement" in needed.text
    usual = first.model_copy(update={"config": {**first.config, "training": {"patience": 6}}})
    assert fact(report_of(0.0, subjects=(usual, second)), "convergence").state == "pass"


def test_a_content_free_model_is_called_so_before_every_number():
    rows = [row for row in report_of(0.0).findings if row.audit != "content_use"]
    rows += use_findings(VANILLA, 0.4) + use_findings(SGBD, 0.99)
    found = fact(made_up_report(findings=rows), "content")
    assert (found.state, found.headline) == ("fail", "1 of 2 models are content-free")
    assert "sgbd (content-free)" in found.lines[1]
    assert fact(report_of(0.0), "content").headline == "All 2 models use content"
    page = html_page(made_up_report(findings=rows))
    assert page.index("models are content-free") < page.index('<section id="models"')


def baseline_record():
    return BaselineRecord(
        file="b.json", digest="d", created=datetime(2026, 1, 2, tzinfo=UTC), robustrec="0", by_users=2, by_intervals=0
    )


@pytest.mark.parametrize(
    ("change", "headline", "state"),
    [
        ((-0.03, -0.02, -0.01), "2 worse of 2 gates", "warn"),
        ((0.03, 0.02, 0.04), "2 better of 2 gates", "pass"),
        ((-0.01, -0.02, 0.01), "No significant change of 2 gates", "pass"),
    ],
)
def test_the_change_against_the_baseline_is_paired_and_of_each_gate(change, headline, state):
    report = report_of(-0.005)
    drifts, (estimate, low, high) = [], change
    for each in report.gates:
        fields = {"clean": 0.0, "perturbed": estimate, "drift": estimate, "ci_low": min(low, high)}
        fields |= {"ci_high": max(low, high), "relative_drift": None, "relative_ci_low": None}
        fields |= {"relative_ci_high": None, "reference": "baseline", "metric": each.metric}
        if each.severity == "error":
            drifts.append(drift(each.subject, **fields))
    found = fact(
        report.model_copy(update={"findings": (*report.findings, *drifts), "baseline": baseline_record()}), "baseline"
    )
    assert found.title == "Change against the baseline of 2026-01-02"
    assert (found.headline, found.state) == (headline, state)
    assert "drift of ndcg@20" in found.lines[0]


def test_a_gate_with_another_result_than_on_the_baseline_is_named():
    report = report_of(-0.05)
    record = baseline_record().model_copy(update={"gates": {each.gate: "pass" for each in report.gates}})
    found = fact(report.model_copy(update={"baseline": record}), "baseline")
    assert found.state == "warn"
    assert found.headline == "2 gates have another result"
    assert found.lines[0] == "NDCG@20 under noise: pass on the baseline, fail now."


def test_without_a_baseline_the_command_accepts_this_report():
    command = ("robustrec", "audit", "--model", "slmrec", "--output-format", "json:my report.json")
    found = fact(report_of(0.0, command=command), "baseline")
    assert found.command == "robustrec baseline accept 'my report.json' --output baseline.json"
    assert fact(report_of(0.0), "baseline").command == ""


def test_who_is_hurt_most_has_picture_title_and_own_id_and_no_internal_number():
    report = made_up_report(
        exhibits=(fragile(SGBD, item="4711", own_id="shop-0815"), fragile(VANILLA, item="4712", rank_after=5.0))
    )
    found = hurt_most(summary_of(report))
    assert (found.own_id, found.title) == ("shop-0815", "Cotton crew sock, blue")
    first = html_page(report).partition('<section id="models"')[0]
    assert "shop-0815" in first
    assert "4711" not in first
    assert first.count("data:image/jpeg") == 2
    older = made_up_report(exhibits=(fragile(SGBD, item="4711"),))
    assert "4711" not in html_page(older).partition('id="h-main"')[0]
    rose = made_up_report(exhibits=(fragile(SGBD, rank_before=60.0, rank_after=3.0),))
    assert hurt_most(summary_of(rose)) is None


@pytest.mark.parametrize("text", ["", "x" * 10_000, "a b " * 4000, "\u202eevil\x00<b>", "\n\n  second line"])
def test_any_title_is_one_bounded_line(text):
    title = title_of(text)
    assert len(title) <= 61
    assert "\n" not in title
    item = fragile(SGBD, before=Look(text=text[:4000]), own_id=text[:4000])
    is_harmless(html_page(made_up_report(exhibits=(item,))))


def test_an_option_is_given_once_in_a_command_that_runs_it_again():
    words = ("robustrec", "audit", "-s", "sgbd", "--seeds=3", "--set", "training.lr=1", "--set", "noise.draws=2")
    report = made_up_report(command=words)
    again = audit_again(report, "--seeds", "5", "--set", "noise.draws=8", "--strategy", "vanilla")
    assert again == ("robustrec audit --set training.lr=1 --seeds 5 --set noise.draws=8 --strategy vanilla")
    assert audit_again(made_up_report(command=("notebook",))) == "robustrec audit --dataset clothing --model slmrec"


def test_the_page_shows_one_to_forty_subjects():
    many = [MANY[0].model_copy(update={"strategy": f"s{number}"}) for number in range(40)]
    rows = [row for subject in many for row in noise_findings(subject, ("sigma2=1e-06",), 0.01)]
    record = made_up_report().subjects[0]
    for subjects in (many[:1], many):
        report = made_up_report(
            findings=[row for row in rows if row.subject in subjects],
            subjects=tuple(record.model_copy(update={"subject": each}) for each in subjects),
            statuses=[AuditStatus(audit="noise", subject=each, status="ok") for each in subjects],
            gates=(),
            verdict="inconclusive",
        )
        parser = is_harmless(html_page(report))
        assert len(parser.ids) == len(set(parser.ids))


def test_the_item_hurt_most_is_told_first_by_the_number_that_chose_it():
    """An item can lose rank for the users who want it and gain places with others."""
    item = fragile(SGBD, exposure_before=131, exposure_after=140, rank_before=49.0, rank_after=161.0)
    page = html_page(report_of(0.0, exhibits=(item,)))
    assert page.index("Mean rank 49.0 before, 161.0 after") < page.index("users before, 140 after")
