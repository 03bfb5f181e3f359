"""Noise: its strength, its pairing, its signal-to-noise ratio, and the search for the break point."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustrec.audits.context import AuditContext
from robustrec.audits.noise.audit import measure_condition
from robustrec.audits.noise.condition import (
    NoiseCondition,
    add_noise,
    find_break_point,
    snr_db,
    strengths_between,
)
from robustrec.audits.noise.draws import standard_noise
from robustrec.audits.quality import MetricSuite, measure_clean
from robustrec.models.contract import Representation


def _tables(rows=4000):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(rows, 16, generator=generator) * 3,
        "text": torch.nn.functional.normalize(torch.randn(rows, 8, generator=generator), dim=1),
    }


@pytest.mark.parametrize("sigma2", [1e-6, 1e-2, 1.0])
def test_absolute_noise_has_the_variance_asked_for(sigma2):
    tables = _tables()
    noisy = add_noise(tables, standard_noise(tables, seed=1, draw=0), NoiseCondition(sigma2))
    for modality, table in tables.items():
        added = (noisy[modality] - table).double()
        assert float(added.var()) == pytest.approx(sigma2, rel=0.03)
        assert float(added.mean()) == pytest.approx(0, abs=4 * math.sqrt(sigma2 / added.numel()))


def test_relative_noise_is_a_share_of_each_items_own_norm():
    tables = _tables()
    noisy = add_noise(tables, standard_noise(tables, seed=1, draw=0), NoiseCondition(0.1, relative=True))
    for modality, table in tables.items():
        shares = (noisy[modality] - table).norm(dim=1) / table.norm(dim=1)
        assert float(shares.square().mean().sqrt()) == pytest.approx(0.1, rel=0.02)


def test_the_scope_touches_one_modality_only_and_nothing_is_changed_in_place():
    tables = _tables(50)
    before = {name: table.clone() for name, table in tables.items()}
    noisy = add_noise(tables, standard_noise(tables, seed=1, draw=0), NoiseCondition(1e-2, scope="text"))
    assert torch.equal(noisy["image"], before["image"])
    assert not torch.equal(noisy["text"], before["text"])
    assert all(torch.equal(tables[name], before[name]) for name in tables)


def test_zero_noise_changes_no_bit():
    tables = _tables(50)
    noisy = add_noise(tables, standard_noise(tables, seed=1, draw=0), NoiseCondition(0.0))
    assert all(torch.equal(noisy[name], tables[name]) for name in tables)


def test_draws_differ_and_a_draw_is_the_same_for_every_set_of_modalities():
    tables = _tables(50)
    one, two = (standard_noise(tables, seed=1, draw=draw) for draw in (0, 1))
    assert not torch.equal(one["image"], two["image"])
    alone = standard_noise({"text": tables["text"]}, seed=1, draw=0)
    assert torch.equal(alone["text"], one["text"])
    assert not torch.equal(standard_noise(tables, seed=2, draw=0)["text"], one["text"])


def test_modalities_have_noise_of_their_own_even_at_one_width():
    tables = {"image": torch.zeros(200, 8), "text": torch.zeros(200, 8)}
    for draw in range(3):
        noise = standard_noise(tables, seed=1, draw=draw)
        correlation = torch.corrcoef(torch.stack([noise["image"].ravel(), noise["text"].ravel()]))[0, 1]
        assert abs(float(correlation)) < 4 / math.sqrt(1600)


def test_a_condition_is_measured_under_as_many_different_draws_as_it_has(tiny):
    """Every draw perturbs by another noise, each as strong as asked for, the modalities each by their own."""
    context = AuditContext(tiny, MetricSuite(("ndcg@20",), ("rbo@20",)), seed=3)
    seen = []

    class Watched:
        by_chunks = False
        tables = scored_tables = tiny.tables
        graphs = None
        subject = SimpleNamespace(label="watched")

        def represent(self, features=None, *, frozen=False):
            seen.append({name: table - tiny.tables[name] for name, table in (features or tiny.tables).items()})
            items = torch.cat(list((features or tiny.tables).values()), dim=1)
            return Representation(torch.ones(80, items.shape[1]), items)

    subject = Watched()
    clean = measure_clean(subject.represent(), tiny.test, context.metric_suite)
    (measured,) = measure_condition([(subject, clean)], NoiseCondition(0.04), 4, context)
    assert len(seen) == 1 + 4
    for name in tiny.tables:
        noises = torch.stack([each[name].ravel() for each in seen[1:]])
        assert torch.corrcoef(noises).fill_diagonal_(0).abs().max() < 0.25
        assert float(noises.std()) == pytest.approx(0.2, rel=0.05)
    assert {len(set(map(tuple, values.tolist()))) for values in measured.perturbed.values()} == {4}


def test_signal_to_noise_in_closed_form():
    table = torch.full((10, 4), 2.0)  # mean square 4
    assert snr_db(table, NoiseCondition(4e-2)) == pytest.approx(20.0, abs=1e-6)
    assert snr_db(table, NoiseCondition(0.1, relative=True)) == pytest.approx(20.0, abs=1e-5)


@given(st.floats(-7.5, 0.5), st.integers(1, 20))
def test_the_break_point_of_a_threshold_is_bracketed_to_the_width_of_the_bisection(exponent, steps):
    true = 10.0**exponent
    found = find_break_point(lambda s: s >= true, low=1e-8, high=10.0, steps=steps)
    assert found.safe < true <= found.broken * (1 + 1e-12)
    assert math.log10(found.broken / found.safe) == pytest.approx(2.0**-steps, rel=1e-6)
    assert found.trials <= len(strengths_between(1e-8, 10.0)) + steps, "the cost that a plan announces"


def test_the_first_break_is_found_where_the_drop_is_not_monotone():
    found = find_break_point(lambda s: 3e-6 <= s < 3e-5 or s > 1.0, low=1e-8, high=10.0, steps=12)
    assert found.broken == pytest.approx(3e-6, rel=1e-2)


def test_no_break_and_a_break_from_the_start():
    assert find_break_point(lambda s: False, low=1e-4, high=1.0, steps=5)[:2] == (1.0, None)
    assert find_break_point(lambda s: True, low=1e-4, high=1.0, steps=5)[:2] == (None, 1e-4)


def test_labels_are_those_that_gates_select():
    assert NoiseCondition(1e-6).label == "sigma2=1e-06"
    assert NoiseCondition(1e-6, scope="image").label == "sigma2=1e-06 image"
    assert NoiseCondition(0.05, relative=True).label == "sigma_rel=0.05"
    assert NoiseCondition(1e-6, trained=True).label == "trained sigma2=1e-06"
