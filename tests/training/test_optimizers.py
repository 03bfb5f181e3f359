"""The optimizers of a training are those of torch, and import no compiler."""

from __future__ import annotations

import sys

import pytest
import torch

from robustrec.training import optimizers

OPTIONS = {"lr": 0.1, "weight_decay": 0.01, "fused": True}


def _steps(kind: type[torch.optim.Optimizer], number: int) -> tuple[list[torch.Tensor], torch.optim.Optimizer]:
    drawn = torch.Generator().manual_seed(3)
    table, bias = (torch.randn(shape, generator=drawn).requires_grad_() for shape in ((5, 4), (4,)))
    optimizer = kind([{"params": [table]}, {"params": [bias]}], **OPTIONS)
    for step in range(number):
        optimizer.zero_grad(set_to_none=True)
        ((table * (step + 1)).sin().sum() + (bias**2).sum()).backward()
        optimizer.step()
        if step == 1:
            optimizer.load_state_dict(optimizer.state_dict())
    return [table, bias], optimizer


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_an_optimizer_is_that_of_torch_to_the_bit_and_imports_no_compiler(name: str, monkeypatch) -> None:
    expected, of_torch = _steps(getattr(torch.optim, name), 4)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it is an error
    found, ours = _steps(getattr(optimizers, name), 4)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert ours.state_dict()["param_groups"] == of_torch.state_dict()["param_groups"]
