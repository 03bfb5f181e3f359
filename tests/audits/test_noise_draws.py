"""Noise is drawn once for all subjects, strengths and scopes, within a bound on memory."""

from types import SimpleNamespace

import pytest
import torch

from robustrec.audits.context import AuditContext
from robustrec.audits.noise import draws
from robustrec.audits.noise.audit import break_point_row, measure_condition
from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.noise.config import BreakPointSearch
from robustrec.audits.noise.draws import NoiseDraws, standard_noise
from robustrec.audits.quality import MetricSuite, measure_clean
from robustrec.models.contract import Representation
from robustrec.subject import Subject

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"))
METRIC = "ndcg@20"


@pytest.fixture
def drawn(monkeypatch):
    """The draws made, as (modality, draw)."""
    made, draw_of = [], draws._drawn

    def counted(table, modality, seed, draw):
        made.append((modality, draw))
        return draw_of(table, modality, seed, draw)

    monkeypatch.setattr(draws, "_drawn", counted)
    return made


def _audited(tiny, name):
    users = torch.randn(80, sum(table.shape[1] for table in tiny.tables.values()), generator=torch.Generator())

    def represent(features=None, *, frozen=False):
        return Representation(users, torch.cat(list((features or tiny.tables).values()), dim=1))

    subject = SimpleNamespace(
        tables=tiny.tables,
        scored_tables=tiny.tables,
        graphs=None,
        by_chunks=False,
        represent=represent,
        subject=Subject(model=name, strategy="vanilla", features="tiny", seed=0),
    )
    return subject, measure_clean(represent(), tiny.test, MetricSuite((METRIC,), ()))


def test_a_search_and_all_conditions_draw_each_noise_once(tiny, drawn):
    context = AuditContext(tiny, MetricSuite((METRIC,), ()), seed=3)
    pairs = [_audited(tiny, name) for name in ("a", "b")]
    for condition in (NoiseCondition(0.01), NoiseCondition(0.1), NoiseCondition(0.2, relative=True)):
        measure_condition(pairs, condition, 2, context)
    assert sorted(drawn) == sorted((modality, draw) for modality in tiny.tables for draw in range(2))
    drawn.clear()
    config = BreakPointSearch(metric=METRIC, max_relative_drop=0.05, sigma2_min=1e-6, sigma2_max=100, draws=3, steps=3)
    for pair in pairs:
        assert break_point_row(*pair, config, context).ci_high is not None
    assert context.costs.rankings > 3 * 2 * 3
    assert sorted(drawn) == sorted((modality, draw) for modality in tiny.tables for draw in range(3))


def test_noise_on_one_modality_draws_no_other(tiny, drawn):
    context = AuditContext(tiny, MetricSuite((METRIC,), ()), seed=3)
    modality = next(iter(tiny.tables))
    measure_condition([_audited(tiny, "a")], NoiseCondition(0.01, scope=modality), 2, context)
    assert drawn == [(modality, 0), (modality, 1)]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("kept_bytes", [0, 400, 10**6])
def test_kept_draws_are_those_of_the_seed_whatever_is_kept(kept_bytes, device):
    tables = {name: torch.zeros(5, width, device=device) for name, width in (("image", 8), ("text", 3))}
    kept = NoiseDraws(kept_bytes)
    for seed in (1, 2, 1):
        for draw in (0, 1, 0):
            found = kept.of(tables, seed=seed, draw=draw)
            wanted = standard_noise(tables, seed=seed, draw=draw)
            assert all(torch.equal(found[name], wanted[name]) for name in tables)
            assert all(found[name].device == tables[name].device for name in tables)
    assert sum(each.nbytes for each in kept._kept.values()) <= kept_bytes


def test_tables_of_another_shape_have_their_own_noise():
    kept = NoiseDraws()
    assert kept.of({"text": torch.zeros(4, 2)}, seed=1, draw=0)["text"].shape == (4, 2)
    assert kept.of({"text": torch.zeros(4, 3)}, seed=1, draw=0)["text"].shape == (4, 3)
