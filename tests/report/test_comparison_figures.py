"""Figures of comparisons: who is stable only because it ignores content."""

from __future__ import annotations

import re

import pytest
from page_checks import is_harmless

from robustrec.comparison.compared import Pair, Place, ReportComparison, Standing
from robustrec.comparison.figures import content_figure, race_figures
from robustrec.comparison.html import comparison_page
from robustrec.comparison.race.result import Gain
from robustrec.comparison.result import Mean
from robustrec.results.report import DatasetRecord
from robustrec.subject import Subject

NAMES = ("vanilla", "sgbd", "amr")
DATA = DatasetRecord(
    name="shop", edition="full", synthetic=False, digest="d", n_users=9, n_items=9, n_train=9, n_validation=9, n_test=9
)


def standing(name, left, value):
    places = (Place(condition="clean", value=value, rank=1, best=1, worst=3),)
    return Standing(
        name=name,
        subject=Subject(model="vbpr", strategy="sgbd", features="f", seed=0),
        report="a.json",
        mean_rank=1,
        mean_best=1,
        mean_worst=3,
        worst_rank=1,
        worst_best=1,
        worst_worst=3,
        places=places,
        left=left,
    )


def comparison(*lefts):
    standings = tuple(standing(name, left, 0.1) for name, left in zip(NAMES, lefts, strict=False))
    return ReportComparison(
        metric="ndcg@20",
        by="quality",
        level=0.95,
        n_users=9,
        method="users",
        critical=2.0,
        reports=("a.json",),
        conditions=("clean",),
        standings=standings,
        pairs=(Pair(first="vanilla", second="sgbd", difference=0.1, low=-0.1, high=0.3, apart=False),),
    )


def gain(arm, left, *, free=False, difference=0.01):
    mean = Mean(estimate=difference, low=difference - 0.02, high=difference + 0.02)
    return Gain(
        arm=arm,
        budget="gradients",
        objective=Mean(estimate=0.1, low=None, high=None),
        difference=None if arm == "vanilla" else mean,
        clean=Mean(estimate=0.1, low=None, high=None),
        clean_difference=None if arm == "vanilla" else mean,
        overlap=Mean(estimate=0.8, low=None, high=None),
        left=left and Mean(estimate=left, low=None, high=None),
        content_free=free,
        epochs=3,
        gradients=9,
    )


def test_a_content_free_subject_has_a_cross():
    (plot,) = content_figure(comparison(0.5, 0.96, 0.9499), "remaining ndcg@20").plots
    assert plot.drawn.count('class="cx mkr cross"') == 1
    assert "content-free from 95" in plot.drawn
    page = comparison_page(comparison(0.5, 0.96, 0.6), DATA)
    is_harmless(page)
    assert '<section id="content"' in page


@pytest.mark.parametrize("lefts", [(None, None), (0.5, None), ()])
def test_without_two_measured_subjects_there_is_no_figure(lefts):
    assert content_figure(comparison(*lefts), "x").plots == ()
    if lefts:
        assert '<section id="content"' not in comparison_page(comparison(*lefts), DATA)


def test_a_race_shows_differences_and_stability_against_content_use():
    plots = race_figures([gain("vanilla", 0.5), gain("sgbd", 0.6), gain("<amr>", 0.99, free=True)], "quality").plots
    assert len(plots) == 3
    rows = re.findall(r"<b>(.*?)</b>", plots[0].drawn)
    assert rows == ["sgbd", "&lt;amr&gt;"], "the reference has no difference from itself"
    assert "content-free" in plots[0].drawn
    assert plots[2].drawn.count("mkr cross") == 1
    assert "&lt;amr&gt;" in plots[2].drawn


def test_a_race_without_content_use_has_differences_alone():
    assert len(race_figures([gain("vanilla", None), gain("sgbd", None)], "quality").plots) == 2
    assert race_figures([gain("vanilla", None)], "quality").plots == ()
