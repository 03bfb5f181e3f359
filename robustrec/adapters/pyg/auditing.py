"""Audit a PyG model that was trained in the same process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor, nn

from robustrec.adapters.pyg.recommender import PyGRecommender
from robustrec.audits.outcome import make_report, write_outcome
from robustrec.audits.plan import make_plan
from robustrec.audits.run import measure
from robustrec.config import resolve
from robustrec.errors import RobustrecError
from robustrec.models import section_of
from robustrec.models.own import load_own
from robustrec.progress import Progress, silent
from robustrec.results.report import Report
from robustrec.runs.external import temporary_checkpoint


def audit(
    kind: type[PyGRecommender],
    trained: nn.Module | Mapping[str, Tensor],
    dataset: str,
    *,
    options: Mapping[str, Any] | None = None,
    output: Path | str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Report:
    """Audit a trained module as `robustrec audit --model … --checkpoint …` does, and return the report.

    Settings that are not given come from the environment and the configuration file, as for the command; the number of
    threads is that of the process.

    Args:
        kind: the recommender, a class at the top level of a module.
        trained: the trained PyG module, or its state_dict.
        dataset: name of a data set, or path of a folder.
        options: settings of the recommender: fields of its `Config`.
        output: JSON file of the report; the per-user arrays are written beside it.
        progress: reports the progress.
        settings: fields of `robustrec.config.Settings`, for example suite, home, device or seed.

    Raises:
        RobustrecError: the class cannot be imported by its name, the parameters are not those of the recommender for
            this data set, or as the command.
    """
    name = f"{kind.__module__}:{kind.__qualname__}"
    if "." in kind.__qualname__ or load_own(name).kind is not kind:
        raise RobustrecError(
            f"{kind.__qualname__} cannot be imported from {kind.__module__}",
            where="audit, argument kind",
            fix="define the class at the top level of a module",
        )
    given = {**settings, "model": [name], "dataset": dataset, "set": {section_of(name): dict(options or {})}}
    with TemporaryDirectory(prefix="robustrec-pyg-") as folder:
        checkpoint = temporary_checkpoint(trained, Path(folder))
        resolved = resolve({**given, "checkpoint": str(checkpoint)}).settings
        plan = make_plan(resolved, progress=progress)
        run = measure(plan, progress=progress)
    report, arrays = make_report(plan, run, command=["robustrec.adapters.pyg.audit", name])
    return report if output is None else write_outcome(report, arrays, Path(output))
