"""What a recommender does when it is built and called: shapes, purity, reach, its saved state."""

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
    WIDTHS,
    Toy,
    copied,
    demand,
    differing,
    error_text,
    global_generators_rest,
    not_applicable,
    scores,
)
from robustrec.errors import RobustrecError
from robustrec.models.contract import Loss, Representation


def built(toy: Toy) -> str:
    """Check that the class can be built from (problem, config, generator)."""
    module = toy.build().module()
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    demand(n_parameters > 0, "it has no parameters, so there is nothing to train; name a function that scores instead")
    shape = f"{N_USERS} users, {N_ITEMS} items, {', '.join(f'{name} {width}' for name, width in WIDTHS.items())}"
    return f"{n_parameters} parameters on a problem of {shape}"


def module(toy: Toy) -> str:
    """Check that the model is the module whose parameters are trained, and that all of it moves to a device."""
    model = toy.build()
    itself: object = model
    demand(model.module() is itself, "module() returns something else than the model: return self")
    wrong = [name for name, value in model.module().named_parameters() if value.dtype != torch.float32]
    demand(not wrong, f"training runs in float32, and these parameters are of another type: {', '.join(wrong)}")
    left = sorted(set(_left_behind(model.module())))
    demand(not left, f"{', '.join(left)}: tensors that .to(device) leaves behind; keep them with register_buffer")
    return "it is its own module, in float32, and moves as a whole"


def initialisation(toy: Toy) -> str:
    """Check that the generator it is given decides its parameters, and nothing else."""
    with global_generators_rest("the constructor"):
        first = copied(toy.build(0).module())
        differences = differing(first, copied(toy.build(0).module()))
    demand(not differences, f"built twice from one seed it differs in {', '.join(differences)}")
    changed = differing(first, copied(toy.build(1).module()))
    demand(bool(changed), "another seed gives the same parameters; draw them from the generator it is given")
    return "the generator decides the parameters, and the global generators rest"


def claims(toy: Toy) -> str:
    """Check that an instance reads nothing beyond what its class claims."""
    instance = tuple(toy.build().modalities)
    more = sorted(set(instance) - set(toy.claimed))
    demand(not more, f"an instance reads {', '.join(more)}, which its class does not claim: it will not be given that")
    lost = sorted(set(toy.claimed) - set(instance))
    demand(not lost, f"its class claims {', '.join(lost)}, and an instance that could read it does not")
    return f"it reads {' and '.join(toy.claimed)}" if toy.claimed else "it reads no item features"


def representation(toy: Toy) -> str:
    """Check the type, shapes and values of what `represent` returns."""
    model = toy.build()
    model.module().eval()
    rep: Any = model.represent(toy.features())
    demand(isinstance(rep, Representation), f"represent returns a {type(rep).__name__}; return Representation(u, i)")
    found = tuple(rep.users.shape), tuple(rep.items.shape)
    fits = len(found[0]) == len(found[1]) == 2 and found[0][1] == found[1][1]
    wanted = f"({N_USERS}, d) and ({N_ITEMS}, d)"
    fits = fits and (found[0][0], found[1][0]) == (N_USERS, N_ITEMS)
    demand(fits, f"represent returns vectors {found[0]} and {found[1]}; return users and items as {wanted}")
    kinds = {str(vectors.dtype).removeprefix("torch.") for vectors in rep}
    demand(kinds == {"float32"}, f"vectors are {' and '.join(sorted(kinds))} on float32 features; return float32")
    return f"users {found[0]}, items {found[1]}, float32"


def finite(toy: Toy) -> str:
    """Check that no score is NaN or infinite, although one item has no interaction."""
    table = scores(toy.build(), toy.features())
    broken = (~torch.isfinite(table)).any(dim=0).nonzero()[:, 0].tolist()
    only_cold = broken == [N_ITEMS - 1]
    why = "the item that nobody has; do not divide by its degree of 0" if only_cold else f"{len(broken)} items"
    demand(not broken, f"scores are NaN or infinite for {why}")
    return "all scores are finite, also of an item without interactions"


def own_memory(toy: Toy) -> str:
    """Check that a representation does not change when parameters or features do."""
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
        f"the vectors of {' and '.join(moved)} are parameters or features themselves and change with them: "
        "return a copy, tensor.clone()",
    )
    return "vectors are no views of parameters or features"


def repeatable(toy: Toy) -> str:
    """Check that the same call gives the same scores, whatever was scored in between."""
    model, features = toy.build(), toy.features()
    first = scores(model, features)
    demand(
        torch.equal(first, scores(model, features)),
        "the same features scored twice give different scores: no dropout and no fresh noise in represent",
    )
    scores(model, toy.features(seed=1))
    demand(
        torch.equal(first, scores(model, features)),
        "scores depend on what was scored before: keep nothing from one call to the next",
    )
    return "the same call gives the same scores"


def follows_parameters(toy: Toy) -> str:
    """Check that scores are those of the parameters as they are: changed with them, and back again with them."""
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
        "scores do not follow the parameters: they are kept from an earlier call",
    )
    module_.load_state_dict(state)
    demand(
        torch.equal(before, scores(model, features)),
        "after training and putting the parameters back, scores differ: it keeps something that is no parameter",
    )
    return "scores follow the parameters, and are back when these are put back"


def untouched(toy: Toy) -> str:
    """Check that calls change neither parameters, buffers nor features, and draw from no global generator."""
    model, features = toy.build(), toy.features()
    given = {name: table.clone() for name, table in features.items()}
    before = copied(model.module())
    with global_generators_rest("represent"):
        scores(model, features)
    model.module().train()
    with global_generators_rest("loss"):
        model.loss(features, toy.batch(seed=0))
    changed = differing(before, copied(model.module()))
    demand(
        not changed, f"a call of represent or loss changes {', '.join(changed)}; return what follows from it instead"
    )
    changed = differing(given, features)
    demand(not changed, f"a call changes the {' and '.join(changed)} features it is given; work on a copy")
    return "calls change neither parameters nor features, and the global generators rest"


def reach(toy: Toy, modality: str) -> str:
    """Check that a modality that is claimed arrives at the scores, of a model that was trained a little."""
    model, _ = toy.trained(10)
    claimed = getattr(model, "modalities_in_scores", toy.claimed)
    try:
        with torch.no_grad():
            found = {each.modality: each for each in check_reach(model.represent, toy.features(), seed=0)}
    except RobustrecError as error:
        demand(False, f"{error.what}: {error.fix}")
    reached, change = found[modality].reached, found[modality].change
    noise = f"heavy noise on the {modality} features"
    if modality not in claimed:
        demand(not reached, f"modalities_in_scores leaves {modality} out, yet {noise} moves scores: name it there")
        return f"{noise} moves no score, as modalities_in_scores says: it shapes training alone"
    demand(
        reached,
        f"it claims {modality}, but its lists do not follow it: {found[modality].fault}. Read it from the features of "
        "each item in every call, or leave it out of modalities (of modalities_in_scores, where it shapes training "
        "alone)",
    )
    return f"{noise} moves scores by up to {change:.1f} of their spread"


def single_modality(toy: Toy) -> str:
    """Tell what becomes of it where a data set lacks a modality that it claims."""
    if len(toy.claimed) < 2:
        raise not_applicable("it claims no two modalities")
    results = []
    for modality in toy.claimed:
        try:
            model = toy.build(modalities=(modality,))
            scores(model, {modality: toy.features()[modality]})
            results.append(f"{modality} alone works")
        except RobustrecError as error:
            results.append(f"{modality} alone is refused ({error.what})")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            results.append(f"{modality} alone ends in an error ({error_text(toy.name, error)})")
    return "; ".join(results)


def state(toy: Toy) -> str:
    """Check that saving and loading the parameters brings the same model back."""
    model, twin, features = toy.build(0), toy.build(1), toy.features()
    try:
        content = save({name: value.contiguous() for name, value in model.module().state_dict().items()})
    except (RuntimeError, ValueError, AttributeError) as error:
        demand(
            False,
            f"its state_dict cannot be stored as plain tensors that share no memory: {error_text(toy.name, error)}. "
            "Register constants with persistent=False",
        )
    twin.module().load_state_dict(load(content))
    demand(
        torch.equal(scores(model, features), scores(twin, features)),
        "a model of another seed with the loaded state_dict scores differently: something it learns or draws is no "
        "parameter",
    )
    return "a saved and loaded state_dict gives the same scores"


def loss_shape(toy: Toy) -> str:
    """Check that the loss is a finite scalar that its terms add up to."""
    model = toy.build()
    model.module().train()
    value: Any = model.loss(toy.features(), toy.batch())
    demand(isinstance(value, Loss), f"loss returns a {type(value).__name__}; return Loss(total, terms)")
    demand(tuple(value.total.shape) == (), f"the loss is of shape {tuple(value.total.shape)}; return a scalar")
    total = float(value.total.detach())
    demand(math.isfinite(total), f"the loss is {total}")
    demand(value.total.requires_grad, "the loss has no gradient: something is detached, or computed outside torch")
    demand(bool(value.terms), "the loss has no terms: name at least one")
    terms = {name: float(term.detach()) for name, term in value.terms.items()}
    listed = ", ".join(f"{name} {term:.6g}" for name, term in terms.items())
    summed = sum(terms.values())
    off = abs(summed - total) > 1e-5 * max(1.0, abs(total))
    demand(not off, f"the terms add up to {summed:.6g}, the total is {total:.6g} ({listed})")
    return f"{total:.6g} = {listed}"


def loss_repeatable(toy: Toy) -> str:
    """Check that a loss follows from parameters, features and batch, noise included."""
    for seed in (None, 5):
        model, features = toy.build(), toy.features()
        model.module().train()
        first, second = (float(model.loss(features, toy.batch(seed=seed)).total.detach()) for _ in range(2))
        noise = "without noise (seed None)" if seed is None else "with one seed of its noise"
        demand(
            first == second,
            f"the loss of one batch {noise} is {first:.6g} and then {second:.6g}; draw noise from "
            "batch.noise(name), which is None where there is to be none",
        )
    return "one batch has one loss; noise comes from the batch's seed"


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
