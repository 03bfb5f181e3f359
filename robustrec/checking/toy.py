"""The small random problem of the checks, and their results."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robustrec.errors import described
from robustrec.modalities import ANY_MODALITY, in_order
from robustrec.models.contract import Batch, Problem, Recommender
from robustrec.models.own import source_line
from robustrec.seeds import torch_generator
from robustrec.training import optimizers

N_USERS, N_ITEMS, PER_USER = 40, 30, 6
WIDTHS = {"image": 12, "text": 8}
FURTHER, FURTHER_WIDTH = "audio", 10  # what a model of any modality gets beside them
BATCH = 64
LONGEST = 300

Status = Literal["ok", "PROBLEM", "not applicable"]


class Check(NamedTuple):
    """Result of one check, with a sentence on the observation or on the fault and its fix."""

    name: str
    status: Status
    detail: str


class CheckEnd(Exception):  # noqa: N818 - not always an error
    """A check that ends with another status than ok."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def demand(holds: bool, otherwise: str) -> None:
    """End the check with a problem unless a condition holds."""
    if not holds:
        raise CheckEnd("PROBLEM", otherwise)


def not_applicable(why: str) -> CheckEnd:
    """Return the end of a check that does not apply to the model."""
    return CheckEnd("not applicable", why)


def run_checks(
    model: str, checks: Mapping[str, Callable[[], str]], *, required: tuple[str, ...] = ()
) -> tuple[Check, ...]:
    """Run checks in order; if a required one fails, skip the others.

    Args:
        model: name of the model; if it raises, the result names the line in its sources.
        checks: name -> function that returns a sentence if the check passes.
        required: names of the checks that the later ones depend on.
    """
    rows: list[Check] = []
    broken = ""
    for name, check in checks.items():
        if broken:
            rows.append(Check(name, "not applicable", f"skipped; fix {broken!r} first"))
            continue
        rows.append(_run(model, name, check))
        if name in required and rows[-1].status == "PROBLEM":
            broken = name
    return tuple(rows)


def _run(model: str, name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", check())
    except CheckEnd as end:
        return Check(name, end.status, str(end))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # user code may raise anything
        return Check(name, "PROBLEM", f"raises {error_text(model, error)}")


def error_text(model: str, error: BaseException) -> str:
    """Return an exception as one line, with the line in the sources of the model that raised it."""
    text = described(error)
    short = text if len(text) <= LONGEST else text[:LONGEST] + " …"
    return short.rstrip(": ") + source_line(model, error)


@dataclass(frozen=True)
class Toy:
    """A small fixed random problem with the class to build for it; its last item has no interactions.

    Attributes:
        name: name of the model.
        kind: its class, or the scorer function.
        options: fields of its Config that differ from the defaults.
    """

    name: str
    kind: Any
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def declared(self) -> tuple[str, ...]:
        """The modalities that its class declares, by default image and text; one more if it reads any."""
        declared = tuple(getattr(self.kind, "modalities", WIDTHS))
        return in_order({*WIDTHS, *declared, FURTHER} - {ANY_MODALITY}) if ANY_MODALITY in declared else declared

    @property
    def widths(self) -> dict[str, int]:
        """Modality -> D_m of all features of the problem, also of those that it does not declare."""
        return {name: WIDTHS.get(name, FURTHER_WIDTH) for name in in_order({*WIDTHS, *self.declared})}

    @property
    def problem(self) -> Problem:
        """The problem with the features of all modalities."""
        return self.problem_with(tuple(self.widths))

    def problem_with(self, modalities: tuple[str, ...]) -> Problem:
        """Return the problem with features of the given modalities only."""
        drawn = torch.rand(N_USERS, N_ITEMS - 1, generator=torch_generator(0, "toy", "edges"))
        items = drawn.argsort(dim=1)[:, :PER_USER]
        edges = torch.stack([torch.arange(N_USERS).repeat_interleave(PER_USER), items.reshape(-1)])
        return Problem(N_USERS, N_ITEMS, edges, {name: self.widths[name] for name in modalities})

    def features(self, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return random features of the declared modalities."""
        return {
            name: torch.randn(N_ITEMS, self.widths[name], generator=torch_generator(seed, "toy", name)).to(dtype)
            for name in self.declared
        }

    def batch(self, seed: int | None = None, epoch: Any = None) -> Batch:
        """Return random training triples."""
        problem, generator = self.problem, torch_generator(0, "toy", "batch")
        drawn = torch.randint(problem.edges.shape[1], (BATCH,), generator=generator)
        negatives = torch.randint(N_ITEMS, (BATCH,), generator=generator)
        users, positives = problem.edges[:, drawn]
        return Batch(users, positives, negatives, epoch=epoch, seed=seed)

    def build(self, seed: int = 0, modalities: tuple[str, ...] = ()) -> Recommender:
        """Build the recommender for the given modalities, by default for all of the problem."""
        config = self.kind.Config(**self.options)
        generator = torch_generator(seed, "parameters")
        return self.kind(self.problem_with(modalities or tuple(self.widths)), config, generator)  # type: ignore[no-any-return]

    def trained(self, steps: int) -> tuple[Recommender, list[float]]:
        """Return the recommender after some steps of Adam, with their losses."""
        model, features = self.build(), self.features()
        module = model.module().train()
        optimizer = optimizers.Adam([each for each in module.parameters() if each.requires_grad], lr=1e-2)
        losses = []
        for step in range(steps):
            optimizer.zero_grad()
            total = model.loss(features, self.batch(seed=step)).total
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(total.detach()))
        module.eval()
        return model, losses


def scores(model: Recommender, features: Mapping[str, Tensor]) -> Tensor:
    """Return all scores [U, I] in evaluation mode, detached."""
    model.module().eval()
    with torch.no_grad():
        users, items = model.represent(features)
        return users @ items.T


def copies_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of parameters and buffers, including non-persistent ones."""
    everything = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: value.detach().clone() for name, value in everything.items()}


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that are not equal bit by bit."""
    return [name for name in before if name not in after or not torch.equal(before[name], after[name])]


@contextmanager
def no_global_generators(what: str) -> Iterator[None]:
    """End the check with a problem if the block uses a global generator of torch, numpy or Python.

    Args:
        what: name of the function that the block calls.
    """
    before = _states()
    yield
    after = _states()
    touched = [name for name in before if before[name] != after[name]]
    demand(not touched, f"{what} uses the global generator of {', '.join(touched)}; use the given generator")


def _states() -> dict[str, Any]:
    of_numpy: Any = np.random.get_state()  # noqa: NPY002 - the global state is checked
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (of_numpy[1].tobytes(), *of_numpy[2:]),
        "random": random.getstate(),
    }
