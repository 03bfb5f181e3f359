"""Reports made from per-user arrays by the functions of a real run, with the arrays beside them."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from labelled import condition_of
from made_up_report import SGBD, VANILLA, made_up_report

from robustrec.audits.rows import Intervals, drift_rows, quality_rows
from robustrec.audits.suites import Bootstrap, parse_suite
from robustrec.results.arrays import array_key
from robustrec.results.conditions import CLEAN_TEST
from robustrec.results.report import ArraysRecord, write_report

SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20", "recall@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 300 }
[[audits]]
kind = "noise"
sigma2 = [0.01]
draws = 4
[[gates]]
name = "stands noise"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.9
"""
AGAINST = """
[[gates]]
name = "as accepted"
select = { audit = "clean", metric = "ndcg@20" }
against = "baseline"
quantity = "relative_drift"
min = -0.1
"""
CONDITION = condition_of("sigma2=0.01")
QUALITY = ("ndcg@20", "recall@20")


def suite_of(text=SUITE):
    return parse_suite(text, source="own.toml")


def measured(*, users=300, seed=0, level=None, noise=0.05, changes=None, suite=None, draws=4):
    """Return a report and its arrays: users' taste and the draws are the same for every call, `level` scales quality.

    Args:
        users: how many.
        seed: of what differs between one training and another.
        level: subject -> factor on its clean quality.
        noise: share of quality that noise takes, on average.
        changes: fields of the report to replace.
        suite: instead of SUITE.
        draws: of noise.
    """
    suite = suite or suite_of()
    common, own = np.random.default_rng(1), np.random.default_rng(seed)
    taste = np.where(common.random(users) < 0.3, 0.0, common.beta(2, 3, users))
    wobble = 0.1 * common.standard_normal((draws, users)) + 0.02 * common.standard_normal((draws, 1))
    intervals = Intervals(Bootstrap(replicates=300), 0)
    findings, arrays = [], {"users": np.arange(users)}
    for subject in (VANILLA, SGBD):
        factor = (level or {}).get(subject, 1.0)
        base = factor * taste * (1 + 0.05 * own.standard_normal(users))
        clean = {"ndcg@20": base, "recall@20": (base > 0.3).astype(float)}
        moved = {
            "ndcg@20": base * (1 - noise + wobble),
            "recall@20": (base * (1 + wobble) > 0.3).astype(float),
            "rbo@20": np.clip(1 - np.abs(wobble), 0, 1),
        }
        findings += quality_rows(subject, clean, intervals)
        still = {**clean, "rbo@20": np.ones(users)}
        findings += drift_rows(subject, "noise", CONDITION, still, moved, intervals)
        arrays |= {array_key(subject, "clean", CLEAN_TEST, metric): values for metric, values in clean.items()}
        arrays |= {array_key(subject, "noise", CONDITION, metric): values for metric, values in moved.items()}
    report = made_up_report(suite, findings=findings, **{"seeds": {"audit": 0}, "arrays": None, **(changes or {})})
    return report, arrays


def written(folder, name="report", **options):
    """Write a measured report with its arrays beside it, and return its path."""
    report, arrays = measured(**options)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    beside = folder / f"{name}.users.npz"
    beside.write_bytes(buffer.getvalue())
    record = ArraysRecord(file=beside.name, digest=hashlib.sha256(buffer.getvalue()).hexdigest())
    path = folder / f"{name}.json"
    write_report(report.model_copy(update={"arrays": record}), path)
    return path
