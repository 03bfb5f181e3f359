"""The Python API: what the commands do, as functions; `import robustrec as rr` offers the same names.

Names in `__all__` follow semantic versioning: until 1.0, a minor version may change them, with a note in the changelog;
from 1.0 on, only a major version may. Other modules can change in any version.

No function changes settings of the process: warnings, number formats and threads stay as the caller has them, TF32 is
switched off only while something is measured, and functions can run in several threads.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustrec.api.auditing import audit, plan
    from robustrec.api.comparing import compare
    from robustrec.api.judging import judge, read_report
    from robustrec.api.report import Report
    from robustrec.api.steps import encode, evaluate, load_dataset, train
    from robustrec.api.strategies import compare_strategies
    from robustrec.audits.kind import AuditConfig, AuditKind, Cost
    from robustrec.audits.plan import Plan
    from robustrec.audits.suites import Suite
    from robustrec.datasets.registry import Dataset
    from robustrec.encoders.features import ItemFeatures
    from robustrec.errors import RobustrecError
    from robustrec.results.findings import Finding
    from robustrec.runs.trained import TrainedSubject

_PLACES = {
    "AuditConfig": "robustrec.audits.kind",
    "AuditKind": "robustrec.audits.kind",
    "Cost": "robustrec.audits.kind",
    "Dataset": "robustrec.datasets.registry",
    "Finding": "robustrec.results.findings",
    "ItemFeatures": "robustrec.encoders.features",
    "Plan": "robustrec.audits.plan",
    "Report": "robustrec.api.report",
    "RobustrecError": "robustrec.errors",
    "Suite": "robustrec.audits.suites",
    "TrainedSubject": "robustrec.runs.trained",
    "audit": "robustrec.api.auditing",
    "compare": "robustrec.api.comparing",
    "compare_strategies": "robustrec.api.strategies",
    "encode": "robustrec.api.steps",
    "evaluate": "robustrec.api.steps",
    "judge": "robustrec.api.judging",
    "load_dataset": "robustrec.api.steps",
    "plan": "robustrec.api.auditing",
    "read_report": "robustrec.api.judging",
    "train": "robustrec.api.steps",
}
"""Name -> its module, imported at the first use: most bring torch, and reading a report needs none."""

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
    if name not in _PLACES:
        raise AttributeError(f"module 'robustrec.api' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
