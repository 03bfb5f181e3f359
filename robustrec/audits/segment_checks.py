"""Checks, before any work, that a data set has the segments that a suite and its gates name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustrec.audits.segment_groups import chosen_segments, groups_with_exposure, read_columns, segments_of
from robustrec.audits.values import length_of_main
from robustrec.columns import OF_USERS, of_users
from robustrec.datasets.interactions import TEST
from robustrec.errors import RobustrecError, unknown_name
from robustrec.evaluation.metrics import evaluated_users
from robustrec.results.findings import EXPOSURE
from robustrec.results.gates import Gate
from robustrec.results.selection import ANY, matches
from robustrec.runs.user_sample import sampled_users

if TYPE_CHECKING:
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset


def check_segments(suite: Suite, dataset: Dataset) -> None:
    """Check that the data set has the columns of users of the suite, and the segments that required gates select.

    Raises:
        RobustrecError: it lacks a column, or a segment is not there or too small to be measured.
    """
    own = [kind.removeprefix(OF_USERS) for kind in suite.segments if kind.startswith(OF_USERS)]
    if own:
        known = list(read_columns(dataset))
        missing = next((name for name in own if name not in known), None)
        if missing is not None:
            again = dataset.import_command(f"--user-table FILE --user-columns {missing}=COLUMN")
            raise RobustrecError(
                f"the users have no column {missing!r}; columns of users: {', '.join(known) or 'none'}",
                where=f"--dataset {dataset.name}, segments",
                fix=(f"{unknown_name('column', missing, known, where='').fix}; or " if known else "")
                + f"name it at import, for example: {again}",
            )
    gates = [gate for gate in suite.gates if gate.select.segment_by is not None and not gate.optional]
    if not gates:
        return
    users = sampled_users(evaluated_users(dataset.interactions, TEST), suite.users, dataset.interactions)
    for gate in gates:
        _check_gate(gate, suite, dataset, users)


def _check_gate(gate: Gate, suite: Suite, dataset: Dataset, users: NDArray[np.int64]) -> None:
    kind, wanted = gate.select.segment_by, gate.select.segment or ANY
    if kind is None:
        return
    names, why = [], ""
    exposure = f"{EXPOSURE}@{length_of_main(suite.metrics)}"
    if not of_users(kind) and matches(exposure, gate.select.metric_name):
        names = [name for name, _ in groups_with_exposure(dataset, kind)[0]]
    if gate.select.metric_name != exposure:
        found = segments_of((kind,), dataset, users)
        names += [each.name for each in chosen_segments(found)[0] if each.name not in names]
        why = next((f": it has {each.too_small}" for each in found if each.name == wanted and each.too_small), "")
    if any(matches(name, wanted) for name in names):
        return
    raise RobustrecError(
        f"gate {gate.name!r} selects segments by {kind}, but none is measured"
        if wanted == ANY
        else f"gate {gate.name!r} selects the segment {wanted!r} by {kind}, which is not measured{why}",
        where=f"suite {suite.name!r}, gates, select.segment",
        fix=unknown_name("segment", wanted, names, where="").fix
        if names and wanted != ANY
        else "remove the gate, or set optional = true for it",
    )
