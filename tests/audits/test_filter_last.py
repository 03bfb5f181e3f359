"""Perturbations come before the filter of the features, in every kind of audit.

The filter here maps every row to the mean, so that nothing that is done to a row before it can change a score. An audit
that filtered the clean features first, and perturbed what the filter made, would measure a drift.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from merchant_shop import make_shop, shop_plan

from robustrec.audits.context import CostCounts, clean_of
from robustrec.audits.quality import Clean
from robustrec.audits.results import AuditResults, Work
from robustrec.audits.run import work_of
from robustrec.audits.run_tasks import run_audit
from robustrec.models.filtered import Affine, FeatureFilter
from robustrec.runs.subjects import obtain_subject
from robustrec.runs.trained import TrainedSubject

EDITS = 'edits = ["wrong_picture", "empty_description"]'
AUDITS = {
    "noise": "sigma2 = [4.0]\nrelative = [0.5]\ndraws = 2",
    "merchant": f"{EDITS}\nseverities = [5]\nshares = [0.5]\ndraws = 2",
    "missing": 'fills = ["mean", "zero", "other"]\nshares = [1.0]\ndraws = 2',
    "worst": f"{EDITS}\nbudget = 1\nseverities = [5]\ndraws = 1\nitems = 24\nbeam = 1\nrandom = 2\nexamples = 0\n"
    'exposure = 10\nmetric = "ndcg@10"',
    "guarantee": f"{EDITS}\nseverities = [5]\nitems = 6\nk = 10",
    "migration": 'new_encoders = ["int8"]\nshares = [1.0]\ntraining = ["kept"]\ndraws = 1',
    "cause": f"{EDITS}\nseverities = [5]\nshare = 0.5\ndraws = 2",
    "sharpness": "triples = 100\nsigma = [0.5]\ninput_probes = 2\nworst_items = 0\ninput_steps = 2\nflip_draws = 1",
}
SUITE = """
schema_version = 1
name = "filter"
metrics = ["ndcg@10", "ndcg@20"]
stability = ["changed@20"]
bootstrap = { replicates = 100 }
"""


class Filtered(NamedTuple):
    """Inputs of audits, and a subject with a filter that leaves nothing of a row, with its lists."""

    work: Work
    subject: TrainedSubject
    clean: Clean


@pytest.fixture(scope="module")
def filtered(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Filtered:
    shop = make_shop(tmp_path_factory.mktemp("shop") / "shop", tiny_folder / "tiny.inter")
    suite = SUITE + "".join(f'[[audits]]\nkind = "{kind}"\n{keys}\n' for kind, keys in AUDITS.items())
    plan = shop_plan(shop, tmp_path_factory.mktemp("home"), suite=suite, features="basic+shrink=.5")
    work = work_of(plan)
    (spec,), prepared = plan.specs, work.context.prepared
    assert spec.shrink is not None
    of = {
        name: Affine(table.double().mean(0), torch.zeros(table.shape[1], table.shape[1], dtype=torch.float64))
        for name, table in prepared.tables.items()
    }
    prepared._filters[spec.shrink] = FeatureFilter(of, prepared.tables)
    subject = obtain_subject(spec, prepared, home=plan.home)
    return Filtered(work, subject, clean_of(subject, work.context))


NOTHING = {"losing@10": 0.0, "places_kept@10": 1.0, "items_losing_25": 0.0, "exposure_moved_item": 0.0}
"""Values that say that nothing moved."""


@pytest.mark.parametrize("kind", AUDITS)
def test_what_is_done_to_the_features_comes_before_the_filter(kind: str, filtered: Filtered) -> None:
    (config,) = [audit for audit in filtered.work.plan.suite.audits if audit.kind == kind]
    work = filtered.work.part(AuditResults(), CostCounts())
    run_audit(config, [(filtered.subject, filtered.clean)], work)
    (status,) = work.results.statuses
    # No gradient passes such a filter, which the audit of sharpness in the features says.
    assert status.status == ("not_applicable" if kind == "sharpness" else "ok"), status.message
    assert ("no derivative" in status.message) == (kind == "sharpness")
    drifts = [row for row in work.results.findings if row.quantity == "drift"]
    values = [row for row in work.results.findings if row.metric in NOTHING]
    assert drifts or values or kind == "sharpness"
    assert not [(row.metric, row.condition.label, row.drift) for row in drifts if row.drift]
    # A search chooses on half of the users and reports the others; its note has both.
    assert not [row.note for row in drifts if "of the search" in row.note and "of the search 0 %" not in row.note]
    assert not [(row.metric, row.clean) for row in values if row.clean != NOTHING[row.metric]]
