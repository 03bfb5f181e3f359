"""Operations of autograd with a signature that is made once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def known_signature(forward: FunctionT) -> FunctionT:
    """Keep the signature of the `forward` of a `torch.autograd.Function`.

    Functions with `setup_context` ask for it in each call, and making it takes as long as a small product.
    """
    vars(forward)["__signature__"] = inspect.signature(forward)
    return forward
