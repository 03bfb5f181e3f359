"""Ranking subjects over reports: planted orders are found, equals stay untold, other data are refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from made_up_report import SGBD, VANILLA, use_findings
from markupsafe import escape
from measured_report import SUITE, measured, suite_of
from page_checks import is_harmless
from rich.console import Console

from robustrec.comparison.compared import Loaded
from robustrec.comparison.html import comparison_page
from robustrec.comparison.page import print_comparison
from robustrec.comparison.reports import compare_reports
from robustrec.comparison.users import _difference, _overall, _reach
from robustrec.errors import RobustrecError
from robustrec.results.findings import AuditStatus
from robustrec.results.report import Report


def loaded(name="a.json", *, arrays=True, **options):
    report, values = measured(**options)
    return Loaded(report, values if arrays else None, name)


def by_name(found):
    return {each.name: each for each in found.standings}


def test_a_planted_order_is_found_and_significant():
    found = compare_reports([loaded(level={VANILLA: 0.7}), loaded("b.json", seed=1, level={VANILLA: 0.5, SGBD: 0.3})])
    assert [each.name for each in found.standings] == ["sgbd (a)", "vanilla (a)", "vanilla (b)", "sgbd (b)"]
    assert (found.method, found.metric, found.conditions) == ("users", "ndcg@20", ("clean", "noise: sigma2=0.01"))
    for place, each in enumerate(found.standings, start=1):
        assert (each.mean_rank, each.worst_rank) == (place, place)
        assert (each.mean_best, each.mean_worst, each.worst_best, each.worst_worst) == (place,) * 4
    assert all(pair.apart for pair in found.pairs)
    assert len(found.pairs) == 6
    assert 1.96 < found.critical < 3.5


def test_equal_subjects_do_not_differ_and_share_ranks():
    one = loaded()
    same = Loaded(one.report, one.arrays, "copy.json")
    found = compare_reports([one, same])
    sgbd = [each for each in found.standings if each.subject == SGBD]
    assert sgbd[0].mean_rank == sgbd[1].mean_rank
    pair = next(each for each in found.pairs if (each.first, each.second) == ("sgbd (a)", "sgbd (copy)"))
    assert (pair.difference, pair.low, pair.high, pair.apart) == (0.0, 0.0, 0.0, False)


def test_values_and_differences_are_those_of_the_users():
    one = loaded(level={SGBD: 1.2}, noise=0.3)
    found = compare_reports([one])
    values = {
        (row.subject, row.condition.label): row.perturbed or row.clean
        for row in one.report.findings
        if row.metric == "ndcg@20"
    }
    for standing in found.standings:
        clean, noisy = standing.places
        assert clean.value == pytest.approx(values[standing.subject, "test"])
        assert noisy.value == pytest.approx(values[standing.subject, "sigma2=0.01"])
    (pair,) = found.pairs
    sgbd, vanilla = (by_name(found)[name] for name in ("sgbd", "vanilla"))
    mean = np.mean([a.value - b.value for a, b in zip(sgbd.places, vanilla.places, strict=True)])
    assert pair.difference == pytest.approx(mean if pair.first == "sgbd" else -mean)


def test_by_drift_ranks_what_loses_less():
    steady, shaky = loaded(noise=0.05), loaded("b.json", seed=1, noise=0.6, level={VANILLA: 3.0, SGBD: 3.0})
    quality, drift = (compare_reports([steady, shaky], by=by) for by in ("quality", "drift"))
    assert quality.standings[0].report == "b.json"
    assert drift.standings[0].report == "a.json"
    assert "clean" not in drift.conditions


def test_without_arrays_the_intervals_leave_more_ranks_possible():
    options = [{"level": {VANILLA: 0.85}}, {"seed": 1, "level": {VANILLA: 0.5, SGBD: 0.4}}]
    users = compare_reports([loaded(f"{i}.json", **each) for i, each in enumerate(options)])
    wide = compare_reports([loaded(f"{i}.json", arrays=i > 0, **each) for i, each in enumerate(options)])
    assert (users.method, wide.method) == ("users", "intervals")
    assert any("without per-user arrays" in note for note in wide.notes)
    for each in wide.standings:
        other = by_name(users)[each.name]
        assert each.mean_rank == other.mean_rank
        assert each.mean_best <= other.mean_best
        assert each.mean_worst >= other.mean_worst


def test_one_training_s_luck_is_said():
    assert "one training each" in compare_reports([loaded()]).notes[0]


def test_a_model_without_features_is_where_it_was():
    one = loaded(noise=0.5)
    none = SGBD.model_copy(update={"model": "bpr", "strategy": "vanilla", "features": "none"})
    report, arrays = measured(seed=2, level={SGBD: 0.8})
    keep = [
        row.model_copy(update={"subject": none})
        for row in report.findings
        if row.subject == SGBD and row.audit == "clean"
    ]
    statuses = (AuditStatus(audit="noise", subject=none, status="ok"),)
    record = report.subjects[1].model_copy(update={"subject": none})
    content = {**dict(report), "findings": keep, "subjects": (record,), "statuses": statuses, "gates": ()}
    content |= {"verdict": "inconclusive", "verdict_reason": "x"}
    renamed = {
        name.replace(SGBD.label.replace("/", ":"), none.label.replace("/", ":")): values
        for name, values in arrays.items()
    }
    found = compare_reports([one, Loaded(Report(**content), renamed, "bpr.json")])
    assert found.method == "users"
    bpr = next(each for each in found.standings if each.subject == none)
    assert bpr.places[0].value == bpr.places[1].value
    assert (bpr.places[0].rank, bpr.places[1].rank) == (3, 1)


def test_unchanged_subjects_rarely_differ_significantly():
    found_apart = 0
    for seed in range(40):
        found = compare_reports([loaded(users=120, seed=2 * seed), loaded("b.json", users=120, seed=2 * seed + 1)])
        found_apart += any(pair.apart for pair in found.pairs) or any(each.worst_worst < 4 for each in found.standings)
    assert found_apart <= 40 * 0.05 + 3 * np.sqrt(40 * 0.05 * 0.95)


def with_use(one, **left):
    """A report with the share of quality that each strategy keeps with mean features."""
    rows = [row for subject in (VANILLA, SGBD) for row in use_findings(subject, left.get(subject.strategy, 0.3))]
    return one._replace(report=one.report.model_copy(update={"findings": (*one.report.findings, *rows)}))


def test_content_free_subjects_are_not_ranked_and_named_with_the_reason():
    """The subject that loses least is the one that ignores content: it is in no standing and in no pair."""
    one, two = loaded(noise=0.0), loaded("b.json", seed=1, noise=0.3)
    everybody = compare_reports([one, two], by="drift")
    assert everybody.standings[0].subject == SGBD or everybody.standings[0].subject == VANILLA
    assert any("content use was not measured" in note for note in everybody.notes)
    found = compare_reports([with_use(one, sgbd=0.99), with_use(two)], by="drift")
    assert sorted(each.name for each in found.standings) == ["sgbd (b)", "vanilla (a)", "vanilla (b)"]
    assert not [pair for pair in found.pairs if "sgbd (a)" in (pair.first, pair.second)]
    (note,) = [each for each in found.notes if each.startswith("not ranked")]
    assert note.startswith("not ranked: sgbd (a): content-free: ")
    assert not any("content_use" in name for name in found.conditions)
    with pytest.raises(RobustrecError, match=r"not ranked: sgbd: content-free"):
        compare_reports([with_use(one, sgbd=0.99)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dataset": {"digest": "e" * 64}}, "is of different data: digest eeeeeeeeeeeeeeee"),
        ({"dataset": {"edition": "full", "synthetic": False}}, "is of different data: edition full"),
        (
            {"suite": SUITE.replace('name = "own"', 'name = "own"\nmask_validation = true')},
            "has other settings",
        ),
        ({"suite": SUITE.replace('name = "own"', 'name = "own"\nusers = 150')}, "mask_validation, users or bootstrap"),
    ],
)
def test_what_is_not_comparable_is_refused(change, says):
    one, other = loaded(), loaded("b.json", seed=1)
    if "dataset" in change:
        update = {"dataset": other.report.dataset.model_copy(update=change["dataset"])}
    else:
        record = other.report.suite.model_copy(update={"content": suite_of(change["suite"]).model_dump(mode="json")})
        update = {"suite": record}
    with pytest.raises(RobustrecError) as caught:
        compare_reports([one, other._replace(report=other.report.model_copy(update=update))])
    assert says in caught.value.what


def test_nothing_to_compare_is_refused():
    one = loaded()
    record = one.report.subjects[:1]
    alone = one.report.model_copy(update={"subjects": record})
    with pytest.raises(RobustrecError, match="one subject cannot be compared"):
        compare_reports([one._replace(report=alone)])
    with pytest.raises(RobustrecError, match="unknown metric 'ndgc@20'"):
        compare_reports([one], metric="ndgc@20")
    still = one.report.model_copy(update={"findings": tuple(r for r in one.report.findings if r.audit == "clean")})
    with pytest.raises(RobustrecError, match="the 2 subjects have no condition in common"):
        compare_reports([one._replace(report=still)], by="drift")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("names", [["a.json", "b.json"], ["[red]x[/].json", "\x1b[31mb\u202e.json"]])
def test_the_page_fits_and_shows_names_as_they_are(width, names):
    found = compare_reports([loaded(names[0]), loaded(names[1], seed=1)])
    stream = io.StringIO()
    print_comparison(found, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "mean" in text
    assert "\x1b[31m" not in text
    assert "ranked by remaining ndcg@20 under 2 conditions" in " ".join(text.split())


def test_the_html_page_has_every_subject_escaped_and_the_conclusions():
    found = compare_reports([loaded(level={VANILLA: 0.7}), loaded("<b>.json", seed=1, level={VANILLA: 0.5, SGBD: 0.3})])
    dataset = loaded().report.dataset
    page = comparison_page(found, dataset)
    assert page == comparison_page(found, dataset)
    assert "sgbd (a) ranks first, with a significant difference from all others" in page
    assert "<b>.json" not in page
    is_harmless(page)
    for each in found.standings:
        assert page.count(str(escape(each.name))) >= 3
    assert page.count("<tr>") == 3 + len(found.standings) + len(found.pairs) + len(found.conditions)
    found_apart = comparison_page(compare_reports([loaded(), loaded("b.json")]), dataset)
    assert "without a significant difference from all others" in found_apart


@pytest.mark.parametrize(("changed", "apart"), [(9, False), (12, True)])
def test_few_users_who_differ_tell_nothing_apart(changed, apart):
    theirs = np.full((4, 400), 0.5)
    ours = theirs.copy()
    ours[:, :changed] -= 0.2  # all of them lose: users resampled alone would tell
    found = _difference(ours, theirs, paired=True)
    assert (abs(found.estimate) > _reach(found, 1.96)) is apart
    overall = _overall([found, found])
    assert (abs(overall.estimate) > _reach(overall, 1.96)) is apart
