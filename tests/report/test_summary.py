from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import condition_of
from made_up_exhibits import MANY, fragile, full_report
from made_up_report import SGBD, VANILLA, comparisons, drift, made_up_report, value
from rich.cells import cell_len
from rich.console import Console

from robustrec.audits.suites import load_suite
from robustrec.reading.advice import MOST_LINES, harm, lines_that_matter
from robustrec.reading.conditions import condition_words, curve_words, without_shared_end
from robustrec.reading.gate_axis import gate_marks
from robustrec.reading.glance import at_a_glance
from robustrec.reading.summary import gate_lines, is_quality, summary_of, troubles
from robustrec.reading.texts import REPLACED, visible
from robustrec.report.console.screen import print_screen
from robustrec.report.tables.edits import edit_table
from robustrec.results.findings import AuditStatus
from robustrec.results.wording import power_sentence

NOISE = "sigma2=1e-06"
OPEN = {"verdict": "inconclusive", "verdict_reason": "no gate"}


def two(vanilla=-0.005, sgbd=-0.005, *, quality=(0.10, 0.12), half_width=0.004, paired=None, **changes):
    """Vanilla and sgbd with these losses under noise and these clean qualities."""
    rows = []
    for subject, loss, clean in ((VANILLA, vanilla, quality[0]), (SGBD, sgbd, quality[1])):
        for metric in ("ndcg@20", "recall@20"):
            rows.append(value(subject, clean, 0.005, metric=metric))
            rows.append(drift(subject, loss, clean=clean, metric=metric, half_width=half_width))
        rows.append(drift(subject, -0.01, clean=1.0, metric="rbo@20"))
    rows += comparisons(NOISE) if paired is None else paired
    return made_up_report(findings=rows, **changes)


@pytest.mark.parametrize(
    ("label", "kind", "curve", "amount"),
    [
        ("sigma2=1e-06", "noise", "noise of variance σ², all features", 1e-6),
        ("sigma2=1e-06 image", "noise", "noise of variance σ², image", 1e-6),
        ("trained sigma2=1e-06", "noise", "noise of variance σ², trained", 1e-6),
        (
            "sigma_rel=0.05 frozen graphs text",
            "noise",
            "noise relative to the feature norm, frozen graphs text",
            0.05,
        ),
        ("edit=promo_badge severity=2 share=0.1", "edit", "promo badge, 10 % of items", 2.0),
        (
            "edit=typos+crop severity=5 share=0.1 frozen graphs",
            "edit",
            "typos and crop, 10 % of items, frozen graphs",
            5.0,
        ),
        ("edit=x severity=high", "other", "edit=x severity=high", 0.0),
        ("sigma2=nan", "other", "sigma2=nan", 0.0),
        ("break point: ndcg@20 -5%", "break_point", "break point: ndcg@20 -5%", 0.0),
        ("no image at all", "other", "no image at all", 0.0),
    ],
)
def test_conditions_of_one_curve_share_its_words(label, kind, curve, amount):
    condition = condition_of(label)
    assert (condition.kind, curve_words(condition), condition.amount) == (kind, curve, amount)


def test_conditions_in_words():
    assert (
        condition_words(condition_of("edit=wrong_picture severity=4 share=0.1"))
        == "wrong picture (upload fault), severity 4, 10 % of items"
    )
    fault = condition_of("edit=typos+wrong_picture severity=4 share=0.1")
    assert curve_words(fault) == "typos and wrong picture (upload fault), 10 % of items"
    assert (
        curve_words(condition_of("edit=promo_badge+crop severity=4 share=0.1")) == "promo badge and crop, 10 % of items"
    )
    assert condition_words(condition_of("trained sigma2=1e-06")) == "trained on σ² = 1e-06"
    assert condition_words(condition_of("sigma2=1e-06 image")) == "σ² = 1e-06, image"
    assert condition_words(condition_of("anything else")) == "anything else"
    assert (
        condition_words(condition_of("edit=all severity=3 share=0.1")) == "mean of the edits, severity 3, 10 % of items"
    )
    assert without_shared_end(["a, x, y", "b, x, y"]) == (["a", "b"], "x, y")
    assert without_shared_end(["a, x"]) == (["a, x"], "")


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1))
def test_any_condition_is_read(name):
    assert isinstance(condition_words(condition_of(name)), str)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_visible_texts_hide_nothing(text):
    shown = visible(text)
    assert not set("\x00\x1b\u200b\u200e\u202e\u2066\ufeff\u2028") & set(shown)
    assert len(shown) == len(text)
    shown.encode()


def test_what_can_be_read_stays():
    assert visible("שלום 購物 👩‍👧 naïve\n\t") == "שלום 購物 👩‍👧 naïve\n\t"
    assert visible("a\x00b\u202ec") == f"a{REPLACED}b{REPLACED}c"


def test_a_significant_loss_is_named_before_a_larger_insignificant_estimate():
    wide, sure = "edit=crop severity=3 share=0.1", "edit=typos severity=3 share=0.1"
    rows = [
        drift(VANILLA, -0.06, condition=wide, audit="merchant", half_width=0.3),
        drift(VANILLA, -0.03, condition=sure, audit="merchant", half_width=0.01),
        drift(VANILLA, -0.4, condition=sure, audit="merchant", metric="ndcg@20_edited", half_width=0.1),
    ]
    report = two()
    lines = lines_that_matter(summary_of(made_up_report(findings=[*report.findings, *rows])))
    line = next(line for line in lines if "under merchant" in line)
    assert "typos, severity 3, 10 % of items, ndcg@20 of vanilla -3.00 %" in line
    assert line.endswith("for users with an edited test item -40.0 %")


def test_the_same_encoder_under_another_subject_is_no_trouble():
    ok = AuditStatus(audit="encoder", subject=VANILLA, status="ok")
    same = AuditStatus(audit="encoder", subject=SGBD, status="not_applicable", message="the same encoder")
    assert troubles(two(statuses=[ok, same])) == []
    assert troubles(two(statuses=[same])) == [same]


def test_conditions_of_break_points_and_of_spread_in_words():
    assert condition_words(condition_of("break point: ndcg@20 -5%")) == "ndcg@20 falls by 5 %"
    assert condition_words(condition_of("sigma_std=0.1 text")) == "σ = 0.1 standard deviations of the features, text"
    assert condition_words(condition_of("break point: ? ")) == "break point: ? "


def test_candidates_stand_for_all_their_seeds():
    record = made_up_report().subjects[1]
    seeds = [SGBD.model_copy(update={"seed": seed}) for seed in range(3)]
    rows = [row for subject in seeds for row in (value(subject), drift(subject, -0.3 if subject.seed == 2 else 0.0))]
    statuses = [AuditStatus(audit="noise", subject=subject, status="ok") for subject in seeds]
    records = tuple(record.model_copy(update={"subject": subject}) for subject in seeds)
    suite = load_suite("quick")
    suite = suite.model_copy(update={"gates": suite.gates[:1]})
    report = made_up_report(suite, findings=rows, statuses=statuses, subjects=records)
    (candidate,) = summary_of(report).candidates
    assert len(candidate.subjects) == 3
    assert candidate.standing == "fail"
    assert at_a_glance(summary_of(report)).columns[0].remark == "mean of 3 seeds"


def test_candidates_of_a_suite_that_cannot_be_read_stand_as_the_gates_were_decided():
    report = two(sgbd=-0.2)
    report = report.model_copy(update={"suite": report.suite.model_copy(update={"content": {"gates": [{"odd": 1}]}})})
    assert {row.name: row.standing for row in summary_of(report).candidates} == {"vanilla": "none", "sgbd": "fail"}
    report = two().model_copy(update={"suite": report.suite})
    assert {row.name: row.standing for row in summary_of(report).candidates} == {"vanilla": "pass", "sgbd": "pass"}


def test_the_glance_has_quality_drifts_and_flatness():
    glance = at_a_glance(summary_of(full_report()))
    assert [column.title for column in glance.columns] == [
        "clean ndcg@20",
        "left with mean features",
        "noise: largest loss",
        "merchant: largest loss",
        "missing: largest loss",
        "input sharpness, nats",
    ]
    assert glance.columns[2].remark == "σ² = 1e-06", "the condition that the gates look at, not the strongest"
    assert [row.standing for row in glance.rows] == ["PASS", *["FAIL"] * 5]
    assert glance.rows[0].cells[3].number == "-4.00 %"


def test_the_six_lines_are_one_of_each_kind_in_order():
    lines = lines_that_matter(summary_of(full_report()))
    assert len(lines) == MOST_LINES
    starts = (
        "largest loss under noise in conditions that gates check (worst of 6): ",
        "largest loss under merchant",
        "content use (lowest of 6): ",
        "for these 6",
        "noise tolerance (lowest of",
        "most fragile item",
    )
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 6
    without = full_report(exhibits=(), relations=())
    lines = lines_that_matter(summary_of(without))
    starts = [f"largest loss under {audit}" for audit in ("noise", "merchant", "missing")]
    assert {start for start in starts for line in lines if line.startswith(start)} == set(starts)


def test_a_loss_that_is_not_significant_is_not_called_a_loss():
    lines = lines_that_matter(summary_of(two(vanilla=-0.001, sgbd=-0.002)))
    assert any("no significant loss of ndcg@20; lowest (worst of 2) for sgbd" in line for line in lines)
    assert not any("largest loss" in line for line in lines)


def test_a_loss_that_no_gate_checks_is_not_denied():
    found = two(vanilla=-0.001, sgbd=-0.002)
    apart = drift(SGBD, -0.5, condition="sigma2=0.01")
    lines = lines_that_matter(summary_of(found.model_copy(update={"findings": [*found.findings, apart]})))
    assert any("no significant loss of ndcg@20 in conditions that gates check; lowest" in line for line in lines)


def test_items_are_ordered_by_what_they_lost():
    few = fragile(SGBD, rank_before=250.0, rank_after=450.0)
    top = fragile(SGBD, rank_before=1.5, rank_after=40.0)
    assert harm(top) > harm(few) > 0 == harm(fragile(SGBD, rank_before=None))
    assert harm(fragile(SGBD, loss=0.25)) == 0.25, "the loss by which the example user is chosen"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"detects_below": -0.0261}, "a true fall of 2.61 % or more fails this gate in 80 % of runs"),
        (
            {"detects_below": -0.02, "detects_above": 0.03},
            "a true fall of 2.00 % or more or a true rise of 3.00 % or more fails this gate in 80 % of runs",
        ),
        ({"detects_below": -1.0}, "too few users: not even a loss of 100 % fails this gate in 80 % of runs"),
        ({"detects_below": 0.01}, "a true change of +1.00 % or lower fails this gate in 80 % of runs"),
        (
            {"quantity": "value", "metric": "loss", "detects_above": 0.0100},
            "a true loss of 0.0100 or more fails this gate in 80 % of runs",
        ),
        ({}, ""),
    ],
)
def test_what_a_gate_detects_in_words(changes, says):
    gate = made_up_report().gates[0]
    unknown = {"quantity": "relative_drift", "detects_below": None, "detects_above": None}
    assert power_sentence(gate.model_copy(update={**unknown, **changes})) == says


def test_margins_and_words_of_gates():
    lines = {line.name: line for line in gate_lines(two(sgbd=-0.2))}
    assert lines["NDCG@20 under noise"].word == "FAIL"
    assert lines["NDCG@20 under noise"].margin == pytest.approx(-0.204 + 0.02)
    assert lines["NDCG@20 under noise"].margin_text == "18.4 percentage points outside the limit"
    assert lines["list stability"].margin_text == "0.0860 inside the limit"


def test_edits_tell_who_is_hurt():
    common = {"audit": "merchant", "condition": "edit=typos severity=3 share=0.1"}
    rows = [
        drift(SGBD, -0.02, **common),
        drift(SGBD, -0.08, metric="ndcg@20_edited", **common),
        drift(SGBD, 0.5, clean=40.0, metric="rank_edited", **common),
        drift(SGBD, -0.01, **{**common, "condition": "edit=typos severity=1 share=0.1"}),
        value(SGBD, 0.1),
    ]
    table = edit_table(summary_of(made_up_report(findings=rows, gates=(), verdict="inconclusive")), SGBD)
    assert table.columns == [
        "all users: ndcg@20",
        "users with an edited test item: ndcg@20_edited",
        "rank of edited items",
    ]
    assert [(row.edit, row.severity) for row in table.rows] == [("typos, 10 % of items", "3")]
    assert table.rows[0].cells[2] == "40 → 60"
    assert not is_quality("ndcg@20_edited")
    assert not is_quality("exposure@20")
    assert edit_table(summary_of(made_up_report()), SGBD) is None


class Stream(io.StringIO):
    def __init__(self, encoding):
        super().__init__()
        self.name = encoding

    @property
    def encoding(self):
        return self.name

    def write(self, text):
        text.encode(self.name)
        return super().write(text)


def screen(report, width=80, encoding="utf-8", **options):
    stream = Stream(encoding)
    console = Console(file=stream, width=width, highlight=False, **options)
    print_screen(report, console, location=Path("report.json"), pages=[Path("report.html")])
    return stream.getvalue()


@pytest.mark.parametrize("width", [24, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_the_screen_fits_any_terminal(width, encoding):
    hostile = "[red]<b>\x1b[31m\u202e購 " + "w" * 300
    report = full_report(warnings=(hostile,) * 5, verdict_reason=hostile)
    text = screen(report, width, encoding, force_terminal=True, color_system=None)
    assert max(cell_len(line) for line in text.splitlines()) <= max(width, 24)
    assert "\x1b[31m" not in text
    assert "\u202e" not in text


def test_the_report_fits_one_screen_of_80_columns():
    gate = full_report().gates[0]
    many = tuple(gate.model_copy(update={"gate": f"gate {number}"}) for number in range(40))
    for report, most in (
        (made_up_report(), 25),
        (full_report(), 33),
        (full_report().model_copy(update={"gates": many}), 36),
    ):
        lines = screen(report).splitlines()
        assert len(lines) <= most
        assert lines[0].startswith("SAMPLE EDITION")
        assert any(line.startswith("VERDICT: ") for line in lines[:3])
        end = " ".join(" ".join(lines[-2:]).split())
        assert "Report report.json and .html; exit code" in end
        for label in ("Power", "Checks", "Next", "Warnings", "Report"):
            assert any(line.startswith(f"{label}  ") for line in lines), label


def test_the_screen_shows_gates_in_units_of_their_limit_with_an_axis():
    lines = screen(two(sgbd=-0.2)).splitlines()
    (line,) = [line for line in lines if line.startswith("FAIL") and "NDCG@20 under noise" in line]
    (mark,) = [each for each in gate_marks(two(sgbd=-0.2)) if each.name == "NDCG@20 under noise"]
    places = mark.places
    assert f"{places.estimate:.2f} [{places.low:.2f}, {places.high:.2f}]" in line
    assert line.rstrip().endswith("●"), "beyond the end of the axis"
    (ruler,) = [line for line in lines if line.startswith("gate ")]
    (held,) = [line for line in lines if line.startswith("PASS") and "list stability" in line]
    assert held.index("│") == ruler.rindex("1"), "the limit stands below 1"


def test_the_screen_breaks_no_word_of_a_table():
    words = {word for line in screen(full_report()).splitlines() for word in line.split()}
    for word in ("slmrec/vanilla", "dragon/sgbd", "ndcg@20", "merchant", "content"):
        assert word in words


def test_the_screen_says_the_worst_gates_first():
    report = two(sgbd=-0.2)
    text = screen(report)
    assert text.index("FAIL  NDCG@20 under noise") < text.index("PASS  list stability")
    assert "18.4" not in text, "the message says it already"


def test_a_terminal_without_greek_reads_words():
    assert "sigma^2 = 1e-06" in " ".join(screen(full_report(MANY[:2]), encoding="ascii").split())


def test_edits_tell_what_the_encoder_does_not_see():
    common = {"audit": "merchant", "condition": "edit=promo_badge severity=3 share=0.1"}
    share = value(SGBD, 0.685, half_width=None, metric="hidden_share", unit="share of changed pixels", **common)
    report = made_up_report(findings=[drift(SGBD, -0.02, **common), share], gates=(), verdict="inconclusive")
    table = edit_table(summary_of(report), SGBD)
    assert table.columns == ["pixels hidden from the encoder", "all users: ndcg@20"]
    assert table.rows[0].cells[0] == "68.5 %"
