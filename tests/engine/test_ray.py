"""The Ray engine on two real nodes of this machine: the numbers of one process, whatever happens to a node."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import ray_cluster

import robustrec as rr
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, make_plan
from robustrec.audits.run import measure
from robustrec.config import Settings
from robustrec.engine import names, on_ray, ray_worker
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


def _asked(folder: Path) -> dict[str, Any]:
    token = folder / ".cluster.0a1b2c3d"
    token.write_text(token.name)
    return {"versions": ray_worker.versions(), "engine": "ray", "token": str(token)}


@pytest.mark.parametrize("name", ray_worker.versions())
def test_a_worker_of_another_version_is_refused(tmp_path: Path, name: str) -> None:
    asked = _asked(tmp_path)
    ray_worker._check(asked, "node-7")
    asked["versions"][name] = "0.0"
    with pytest.raises(RobustrecError, match="the Ray worker on node-7 has") as caught:
        ray_worker._check(asked, "node-7")
    assert f"has {name} {ray_worker.versions()[name]}, but this command has 0.0" in caught.value.what
    assert caught.value.fix.startswith("install the same versions on all machines")


def test_a_worker_without_the_home_folder_is_refused(tmp_path: Path) -> None:
    asked = _asked(tmp_path)
    (tmp_path / ".cluster.0a1b2c3d").unlink()
    with pytest.raises(RobustrecError, match=f"on node-7 does not see the home folder {tmp_path} of this command"):
        ray_worker._check(asked, "node-7")


def test_a_refusal_of_a_worker_is_its_answer(tmp_path: Path) -> None:
    asked = _asked(tmp_path)
    asked["versions"]["torch"] = "0.0"
    found = ray_worker.answer(json.dumps(asked), json.dumps({"train": 0}))
    assert found.content[:1] == b"j"
    assert "torch" in json.loads(found.content[1:])["error"][0]


def test_names_of_engines() -> None:
    assert [names.address_of(each) for each in ("ray", "ray://head:6379", "ray://10.0.0.1:1")] == [
        "",
        "head:6379",
        "10.0.0.1:1",
    ]
    for wrong in ("rays", "Ray", "ray:", "ray:head:1", "ray://", "ray://head", "ray://:1", "ray://head:x", "ray://h:0"):
        with pytest.raises(RobustrecError, match="unknown engine"):
            names.check_engine(wrong)


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    names.check_engine("local")
    with pytest.raises(RobustrecError, match="ray is not installed") as caught:
        names.check_engine("ray")
    assert "pip install 'robustrec[ray]'" in caught.value.fix


def test_a_cluster_that_does_not_answer_is_an_error_at_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        with pytest.raises(RobustrecError, match=f"no Ray cluster answers at {address}: Connection refused"):
            on_ray._reach(address, f"ray://{address}")


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


@needs_ray
@pytest.mark.parametrize("command", ["audit", "compare", "encode"])
def test_without_a_cluster_a_command_fails_before_any_work(
    command: str, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def works(*_: Any, **__: Any) -> None:
        raise AssertionError(f"{command} worked without a cluster")

    for module in ("audits.run.work_of", "comparison.run.prepare", "api.steps.item_features"):
        monkeypatch.setattr(f"robustrec.{module}", works)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        engine = f"ray://127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        options: dict[str, Any] = {"dataset": str(tiny_folder), "home": tmp_path / "home", "engine": engine}
        run: dict[str, Any] = {
            "audit": lambda: rr.audit(model="vbpr", suite="quick", device="cpu", **options),
            "compare": lambda: rr.compare_strategies(model="vbpr", **options),
            "encode": lambda: rr.encode(**options),
        }
        with pytest.raises(RobustrecError, match="no Ray cluster answers"):
            run[command]()
    assert not list((tmp_path / "home").glob(".cluster*"))
