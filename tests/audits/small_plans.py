"""Plans of short trainings on a made-up shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustrec.audits.plan import Plan, make_plan
from robustrec.config import Settings


def small_plan(folder: Path, home: Path, suite: str, **settings: Any) -> Plan:
    """Return the plan of a suite, by default of VBPR trained plainly for 12 epochs."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "suite.toml"
    path.write_text(suite)
    given = {"model": ("vbpr",), "strategy": ("vanilla",), "dataset": str(folder), "device": "cpu", **settings}
    overrides = {"training": {"max_epochs": 12, "learning_rate": 0.02, "batch_size": 128}}
    return make_plan(Settings(home=home, suite=str(path), **{"set": overrides, **given}))
