"""Content use of a subject, from its findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from robustrec.evaluation.kinds import ACCURACY, STABILITY, kind_of
from robustrec.results.conditions import MEAN_FEATURES, OTHER_FEATURES, Condition
from robustrec.results.findings import AMONG_COLD, CONTENT_USE, USE, Finding
from robustrec.results.numbers import bracketed, percent
from robustrec.subject import Record, Subject

ENOUGH = 0.95
"""Share of the clean quality with mean features from which on a subject is content-free."""

ALIKE = 0.8
"""List overlap with mean features below which the lists of a content-free subject follow the content all the same."""

OLD = "the report does not have it"


def uncertain(low: float | None, high: float | None) -> bool:
    """Return whether an interval of the share that is left contains 95 %, or is not known."""
    return low is None or high is None or low < ENOUGH <= high


State = Literal["uses content", "content-free", "reads no content", "not measured"]


class ContentUse(Record):
    """How much of the quality of a subject comes from the content of the items.

    A subject is content-free if its quality with all features replaced by their mean is at least 95 % of its clean
    one. Its robustness to edits of the content is trivial: it is in no recommendation and in no ranking.
    """

    subject: Subject
    state: State = Field(description="reads no content: the scores do not depend on item features")
    metric: str = Field(default="", description="metric of the quality, for example ndcg@20")
    kept: float | None = Field(
        default=None, description="quality with all features replaced by their mean, as a share of the clean quality"
    )
    kept_low: float | None = Field(default=None, description="interval of kept, over users, and seeds if several")
    kept_high: float | None = None
    uncertain: bool = Field(default=False, description="whether the interval of kept contains 95 %")
    overlap: float | None = Field(
        default=None, description="overlap of the lists with mean features and the clean lists"
    )
    exchanged: float | None = Field(
        default=None, description="quality with the features of other items, as a share of the clean quality"
    )
    cold: float | None = Field(
        default=None, description="quality on cold items, ranked among cold items alone; None without cold items"
    )
    cold_mean: float | None = Field(default=None, description="the same with mean features")
    reason: str = Field(default="", description="why it was not measured, or why no content is read")

    @property
    def trivial(self) -> bool:
        """Whether robustness to edits of content says nothing: no ranking or recommendation has the subject."""
        return self.state in ("content-free", "reads no content")

    @property
    def mark(self) -> str:
        """What stands behind the name of the subject; empty if nothing does."""
        if self.state != "content-free":
            return ""
        return "content-free, uncertain" if self.uncertain else "content-free"

    @property
    def sentence(self) -> str:
        """The state in words, with its numbers."""
        return f"{self.state}: {self.detail}" if self.kept is not None else self.detail

    @property
    def detail(self) -> str:
        """The sentence without the state, to stand behind a name with its mark."""
        if self.state == "not measured":
            return f"content use was not measured: {self.reason}"
        if self.state == "reads no content":
            return f"{self.reason}: robustness to content edits is trivial"
        kept = f"{percent(self.kept)} {bracketed(self.kept_low, self.kept_high, percent)}".rstrip()
        numbers = f"{kept} of {self.metric} is left with mean features"
        if self.overlap is not None:
            numbers += f", list overlap {self.overlap:.2f}"
        sure = f"; uncertain: the interval contains {percent(ENOUGH)}" if self.uncertain else ""
        if self.state == "uses content":
            return f"{numbers}{sure}"
        if self.overlap is not None and self.overlap < ALIKE:
            why = f"content adds nothing to {self.metric}, but changes the lists"
        else:
            why = "robustness to content edits is trivial"
        return f"{why} ({numbers}{sure})"


def content_use(subject: Subject, rows: Iterable[Finding]) -> ContentUse:
    """Return the content use of a subject from findings, of one training or of the mean over several.

    Args:
        subject: whose it is.
        rows: its findings; those of other audits are left out.
    """
    own = [row for row in rows if row.audit == CONTENT_USE and row.reference == "clean"]
    if not own:
        return ContentUse(subject=subject, state="not measured", reason=OLD)
    main = _row(own, MEAN_FEATURES)
    known = next((row for row in own if row.metric == USE and row.condition == MEAN_FEATURES), None)
    if main is None and known is not None:  # nothing was ranked
        state: State = "not measured" if known.clean is None else "reads no content"
        return ContentUse(subject=subject, state=state, reason=known.note)
    kept = None if main is None or main.relative_drift is None else 1 + main.relative_drift
    if main is None or kept is None:
        return ContentUse(subject=subject, state="not measured", reason=(main.note if main else "") or OLD)
    low = None if main.relative_ci_low is None else 1 + main.relative_ci_low
    high = None if main.relative_ci_high is None else 1 + main.relative_ci_high
    other = _row(own, OTHER_FEATURES)
    cold = next(
        (row for row in own if row.condition == MEAN_FEATURES and row.metric == f"{main.metric}_{AMONG_COLD}"), None
    )
    overlap = next((row for row in own if row.condition == MEAN_FEATURES and kind_of(row.metric) in STABILITY), None)
    return ContentUse(
        subject=subject,
        state="content-free" if kept >= ENOUGH else "uses content",
        metric=main.metric,
        kept=kept,
        kept_low=low,
        kept_high=high,
        uncertain=uncertain(low, high),
        overlap=overlap.perturbed if overlap else None,
        exchanged=None if other is None or other.relative_drift is None else 1 + other.relative_drift,
        cold=cold.clean if cold else None,
        cold_mean=cold.perturbed if cold else None,
    )


def _row(rows: Iterable[Finding], condition: Condition) -> Finding | None:
    """Return the drift of the quality under a condition."""
    return next(
        (
            row
            for row in rows
            if row.condition == condition
            and row.quantity == "drift"
            and row.group is None
            and kind_of(row.metric) in ACCURACY
        ),
        None,
    )
