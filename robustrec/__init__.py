"""robustrec: robustness audits for multimodal recommender systems."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustrec.api import (
        AuditConfig,
        AuditKind,
        Cost,
        Dataset,
        Finding,
        ItemFeatures,
        Plan,
        Report,
        RobustrecError,
        Suite,
        TrainedSubject,
        audit,
        compare,
        compare_strategies,
        encode,
        evaluate,
        judge,
        load_dataset,
        plan,
        read_report,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "AuditConfig",
    "AuditKind",
    "Cost",
    "Dataset",
    "Finding",
    "ItemFeatures",
    "Plan",
    "Report",
    "RobustrecError",
    "Suite",
    "TrainedSubject",
    "audit",
    "compare",
    "compare_strategies",
    "encode",
    "evaluate",
    "judge",
    "load_dataset",
    "plan",
    "read_report",
    "train",
]


def __getattr__(name: str) -> Any:
    """Return a name of the API, which is imported at the first use: it brings torch."""
    if name not in __all__:
        raise AttributeError(f"module 'robustrec' has no attribute {name!r}")
    from robustrec import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
