from __future__ import annotations

import functools
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_report import SGBD, SNR, VANILLA, break_points, comparisons, drift, made_up_report, noise_findings, value
from rich.cells import cell_len
from rich.console import Console

from robustrec.audits.suites import load_suite
from robustrec.reading.names import in_common, short_names
from robustrec.report.console.console import mirror_sentence, print_report
from robustrec.report.tables.comparison import meaning
from robustrec.results.findings import AuditStatus

HOSTILE = "[red]<script>alert(1)</script>[/] [link=file:///etc/passwd]x\x1b[31m\u202e=cmd()\n" + "w" * 200


class Stream(io.StringIO):
    """A terminal of an encoding, refusing what it cannot show as a real one would."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self.name_of_encoding = encoding

    @property
    def encoding(self):
        return self.name_of_encoding

    def write(self, text):
        text.encode(self.encoding)
        return super().write(text)


def shown(report, width=80, encoding="utf-8", **options):
    stream = Stream(encoding)
    print_report(report, Console(file=stream, width=width, highlight=False, **options.pop("console", {})), **options)
    return stream.getvalue()


def in_one_line(text):
    return " ".join(text.split())


def sweep_report(**changes):
    suite = load_suite("paper")
    noise = suite.audits[0]
    conditions = [
        f"{kind}={amount:g}{'' if scope == 'all' else ' ' + scope}"
        for kind, amounts in (("sigma2", noise.sigma2), ("sigma_rel", noise.relative))
        for amount in amounts
        for scope in noise.scopes
    ]
    return made_up_report(suite, conditions=[*conditions, "trained sigma2=1e-06"], **changes)


@functools.cache
def both_reports():
    return made_up_report(), sweep_report()


@pytest.mark.parametrize("width", [24, 40, 60, 80, 81, 100, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_console(width, encoding):
    for report in both_reports():
        lines = shown(report, width, encoding, location=Path("report.json")).splitlines()
        assert max(cell_len(line) for line in lines) <= width


def test_the_key_lines_at_80_columns():
    lines = shown(made_up_report(), location=Path("report.json")).splitlines()
    for line in (
        "┃ SAMPLE EDITION: synthetic data, not the real Amazon data.                    ┃",
        "VERDICT: PASS  2 blocking gates passed; 2 warning gates passed; 2 of 2 blocking",
        "gates are underpowered",
        "subjects: slmrec, features basic, seed 0; 95 % intervals",
        " sgbd     0.1834 [0.1733, 0.1935]  0.0851 [0.0750, 0.0952]       35/55     12.3",
        "noise, sigma2=1e-06: drift on 1203 users, 8 draws (95 % intervals)",
        " ndcg@20    vanilla  0.0851  -0.00103   -1.21 %   [-1.61, -0.81]",
        " vanilla  0.9879      0.9831      36.3 %",
        " signal-to-noise ratio at sigma2=1e-06: image 31.2 dB, text 25.5 dB",
        " break point: ndcg@20 -5%: vanilla at sigma2 3.2e-05 [3.1e-05, 3.2e-05]",
        " clean         ndcg@20    sgbd        -3.10 %        [-4.30, -1.90]        worse",
        " sigma2=1e-06  ndcg@20    sgbd       +0.00070  [+0.00020, +0.00120]  drifts less",
        " PASS  NDCG@20 under noise: worst of 2: vanilla at sigma2=1e-06: ndcg@20 fell by",
        "    1.21 % (95 % interval -1.61 to -0.81 %), limits -2 to 2 %",
        "all numbers: report.json",
        "VERDICT: PASS on a SAMPLE EDITION, exit code 0 (--fail-on error)",
    ):
        assert line in lines
    assert not [line for line in lines if line != line.rstrip()]


def test_the_mirror_sentence():
    text = in_one_line(shown(made_up_report()))
    assert (
        "sgbd: 0 % of 412 mirrored steps increased the batch loss; mean cosine with the gradient -0.98: "
        "under shared Adam moments mirrored steps were descent steps" in text
    )


@pytest.mark.parametrize(
    ("changes", "reading", "says"),
    [
        ({"mean_cosine": 0.9, "share_raised_loss": 0.97}, "sgd", "mirrored steps were ascent steps, as intended"),
        ({"mean_cosine": -0.4}, "preconditioned", "-0.40: mirrored steps were descent steps"),
        ({"mean_cosine": -0.4, "share_raised_loss": 0.8}, "shared", "neither clearly ascent nor clearly descent steps"),
        ({"probed_steps": 40, "share_raised_loss": 0.00001}, "shared", "0.001 % of 40 probed among 412 mirrored steps"),
        ({"probed_steps": 0, "share_raised_loss": None}, "shared", "412 mirrored steps; mean cosine"),
        ({"mean_cosine": None}, "shared", "0 % of 412 mirrored steps increased the batch loss"),
    ],
)
def test_the_mirror_sentence_says_what_was_measured(changes, reading, says):
    record = made_up_report().subjects[1]
    record = record.model_copy(update={"config": {"strategy": {"reading": reading}}})
    assert says in mirror_sentence(record, record.mirror.model_copy(update=changes))


def test_at_120_columns_there_is_more():
    text = shown(made_up_report(), 120)
    assert "252,416" in text
    assert "[-0.00137, -0.00069]   -1.21 %" in text
    assert "0.9879 [0.9839, 0.9919]" in text


def test_the_banner_is_for_samples_only():
    data = made_up_report().dataset.model_copy(update={"synthetic": False, "edition": "full"})
    text = shown(made_up_report(dataset=data))
    assert "SAMPLE" not in text
    assert "(full edition)" in in_one_line(text)


def test_every_status_is_a_word_without_any_colour():
    findings = [
        *noise_findings(VANILLA, ["sigma2=1e-06"], 0.02),
        *noise_findings(SGBD, ["sigma2=1e-06"], 0.2),
        *comparisons("sigma2=1e-06"),
    ]
    text = shown(made_up_report(findings=findings), console={"no_color": True})
    assert "VERDICT: FAIL  2 of 2 blocking gates failed" in text
    assert " FAIL  NDCG@20 under noise" in text
    assert " FAIL (warn)  list stability" in text
    assert text.rstrip().endswith("exit code 1 (--fail-on error)")
    assert "\x1b" not in text


def test_an_inconclusive_run_says_how_to_decide_it():
    undecided = [drift(each, -0.019, metric=metric) for each in (VANILLA, SGBD) for metric in ("ndcg@20", "recall@20")]
    rest = [drift(each, -0.01, clean=1.0, metric="rbo@20") for each in (VANILLA, SGBD)] + comparisons("sigma2=1e-06")
    report = made_up_report(findings=[*undecided, *rest])
    assert "INCONCLUSIVE  NDCG@20 under noise" in shown(report)
    assert "exit code 0 (--fail-on error); use more test users" in in_one_line(shown(report))
    assert "exit code 1 (--fail-on inconclusive)" in in_one_line(shown(report, fail_on="inconclusive"))


def test_troubles_are_listed():
    statuses = [
        AuditStatus(audit="reach", subject=SGBD, status="error", message="image did not reach the scores"),
        AuditStatus(audit="noise", subject=VANILLA, status="not_applicable", message="reads no features"),
    ]
    text = in_one_line(shown(made_up_report(statuses=statuses, warnings=("gate 'x' was left out",))))
    assert "VERDICT: ERROR audit reach of slmrec/sgbd/basic/seed 0: image did not reach the scores" in text
    assert "ERROR: reach of sgbd: image did not reach the scores" in text
    assert "NOT APPLICABLE: noise of vanilla: reads no features" in text
    assert "warning: gate 'x' was left out" in text
    assert "vanilla, sgbd: 3 items without a picture: mean vector" in text
    assert "skipped: 3 rows, validation/test rows" in text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_hostile_texts_are_shown_and_never_obeyed(width, encoding):
    findings = [drift(each, condition=HOSTILE, note=HOSTILE, metric=HOSTILE) for each in (VANILLA, SGBD)]
    report = made_up_report(
        findings=[*findings, value(SGBD, audit="noise", metric=HOSTILE, condition=HOSTILE)],
        warnings=(HOSTILE, "ελληνικά 購物"),
        dataset=made_up_report().dataset.model_copy(update={"name": HOSTILE}),
    )
    text = shown(
        report, width, encoding, location=Path(HOSTILE), console={"force_terminal": True, "color_system": None}
    )
    assert "[red]<script>" in text
    assert "\x1b[31m" not in text
    assert "\x1b]8" not in text
    assert "\u202e" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= width


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["utf-8", "ascii", "cp1252"]))
def test_any_text_can_be_printed_anywhere(text, encoding):
    report = made_up_report(findings=[drift(note=text, condition=text + "x")], warnings=(text,), command=(text,))
    assert "VERDICT" in shown(report, 80, encoding)


def test_a_sweep_is_one_row_a_condition():
    lines = shown(sweep_report()).splitlines()
    assert "noise: relative drift of ndcg@20 on 1203 users, 8 draws (95 % intervals)" in lines
    assert sum(line.startswith((" sigma2=", " sigma_rel=", " trained sigma2=")) for line in lines if "%" in line) >= 40
    assert any("list stability rbo@20 from 0.5160 (trained sigma2=1e-06)" in line for line in lines)
    ratios = [line for line in lines if "signal-to-noise" in line]
    assert len(ratios) == len(SNR)


def test_many_subjects_get_as_many_tables_as_fit():
    report = made_up_report()
    subjects = [SGBD.model_copy(update={"seed": seed}) for seed in range(7)]
    records = tuple(report.subjects[1].model_copy(update={"subject": subject}) for subject in subjects)
    conditions = [f"sigma2={10.0**-power:g}" for power in range(9, 2, -1)]
    findings = [row for subject in subjects for row in noise_findings(subject, conditions, 0.01)]
    ended = [AuditStatus(audit="noise", subject=subject, status="ok") for subject in subjects]
    text = shown(made_up_report(findings=findings, subjects=records, statuses=ended, verdict="error"))
    assert text.count(" condition ") == 4
    assert "sgbd s6" in text


def test_the_last_line_counts_what_was_spent():
    costs = {"trainings": 2, "representations": 60, "rankings": 60}
    assert "2 trainings, 60 representations, 60 rankings\n" in shown(made_up_report())
    report = made_up_report(costs={**costs, "encodings": 6863, "gradients": 660})
    assert "60 rankings, 6,863 encodings, 660 gradients" in " ".join(shown(report).split())


def test_a_report_without_results_can_be_printed():
    nothing = "no audit measured anything"
    text = shown(
        made_up_report(findings=[], statuses=[], subjects=(), gates=(), verdict="error", verdict_reason=nothing)
    )
    assert "no audit measured anything" in text
    assert "gates: none" in text


def test_break_points_out_of_reach_say_so():
    text = in_one_line(shown(made_up_report(findings=break_points())))
    assert "sgbd at sigma2 above 1 (not reached at the largest σ² of the search)" in text
    below = value(SGBD, None, None, audit="noise", metric="sigma2", condition="break point", ci_high=1e-8, note="tiny")
    assert "at sigma2 below 1e-08 (tiny)" in in_one_line(shown(made_up_report(findings=[below])))
    unknown = value(SGBD, None, None, audit="noise", metric="sigma2", condition="break point", note="clean value is 0")
    assert "at sigma2 unknown (clean value is 0)" in in_one_line(shown(made_up_report(findings=[unknown])))


@pytest.mark.parametrize(
    ("numbers", "audit", "says"),
    [
        ((0.10, 0.11, 0.005, 0.015), "clean", "better"),
        ((0.10, 0.09, -0.015, -0.005), "clean", "worse"),
        ((0.10, 0.11, -0.005, 0.025), "clean", "no significant difference"),
        ((0.10, 0.10, 0.0, 0.0), "clean", "identical"),
        ((-0.02, -0.01, 0.005, 0.015), "noise", "drifts less"),
        ((-0.01, -0.02, -0.015, -0.005), "noise", "drifts more"),
        ((-0.01, 0.01, 0.015, 0.025), "noise", "drifts in the other direction"),
        ((-0.02, -0.01, None, None), "noise", "unknown"),
    ],
)
def test_what_differences_mean(numbers, audit, says):
    clean, perturbed, low, high = numbers
    row = drift(
        reference="vanilla",
        audit=audit,
        clean=clean,
        perturbed=perturbed,
        drift=perturbed - clean,
        ci_low=low,
        ci_high=high,
    )
    assert meaning(row) == says


def test_names_say_what_differs_and_the_heading_the_rest():
    other = SGBD.model_copy(update={"model": "vbpr", "seed": 1})
    assert list(short_names([VANILLA, SGBD]).values()) == ["vanilla", "sgbd"]
    assert in_common([VANILLA, SGBD]) == "slmrec, features basic, seed 0"
    assert short_names([SGBD, other])[other] == "vbpr/sgbd s1"
    assert in_common([SGBD, other]) == "2 models, features basic, 2 seeds (s)"
    without = VANILLA.model_copy(update={"model": "bpr", "features": "none"})
    assert short_names([SGBD, without])[without] == "bpr/vanilla", "that it reads none follows from the model"
    imported = SGBD.model_copy(update={"features": "imported"})
    assert short_names([SGBD, imported])[imported] == "sgbd/imported"
    assert len(set(short_names([SGBD, imported, without, other, VANILLA]).values())) == 5


def test_rows_that_few_users_decide_say_how_many_differ():
    rows = [drift(SGBD, -0.001, n_changed=3), drift(SGBD, -0.02, n_changed=40, metric="recall@20")]
    rows.append(drift(SGBD, 0.0, half_width=0.0, n_changed=0, condition="sigma2=0"))  # nothing was done
    text = in_one_line(shown(made_up_report(findings=rows)))
    assert "Rows with fewer than 10 changed users; their intervals are bounds for rare changes:" in text
    assert "sigma2=1e-06: 3 of 1203 users" in text
    assert "40 of 1203" not in text
    assert " 0 of 1203" not in text
    many = in_one_line(shown(made_up_report(findings=rows[1:])))
    assert "changed users" not in many
