"""Numbers that decide, with data and settings, whether a stored training still holds.

A number is raised by hand when a change makes trainings end in other parameters; a changed comment raises none, so
that stored trainings stay. `tests/runs/test_trained_numbers.py` fails when parameters change and no number is raised.
"""

from __future__ import annotations

from typing import Final

TRAINED_BY: Final[dict[str, int]] = {
    "models": 1,  # initial parameters, item graphs, losses
    "training": 1,  # triples drawn, strategies, optimisers, step sizes, which parameters are selected
    "evaluation": 1,  # validation rankings and metrics, which decide when training stops
    "runs": 1,  # how data and features become a problem, and the parts put together
}
"""Folder of the package -> its number; `robustrec/seeds.py` counts as each that draws from it."""
