"""Every operation of autograd that torch asks for its signature in each call has one that is made once."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from robustrec.models import dense, rows
from robustrec.models.graphs import sparse


def operations() -> list[Any]:
    found = [
        each
        for module in (dense, rows, sparse)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, torch.autograd.Function) and each.__module__ == module.__name__
    ]
    return [each for each in found if "setup_context" in vars(each)]


@pytest.mark.parametrize("operation", operations(), ids=lambda each: each.__name__)
def test_its_signature_is_made_once(operation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    known = inspect.signature(operation.forward)
    with monkeypatch.context() as patch:
        patch.delattr(operation.forward, "__signature__")
        assert inspect.signature(operation.forward) == known
    assert inspect.signature(operation.forward) is known


def test_there_are_such_operations() -> None:
    assert len(operations()) == 6
