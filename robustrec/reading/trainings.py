"""Whether a training went on until it converged, from its record."""

from __future__ import annotations

from robustrec.results.report import SubjectRecord
from robustrec.training.config import FEWEST_PATIENCE


def short_patience(record: SubjectRecord) -> int | None:
    """Return the patience with which a training stopped, if it is too short to tell; else None.

    A training that was cut off, or trained elsewhere, has none.
    """
    if record.training is None or record.training.cut_off:
        return None
    training = record.config.get("training")
    patience = training.get("patience") if isinstance(training, dict) else None
    return patience if isinstance(patience, int) and patience < FEWEST_PATIENCE else None


def evaluations_words(patience: int) -> str:
    """Return a patience in words: 1 evaluation."""
    return f"{patience} evaluation{'' if patience == 1 else 's'}"
