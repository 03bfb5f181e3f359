"""The planted faults follow the code: each has exactly one place, and its tests exist."""

from benchmarks.mutants import MUTANTS
from benchmarks.mutation import misplaced


def test_every_planted_fault_has_its_place() -> None:
    assert misplaced(MUTANTS) == []
