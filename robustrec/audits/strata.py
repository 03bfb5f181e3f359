"""Cold start: test items by their training interactions, and users without any.

Cold items have no training interaction. They are ranked with all others, and a model that scores them by their content
can find them. Their metrics are those of the same lists with the cold test items alone as relevant, over the users who
have one; the metrics of warm items likewise. Users without a training interaction are counted and not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from robustrec.datasets.cold_start import FEWEST_USERS, trained_items
from robustrec.datasets.split_record import ColdUsers
from robustrec.evaluation.kinds import ACCURACY, kind_of
from robustrec.evaluation.metrics import per_user_metrics
from robustrec.evaluation.ranking import Ranking
from robustrec.results.arrays import users_key
from robustrec.results.conditions import CLEAN_TEST
from robustrec.results.findings import CLEAN, Finding, Group
from robustrec.runs.prepared import Prepared
from robustrec.subject import Subject


@dataclass(frozen=True, eq=False)
class Stratum:
    """Test items of one group.

    Attributes:
        group: cold_items or warm_items.
        rows: [m] places among the test users of those with a test item of the group.
        relevant: [U, I] their test items of the group.
    """

    group: Group
    rows: NDArray[np.int64]
    relevant: csr_array

    def values(self, ranking: Ranking, metrics: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Return the metrics of relevant items, each [m], named with the group.

        Args:
            ranking: lists of all test users.
            metrics: of the suite.
        """
        names = [name for name in metrics if kind_of(name) in ACCURACY]
        own = Ranking(ranking.users[self.rows], ranking.items[self.rows])
        found = per_user_metrics(own, self.relevant, names) if names else {}
        return {f"{name}_{self.group}": values for name, values in found.items()}


def strata_of(prepared: Prepared) -> tuple[Stratum, ...]:
    """Return the cold and the warm test items, of at least two users each; none where all test items are warm."""
    trained = trained_items(prepared.dataset.interactions)
    split, found = prepared.test, []
    for group, chosen in (("cold_items", ~trained), ("warm_items", trained)):
        relevant = csr_array(split.relevant @ diags_array(chosen.astype(np.float64), format="csr"))
        relevant.eliminate_zeros()
        relevant.sort_indices()
        rows = np.flatnonzero(np.diff(relevant.indptr)[split.users])
        if len(rows) >= FEWEST_USERS:
            found.append(Stratum(group, rows, relevant))  # type: ignore[arg-type]
        elif group == "cold_items":
            return ()
    return tuple(found)


def users_of_strata(prepared: Prepared, strata: Sequence[Stratum]) -> dict[str, NDArray[np.int64]]:
    """Return the users of each stratum, by the name of their array beside a report."""
    return {users_key(stratum.group): prepared.test.users[stratum.rows] for stratum in strata}


def cold_user_rows(subject: Subject, metrics: Sequence[str], cold: ColdUsers) -> list[Finding]:
    """Return a finding without a number for each metric of relevant items, so that cold users are in every report."""
    if not cold.users:
        return []
    note = (
        f"not measured: models have no trained vector for users without training interactions ({cold.users:,}, with "
        f"{cold.validation:,} validation and {cold.test:,} test interactions)"
    )
    return [
        Finding(
            subject=subject,
            audit=CLEAN,
            condition=CLEAN_TEST,
            metric=f"{name}_cold_users",
            group="cold_users",
            quantity="value",
            n_users=cold.users,
            n_draws=0,
            unit="share",
            note=note,
        )
        for name in metrics
        if kind_of(name) in ACCURACY
    ]
