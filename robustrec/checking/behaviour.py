"""Checks of building and calling a recommender: shapes, side effects, effect of the features, saved state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from robustrec.audits.reach.check import check_reach
from robustrec.checking.toy import (
    N_ITEMS,
    N_USERS,
    Toy,
    copies_of,
    demand,
    differing,
    error_text,
    no_global_generators,
    not_applicable,
    scores,
)
from robustrec.errors import RobustrecError
from robustrec.models.contract import Loss, Representation


def built(toy: Toy) -> str:
    """Check that the class can be built from (problem, config, generator)."""
    module = toy.build().module()
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    demand(n_parameters > 0, "the model has no parameters to train; use a scorer function instead")
    shape = f"{N_USERS} users, {N_ITEMS} items, {', '.join(f'{name} {width}' for name, width in toy.widths.items())}"
    return f"{n_parameters} parameters for {shape}"


def module(toy: Toy) -> str:
    """Check that the model is the trained module, and that `.to(device)` moves all of its tensors."""
    model = toy.build()
    itself: object = model
    demand(model.module() is itself, "module() must return the model itself: return self")
    wrong = [name for name, value in model.module().named_parameters() if value.dtype != torch.float32]
    demand(not wrong, f"parameters must be float32, but these are not: {', '.join(wrong)}")
    left = sorted(set(_left_behind(model.module())))
    demand(not left, f".to(device) does not move these tensors: {', '.join(left)}; use register_buffer")
    return "the model is a float32 module, and .to(device) moves all of its tensors"


def initialisation(toy: Toy) -> str:
    """Check that the initial parameters depend on the given generator only."""
    with no_global_generators("the constructor"):
        first = copies_of(toy.build(0).module())
        differences = differing(first, copies_of(toy.build(0).module()))
    demand(not differences, f"two models built with the same seed differ in {', '.join(differences)}")
    changed = differing(first, copies_of(toy.build(1).module()))
    demand(bool(changed), "another seed gives the same parameters; draw them from the given generator")
    return "parameters depend on the given generator only; global generators are not used"


def declared_modalities(toy: Toy) -> str:
    """Check that an instance reads the modalities that its class declares."""
    instance = tuple(toy.build().modalities)
    more = sorted(set(instance) - set(toy.declared))
    demand(
        not more,
        f"an instance reads {', '.join(more)}, which its class does not declare: these features are not passed",
    )
    lost = sorted(set(toy.declared) - set(instance))
    demand(not lost, f"its class declares {', '.join(lost)}, but an instance does not read it although it is available")
    return f"reads {' and '.join(toy.declared)}" if toy.declared else "reads no item features"


def representation(toy: Toy) -> str:
    """Check the type, shapes and values of what `represent` returns."""
    model = toy.build()
    model.module().eval()
    rep: Any = model.represent(toy.features())
    demand(
        isinstance(rep, Representation),
        f"represent must return Representation(users, items), but got {type(rep).__name__}",
    )
    found = tuple(rep.users.shape), tuple(rep.items.shape)
    fits = len(found[0]) == len(found[1]) == 2 and found[0][1] == found[1][1]
    wanted = f"({N_USERS}, d) and ({N_ITEMS}, d)"
    fits = fits and (found[0][0], found[1][0]) == (N_USERS, N_ITEMS)
    demand(fits, f"represent must return vectors of shape {wanted}, but got {found[0]} and {found[1]}")
    kinds = {str(vectors.dtype).removeprefix("torch.") for vectors in rep}
    demand(kinds == {"float32"}, f"vectors must be float32 for float32 features, but got {' and '.join(sorted(kinds))}")
    return f"users {found[0]}, items {found[1]}, float32"


def finite(toy: Toy) -> str:
    """Check that no score is NaN or infinite, also for an item without interactions."""
    table = scores(toy.build(), toy.features())
    broken = (~torch.isfinite(table)).any(dim=0).nonzero()[:, 0].tolist()
    only_cold = broken == [N_ITEMS - 1]
    why = "the item without interactions; do not divide by its degree of 0" if only_cold else f"{len(broken)} items"
    demand(not broken, f"scores are NaN or infinite for {why}")
    return "all scores are finite, also for an item without interactions"


def no_shared_memory(toy: Toy) -> str:
    """Check that a representation shares no memory with parameters or features."""
    model, features = toy.build(), toy.features()
    model.module().eval()
    with torch.no_grad():
        rep = model.represent(features)
        held = [vectors.clone() for vectors in rep]
        for tensor in [*model.module().parameters(), *features.values()]:
            tensor.add_(1.0)
    moved = [
        name
        for name, before, after in zip(("users", "items"), held, rep, strict=True)
        if not torch.equal(before, after)
    ]
    demand(
        not moved,
        f"the {' and '.join(moved)} vectors share memory with parameters or features; return a copy, tensor.clone()",
    )
    return "vectors share no memory with parameters or features"


def repeatable(toy: Toy) -> str:
    """Check that the same call returns the same scores, also after other calls."""
    model, features = toy.build(), toy.features()
    first = scores(model, features)
    demand(
        torch.equal(first, scores(model, features)),
        "two calls with the same features return different scores; use no dropout and no noise in represent",
    )
    scores(model, toy.features(seed=1))
    demand(
        torch.equal(first, scores(model, features)),
        "scores depend on earlier calls; keep no state between calls",
    )
    return "the same call returns the same scores"


def follows_parameters(toy: Toy) -> str:
    """Check that scores follow the current parameters, also after these are restored."""
    model, features = toy.build(), toy.features()
    module_, before = model.module(), scores(model, features)
    state = {name: value.clone() for name, value in module_.state_dict().items()}
    module_.train()
    model.loss(features, toy.batch()).total.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in module_.parameters():
            parameter.add_(0.1 * torch.ones_like(parameter).cumsum(-1))
    demand(
        not torch.equal(before, scores(model, features)),
        "scores do not change with the parameters; keep no scores of earlier calls",
    )
    module_.load_state_dict(state)
    demand(
        torch.equal(before, scores(model, features)),
        "scores differ after training although the parameters are restored; the model keeps other state",
    )
    return "scores follow the parameters, also after these are restored"


def no_side_effects(toy: Toy) -> str:
    """Check that calls change no parameters, buffers or features, and use no global generator."""
    model, features = toy.build(), toy.features()
    given = {name: table.clone() for name, table in features.items()}
    before = copies_of(model.module())
    with no_global_generators("represent"):
        scores(model, features)
    model.module().train()
    with no_global_generators("loss"):
        model.loss(features, toy.batch(seed=0))
    changed = differing(before, copies_of(model.module()))
    demand(not changed, f"represent or loss changes {', '.join(changed)}; a call must not change parameters or buffers")
    changed = differing(given, features)
    demand(not changed, f"a call changes the {' and '.join(changed)} features that are passed; work on a copy")
    return "calls change no parameters or features; global generators are not used"


def reach(toy: Toy, modality: str) -> str:
    """Check that scores depend on a declared modality, after a short training."""
    model, _ = toy.trained(10)
    declared = getattr(model, "modalities_in_scores", toy.declared)
    try:
        with torch.no_grad():
            found = {each.modality: each for each in check_reach(model.represent, toy.features(), seed=0)}
    except RobustrecError as error:
        demand(False, f"{error.what}: {error.fix}")
    reached, change = found[modality].reached, found[modality].change
    noise = f"heavy noise on the {modality} features"
    if modality not in declared:
        demand(not reached, f"{noise} changes scores, but modalities_in_scores does not list {modality}; add it there")
        return f"{noise} does not change scores, as modalities_in_scores states: it is used in training only"
    demand(
        reached,
        f"the model declares {modality}, but its top-k lists do not depend on it: {found[modality].fault}. Read it "
        "from the features of each item in every call, or remove it from modalities (from modalities_in_scores, if it "
        "is used in training only)",
    )
    return f"{noise} changes scores by up to {change:.1f} of their spread"


def single_modality(toy: Toy) -> str:
    """Report whether the model can be built with each declared modality alone."""
    if len(toy.declared) < 2:
        raise not_applicable("the model declares fewer than two modalities")
    results = []
    for modality in toy.declared:
        try:
            model = toy.build(modalities=(modality,))
            scores(model, {modality: toy.features()[modality]})
            results.append(f"{modality} alone works")
        except RobustrecError as error:
            results.append(f"{modality} alone is rejected ({error.what})")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            results.append(f"{modality} alone raises {error_text(toy.name, error)}")
    return "; ".join(results)


def state(toy: Toy) -> str:
    """Check that saving and loading the state_dict restores the model."""
    model, twin, features = toy.build(0), toy.build(1), toy.features()
    try:
        content = save({name: value.contiguous() for name, value in model.module().state_dict().items()})
    except (RuntimeError, ValueError, AttributeError) as error:
        demand(
            False,
            f"state_dict must hold plain tensors that share no memory: {error_text(toy.name, error)}. Register "
            "constants with persistent=False",
        )
    twin.module().load_state_dict(load(content))
    demand(
        torch.equal(scores(model, features), scores(twin, features)),
        "a model with another seed scores differently with the same state_dict; register all learned and drawn values "
        "as parameters or buffers",
    )
    return "a saved and loaded state_dict gives the same scores"


def loss_shape(toy: Toy) -> str:
    """Check that the loss is a finite scalar and the sum of its terms."""
    model = toy.build()
    model.module().train()
    value: Any = model.loss(toy.features(), toy.batch())
    demand(isinstance(value, Loss), f"loss must return Loss(total, terms), but got {type(value).__name__}")
    demand(tuple(value.total.shape) == (), f"the loss must be a scalar, but has shape {tuple(value.total.shape)}")
    total = float(value.total.detach())
    demand(math.isfinite(total), f"the loss is {total}")
    demand(value.total.requires_grad, "the loss has no gradient: it is detached, or computed outside torch")
    demand(bool(value.terms), "the loss has no terms; return at least one")
    terms = {name: float(term.detach()) for name, term in value.terms.items()}
    listed = ", ".join(f"{name} {term:.6g}" for name, term in terms.items())
    summed = sum(terms.values())
    off = abs(summed - total) > 1e-5 * max(1.0, abs(total))
    demand(not off, f"the terms add up to {summed:.6g}, but the total is {total:.6g} ({listed})")
    return f"{total:.6g} = {listed}"


def loss_repeatable(toy: Toy) -> str:
    """Check that the loss is a function of parameters, features and batch, including its noise."""
    for seed in (None, 5):
        model, features = toy.build(), toy.features()
        model.module().train()
        first, second = (float(model.loss(features, toy.batch(seed=seed)).total.detach()) for _ in range(2))
        noise = "without noise (seed None)" if seed is None else "with the same noise seed"
        demand(
            first == second,
            f"two calls on one batch {noise} return the losses {first:.6g} and {second:.6g}; draw noise from "
            "batch.noise(name), which is None for no noise",
        )
    return "the loss of a batch is repeatable; noise depends on its seed only"


def _left_behind(module_: nn.Module) -> Iterator[str]:
    known = vars(nn.Module())
    for name, part in module_.named_modules():
        for key, value in vars(part).items():
            if key not in known:
                yield from (f"{name}.{key}".lstrip(".") for _ in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)
