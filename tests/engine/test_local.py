"""Tasks in one process and in several: the same report, nothing measured twice, and no process left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustrec.audits.context import CostCounts
from robustrec.audits.noise import measure as noise_measure
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, make_plan
from robustrec.audits.results import AuditResults
from robustrec.audits.run import measure
from robustrec.audits.tasks import TaskOutput
from robustrec.config import Settings
from robustrec.engine import local
from robustrec.engine.artefacts import packed, unpacked
from robustrec.engine.local import Local
from robustrec.engine.spread import WorkerError, audit_message
from robustrec.errors import RobustrecError
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.report import Report, report_json
from robustrec.subject import Subject

SUITE = """
schema_version = 1
name = "short"
metrics = ["ndcg@20", "coverage@20", "ild@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "noise"
sigma2 = [1e-2, 1e-1]
draws = 2
break_point = { metric = "ndcg@20", draws = 1, steps = 1 }
[[gates]]
name = "small drift"
select = { audit = "noise", sigma2 = 1e-2, metric = "ndcg@20" }
quantity = "drift"
min = -0.9
"""
CONDITIONS, SUBJECTS = 2, 2


@pytest.fixture(scope="module")
def plan(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    home = tmp_path_factory.mktemp("home")
    (home / "suite.toml").write_text(SUITE)
    overrides = {"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}}
    options: dict[str, Any] = {"model": ("vbpr",), "strategy": ("vanilla", "sgbd"), "device": "cpu", "set": overrides}
    return make_plan(Settings(home=home, dataset=str(tiny_folder), suite=str(home / "suite.toml"), **options))


def _report(plan: Plan, engine: Local | None = None) -> tuple[Report, bytes]:
    return make_report(plan, measure(plan, engine=engine), command=["robustrec", "audit"])


def _text(report: Report) -> str:
    """Return a report as text, without times and what this run took from the store."""
    report = report.model_copy(update={"durations": {}, "costs": {}, "created": None, "judgement": None})
    subjects = [each.model_copy(update={"training": None}) for each in report.subjects]
    return report.model_copy(update={"subjects": tuple(subjects)}).model_dump_json(warnings=False)


def _interrupted(plan: Plan, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Run an audit that ends with an interrupt in the task after some."""
    run_task, done = noise_measure.run_task, []

    def stopping(*args: Any) -> None:
        if len(done) == after:
            raise KeyboardInterrupt
        run_task(*args)
        done.append(args)

    with monkeypatch.context() as patch, Local() as engine:
        patch.setattr(noise_measure, "run_task", stopping)
        with pytest.raises(KeyboardInterrupt):
            measure(plan, engine=engine)


def _tasks_run(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], Report]:
    """Return the blocks of the tasks that an audit runs, and its report; its outputs are removed."""
    run_task, blocks = noise_measure.run_task, []

    def counted(config: Any, task: Any, *rest: Any) -> None:
        blocks.append(dict(task.block))
        run_task(config, task, *rest)

    with monkeypatch.context() as patch, Local() as engine:
        patch.setattr(noise_measure, "run_task", counted)
        report, _ = _report(plan, engine)
        engine.forget()
    return blocks, report


def test_what_was_measured_before_an_interrupt_is_not_measured_again(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = _report(plan)
    _interrupted(plan, monkeypatch, after=2)
    stored = sorted((plan.home / "measured").iterdir())
    assert len(stored) == 2
    damaged = stored[0].read_bytes()
    stored[0].write_bytes(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    blocks, report = _tasks_run(plan, monkeypatch)
    assert len(blocks) == CONDITIONS + SUBJECTS - 1, "the sound output is used, and the damaged one measured again"
    assert _text(report) == _text(whole)
    assert report.costs.rankings < whole.costs.rankings
    assert list((plan.home / "measured").iterdir()) == []
    blocks, _ = _tasks_run(plan, monkeypatch)
    assert len(blocks) == CONDITIONS + SUBJECTS, "a finished audit leaves nothing to use"


def test_another_seed_code_or_setting_is_another_output(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    from robustrec.engine import artefacts

    _interrupted(plan, monkeypatch, after=1)
    changed = plan.settings.model_copy(update={"seed": 5})
    audit = plan.suite.audits[0].model_copy(update={"draws": 3})
    suite = plan.suite.model_copy(update={"audits": (audit,)})
    for other in (make_plan(changed), Plan(**{**vars(plan), "suite": suite})):
        assert len(_tasks_run(other, monkeypatch)[0]) == CONDITIONS + SUBJECTS
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "digest_sources", lambda *_: "of other sources")
        assert len(_tasks_run(plan, monkeypatch)[0]) == CONDITIONS + SUBJECTS
    assert len(_tasks_run(plan, monkeypatch)[0]) == CONDITIONS + SUBJECTS - 1


def test_two_processes_give_the_same_report_as_one(plan: Plan) -> None:
    _report(plan)
    whole, arrays = _report(plan)
    with Local(2) as engine:
        report, of_processes = _report(plan, engine)
        processes = list(engine._processes)
        engine.forget()
    assert len(processes) == 2
    assert not any(each.alive for each in processes)
    assert _text(report) == _text(whole)
    assert of_processes == arrays
    assert report.costs == whole.costs.model_copy(update={"trainings": 0}), "the trainings are stored"
    assert report_json(report)


def test_an_output_is_the_same_to_the_bit_after_packing() -> None:
    subject = Subject(model="m", strategy="s", features="f", seed=0)
    value = {"quantity": "value", "clean": 0.1 + 0.2, "n_users": 3, "n_draws": 1, "unit": ""}
    row = Finding.model_validate(
        {"subject": subject, "audit": "noise", "condition": {"kind": "other", "name": "c"}, "metric": "x", **value}
    )
    results = AuditResults([row], [AuditStatus(audit="noise", subject=subject, status="ok")], warnings=["w"])
    results.arrays["a|b"] = np.array([[1 / 3, np.pi]])
    output = TaskOutput(results, CostCounts(rankings=2), {"moved": {"m": True}}, {"0|x": np.arange(3.0)})
    again = unpacked(packed(output))
    assert again.results.findings == results.findings
    assert again.results.statuses == results.statuses
    assert again.results.warnings == ["w"]
    assert again.results.arrays["a|b"].tobytes() == results.arrays["a|b"].tobytes()
    assert (again.costs, again.state, again.error) == (output.costs, output.state, "")
    assert again.arrays["0|x"].tolist() == [0.0, 1.0, 2.0]


PROCESS = """
import json, os, signal, sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
connection.recv_bytes()
message = json.loads(connection.recv_bytes())
"""
DIES_ONCE = """
path = message["marker"]
if not os.path.exists(path):
    open(path, "w").close()
    os.kill(os.getpid(), signal.SIGKILL)
connection.send_bytes(b"j" + json.dumps({"done": True}).encode())
"""


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(code: str) -> Any:
        monkeypatch.setattr(local, "WORKER", ("-c", PROCESS + code))
        return local._Process({})

    return made


def test_a_task_is_tried_again_once_when_its_process_is_killed(process: Any, tmp_path: Path) -> None:
    once = process(DIES_ONCE)
    assert once.ask({"marker": str(tmp_path / "died")}, "a task") == b'j{"done": true}'
    once.end()
    assert not once.alive
    with pytest.raises(
        RobustrecError, match=r"ended 2 times during noise audit, sigma2=1 \(exit status -9\)"
    ) as caught:
        process("os.kill(os.getpid(), signal.SIGKILL)").ask({}, "noise audit, sigma2=1")
    assert "--workers 1" in caught.value.fix


def test_errors_of_a_process_are_those_of_the_command(
    plan: Plan, process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        RobustrecError: ({"error": ["bad", "here", "mend it"]}, "bad"),
        WorkerError: ({"fault": "Traceback: boom"}, "boom"),
    }
    for kind, (answer, message) in answers.items():
        process(f"connection.send_bytes(b'j' + json.dumps({answer!r}).encode())")
        with Local(2) as engine:
            engine.started(audit_message(plan), plan.settings)
            with pytest.raises(kind, match=message):
                engine._ask({}, "a task")


def test_an_interrupt_ends_the_processes(plan: Plan, process: Any) -> None:
    process("connection.recv_bytes()")  # it never answers
    engine = Local(2)

    def interrupted() -> None:
        with engine:
            engine.started(audit_message(plan), plan.settings)
            assert engine._pool is not None
            engine._pool.submit(engine._ask, {}, "a task")
            while not any(each.alive for each in engine._processes):
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not any(each.alive for each in engine._processes)
