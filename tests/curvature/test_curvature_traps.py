"""Every trap of the specification's section 4, planted where it would bite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from tiny_curvature import (
    EDGES,
    N_ITEMS,
    N_USERS,
    TRIPLES,
    WIDTHS,
    build,
    dense_by_hand,
    features,
    generator,
    tiny_loss,
)
from torch import Tensor, nn
from torch.nn import functional

from robustrec.curvature.inputs import input_products, input_traces, inputs_of
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.loss import AuditLoss, TrainingLoss, audited, checked_value
from robustrec.curvature.operators import Operator
from robustrec.curvature.products import check_symmetry, derivatives, parameter_products
from robustrec.curvature.spaces import Space, length_of
from robustrec.curvature.traces import WHOLE, traces
from robustrec.curvature.triples import draw_triples, margins, pairs_of
from robustrec.errors import RobustrecError
from robustrec.models.contract import Representation
from robustrec.models.graphs import sparse


class Own(nn.Module):
    """One's own model: free users, items from the features by whatever `items_from` does."""

    Config = BaseModel
    modalities: tuple[str, ...] = ("image", "text")

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(N_USERS, 4, generator=generator(1)))
        self.layer = nn.Linear(WIDTHS["image"], 4)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(4, WIDTHS["image"], generator=generator(2)))
        for name, part in parts.items():
            setattr(self, name, part)

    def represent(self, given: dict[str, Tensor]) -> Representation:
        return Representation(self.users.clone(), self.items_from(given["image"]))

    def items_from(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def module(self) -> nn.Module:
        return self


def _agrees_with_the_dense_one(loss: AuditLoss) -> None:
    products = parameter_products(loss)
    v = products.space.normal(generator(3))
    torch.testing.assert_close(products(v), dense_by_hand(loss.subject) @ v, rtol=1e-9, atol=1e-11)


def test_attention_has_second_derivatives_here() -> None:
    class Attentive(Own):
        def items_from(self, x: Tensor) -> Tensor:
            y = self.layer(x)[None, None]
            return functional.scaled_dot_product_attention(y, y, y)[0, 0]

    _agrees_with_the_dense_one(tiny_loss("", model=Attentive()))


def test_dropout_is_off_whatever_mode_the_subject_is_in() -> None:
    class Dropping(Own):
        def items_from(self, x: Tensor) -> Tensor:
            return self.drop(self.layer(x))

    model = Dropping(drop=nn.Dropout(0.5)).train()
    products = parameter_products(tiny_loss("", model=model))
    v = products.space.normal(generator(3))
    assert torch.equal(products(v), products(v))
    assert checked_value(tiny_loss("", model=model)) == checked_value(tiny_loss("", model=model))
    assert model.training, "the subject itself is left as it was"


def test_dropout_that_ignores_the_mode_is_refused() -> None:
    class Noisy(Own):
        def items_from(self, x: Tensor) -> Tensor:
            return functional.dropout(self.layer(x), 0.5, training=True)

    with pytest.raises(RobustrecError, match="and then of"):
        checked_value(tiny_loss("", model=Noisy()))


def test_batch_norm_is_taken_in_evaluation_mode() -> None:
    class Normed(Own):
        def items_from(self, x: Tensor) -> Tensor:
            return self.norm(self.layer(x))

    model = Normed(norm=nn.BatchNorm1d(4)).train()
    loss = tiny_loss("", model=model)
    _agrees_with_the_dense_one(loss)
    assert torch.equal(model.norm.running_mean, torch.zeros(4))


def test_a_normalised_row_of_zeros_is_masked_in_the_features() -> None:
    class Unit(Own):
        def items_from(self, x: Tensor) -> Tensor:
            return functional.normalize(x, dim=1) @ self.layer.weight.T

    tables = features()
    tables["image"][2] = 0.0
    for dtype in (torch.float32, torch.float64):
        loss = tiny_loss("", model=Unit(), tables=tables, dtype=dtype)
        inputs = inputs_of(loss.tables)
        found = input_traces(input_products(loss, inputs, ("image",)), inputs, probes=3, generator=generator())
        assert np.isfinite(found.items["image"]).all()
        assert abs(found.modalities[WHOLE].value) < 1e3
        assert found.items["image"][2] == 0.0


def test_a_second_derivative_that_is_not_a_number_is_an_error_and_never_a_result() -> None:
    class Unit(Own):
        def items_from(self, x: Tensor) -> Tensor:
            return functional.normalize(x @ self.layer.weight.T, dim=1)

    tables = features()
    tables["image"][2] = 0.0  # an interaction's item: its projection is 0 whatever the weights are
    products = parameter_products(tiny_loss("", model=Unit(), tables=tables))
    with pytest.raises(RobustrecError, match="not finite"):
        traces(products, {}, probes=1, generator=generator())


def test_parameters_without_influence_have_zeros() -> None:
    loss = tiny_loss("bm3")
    products = parameter_products(loss)
    parts = products.space.unpack(products(products.space.normal(generator(1))))
    assert not any(part.any() for name, part in parts.items() if name.startswith(("deltas", "projections")))
    assert parts["users"].any()


def test_a_model_whose_scores_follow_no_parameter_has_a_hessian_of_zeros() -> None:
    class Constant(Own):
        def represent(self, given: dict[str, Tensor]) -> Representation:
            return Representation(torch.ones(N_USERS, 3).to(given["image"]), given["image"])

    products = parameter_products(tiny_loss("", model=Constant()))
    assert not products.influential
    assert not products(products.space.normal(generator())).any()


def test_frozen_parameters_are_constants() -> None:
    model = Own()
    model.layer.bias.requires_grad_(False)
    products = parameter_products(tiny_loss("", model=model))
    assert set(products.space.shapes) == {"users", "layer.weight"}


def test_sparse_gradients_of_an_embedding() -> None:
    class Embedded(Own):
        def represent(self, given: dict[str, Tensor]) -> Representation:
            return Representation(self.table(torch.arange(N_USERS)), self.items_from(given["image"]))

    _agrees_with_the_dense_one(tiny_loss("", model=Embedded(table=nn.Embedding(N_USERS, 4, sparse=True))))


def _adjacency() -> Tensor:
    return torch.sparse_coo_tensor(
        EDGES, torch.ones(EDGES.shape[1]), (N_USERS, N_ITEMS), is_coalesced=True, check_invariants=True
    )


def test_a_torch_sparse_product_works_for_its_dense_operand() -> None:
    class Propagating(Own):
        def represent(self, given: dict[str, Tensor]) -> Representation:
            items = self.items_from(given["image"])
            adjacency = _adjacency().to(items.dtype)
            return Representation(self.users + torch.sparse.mm(adjacency, items), items)

    _agrees_with_the_dense_one(tiny_loss("", model=Propagating()))


def test_a_torch_sparse_product_with_learned_weights_is_refused_with_the_way_out() -> None:
    class Weighing(Own):
        def represent(self, given: dict[str, Tensor]) -> Representation:
            items = self.items_from(given["image"])
            values = self.weights.tanh().to(items.dtype)
            adjacency = torch.sparse_coo_tensor(
                EDGES, values, (N_USERS, N_ITEMS), is_coalesced=True, check_invariants=True
            )
            return Representation(self.users + torch.sparse.mm(adjacency, items), items)

    loss = tiny_loss("", model=Weighing(weights=nn.Parameter(torch.randn(EDGES.shape[1], generator=generator()))))
    products = parameter_products(loss)
    with pytest.raises(RobustrecError, match=r"uᵀHv and vᵀHu differ(?s:.)*robustrec.models.graphs.product"):
        check_symmetry(products, generator())


@pytest.mark.parametrize("reduce", ["sum", "mean", "amax"])
def test_scatters_work_twice(reduce: str) -> None:
    class Scattering(Own):
        def represent(self, given: dict[str, Tensor]) -> Representation:
            items = self.items_from(given["image"])
            index = EDGES[0][:, None].expand(-1, items.shape[1])
            users = self.users.scatter_reduce(0, index, items[EDGES[1]], reduce, include_self=True)
            return Representation(users, items)

    _agrees_with_the_dense_one(tiny_loss("", model=Scattering()))


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_ragged_chunks_equal_one_shot(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = tiny_loss("dragon")
    expected = dense_by_hand(loss.subject)
    monkeypatch.setattr(sparse, "_samples", lambda device: False)  # where the products are made in chunks
    monkeypatch.setattr(sparse, "CHUNK", rows)
    monkeypatch.setattr(sparse, "CHUNK_WIDTH", 4)
    products = parameter_products(loss)
    v = products.space.normal(generator(1))
    torch.testing.assert_close(products(v), expected @ v, rtol=1e-9, atol=1e-12)


def test_every_triple_counts_the_same_however_often_its_pair_occurs() -> None:
    """Sixteen times one triple and four times another: a mean over distinct pairs would be far off."""
    users = torch.tensor([0] * 16 + [1] * 4)
    triples = TRIPLES._replace(
        users=users, positives=torch.tensor([0] * 16 + [1] * 4), negatives=torch.tensor([5] * 16 + [7] * 4)
    )
    loss = tiny_loss("bpr")
    table = AuditLoss(loss.subject, pairs_of(triples, N_USERS, N_ITEMS))
    assert table.pairs.pattern.n_entries == 4
    each = functional.softplus(-table.margins()).numpy()
    assert float(table.value()) == pytest.approx(0.8 * each[0] + 0.2 * each[-1])


def test_margins_are_those_of_gathered_rows() -> None:
    loss = tiny_loss("vbpr")
    users, items = loss.subject.represent()
    u, p, n = TRIPLES
    torch.testing.assert_close(
        margins(Representation(users, items), loss.pairs), (users[u] * (items[p] - items[n])).sum(1)
    )


def test_triples_follow_from_data_and_seed_and_no_triples_are_refused() -> None:
    first, again, other = (draw_triples(EDGES, N_ITEMS, 7, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    everything = draw_triples(EDGES, N_ITEMS, 10**6, 0)
    taken = set(zip(*(each.tolist() for each in EDGES), strict=True))
    drawn = set(zip(everything.users.tolist(), everything.positives.tolist(), strict=True))
    assert drawn == taken
    assert not taken & set(zip(everything.users.tolist(), everything.negatives.tolist(), strict=True))
    with pytest.raises(RobustrecError, match="0 triples"):
        draw_triples(EDGES, N_ITEMS, 0, 0)
    with pytest.raises(RobustrecError, match="no triple"):
        pairs_of(draw_triples(EDGES, N_ITEMS, 1, 0)._replace(users=torch.empty(0)), N_USERS, N_ITEMS)


def test_parameters_that_are_not_numbers_are_refused() -> None:
    model = build("vbpr")
    with torch.no_grad():
        model.users[0, 0] = float("nan")
    with pytest.raises(RobustrecError, match="not finite"):
        checked_value(tiny_loss("vbpr", model=model))


@pytest.mark.parametrize(
    "message", ["CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"]
)
def test_want_of_memory_is_said(message: str) -> None:
    with pytest.raises(RobustrecError, match="fewer triples"), derivatives("second"):
        raise RuntimeError(message)
    with pytest.raises(RobustrecError, match="fewer triples"), derivatives("second"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="something else"), derivatives("first"):
        raise RuntimeError("something else")


def test_the_training_loss_is_another_one() -> None:
    loss = tiny_loss("slmrec")
    own = TrainingLoss(loss.subject, TRIPLES)
    assert float(own.value()) != pytest.approx(float(loss.value()))
    products = parameter_products(own)
    u, v = (products.space.normal(generator(seed)) for seed in (1, 2))
    assert float(u @ products(v)) == pytest.approx(float(v @ products(u)), rel=1e-9)


def test_the_subject_is_left_as_it_was() -> None:
    model = build("slmrec")
    before = {name: each.clone() for name, each in model.state_dict().items()}
    subject = audited(model, {m: each for m, each in features().items()}, None, torch.float64)
    parameter_products(AuditLoss(subject, pairs_of(TRIPLES, N_USERS, N_ITEMS)))
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert all(each.requires_grad and each.grad is None for each in model.parameters())


def test_lengths_of_millions_of_float32_entries_do_not_shift_eigenvalues():
    """Summed in float32 the length of such a vector is off by 5e-5, and every eigenvalue by twice that."""
    generator = torch.Generator().manual_seed(3)
    diagonal = torch.rand(2**21 + 37, generator=generator)
    diagonal[[5, 70_000, 2**21 + 30]] = torch.tensor([9.0, 7.0, 6.0])
    space = Space({"all": diagonal.shape}, torch.float32, torch.device("cpu"))
    found = extremes(Operator(space, lambda vector: diagonal * vector), generator, count=3, steps=14)
    assert [each.value for each in found.largest] == pytest.approx([9.0, 7.0, 6.0], rel=2e-6)
    assert length_of(found.largest[0].vector) == pytest.approx(1.0, abs=1e-6)
