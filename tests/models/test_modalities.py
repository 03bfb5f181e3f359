"""Models with other modalities than image and text: none is left out, and known cases reduce to those of two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robustrec.errors import RobustrecError
from robustrec.modalities import ANY_MODALITY, RESERVED, in_order, modality_fault, read_of
from robustrec.models import MODELS, modalities_in_scores, model_class
from robustrec.models.contract import Batch, Problem

N_USERS, N_ITEMS, D = 12, 14, 4
WIDTHS = {"image": 5, "text": 4, "audio": 6}
EDGES = torch.tensor([[u, (u * 3 + j * 5) % 13] for u in range(N_USERS) for j in range(3)]).T.contiguous()
OPTIONS: dict[str, dict[str, Any]] = {
    "mmgcn": {"image_width": 3},
    "da-mrs": {"pseudo_positives": 3, "item_neighbours": 4},
}
READING = [name for name in MODELS if ANY_MODALITY in model_class(name).modalities]
SCORED = [name for name in READING if modalities_in_scores(name)]


def problem(widths: dict[str, int] = WIDTHS) -> Problem:
    return Problem(N_USERS, N_ITEMS, EDGES, widths)


def build(name: str, widths: dict[str, int] = WIDTHS, *, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    kind = model_class(name)
    small = {"latent_width": D, **OPTIONS.get(name, {}), **options}
    return kind(problem(widths), kind.Config(**small), torch.Generator().manual_seed(3)).to(dtype)


def tables(widths: dict[str, int] = WIDTHS, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    return {
        name: torch.randn(N_ITEMS, width, generator=torch.Generator().manual_seed(place)).to(dtype)
        for place, (name, width) in enumerate(widths.items())
    }


def batch() -> Batch:
    return Batch(torch.tensor([0, 1, 2, 3, 5, 5]), torch.tensor([0, 1, 2, 3, 0, 5]), torch.tensor([4, 0, 5, 13, 1, 12]))


def number(value: Tensor) -> float:
    return float(value.detach())


def scores(model: Any, features: dict[str, Tensor]) -> Tensor:
    users, items = model.represent(features)
    return users @ items.T


def test_all_models_read_any_modality() -> None:
    assert set(MODELS) - set(READING) == {"bpr", "lightgcn"}


@pytest.mark.parametrize("name", [name for name in READING if name != "da-mrs"])  # its graphs are no parameters
def test_every_modality_has_a_part_in_training(name: str) -> None:
    """A modality that a loss leaves out in silence has parameters, or features, without a gradient."""
    model, features = build(name), {name: table.requires_grad_() for name, table in tables().items()}
    assert model.modalities == ("image", "text", "audio")
    model.loss(features, batch()).total.backward()
    named = [key for key, _ in model.named_parameters() if "audio" in key.split(".")]
    assert named or name in ("vbpr", "lattice"), "parameters carry the name of their modality"
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert bool(parameter.grad.abs().sum() > 0) or key.startswith(("deltas", "projections")), key
    for key, table in features.items():
        assert table.grad is not None, key
        assert bool(table.grad.abs().sum() > 0), key


@pytest.mark.parametrize("name", SCORED)
def test_scores_depend_on_every_modality(name: str) -> None:
    model, features = build(name), tables()
    before = scores(model, features)
    for modality, table in features.items():
        other = table[torch.randperm(N_ITEMS, generator=torch.Generator().manual_seed(9))]
        assert not torch.allclose(scores(model, features | {modality: other}), before), modality


# BM3's targets and DA-MRS's weights are constants of their derivatives, and not of a difference.
@pytest.mark.parametrize("name", [name for name in READING if name not in ("bm3", "da-mrs")])
def test_a_loss_of_three_modalities_has_the_gradient_of_its_differences(name: str) -> None:
    model, features = build(name), tables()
    graphs = {"graphs": model.item_graphs(features)} if hasattr(model, "item_graphs") else {}
    generator = torch.Generator().manual_seed(1)
    parameters = list(model.parameters())
    steps = [torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in parameters]
    total = model.loss(features, batch(), **graphs).total
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    slope = sum(float((g * s).sum()) for g, s in zip(gradients, steps, strict=True) if g is not None)

    def moved(size: float) -> float:
        with torch.no_grad():
            for each, step in zip(parameters, steps, strict=True):
                each.add_(size * step)
            value = float(model.loss(features, batch(), **graphs).total)
            for each, step in zip(parameters, steps, strict=True):
                each.sub_(size * step)
        return value

    h = 1e-6
    assert slope == pytest.approx((moved(h) - moved(-h)) / (2 * h), rel=2e-5, abs=1e-9)


@pytest.mark.parametrize("name", READING)
def test_the_name_of_a_further_modality_changes_no_number(name: str) -> None:
    """What holds for image and text by name holds for no other name."""
    one, features = build(name), tables()
    renamed = {"image": 5, "text": 4, "zither": 6}
    other = build(name, renamed)
    again = {key.replace("audio", "zither"): table for key, table in features.items()}
    assert torch.equal(scores(one, features), scores(other, again))
    assert torch.equal(one.loss(features, batch()).total, other.loss(again, batch()).total)


@pytest.mark.parametrize("name", READING)
def test_two_modalities_of_other_names_work(name: str) -> None:
    widths = {"audio": 3, "video": 6}
    model, features = build(name, widths), tables(widths)
    assert model.modalities == ("audio", "video")
    model.loss(features, batch()).total.backward()
    assert torch.isfinite(scores(model, features)).all()


def test_vbpr_with_a_further_table_of_zeros_is_vbpr_without() -> None:
    two, three = build("vbpr", {"image": 5, "text": 4}), build("vbpr")
    assert list(three.columns) == ["audio", "text", "image"]
    state = two.state_dict()
    state["projection.weight"] = torch.cat([torch.ones(D, 6), state["projection.weight"]], dim=1)
    three.load_state_dict(state)
    features = tables()
    expected = scores(two, {name: features[name] for name in ("image", "text")})
    assert torch.allclose(scores(three, features | {"audio": torch.zeros_like(features["audio"])}), expected)
    assert not torch.allclose(scores(three, features), expected)


def test_slmrec_contrasts_every_further_modality_as_it_does_images() -> None:
    """The third term by hand: the InfoNCE of two linear maps of id channel and audio channel of the positives."""
    model, features = build("slmrec"), tables()
    found = model.loss(features, batch())
    assert set(found.terms) == {"contrast", "ssl_image", "ssl_text", "ssl_audio"}
    mean = model._propagate(features)
    rows = mean.items_from_items[batch().positives] + mean.items_from_users[batch().positives].repeat(1, 4)
    ids, _, _, audio = rows.chunk(4, dim=1)
    logits = model.heads["id"](ids) @ model.heads["audio"](audio).T / model.config.ssl_temp
    expected = model.config.ssl_alpha * functional.cross_entropy(logits, torch.arange(6))
    assert number(found.terms["ssl_audio"]) == pytest.approx(number(expected))
    assert number(found.total) == pytest.approx(sum(number(term) for term in found.terms.values()))
    # Equal to the term of images where features and parameters are equal.
    widths = {"image": 5, "text": 4, "audio": 5}
    twin = build("slmrec", widths)
    for layers in (twin.projections, twin.heads):
        layers["audio"].load_state_dict(layers["image"].state_dict())
    same = tables(widths)
    terms = twin.loss(same | {"audio": same["image"]}, batch()).terms
    assert number(terms["ssl_audio"]) == pytest.approx(number(terms["ssl_image"]))
    assert number(terms["ssl_audio"]) != pytest.approx(number(terms["ssl_text"]))


def test_lgmrec_averages_the_contrasts_of_all_pairs() -> None:
    model, features = build("lgmrec"), tables()
    state, h = model._state(features, None), {}
    for side, nodes in (("users", state.users), ("items", state.items)):
        for name in WIDTHS:
            h[side, name] = functional.normalize(nodes.memberships[name] @ state.hyperedges[name], dim=1)

    def contrast(one: str, other: str) -> float:
        value = 0.0
        for side, ids in (("users", batch().users), ("items", batch().positives)):
            logits = h[side, one][ids] @ h[side, other].T / model.config.temperature
            value += number(functional.cross_entropy(logits, ids, reduction="sum"))
        return value

    pairs = [contrast("image", "text"), contrast("image", "audio"), contrast("text", "audio")]
    found = number(model.loss(features, batch()).terms["contrast"])
    assert found == pytest.approx(model.config.cl_weight * sum(pairs) / 3)
    assert found != pytest.approx(model.config.cl_weight * pairs[0])


@pytest.mark.parametrize("name", ["dragon", "freedom"])
def test_item_graphs_of_further_modalities_have_equal_or_given_weights(name: str) -> None:
    features = tables({"image": 5, "text": 4, "audio": 4})
    features["audio"] = features["text"]
    widths = {"image": 5, "text": 4, "audio": 4}

    def dense(model: Any, given: dict[str, Tensor]) -> Tensor:
        graph = model.item_graphs(given)["items"]
        found = torch.zeros(N_ITEMS, N_ITEMS, dtype=torch.float64)
        found.index_put_((graph.pattern.rows(), graph.pattern.columns.long()), graph.values, accumulate=True)
        return found

    def of_two(alpha: float) -> Tensor:
        two = {key: features[key] for key in ("image", "text")}
        return dense(build(name, {"image": 5, "text": 4}, item_neighbours=3, image_weight=alpha), two)

    assert torch.allclose(dense(build(name, widths, item_neighbours=3), features), of_two(1 / 3))
    weights = {"audio": 0.3, "image": 0.2, "text": 0.5}
    assert torch.allclose(
        dense(build(name, widths, item_neighbours=3, modality_weights=weights), features), of_two(0.2)
    )
    rounded = dict.fromkeys(widths, 0.333)
    assert torch.allclose(
        dense(build(name, widths, item_neighbours=3, modality_weights=rounded), features), of_two(1 / 3)
    )
    given = {"image": 0.2, "text": 0.8}
    two = {key: features[key] for key in ("image", "text")}
    found = dense(build(name, {"image": 5, "text": 4}, item_neighbours=3, modality_weights=given), two)
    assert torch.equal(found, of_two(0.2))


@pytest.mark.parametrize("name", ["dragon", "freedom"])
def test_wrong_weights_of_modalities_are_errors(name: str) -> None:
    config = model_class(name).Config
    assert "modality_weights" not in config().model_dump()
    assert config(modality_weights={"image": 1.0}).model_dump()["modality_weights"] == {"image": 1.0}
    for wrong in ({"image": 0.5, "text": 0.4}, {"image": 1.5, "text": -0.5}, {"image": float("nan")}):
        with pytest.raises(ValueError, match=r"sum to 1|less than or equal to 1|finite"):
            config(modality_weights=wrong)
    with pytest.raises(RobustrecError, match=f"{name} has modality_weights of image, text, but reads") as caught:
        build(name, modality_weights={"image": 0.5, "text": 0.5})
    assert '{"image": 0.333, "text": 0.333, "audio": 0.333}' in caught.value.fix
    with pytest.raises(RobustrecError, match=f"image_weight of {name} is for image and text only"):
        build(name, image_weight=0.4)
    build(name, {"text": 4}, image_weight=0.4)


def test_mixed_channels_of_dualgnn_are_refused_for_other_modalities() -> None:
    with pytest.raises(RobustrecError, match=r"mmrec_compat of dualgnn mixes the image and text .* image, text, audio"):
        build("dualgnn", mmrec_compat=True)
    build("dualgnn", {"image": 5, "text": 4}, mmrec_compat=True)
    build("dualgnn", {"text": 4}, mmrec_compat=True)


@pytest.mark.parametrize("name", ["mmgcn", "grcn"])
def test_a_further_modality_is_treated_as_text(name: str) -> None:
    """No projection to a width of its own, and no regularization of its preferences as a whole."""
    widths = {"image": 5, "text": 4, "audio": 4}
    model, features = build(name, widths), tables(widths)
    if name == "mmgcn":
        assert [m for m, channel in model.channels.items() if channel.projection is not None] == ["image"]
        text, audio = (dict(model.channels[m].named_parameters()) for m in ("text", "audio"))
        assert {key: value.shape for key, value in text.items()} == {key: value.shape for key, value in audio.items()}
    else:
        text, audio = {"": model.preferences["text"]}, {"": model.preferences["audio"]}
    only = Batch(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([4, 5]))
    regular = model.loss(features, only).terms["regularisation"]
    chosen = text["preferences"] if name == "mmgcn" else text[""]
    other = audio["preferences"] if name == "mmgcn" else audio[""]
    ours, theirs = torch.autograd.grad(regular, [chosen, other], allow_unused=True)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert theirs[2:].abs().sum() == ours[2:].abs().sum() == 0


def test_equal_modalities_count_twice_in_dualgnn() -> None:
    widths = {"image": 5, "text": 4, "audio": 4}
    three, two = build("dualgnn", widths), build("dualgnn", {"image": 5, "text": 4})
    state = three.state_dict()
    for key in list(state):
        if ".text" in key:
            state[key.replace(".text", ".audio")] = state[key]
    three.load_state_dict(state)
    merged = {key: value for key, value in state.items() if ".audio" not in key}
    weights = merged["user_weights"]
    merged["user_weights"] = torch.stack([weights[:, 0], weights[:, 1] + weights[:, 2]], dim=1)
    two.load_state_dict(merged)
    features = tables(widths)
    features["audio"] = features["text"]
    users = three.represent(features).users
    assert torch.allclose(users, two.represent({m: features[m] for m in ("image", "text")}).users)


def test_lattice_starts_with_equal_shares() -> None:
    assert torch.allclose(torch.softmax(build("lattice").weights, 0), torch.full((3,), 1 / 3, dtype=torch.float64))


def test_order_and_names_of_modalities() -> None:
    assert in_order(["video", "text", "Audio", "image", "b"]) == ("image", "text", "Audio", "b", "video")
    assert read_of(("text", "video"), ["video", "audio", "text"]) == ("text", "video")
    assert read_of((ANY_MODALITY,), ["video", "text"]) == ("text", "video")
    assert read_of((), ["text"]) == ()
    assert [modality_fault(name) for name in ("image", "audio", "clip-b32", "B_2")] == ["", "", "", ""]


def test_names_that_torch_cannot_take_are_reserved() -> None:
    """A parameter named so would hide a method of the container, or be refused by it."""
    attributes = {*dir(nn.ModuleDict), *dir(nn.ParameterDict), *vars(nn.ModuleDict()), *vars(nn.ParameterDict())}
    taken = {name for name in attributes if not modality_fault(name)}
    assert not taken
    assert all(name == name.lower() for name in RESERVED)


def test_wrong_features_are_named() -> None:
    with pytest.raises(RobustrecError, match="vbpr needs item features, but the data set has none"):
        build("vbpr", {})
    model, features = build("slmrec"), tables()
    with pytest.raises(RobustrecError, match="the audio features must be"):
        model.represent({name: features[name] for name in ("image", "text")})
    assert np.isfinite(number(model.loss(features, batch()).total))
