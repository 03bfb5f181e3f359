"""What does not move under a change of the factors that leaves every score, and what does; landscapes."""

from __future__ import annotations

import pytest
import torch
from tiny_curvature import N_ITEMS, N_USERS, build, generator, tiny_loss

from robustrec.curvature.gauge import balanced
from robustrec.curvature.lanczos import extremes
from robustrec.curvature.landscapes import Direction, eigenvector_direction, line, plane, random_direction
from robustrec.curvature.loss import AuditLoss
from robustrec.curvature.perturbations import average_curvature, worst_case
from robustrec.curvature.products import parameter_products
from robustrec.curvature.spaces import latent_scales

WIDTH = 2


def _changed(name: str, users: torch.Tensor, items: torch.Tensor) -> AuditLoss:
    """The loss of a model whose tables were multiplied from the right."""
    model = build(name)
    with torch.no_grad():
        model.users.copy_(model.users @ users)
        model.items.copy_(model.items @ items)
    return tiny_loss(name, model=model)


def _row_adaptive(loss: AuditLoss) -> float:
    products = parameter_products(loss)
    scales = latent_scales(loss.parameters, N_USERS, N_ITEMS)
    found = average_curvature(products, scales, radius=0.1, probes=60, generator=generator(1))
    return found.value


def _largest(loss: AuditLoss) -> float:
    products = parameter_products(loss)
    return extremes(products, generator(2), steps=60).largest[0].value


@pytest.mark.parametrize("name", ["bpr", "lightgcn"])
def test_rescaled_factors_move_the_eigenvalue_and_not_the_row_adaptive_measures(name: str) -> None:
    eye = torch.eye(WIDTH)
    before, after = _changed(name, eye, eye), _changed(name, 4 * eye, eye / 4)
    if name == "bpr":
        torch.testing.assert_close(before.value(), after.value(), rtol=1e-6, atol=0)
        assert _row_adaptive(after) == pytest.approx(_row_adaptive(before), rel=0.005)
        first, second = (worst_case(each, radius=0.05, adaptive=True)[0] for each in (before, after))
        assert second == pytest.approx(first, rel=1e-5)
        assert _largest(after) > 2 * _largest(before)
    else:
        # Propagation adds what both sides have, so that only a common change of basis leaves the scores.
        turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator(3))).Q
        transpose = _changed(name, turn, turn)
        torch.testing.assert_close(before.value(), transpose.value(), rtol=1e-6, atol=0)
        assert _largest(transpose) == pytest.approx(_largest(before), rel=1e-5)


def test_the_balanced_gauge_undoes_a_change_of_basis() -> None:
    change = torch.tensor([[2.0, 0.7], [-0.4, 0.5]])
    before, after = _changed("bpr", torch.eye(WIDTH), torch.eye(WIDTH)), _changed("bpr", change, change.inverse().T)
    torch.testing.assert_close(before.value(), after.value(), rtol=1e-5, atol=0)
    gauged = []
    for loss in (before, after):
        users, items = balanced(loss.parameters["users"], loss.parameters["items"])
        torch.testing.assert_close(users.T @ users, items.T @ items)
        assert float((users.T @ users).fill_diagonal_(0).abs().max()) < 1e-10
        model = build("bpr")
        with torch.no_grad():
            model.users.copy_(users)
            model.items.copy_(items)
        gauged.append(tiny_loss("bpr", model=model))
        torch.testing.assert_close(gauged[-1].value(), before.value(), rtol=1e-5, atol=0)
    assert _largest(gauged[1]) == pytest.approx(_largest(gauged[0]), rel=1e-4)
    first, second = (_row_adaptive(each) for each in gauged)
    assert second == pytest.approx(first, rel=1e-3)


def test_the_scale_of_the_scores_counts_unless_margins_are_standardised() -> None:
    eye = torch.eye(WIDTH)
    for standardised in (False, True):
        values = []
        for scale in (1.0, 1.5):
            model = build("bpr")
            with torch.no_grad():
                model.users.mul_(scale)
            values.append(float(tiny_loss("bpr", model=model, standardised=standardised).value()))
        assert (values[0] == pytest.approx(values[1], rel=1e-6)) == standardised
    assert float(_changed("bpr", eye, eye).value()) > 0


@pytest.mark.parametrize("name", ["bpr", "slmrec"])
def test_landscapes_pass_through_the_model_and_bend_as_the_eigenvector_says(name: str) -> None:
    loss = tiny_loss(name)
    products = parameter_products(loss)
    base = float(loss.value())
    top = extremes(products, generator(), steps=products.space.size).largest[0]
    direction = eigenvector_direction(products.space, top.vector, loss.parameters)
    length = sum(float(each.square().sum()) for each in loss.parameters.values()) ** 0.5
    step = 1e-3
    down, middle, up = line(loss, direction, (-step, 0.0, step))
    assert middle == pytest.approx(base)
    assert (up + down - 2 * middle) / (step * length) ** 2 == pytest.approx(top.value, rel=1e-3)

    scales = latent_scales(loss.parameters, N_USERS, N_ITEMS)
    first, second = (random_direction(products.space, scales, generator(seed)) for seed in (1, 2))
    for key, part in latent_scales(first.parameters, N_USERS, N_ITEMS).items():
        torch.testing.assert_close(part, scales[key])
    grid = plane(loss, first, second, (-0.5, 0.0, 0.5), (0.0, 1.0))
    assert len(grid) == 2
    assert grid[0][1] == pytest.approx(base)
    assert grid[0] == pytest.approx(line(loss, first, (-0.5, 0.0, 0.5)))
    assert grid[1][1] == pytest.approx(line(loss, second, (1.0,))[0])


def test_a_landscape_along_an_edit_of_the_features() -> None:
    loss = tiny_loss("vbpr")
    edit = {"text": torch.zeros_like(loss.tables["text"])}
    edit["text"][3] = 2.0
    values = line(loss, Direction(tables=edit), (0.0, 1.0))
    moved = {**loss.tables, "text": loss.tables["text"] + edit["text"]}
    assert values == pytest.approx((float(loss.value()), float(loss.value(tables=moved))))
    assert values[0] != values[1]
