"""A report as an MLflow run, and its verdict as tags of a registered model version."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from robustrec.errors import RobustrecError
from robustrec.files import digest_file
from robustrec.report.forms import html_bytes
from robustrec.report.forms.findings_table import provenance_of
from robustrec.results.arrays import arrays_file
from robustrec.results.findings import Finding
from robustrec.results.gates import GateResult
from robustrec.results.report import Report
from robustrec.store_urls import hidden_in, shown_url

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERDICT, REASON, DIGEST = "robustrec.verdict", "robustrec.reason", "robustrec.report_sha256"
PARAMETERS, RUN, JUDGED = "robustrec.parameters", "robustrec.run_id", "robustrec.judged"
EXPERIMENT = "robustrec"
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven by default, which take minutes where there is no server
}
_REFUSED = re.compile(r"[^A-Za-z0-9_. -]+")
_LONGEST_NAME, _LONGEST_TAG, _BATCH = 240, 4000, 500


class ModelVersion(NamedTuple):
    """A version of a registered model."""

    name: str
    version: str


class Logged(NamedTuple):
    """A logged report.

    Attributes:
        run_id: id of the MLflow run.
        is_new: False if the experiment had a run of the same report.
        n_metrics: number of logged metrics.
    """

    run_id: str
    is_new: bool
    n_metrics: int


def log_report(
    report: Report,
    path: Path,
    *,
    tracking_uri: str,
    experiment: str = EXPERIMENT,
    version: ModelVersion | None = None,
    offline: bool = False,
) -> Logged:
    """Log a checked report to MLflow: findings and gates as metrics, files as artifacts, the verdict as a tag.

    The verdict is set last, so that a run or model version without it has no complete report. A report that the
    experiment already has, by the digest of its file, is not logged again; its model version is tagged again.

    Args:
        report: the report, from `checked_report`.
        path: its file.
        tracking_uri: MLflow server or database.
        experiment: name of the experiment, created if it is missing.
        version: model version to tag; its tags are replaced.
        offline: refuse servers.

    Raises:
        RobustrecError: mlflow is not installed, does not accept the report, or has no such model version.
    """
    if offline and urlsplit(tracking_uri).scheme in ("http", "https", "databricks"):
        raise RobustrecError(
            f"{shown_url(tracking_uri)} is a server, and --offline forbids the network",
            where="--tracking-uri",
            fix="use a database file, such as --tracking-uri sqlite:///mlflow.db, or omit --offline",
        )
    digest = digest_file(path)
    with _told(tracking_uri):
        client = _client(tracking_uri)
        if version is not None:
            client.get_model_version(*version)  # before any work
        found = client.get_experiment_by_name(experiment)
        place = client.create_experiment(experiment) if found is None else found.experiment_id
        earlier = client.search_runs([place], f"tags.`{DIGEST}` = '{digest}' and attributes.status = 'FINISHED'")
        if earlier:
            logged = Logged(earlier[0].info.run_id, False, len(earlier[0].data.metrics))
        else:
            logged = _logged(client, place, report, path, digest)
        if version is not None:
            _tag_version(client, version, report, digest, logged.run_id)
    return logged


def _logged(client: MlflowClient, experiment: str, report: Report, path: Path, digest: str) -> Logged:
    from mlflow.entities import Metric, Param, RunTag

    when = int(report.created.timestamp() * 1000)
    name = f"{report.suite.name} on {report.dataset.name}"
    run_id = client.create_run(experiment, start_time=when, run_name=name).info.run_id
    try:
        metrics = [Metric(key, value, when, 0) for key, value in metrics_of(report).items()]
        for start in range(0, len(metrics), _BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        client.log_batch(run_id, params=[Param(key, value[:_LONGEST_TAG]) for key, value in _params(report).items()])
        for file in (path, *_arrays(report, path)):
            client.log_artifact(run_id, str(file))
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / f"{path.stem}.html"
            page.write_bytes(html_bytes(report))
            client.log_artifact(run_id, str(page))
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in _tags(report, digest).items()])
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return Logged(run_id, True, len(metrics))


def _tag_version(client: MlflowClient, version: ModelVersion, report: Report, digest: str, run_id: str) -> None:
    """Replace the tags of a version; between the old verdict and the new one it has none."""
    if VERDICT in client.get_model_version(*version).tags:
        client.delete_model_version_tag(*version, VERDICT)
    tags = {RUN: run_id, **_tags(report, digest)}
    for key in sorted(tags, key=lambda key: key == VERDICT):
        client.set_model_version_tag(*version, key, tags[key])


def _tags(report: Report, digest: str) -> dict[str, str]:
    """Return the tags of a report, the verdict last."""
    judged = report.judgement.judged if report.judgement else report.created
    return {
        DIGEST: digest,
        REASON: report.verdict_reason[:_LONGEST_TAG] or "-",
        JUDGED: judged.isoformat(),
        PARAMETERS: ",".join(each.parameters_digest for each in report.subjects)[:_LONGEST_TAG] or "-",
        "robustrec.synthetic": str(report.dataset.synthetic).lower(),
        VERDICT: report.verdict.upper(),
    }


def _params(report: Report) -> dict[str, str]:
    return {
        **provenance_of(report),
        "subjects": "; ".join(each.subject.label for each in report.subjects) or "-",
        **{f"seed {_part(name)}": str(seed) for name, seed in report.seeds.items()},
    }


def _arrays(report: Report, path: Path) -> Iterator[Path]:
    file = arrays_file(report, path)
    if file is not None and file.is_file() and not file.is_symlink():
        yield file


def metrics_of(report: Report) -> dict[str, float]:
    """Return names that MLflow accepts -> numbers: those of all gates, and of all findings but those of segments.

    A name has the parts subject, audit, condition, metric and number, or "gate", gate and number; "@" is "_at_". Names
    that are equal then, or too long, end in a digest.
    """
    found: dict[str, float] = {}
    for gate in report.gates:
        _add(found, ["gate", gate.gate], _numbers_of_gate(gate))
    for row in report.findings:
        if row.segment is None:
            against = [f"against {row.reference}"] if row.reference != "clean" else []
            condition = " ".join([row.condition.label, *against])
            _add(found, [row.subject.label, row.audit, condition, row.metric], _numbers_of_finding(row))
    return found


def _add(found: dict[str, float], parts: Sequence[str], numbers: dict[str, float | None]) -> None:
    name = "/".join(_part(part) for part in parts)
    clash = any(f"{name}/{number}" in found for number in numbers)
    if clash or len(name) > _LONGEST_NAME:
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
        name = f"{name[: _LONGEST_NAME - 9]}_{digest}"
    found |= {f"{name}/{number}": value for number, value in numbers.items() if value is not None}


def _part(text: str) -> str:
    """Return a part of a name, without what MLflow or a file system refuses."""
    return _REFUSED.sub("_", text.replace("@", "_at_")).strip(". ") or "_"


def _numbers_of_gate(gate: GateResult) -> dict[str, float | None]:
    return {
        "passed": float(gate.effective == "pass"),
        "estimate": gate.estimate,
        "low": gate.low,
        "high": gate.high,
        "min": gate.min,
        "max": gate.max,
    }


def _numbers_of_finding(row: Finding) -> dict[str, float | None]:
    if row.quantity == "value":
        return {"value": row.clean, "low": row.ci_low, "high": row.ci_high}
    return {"drift": row.drift, "low": row.ci_low, "high": row.ci_high, "relative": row.relative_drift}


def _client(tracking_uri: str) -> MlflowClient:
    """Return a client that sends nothing to anybody but the tracking server."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise RobustrecError(
            "mlflow is not installed", where="report mlflow", fix="pip install 'robustrec[mlflow]'"
        ) from error
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


@contextmanager
def _told(tracking_uri: str) -> Iterator[None]:
    """Turn the errors of mlflow, of its database and of the network into one with the next step."""
    try:
        yield
    except RobustrecError:
        raise
    except Exception as error:
        if not _is_known(error):
            raise
        fix = "check that the server runs and has the experiment and model version"
        if urlsplit(tracking_uri).scheme in ("", "file"):
            fix = "use a database file: --tracking-uri sqlite:///mlflow.db"
        raise RobustrecError(
            f"mlflow at {shown_url(tracking_uri)}: {_first_line(error, tracking_uri)}", where="report mlflow", fix=fix
        ) from error


def _is_known(error: Exception) -> bool:
    origin: Callable[[Any], str] = lambda kind: kind.__module__.partition(".")[0]  # noqa: E731
    return isinstance(error, OSError | ImportError) or any(
        origin(kind) in ("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3") for kind in type(error).__mro__
    )


def _first_line(error: Exception, tracking_uri: str) -> str:
    """Return the first line of an error, without the credentials of the URL that it may quote."""
    line = str(error).strip().partition("\n")[0]
    for secret in hidden_in(tracking_uri):
        line = line.replace(secret, "***")
    return line[:400] or type(error).__name__
