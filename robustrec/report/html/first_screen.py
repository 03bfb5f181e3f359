"""The first screen of the page."""

from __future__ import annotations

from markupsafe import Markup

from robustrec.reading.advice import lines_that_matter
from robustrec.reading.recommendation import recommend
from robustrec.reading.summary import Summary
from robustrec.report.html.environment import render


def first_screen(summary: Summary) -> Markup:
    """Return verdict, recommendation and main results."""
    return render("first.html.j2", report=summary.report, advice=recommend(summary), lines=lines_that_matter(summary))
