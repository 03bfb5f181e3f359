"""Short names of subjects, and which metrics are shown first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robustrec.evaluation.kinds import main_metrics
from robustrec.results.findings import Finding
from robustrec.subject import Subject


def short_names(subjects: Sequence[Subject]) -> dict[Subject, str]:
    """Return short names of subjects: strategy, and other parts that differ: "sgbd", "slmrec/sgbd s0"."""

    def differs(part: str) -> bool:
        return len({getattr(subject, part) for subject in subjects}) > 1

    # Features that follow from the model (none for one that reads none) tell nothing apart.
    several_features = len({(subject.model, subject.features) for subject in subjects}) > len(
        {subject.model for subject in subjects}
    )

    names = {}
    for subject in subjects:
        parts = [subject.model] if differs("model") else []
        parts.append(subject.strategy)
        parts += [subject.features] if several_features else []
        names[subject] = "/".join(parts) + (f" s{subject.seed}" if differs("seed") else "")
    return names


def in_common(subjects: Sequence[Subject]) -> str:
    """Return what the short names omit, because it is the same for all subjects."""
    models, seeds = ({getattr(subject, part) for subject in subjects} for part in ("model", "seed"))
    features = dict.fromkeys(subject.features for subject in subjects if subject.features != "none") or {"none": None}
    words = [*models] if len(models) == 1 else [f"{len(models)} models"]
    words += [f"features {'; '.join(features)}"]
    words += [f"seed {seed}" for seed in seeds] if len(seeds) == 1 else [f"{len(seeds)} seeds (s)"]
    return ", ".join(words)


def headline(findings: Iterable[Finding]) -> list[str]:
    """Return the two main metrics, the most important first."""
    return main_metrics(dict.fromkeys(finding.metric for finding in findings if "@" in finding.metric))
