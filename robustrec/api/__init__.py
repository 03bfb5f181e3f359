"""The Python API: what the commands do, as functions; `import robustrec as rr` offers the same names.

Names in `__all__` follow semantic versioning: until 1.0, a minor version may change them, with a note in the changelog;
from 1.0 on, only a major version may. Other modules can change in any version.

No function changes settings of the process: warnings, number formats and threads stay as the caller has them, TF32 is
switched off only while something is measured, and functions can run in several threads.
"""

from robustrec.api.auditing import audit, judge, plan, read_report
from robustrec.api.comparing import compare, compare_strategies
from robustrec.api.report import Report
from robustrec.api.steps import encode, evaluate, load_dataset, train
from robustrec.audits.kind import AuditConfig, AuditKind, Cost
from robustrec.audits.plan import Plan
from robustrec.audits.suites import Suite
from robustrec.datasets.registry import Dataset
from robustrec.encoders.features import ItemFeatures
from robustrec.errors import RobustrecError
from robustrec.results.findings import Finding
from robustrec.runs.trained import TrainedSubject

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
