"""What every recommender must satisfy; a new model in MODELS is tested by being there."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from tiny_models import GRAPHS_ONLY, MODELS, N_ITEMS, N_USERS, WIDTHS, build, make_batch, make_features
from torch import Tensor

from robustrec.models import model_class
from robustrec.models.contract import Batch

# Models that detach something in their loss, and how often: their gradient is that of a loss with those values held.
STOPPED_GRADIENTS = {"bm3": 4, "da-mrs": 1}


@pytest.fixture(params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_shapes(name: str) -> None:
    model, features = build(name), make_features()
    users, items = model.represent(features)
    assert users.shape[0] == N_USERS
    assert items.shape[0] == N_ITEMS
    assert users.shape[1] == items.shape[1]
    assert users.dtype == items.dtype == torch.float32
    loss = model.loss(features, make_batch())
    assert loss.total.shape == ()
    assert loss.terms
    assert all(term.shape == () for term in loss.terms.values())
    torch.testing.assert_close(sum(loss.terms.values()), loss.total)
    assert model.module() is model


def test_calls_are_pure(name: str) -> None:
    model, features = build(name), make_features()
    given = {m: table.clone() for m, table in features.items()}
    parameters = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = set(vars(model))
    before = torch.get_rng_state()
    first, loss = model.represent(features), model.loss(features, make_batch())
    second, again = model.represent(features), model.loss(features, make_batch())
    assert torch.equal(first.users, second.users)
    assert torch.equal(first.items, second.items)
    assert torch.equal(loss.total, again.total)
    assert all(torch.equal(given[m], features[m]) for m in given)
    assert all(torch.equal(parameters[key], value) for key, value in model.state_dict().items())
    assert set(vars(model)) == attributes
    assert torch.equal(before, torch.get_rng_state())


def test_scores_follow_parameters_at_once(name: str) -> None:
    """No table of an earlier forward is served (spec section 0, point 2)."""
    model, features = build(name), make_features()
    model.loss(features, make_batch()).total.backward()
    before = model.represent(features)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
        after = model.represent(features)
    assert not torch.equal(before.users, after.users)
    assert not torch.equal(before.items, after.items)


@pytest.mark.parametrize("modality", list(WIDTHS))
def test_features_reach_the_representation(name: str, modality: str) -> None:
    model, features = build(name), make_features()
    before = model.represent(features)
    moved = model.represent(features | {modality: features[modality] + torch.randn(N_ITEMS, WIDTHS[modality])})
    same = torch.equal(before.users @ before.items.T, moved.users @ moved.items.T)
    # Some read features to train only, and say so.
    assert same == (modality not in getattr(model, "modalities_in_scores", model.modalities))


def test_gradients_reach_every_parameter_and_feature(name: str) -> None:
    model, features = build(name), make_features()
    for table in features.values():
        table.requires_grad_()
    model.loss(features, make_batch()).total.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    for modality, table in features.items():
        assert (table.grad is not None) == (modality in model.modalities and name not in GRAPHS_ONLY)


def test_loss_looks_at_the_batch_it_is_given(name: str) -> None:
    model, features = build(name), make_features()
    batch = make_batch()
    other = batch._replace(positives=torch.tensor([5, 4, 3, 2, 1, 0]))
    assert model.loss(features, batch).total != model.loss(features, other).total
    single = Batch(*(ids[:1] for ids in batch[:3]))
    assert model.loss(features, single).total.isfinite()


def test_float64_agrees_with_float32(name: str) -> None:
    model, twin = build(name), build(name).to(torch.float64)
    rough = model.loss(make_features(), make_batch()).total
    fine = twin.loss(make_features(torch.float64), make_batch()).total
    assert fine.dtype == torch.float64
    torch.testing.assert_close(rough.double(), fine, rtol=1e-5, atol=1e-6)


def test_moving_twice_changes_nothing(name: str) -> None:
    model, twin = build(name), build(name)
    twin.to(torch.float64).to(torch.float32)
    for plain, moved in zip(model.represent(make_features()), twin.represent(make_features()), strict=True):
        assert torch.equal(plain, moved)


def _pure(model: Any, what: str) -> tuple[Any, tuple[Tensor, ...]]:
    """Return `represent` or `loss` as a function of (parameters, features), and where to take it."""
    model = model.to(torch.float64)
    features = make_features(torch.float64)
    names = [key for key, _ in model.named_parameters()]
    modalities = list(model.modalities)

    def call(*values: Tensor) -> Any:
        parameters = dict(zip(names, values[: len(names)], strict=True))
        tables = features | dict(zip(modalities, values[len(names) :], strict=True))
        if what == "loss":
            return torch.func.functional_call(_Loss(model), {f"model.{k}": v for k, v in parameters.items()}, (tables,))
        users, items = torch.func.functional_call(
            _Represent(model), {f"model.{k}": v for k, v in parameters.items()}, (tables,)
        )
        # Curved, so that second derivatives say something.
        return torch.tanh(users).sum(), (items**3).sum()

    inputs = [p.detach().clone().requires_grad_() for _, p in model.named_parameters()]
    inputs += [features[m].clone().requires_grad_() for m in modalities]
    return call, tuple(inputs)


class _Represent(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tables: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return tuple(self.model.represent(tables))  # type: ignore[return-value]


class _Loss(_Represent):
    def forward(self, tables: dict[str, Tensor]) -> Tensor:
        return self.model.loss(tables, make_batch()).total


def _holding_detached(call: Any, inputs: tuple[Tensor, ...], expected: int) -> Any:
    """Return the function with what it detaches at `inputs` held: only that function's derivative is its gradient."""
    held: list[Tensor] = []
    plain = torch.Tensor.detach

    def record(tensor: Tensor) -> Tensor:
        held.append(plain(tensor).clone())
        return held[-1]

    def with_detach(detach: Any, values: tuple[Tensor, ...]) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "detach", detach)
            return call(*values)

    with_detach(record, inputs)
    assert len(held) == expected

    def holding(*values: Tensor) -> Any:
        in_order = iter(held)
        return with_detach(lambda tensor: next(in_order), values)

    return holding


@pytest.mark.parametrize("what", ["represent", "loss"])
def test_first_and_second_derivatives(name: str, what: str) -> None:
    call, inputs = _pure(build(name), what)
    if what == "loss" and name in STOPPED_GRADIENTS:
        call = _holding_detached(call, inputs, STOPPED_GRADIENTS[name])
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


def test_the_generator_decides_the_parameters(name: str) -> None:
    before = torch.get_rng_state()
    first, same, other = build(name, 1).state_dict(), build(name, 1).state_dict(), build(name, 2).state_dict()
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert all(value.isfinite().all() for value in first.values())


def test_state_round_trip(name: str) -> None:
    model, twin = build(name, 1), build(name, 2)
    assert set(model.state_dict()) == {key for key, _ in model.named_parameters()}, "parameters and nothing else"
    twin.load_state_dict(model.state_dict(), strict=True)
    for plain, loaded in zip(model.represent(make_features()), twin.represent(make_features()), strict=True):
        assert torch.equal(plain, loaded)


def test_documentation(name: str) -> None:
    kind = model_class(name)
    assert inspect.getdoc(kind)
    assert all(inspect.getdoc(getattr(kind, method)) for method in ("represent", "loss"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_agrees_with_the_cpu(name: str) -> None:
    model, twin = build(name), build(name).to("cuda")
    features = {m: table.to("cuda") for m, table in make_features().items()}
    rough = model.loss(make_features(), make_batch())
    loss = twin.loss(features, Batch(*(ids.to("cuda") for ids in make_batch()[:3])))
    torch.testing.assert_close(rough.total, loss.total.cpu(), rtol=1e-5, atol=1e-6)
    rough.total.backward()
    loss.total.backward()
    for (key, parameter), moved in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, moved.grad.cpu(), rtol=1e-4, atol=1e-6, msg=key)
