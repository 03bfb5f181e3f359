"""Reports in MLflow: a real store, and a real server where the whole of mlflow is installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robustrec.adapters import mlflow as adapter
from robustrec.adapters.mlflow import DIGEST, VERDICT, ModelVersion, log_report, metrics_of
from robustrec.audits.checked import checked_report
from robustrec.errors import RobustrecError
from robustrec.results.report import Report

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial-report.json"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(TUTORIAL, tmp_path / "report.json"))


@pytest.fixture
def report(path: Path) -> Report:
    return checked_report(path)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)  # a new model version makes mlflow write its default database there
    return (tmp_path / "store").as_uri()


def registered(client: Any) -> ModelVersion:
    """Return a new version of a model."""
    client.create_registered_model("slmrec")
    run_id = client.create_run(client.create_experiment("training")).info.run_id
    version = client.create_model_version("slmrec", source=f"runs:/{run_id}/model", run_id=run_id)
    return ModelVersion("slmrec", str(version.version))


def check_logged(client: Any, uri: str, report: Report, path: Path) -> None:
    """Log a report with a model version, and compare what the store has with the report."""
    version = registered(client)
    logged = log_report(report, path, tracking_uri=uri, version=version)
    run = client.get_run(logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == pytest.approx(metrics_of(report))
    assert logged.n_metrics == len(run.data.metrics) > 100
    tags = client.get_model_version(*version).tags
    assert (run.data.tags[VERDICT], tags[VERDICT]) == (report.verdict.upper(),) * 2
    assert tags[DIGEST] == run.data.tags[DIGEST]
    assert {each.path for each in client.list_artifacts(logged.run_id)} == {"report.json", "report.html"}
    again = log_report(report, path, tracking_uri=uri, version=version)
    assert again == (logged.run_id, False, logged.n_metrics), "the same report is not logged twice"


def test_a_store_has_findings_gates_files_and_the_verdict(store: str, report: Report, path: Path) -> None:
    from mlflow import MlflowClient

    check_logged(MlflowClient(tracking_uri=store, registry_uri=store), store, report, path)


def test_a_report_that_is_logged_in_part_has_no_verdict(
    store: str, report: Report, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: the page cannot be made. A deployment that waits for PASS must not see one."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store, registry_uri=store)
    version = registered(client)
    client.set_model_version_tag(*version, VERDICT, "PASS")

    def fail(_: Report) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(adapter, "html_bytes", fail)
    with pytest.raises(RobustrecError, match="no space left"):
        log_report(report, path, tracking_uri=store, version=version)
    (run,) = client.search_runs([client.get_experiment_by_name("robustrec").experiment_id])
    assert run.info.status == "FAILED"
    assert VERDICT not in run.data.tags
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert log_report(report, path, tracking_uri=store).is_new, "a failed run is not taken for a logged report"


def test_names_are_accepted_and_distinct(report: Report) -> None:
    """Names that are equal once MLflow's characters are left, names of dots, and names that are too long."""
    (gate, *_) = report.gates
    names = ["a@1", "a_at_1", "größe", "gr??e", "..", "x" * 400, "x" * 399 + "y"]
    hostile = report.model_copy(update={"gates": tuple(gate.model_copy(update={"gate": name}) for name in names)})
    found = [name for name in metrics_of(hostile) if name.startswith("gate/") and name.endswith("/passed")]
    assert len(found) == len(names)
    from mlflow.utils.validation import _validate_metric_name

    for name in metrics_of(hostile):
        _validate_metric_name(name)


@pytest.mark.parametrize(
    ("uri", "version", "word"),
    [
        ("http://127.0.0.1:9", None, "forbids the network"),
        ("nothing://there", None, "nothing"),
        ("", ModelVersion("none", "1"), "none"),
    ],
)
def test_errors_say_what_to_do(
    store: str, report: Report, path: Path, uri: str, version: ModelVersion | None, word: str
) -> None:
    with pytest.raises(RobustrecError, match=word) as caught:
        log_report(report, path, tracking_uri=uri or store, version=version, offline=True)
    assert caught.value.fix


def test_a_folder_in_place_of_a_database_is_refused_with_an_address_that_works(report: Report, path: Path) -> None:
    with pytest.raises(RobustrecError) as caught:
        log_report(report, path, tracking_uri=(path.parent / "mlruns").as_uri(), offline=True)
    assert caught.value.fix == "use a database file: --tracking-uri sqlite:///mlflow.db"


def test_an_error_shows_no_credentials(report: Report, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RobustrecError) as caught:
        log_report(report, path, tracking_uri="http://anna:secret@127.0.0.1:9")
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.where}{caught.value.fix}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real server with a database, in a process of its own."""
    python = next((each for each in (Path(sys.executable),) if (each.parent / "mlflow").exists()), None)
    done = subprocess.run([sys.executable, "-c", "import flask, mlflow.server"], check=False, capture_output=True)
    if python is None or done.returncode != 0:
        pytest.skip("the server of mlflow is not installed: pip install mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as it:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"{url}/health", timeout=5):
                        break
                except OSError:
                    assert it.poll() is None, "the server ended"
                    time.sleep(0.1)
            yield url
        finally:
            it.terminate()


def test_a_server_has_them_too(server: str, report: Report, path: Path) -> None:
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_logged(MlflowClient(tracking_uri=server, registry_uri=server), server, report, path)


def test_the_command_logs_whatever_the_verdict(
    store: str, path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from robustrec.cli.main import run

    assert run(["report", "mlflow", str(path), "--tracking-uri", store, "--home", str(tmp_path / "home")]) == 0
    assert "metrics to run" in capsys.readouterr().err
    assert json.loads(path.read_text())["verdict"]
