"""What only a process of its own can show: signals, two at once, pipes, and the quiet of stdout."""

import json
import os
import signal
import subprocess
import sys

import pytest

from robustrec.cli.main import run

QUICK = ["--set", "training.learning_rate=0.01", "--set", "training.batch_size=128", "--device", "cpu"]


def _start(arguments, home, cwd):
    environment = {**os.environ, "ROBUSTREC_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "robustrec", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment,
        # A shell starts its background jobs with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def _interrupt_once_it_says(process, text, number):
    """Send a signal as soon as a line of stderr holds the text, and return the rest of stderr once it has ended."""
    with process:
        for line in process.stderr:
            if text in line:
                process.send_signal(number)
                break
        return process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_ends_with_130_leaves_nothing_half_written_and_goes_on(
    number, tiny_folder, tmp_path, capsys
):
    home = tmp_path / "home"
    train = ["train", "-m", "vbpr", "-s", "vanilla", "-d", str(tiny_folder), *QUICK]
    endless = [*train, "--set", "training.max_epochs=1000000", "--set", "training.patience=1000000"]
    process = _start(endless, home, tmp_path)
    err = _interrupt_once_it_says(process, "1 of 1000000", number)
    assert process.returncode == 130
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    assert not list(home.glob("runs/*/run.json"))
    assert run([*train, "--set", "training.max_epochs=2", "--json", "--home", str(home)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["epochs"] == 2


def test_an_interrupted_audit_ends_with_130_and_writes_no_report(tiny_folder, tmp_path):
    home = tmp_path / "home"
    (tmp_path / "long.toml").write_text(
        'schema_version = 1\nname = "long"\nmetrics = ["ndcg@20"]\n'
        '[[audits]]\nkind = "noise"\nsigma2 = [1e-6, 1e-5, 1e-4]\ndraws = 1000\n'
    )
    audit = ["audit", "-m", "vbpr", "-s", "vanilla", "-d", str(tiny_folder), "--suite", "long.toml", *QUICK]
    process = _start([*audit, "--set", "training.max_epochs=2"], home, tmp_path)
    err = _interrupt_once_it_says(process, "noise sigma2", signal.SIGINT)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not list(home.glob("reports/*"))


def test_two_audits_at_once_on_one_store_train_once_and_agree(tiny_folder, tmp_path):
    home = tmp_path / "home"
    audit = ["audit", "-m", "vbpr", "-d", str(tiny_folder), *QUICK, "--set", "training.max_epochs=8", "--json"]
    (tmp_path / "short.toml").write_text(
        'schema_version = 1\nname = "short"\nmetrics = ["ndcg@20"]\nbootstrap = { replicates = 200 }\n'
        '[[audits]]\nkind = "noise"\nsigma2 = [1e-2]\ndraws = 2\n'
        '[[gates]]\nname = "any"\nselect = { audit = "noise", metric = "ndcg@20" }\nquantity = "drift"\nmin = -0.99\n'
    )
    both = [_start([*audit, "--suite", "short.toml"], home, tmp_path) for _ in range(2)]
    reports = []
    for process in both:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        reports.append(json.loads(out))
    assert reports[0]["findings"] == reports[1]["findings"]
    digests = [[each["parameters_digest"] for each in report["subjects"]] for report in reports]
    assert digests[0] == digests[1]
    assert len(list(home.glob("runs/*/run.json"))) == 2
    assert len(list(home.glob("reports/*.json"))) == 2


def test_a_reader_that_goes_away_is_no_breached_gate(tmp_path):
    environment = {**os.environ, "ROBUSTREC_HOME": str(tmp_path)}
    shell = f"{sys.executable} -m robustrec report schema | head -c 5; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
