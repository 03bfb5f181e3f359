"""Forward and backward pass of a training batch as one CUDA graph.

On a GPU the launches of small kernels take most of a step; a replayed graph launches all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from robustrec.models.contract import Batch

LossOf = Callable[[Batch], Tensor]
"""Batch -> its loss, a scalar."""


class Captured(Protocol):
    """What was captured."""

    def replay(self) -> None:
        """Launch the kernels again, on the same memory."""
        ...


Capture = Callable[[Callable[[], None]], Captured]
"""Captures the kernels that a function launches; it launches none of them."""


class _Passes:
    """The passes of one batch size: inputs, loss and gradients stay in the same memory."""

    def __init__(self, loss_of: LossOf, parameters: list[Tensor], batch: Batch, capture: Capture) -> None:
        self.inputs = tuple(ids.clone() for ids in batch[:3])
        self.of_epoch, self.drawn = batch.epoch, _copied(batch.epoch)
        # What kernels read must stay in memory: the batch holds the constants of a training too.
        self.held = held = batch._replace(
            users=self.inputs[0], positives=self.inputs[1], negatives=self.inputs[2], epoch=self.drawn
        )
        self.factor = torch.ones((), device=batch.users.device)
        self.loss = torch.zeros((), device=batch.users.device)

        def passes() -> None:
            for parameter in parameters:
                parameter.grad = None  # so that the backward pass writes gradients and adds to none
            loss = loss_of(held)
            (loss * self.factor).backward()  # type: ignore[no-untyped-call]
            self.loss = loss.detach()

        self.captured = capture(passes)
        self.gradients = [parameter.grad for parameter in parameters]

    def run(self, batch: Batch, factor: float) -> None:
        for held, ids in zip(self.inputs, batch[:3], strict=True):
            held.copy_(ids)
        if batch.epoch is not self.of_epoch:
            for held, drawn in zip(_tensors(self.drawn), _tensors(batch.epoch), strict=True):
                held.copy_(drawn)
            self.of_epoch = batch.epoch
        self.factor.fill_(factor)
        self.captured.replay()


def _copied(state: Any) -> Any:
    """Return an epoch state with copies of its tensors."""
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, tuple):
        parts = [_copied(part) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return state


def _tensors(state: Any) -> Iterator[Tensor]:
    """Yield the tensors of an epoch state in order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, tuple):
        for part in state:
            yield from _tensors(part)


class ReplayedPasses:
    """Passes of batches of some model, captured for each batch size when it comes for the second time.

    Only for models whose passes launch the same kernels for every batch of a size (`static_passes` of the class): no
    noise, nothing that depends on values on the device, and of an epoch state only tensors (in tuples), of the same
    shapes in every epoch. Parameters must stay in their memory.

    Args:
        loss_of: the loss of a batch.
        parameters: those that get gradients.
        capture: captures kernels.
    """

    def __init__(self, loss_of: LossOf, parameters: list[Tensor], capture: Capture) -> None:
        self._loss_of, self._parameters, self._capture = loss_of, parameters, capture
        self._seen: set[int] = set()
        self._passes: dict[int, _Passes] = {}

    def closure(self, batch: Batch) -> ReplayedClosure | None:
        """Return the closure of a batch, or None for the first batch of a size, which is to be computed as usual."""
        size = len(batch.users)
        if size not in self._seen:
            self._seen.add(size)
            return None
        if size not in self._passes:
            self._passes[size] = _Passes(self._loss_of, self._parameters, batch, self._capture)
        return ReplayedClosure(self._passes[size], self._loss_of, self._parameters, batch)


class ReplayedClosure:
    """The loss of one batch, whose passes are replayed."""

    def __init__(self, passes: _Passes, loss_of: LossOf, parameters: list[Tensor], batch: Batch) -> None:
        self._passes, self._loss_of, self._parameters, self._batch = passes, loss_of, parameters, batch

    def __call__(self) -> Tensor:
        """Return the loss, computed as usual."""
        return self._loss_of(self._batch)

    def backward(self, factor: float) -> Tensor:
        """Set all gradients to those of `factor` times the loss, and return the loss."""
        self._passes.run(self._batch, factor)
        for parameter, gradient in zip(self._parameters, self._passes.gradients, strict=True):
            parameter.grad = gradient
        return self._passes.loss.clone()


def replayed_passes(model: object, module: nn.Module, loss_of: LossOf) -> ReplayedPasses | None:
    """Return the replayed passes of a model on a CUDA device, or None if its passes are not static.

    A subclass is not static because its base is: it may override the loss. An instance may take it back, as one with
    dropout does.
    """
    static = vars(type(model)).get("static_passes", False) and not getattr(model, "draws_noise", False)
    parameters: list[Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters or not parameters[0].is_cuda or not static:
        return None
    return ReplayedPasses(loss_of, parameters, _capture)


def _capture(passes: Callable[[], None]) -> Captured:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        passes()  # libraries allocate their work space in the first pass on a stream
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        passes()
    return graph
