"""Format numbers in the key of stored trainings.

Increase a number when a change of the code changes trained parameters; other changes keep stored trainings valid.
`tests/runs/test_trained_numbers.py` fails if trained parameters change and no number is increased.
"""

from __future__ import annotations

from typing import Final

TRAINED_BY: Final[dict[str, int]] = {
    "models": 2,  # initial parameters, item graphs, losses
    "training": 1,  # triples drawn, strategies, optimisers, step sizes, which parameters are selected
    "evaluation": 1,  # validation rankings and metrics, which decide when training stops
    "runs": 1,  # how data and features become a problem, and the parts put together
}
"""Folder of the package -> its number; `robustrec/seeds.py` belongs to each folder that uses it."""
