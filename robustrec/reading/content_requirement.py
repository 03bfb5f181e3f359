"""The condition of a recommendation that the recommended candidate uses content."""

from __future__ import annotations

from collections.abc import Sequence

from robustrec.reading.summary import Candidate
from robustrec.results.numbers import percent
from robustrec.results.report import Requirement

NAME = "content use"
_MOST = 2


def no_content(candidates: Sequence[Candidate]) -> Requirement:
    """Return the condition that is not met where no candidate uses content."""
    return Requirement(name=NAME, met=False, text=f"no candidate uses content ({_details(candidates)})")


def content_requirement(
    best: Candidate, better: Sequence[Candidate], left_out: Sequence[Candidate], *, command: str
) -> Requirement:
    """Return the condition that the best candidate uses content, and that none without content is better.

    Args:
        best: of the candidates that are not left out.
        better: those left out with the same or a higher quality.
        left_out: candidates whose robustness is trivial.
        command: command that measures content use.
    """
    use = best.use
    if use.state == "not measured":
        return Requirement(name=NAME, met=False, text=f"{use.sentence} ({best.name})", command=command)
    if use.uncertain:
        more = "training seeds" if len(best.subjects) > 1 else "test users"
        text = f"{best.name} may not use content: {use.detail}; use more {more}"
        return Requirement(name=NAME, met=False, text=text)
    if better:
        text = f"{best.name} is not better than what does not use content ({_details(better)})"
        return Requirement(name=NAME, met=False, text=text)
    text = f"{best.name} uses content, {percent(use.kept)} of {use.metric} is left with mean features"
    if left_out:
        names = [each.name for each in left_out[:_MOST]]
        more = f" and {len(left_out) - _MOST} more" if len(left_out) > _MOST else ""
        text += f"; left out because they do not use content: {', '.join(names)}{more}"
    return Requirement(name=NAME, met=True, text=text)


def _details(candidates: Sequence[Candidate]) -> str:
    words = "; ".join(f"{each.name}: {each.use.detail}" for each in candidates[:_MOST])
    return words + (f" and {len(candidates) - _MOST} more" if len(candidates) > _MOST else "")
