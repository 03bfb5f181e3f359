"""The engine that settings name."""

from __future__ import annotations

from robustrec.config import Settings
from robustrec.engine.local import Local
from robustrec.engine.names import LOCAL, check_engine
from robustrec.engine.on_ray import OnRay
from robustrec.engine.spread import Spread


def engine_of(settings: Settings) -> Spread:
    """Return the engine that settings name.

    Raises:
        RobustrecError: it is unknown, or needs a package that is not installed.
    """
    if check_engine(settings.engine) == LOCAL:
        return Local(settings.workers)
    return OnRay(settings.engine, settings.workers if "workers" in settings.model_fields_set else None)
