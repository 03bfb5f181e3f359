"""A report of numbers nobody measured, built by the same functions that a real run uses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from labelled import finding

from robustrec.audits.suites import Suite, load_suite
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.results.findings import CONTENT_USE, AuditStatus, Finding
from robustrec.results.gates import applicable_gates
from robustrec.results.judging import judge
from robustrec.results.report import (
    ArraysRecord,
    Costs,
    DatasetRecord,
    Environment,
    Filter,
    MirrorFacts,
    Report,
    SubjectRecord,
    SuiteRecord,
    TrainingRecord,
)
from robustrec.results.verdict import verdict_with_reason
from robustrec.subject import Subject

VANILLA = Subject(model="slmrec", strategy="vanilla", features="basic", seed=0)
SGBD = Subject(model="slmrec", strategy="sgbd", features="basic", seed=0)
CLEAN_VALUES = {"recall@5": 0.0712, "recall@20": 0.1834, "ndcg@5": 0.0498, "ndcg@20": 0.0851}
SNR = {"image": 34.17, "text": 28.52}


def drift(
    subject: Subject = SGBD,
    relative: float | None = -0.01,
    *,
    clean: float = 0.1,
    half_width: float = 0.004,
    **changes: Any,
) -> Finding:
    """A drift row whose relative interval is `relative` ± `half_width`."""
    share = relative or 0.0
    columns: dict[str, Any] = {
        "subject": subject,
        "audit": "noise",
        "condition": "sigma2=1e-06",
        "metric": "ndcg@20",
        "quantity": "drift",
        "clean": clean,
        "perturbed": clean + clean * share,
        "drift": clean * share,
        "relative_drift": relative,
        "ci_low": clean * (share - half_width),
        "ci_high": clean * (share + half_width),
        "relative_ci_low": share - half_width,
        "relative_ci_high": share + half_width,
        "n_users": 1203,
        "n_draws": 8,
        "unit": "share",
    }
    return finding(**{**columns, **changes})


def value(
    subject: Subject = SGBD, number: float | None = 0.1, half_width: float | None = 0.01, **changes: Any
) -> Finding:
    """A value row."""
    known = number is not None and half_width is not None
    columns: dict[str, Any] = {
        "subject": subject,
        "audit": "clean",
        "condition": "test",
        "metric": "ndcg@20",
        "quantity": "value",
        "clean": number,
        "ci_low": number - half_width if known else None,
        "ci_high": number + half_width if known else None,
        "n_users": 1203,
        "n_draws": 0,
        "unit": "share",
    }
    return finding(**{**columns, **changes})


def use_findings(subject: Subject, left: float = 0.4, half_width: float = 0.02, overlap: float = 0.3) -> list[Finding]:
    """What a run says of content use: the share of clean NDCG@20 that is left with mean features."""
    common: dict[str, Any] = {"audit": CONTENT_USE, "n_draws": 0}
    rows = [
        drift(subject, left - 1, half_width=half_width, **common),
        drift(subject, overlap - 1, clean=1.0, metric="overlap@20", **common),
    ]
    return [row.model_copy(update={"condition": MEAN_FEATURES}) for row in rows]


def noise_findings(subject: Subject, conditions: Sequence[str], strength: float) -> list[Finding]:
    """What a noise audit of a subject says, the more the later the condition."""
    rows = [value(subject, number, 0.0101, metric=metric) for metric, number in CLEAN_VALUES.items()]
    rows += use_findings(subject)
    for place, condition in enumerate(conditions, start=1):
        common = {"condition": condition}
        loss = -strength * place
        rows += [drift(subject, loss, clean=each, metric=name, **common) for name, each in CLEAN_VALUES.items()]
        rows += [
            drift(subject, loss, clean=1.0, metric="rbo@20", **common),
            drift(subject, loss * 1.4, clean=1.0, metric="overlap@20", **common),
            drift(
                subject,
                None,
                clean=0.0,
                metric="changed@20",
                perturbed=30 * strength,
                drift=30 * strength,
                ci_low=28 * strength,
                ci_high=32 * strength,
                relative_ci_low=None,
                relative_ci_high=None,
                **common,
            ),
        ]
        rows += [
            value(
                subject, ratio - 3 * place, None, audit="noise", metric=f"snr_db_{name}", unit="dB", n_users=0, **common
            )
            for name, ratio in SNR.items()
        ]
    return rows


def break_points() -> list[Finding]:
    """One found, one not reached."""
    common: dict[str, Any] = {
        "audit": "noise",
        "condition": "break point: ndcg@20 -5%",
        "metric": "sigma2",
        "unit": "variance",
    }
    bracket = "bracket of the search, not a confidence interval"
    beyond = "not reached at the largest σ² of the search"
    return [
        value(VANILLA, 3.2e-5, None, **{**common, "ci_low": 3.1e-5, "ci_high": 3.2e-5, "note": bracket}),
        value(SGBD, None, None, **{**common, "ci_low": 1.0, "note": beyond}),
    ]


def comparisons(condition: str) -> list[Finding]:
    """SGBD against vanilla: a little worse on clean features, steadier under noise."""
    against: dict[str, Any] = {"reference": "vanilla"}
    steadier = {"relative_drift": None, "relative_ci_low": None, "relative_ci_high": None, "condition": condition}
    numbers = {"clean": -0.0010, "perturbed": -0.0003, "drift": 0.0007, "ci_low": 0.0002, "ci_high": 0.0012}
    rows = []
    for metric in ("recall@20", "ndcg@20"):
        quality = {"audit": "clean", "condition": "test", "metric": metric, "n_draws": 0}
        rows.append(drift(SGBD, -0.031, clean=CLEAN_VALUES[metric], half_width=0.012, **quality, **against))
        rows.append(drift(SGBD, metric=metric, **steadier, **numbers, **against))
    return rows


def noise_only(suite: Suite) -> Suite:
    """A suite without the gates on audits that are not made up here."""
    return suite.model_copy(update={"gates": tuple(g for g in suite.gates if g.select.audit in ("noise", "clean"))})


def made_up_report(
    suite: Suite | None = None,
    *,
    conditions: Sequence[str] = ("sigma2=1e-06",),
    findings: Sequence[Finding] | None = None,
    statuses: Sequence[AuditStatus] | None = None,
    **changes: Any,
) -> Report:
    """A whole report, consistent in itself; `changes` replace fields of it."""
    suite = suite or noise_only(load_suite("quick"))
    subjects = (VANILLA, SGBD)
    if findings is None:
        findings = [
            *noise_findings(VANILLA, conditions, 0.0121),
            *noise_findings(SGBD, conditions, 0.0043),
            *break_points(),
            *comparisons(conditions[0]),
        ]
    if statuses is None:
        statuses = [
            AuditStatus(audit=audit, subject=each, status="ok") for audit in ("reach", "noise") for each in subjects
        ]
    gates = judge(applicable_gates(suite.gates, subjects).gates, findings)
    word, reason = verdict_with_reason(gates, statuses)
    fields: dict[str, Any] = {
        "robustrec": "0.1.0",
        "created": datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        "command": ("robustrec", "audit", "--model", "slmrec", "--dataset", "clothing"),
        "dataset": DatasetRecord(
            name="clothing",
            edition="sample",
            synthetic=True,
            digest="d" * 64,
            n_users=1203,
            n_items=480,
            n_train=8300,
            n_validation=1040,
            n_test=1045,
            filters=(Filter(reason="validation/test rows of users without training rows", rows=3),),
        ),
        "suite": SuiteRecord(
            name=suite.name,
            digest=suite.digest,
            level=suite.bootstrap.level,
            content=suite.model_dump(mode="json"),
        ),
        "subjects": tuple(_record(subject) for subject in subjects),
        "statuses": tuple(statuses),
        "findings": tuple(findings),
        "gates": gates,
        "verdict": word,
        "verdict_reason": reason,
        "seeds": {"training": 0, "noise": 1, "bootstrap": 2},
        "environment": Environment(
            python="3.11.7", torch="2.13.0", numpy="2.3.1", platform="Linux-x86_64", device="cpu", threads=2
        ),
        "durations": {"train": 31.4, "noise": 8.2},
        "costs": Costs(trainings=2, representations=60, rankings=60),
        "arrays": ArraysRecord(file="report.npz", digest="a" * 64),
    }
    return Report(**{**fields, **changes})


def _record(subject: Subject) -> SubjectRecord:
    mirrored = subject.strategy == "sgbd"
    return SubjectRecord(
        subject=subject,
        features_digest="f" * 64,
        parameters_digest="b" * 64,
        run="c" * 32,
        config={
            "model_config": {"d": 64},
            "training": {"batch_size": 512},
            "strategy": {"name": subject.strategy, "reading": "shared"},
        },
        training=TrainingRecord(
            epochs=55,
            best_epoch=35,
            best_validation=0.0912,
            metric="ndcg@20",
            seconds=12.3,
            n_parameters=252_416,
            reused=not mirrored,
        ),
        mirror=MirrorFacts(
            mirrored_steps=412,
            mean_cosine=-0.98,
            share_ascending=0.0,
            probed_steps=412,
            share_raised_loss=0.0,
            mean_length_ratio=0.86,
            mean_first_order_change=-0.001,
        )
        if mirrored
        else None,
        notes=("3 items without a picture: mean vector",),
    )
