"""robustrec: robustness audits for multimodal recommender systems."""

from typing import TYPE_CHECKING, Any

from robustrec.api import __all__ as _names

if TYPE_CHECKING:
    from robustrec.api import *  # noqa: F403

__version__ = "0.2.0"

__all__ = [*_names]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Return a name of the API, which is imported at the first use: it brings torch."""
    if name not in __all__:
        raise AttributeError(f"module 'robustrec' has no attribute {name!r}")
    from robustrec import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
