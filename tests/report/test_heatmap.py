"""Edits × models: which cells are filled, in which order, and what they say."""

from __future__ import annotations

import re

import pytest
from made_up_exhibits import full_report
from made_up_report import drift, made_up_report, value
from page_checks import is_harmless

from robustrec.reading.summary import summary_of
from robustrec.report.html import html_page
from robustrec.report.html.heatmap import heatmaps
from robustrec.results.findings import AuditStatus
from robustrec.results.numbers import tenths
from robustrec.subject import Subject

ONE, TWO = (Subject(model="vbpr", strategy=name, features="blip", seed=0) for name in ("vanilla", "sgbd"))


def edit(subject, name, relative, half_width=0.02, severity=3, **changes):
    row = drift(
        subject,
        relative * 0.12,
        audit="merchant",
        condition=f"edit={name} severity={severity} share=0.1",
        half_width=half_width * 0.12,
        clean=0.12,
    )
    low, high = relative - half_width, relative + half_width
    numbers = {"relative_drift": relative, "relative_ci_low": low, "relative_ci_high": high}
    return row.model_copy(update={**numbers, **changes})


def report_of(*rows, subjects=(ONE, TWO)):
    record = made_up_report().subjects[0]
    clean = [value(each, 0.12) for each in subjects]
    return made_up_report(
        findings=[*clean, *rows],
        subjects=tuple(record.model_copy(update={"subject": each}) for each in subjects),
        statuses=[AuditStatus(audit="merchant", subject=each, status="ok") for each in subjects],
        gates=(),
        verdict="inconclusive",
    )


def test_a_cell_is_filled_only_where_the_interval_excludes_0():
    rows = [
        edit(ONE, "crop", -0.03),
        edit(TWO, "crop", -0.03, half_width=0.04),
        edit(ONE, "typos", 0.05),
        edit(TWO, "typos", -0.2),
        edit(ONE, "recolour", -0.01),
        edit(TWO, "recolour", 0.0, half_width=0.0),
    ]
    (found,) = heatmaps(summary_of(report_of(*rows)))
    cells = {row.edit: [cell.kind for cell in row.cells] for row in (*found.rows, *found.others)}
    assert cells == {"crop": ["l2", ""], "typos": ["g2", "l5"], "recolour": ["", ""]}
    assert [row.edit for row in found.rows] == ["typos", "crop"], "the largest mean loss first"
    assert [row.edit for row in found.others] == ["recolour"]
    page = html_page(report_of(*rows))
    assert len(re.findall(r'class="h l\d"|class="h g\d"', page)) == 3
    assert "1 edit without a significant change at severity 3" in page
    is_harmless(page)


def test_the_middle_severity_is_shown_and_the_others_are_listed():
    rows = [edit(ONE, "crop", -0.01 * at, severity=at, users_lose=0.11, users_gain=0.094) for at in (1, 3, 5)]
    rows += [edit(ONE, "light", -0.04, severity=5)]
    (found,) = heatmaps(summary_of(report_of(*rows)))
    assert (found.severity, found.severities, found.counted) == (3, (1, 3, 5), True)
    (cell,) = found.rows[0].cells
    assert (cell.value, cell.interval, cell.users) == ("-3.0 %", "[-5.0, -1.0]", "11 % lose, 9 % gain")
    assert cell.listed == "severity 1: -1.0 % [-3.0, +1.0]; severity 5: -5.0 % [-7.0, -3.0]"
    assert len(re.findall("<rect", cell.strip)) == 3
    (absent,) = found.others[0].cells
    assert (absent.value, absent.kind) == ("", "")
    assert "no change measured" in html_page(report_of(*rows))


def test_a_bound_that_excludes_0_is_never_printed_as_0():
    (found,) = heatmaps(summary_of(report_of(edit(ONE, "crop", -0.0203))))
    assert found.rows[0].cells[0].interval == "[-4.0, -0.03]"
    assert [tenths(each) for each in (0.0, -0.0004, None)] == ["0.0 %", "-0.04 %", "-"]


@pytest.mark.parametrize("n", [1, 4, 5, 40])
def test_models_are_shown_four_at_a_time(n):
    many = [Subject(model="vbpr", strategy=f"strategy-{at}", features="blip", seed=0) for at in range(n)]
    rows = [edit(each, name, -0.03) for each in many for name in ("crop", "typos")]
    report = report_of(*rows, subjects=many)
    found = heatmaps(summary_of(report))
    assert [len(each.subjects) for each in found] == [min(4, n - start) for start in range(0, n, 4)]
    is_harmless(html_page(report))


def test_each_share_of_items_has_a_table_of_its_own():
    rows = [edit(ONE, "crop", -0.03), drift(ONE, -0.01, audit="merchant", condition="edit=crop severity=3 share=0.5")]
    assert [each.title for each in heatmaps(summary_of(report_of(*rows)))] == ["10 % of items", "50 % of items"]


def test_the_mean_over_edits_counts_no_users():
    rows = [edit(ONE, "all", -0.03, users_lose=0.6, users_gain=0.3)]
    assert heatmaps(summary_of(report_of(*rows)))[0].rows[0].cells[0].users == ""


def test_a_report_without_edits_has_no_table():
    assert heatmaps(summary_of(report_of())) == []
    assert heatmaps(summary_of(full_report()))
