"""The Ray engine on two real nodes of this machine: the numbers of one process, whatever happens to a node."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import RayCluster, ray_cluster

from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, make_plan
from robustrec.audits.run import measure
from robustrec.config import Settings
from robustrec.engine import on_ray
from robustrec.engine.chosen import engine_of
from robustrec.engine.spread import Spread
from robustrec.errors import RobustrecError
from robustrec.results.report import Report

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")

OWN = '''
"""An audit whose first measurement on a cluster says where it runs, and then waits for the loss of its node."""
import os
from pathlib import Path
from robustrec import AuditConfig, AuditKind

HERE = Path(__file__).parent

class Settings(AuditConfig):
    """Wait once."""

class Waits(AuditKind[Settings]):
    config = Settings

    def measure(self, config, audited):
        if "RAY_JOB_ID" in os.environ and len(audited.tables["image"]) == 60 and (HERE / "wait").exists():
            (HERE / "wait").unlink()
            import ray
            (HERE / "node").write_text(ray.get_runtime_context().get_node_id())  # a pipe, as the next
            (HERE / "never").read_text()
        return [audited.value("clean", "mean", float(audited.clean.per_user["ndcg@20"].mean()), unit="")]
'''
SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "waiting_audit:Waits"
[[audits]]
kind = "noise"
sigma2 = [1e-2, 1e-1]
draws = 2
[[gates]]
name = "small drift"
select = { audit = "noise", sigma2 = 1e-2, metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a command, with a suite and a user-defined audit."""
    (tmp_path / "suite.toml").write_text(SUITE)
    (tmp_path / "waiting_audit.py").write_text(OWN)
    os.mkfifo(tmp_path / "node")
    os.mkfifo(tmp_path / "never")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_ray, "LOST_SECONDS", 4.0)
    return tmp_path


def _plan(tiny_folder: Path, home: Path, engine: str = "local") -> Plan:
    overrides = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}
    options: dict[str, Any] = {"model": ("vbpr",), "strategy": ("vanilla", "sgbd"), "device": "cpu", "set": overrides}
    return make_plan(Settings(home=home, dataset=str(tiny_folder), suite="suite.toml", engine=engine, **options))


def _report(plan: Plan, engine: Spread) -> tuple[Report, bytes]:
    return make_report(plan, measure(plan, engine=engine), command=["robustrec", "audit"])


def _text(report: Report) -> str:
    """Return a report as text, without times and without the warning of mixed hardware."""
    report = report.model_copy(update={"durations": {}, "created": None, "judgement": None})
    subjects = [each.model_copy(update={"training": None}) for each in report.subjects]
    return report.model_copy(update={"subjects": tuple(subjects)}).model_dump_json(warnings=False)


def _when_it_waits(folder: Path, do: Any) -> threading.Thread:
    """Call a function with the node of the audit that waits, when it does."""
    (folder / "wait").touch()
    thread = threading.Thread(target=lambda: do((folder / "node").read_text()), daemon=True)
    thread.start()
    return thread


@needs_ray
def test_a_lost_node_changes_no_number_and_a_lost_cluster_is_an_error(
    tiny_folder: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = _plan(tiny_folder, folder / "one")
    with engine_of(plan.settings) as engine:
        whole, arrays = _report(plan, engine)
    with ray_cluster(2) as cluster:
        plan = _plan(tiny_folder, folder / "many", cluster.engine)
        killer = _when_it_waits(folder, lambda node: cluster.do(f"remove {node}"))
        with caplog.at_level(logging.WARNING, "robustrec"), engine_of(plan.settings) as engine:
            report, of_cluster = _report(plan, engine)
            engine.forget()
        killer.join()
        assert "a Ray worker was lost during waiting_audit:Waits audit" in caplog.text
        assert _text(report) == _text(whole)
        assert of_cluster == arrays
        assert report.costs == whole.costs
        assert not list((folder / "many").glob(".cluster*"))
        assert not list((folder / "many" / "measured").iterdir())
        assert len([each for each in (folder / "many" / "runs").iterdir() if each.name[0] != "."]) == 2

        killer = _when_it_waits(folder, lambda _: cluster.do("remove_head"))
        with pytest.raises(RobustrecError, match="connection to the Ray cluster was lost") as caught:  # noqa: SIM117
            with engine_of(plan.settings) as engine:
                _report(plan, engine)
        killer.join()
        assert "run the same command again" in caught.value.fix
