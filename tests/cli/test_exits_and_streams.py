"""Exit codes whatever is raised and whenever a signal comes; output whatever stdout and the terminal are."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from robustrec.cli.main import run
from robustrec.cli.terminal import Finished, data_console
from robustrec.errors import RobustrecError
from robustrec.models.own import attributed_to, load_own
from robustrec.streams import prepare_streams, write_json


class EndingError(BaseException):
    """An exception of somebody's own that is no Exception."""


class SpeechlessError(Exception):
    """An exception whose text ends the process."""

    def __str__(self):  # noqa: PLE0307
        sys.exit(0)


ENDINGS = [
    SystemExit(0),
    SystemExit(1),
    asyncio.CancelledError("request cancelled"),
    GeneratorExit(),
    EndingError("over"),
    SpeechlessError(),
    StopIteration(),
    MemoryError(),
    RecursionError(),
]


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("raised", ENDINGS, ids=repr)
def test_whatever_a_users_model_raises_names_the_model(raised):
    with pytest.raises(RobustrecError) as error, attributed_to("shop:Model", "score"):
        raise raised
    assert type(raised).__name__ in error.value.what
    assert error.value.where == "--model shop:Model, score"
    with pytest.raises(KeyboardInterrupt), attributed_to("shop:Model", "score"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("raised", [*ENDINGS, OSError(errno.EACCES, "denied")], ids=repr)
def test_whatever_reaches_the_top_is_no_breached_gate(raised, monkeypatch, capsys):
    def app(**_options):
        raise raised

    monkeypatch.setattr("robustrec.cli.main.app", app)
    assert run([]) == 2
    said = capsys.readouterr().err
    assert isinstance(raised, SystemExit) or "error: " in said


def test_only_a_commands_own_end_is_believed(monkeypatch):
    codes = {}
    for result in (None, 0, 1, 2, 130, "1"):
        monkeypatch.setattr("robustrec.cli.main.app", lambda result=result, **_options: result)
        codes[result] = run([])
    assert codes == {None: 0, 0: 0, 1: 2, 2: 2, 130: 130, "1": 2}

    def breached(**_options):
        raise Finished(1)

    monkeypatch.setattr("robustrec.cli.main.app", breached)
    assert run([]) == 1


def test_an_interrupt_that_somebodys_code_swallows_is_one_all_the_same(monkeypatch):
    def app(**_options):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise Finished(0) from None

    monkeypatch.setattr("robustrec.cli.main.app", app)
    assert run([]) == 130


MODULE = """
import asyncio, sys
{at_import}
class S:
    modalities = ("image", "text")
    def __init__(self, problem): {in_constructor}
    def score(self, features, users): {in_score}
"""


@pytest.mark.parametrize("place", ["at_import", "in_constructor", "in_score"])
def test_an_audit_of_a_scorer_that_is_cancelled_ends_with_2(place, tiny_folder, tmp_path, capsys):
    parts = {"at_import": "", "in_constructor": "pass", "in_score": "pass"}
    raising = "raise asyncio.CancelledError('cancelled')"
    (tmp_path / f"scorer_{place}.py").write_text(MODULE.format(**{**parts, place: raising}))
    name = f"scorer_{place}:S"
    assert run(["audit", "-m", name, "-d", str(tiny_folder), "--quiet", "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert f"--model {name}" in " ".join(said.split())
    assert "CancelledError: cancelled" in said
    assert "Traceback" not in said
    load_own.cache_clear()
    sys.modules.pop(f"scorer_{place}", None)


def _process(arguments, tmp_path, module, source, **options):
    (tmp_path / f"{module}.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "robustrec", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_before_anything_is_imported_or_after_the_end_ends_with_130(number, tmp_path):
    kill = f"import atexit, os, signal, time\ndef kill(): os.kill(os.getpid(), signal.{number}); time.sleep(60)\n"
    default = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    done = _process(["list", "models"], tmp_path, "typer", f"{kill}kill()\n", **default)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    (tmp_path / "typer.py").unlink()
    done = _process(["--version"], tmp_path, "sitecustomize", f"{kill}atexit.register(kill)\n", **default)
    assert done.returncode == 130
    assert done.stdout.startswith("robustrec ")
    assert done.stderr == ""


class Broken(io.RawIOBase):
    """A stdout that cannot be written."""

    def __init__(self, number):
        self.number = number

    def writable(self):
        return True

    def write(self, content):
        if not self.number:
            return len(content)
        raise OSError(self.number, os.strerror(self.number))


def _stdout(monkeypatch, binary, encoding="utf-8"):
    stream = io.TextIOWrapper(binary, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def _broken(monkeypatch, number):
    return _stdout(monkeypatch, io.BufferedWriter(Broken(number), 16))


@pytest.mark.parametrize(
    ("number", "passing", "failing"), [(errno.EPIPE, 0, 1), (errno.ENOSPC, 2, 1), (errno.EBADF, 2, 1)]
)
@pytest.mark.parametrize("form", [[], ["--json"], ["--output-format", "markdown"]])
def test_a_verdict_outlives_a_stdout_that_cannot_be_written(number, passing, failing, form, gated, monkeypatch, capsys):
    for limit, code in (("-0.9", passing), ("0.5", failing)):
        stream = _broken(monkeypatch, number)
        assert run(["gate", *gated(limit), *form]) == code, limit
        stream.buffer.raw.number = 0  # what is left in the buffer is written again when the stream is collected
        stream.flush()
    said = capsys.readouterr().err
    assert ("cannot write the results" in said) == (number != errno.EPIPE)
    assert "Traceback" not in said


@pytest.fixture
def gated(tmp_path, monkeypatch):
    """Return the arguments of `gate` for a suite with a limit."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "report"))
    from measured_report import SUITE, written

    report = str(written(tmp_path))

    def arguments(limit):
        (tmp_path / "suite.toml").write_text(SUITE.replace("min = -0.9", f"min = {limit}"))
        return [report, "--suite", "suite.toml"]

    return arguments


def test_a_failing_gate_piped_into_head_is_one(gated):
    shell = (
        f"{sys.executable} -m robustrec gate {' '.join(gated('0.5'))} | true; echo ${{PIPESTATUS[0]}}; "
        f"{sys.executable} -m robustrec gate {' '.join(gated('0.5'))} >&- 2>&-; echo $?; "
        f"{sys.executable} -m robustrec list metrics >&-; echo $?"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["1", "1", "2"]
    assert "Traceback" not in done.stderr
    assert done.stderr.count("cannot write the results") == 1


def test_help_for_a_reader_that_has_left_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "robustrec", "audit", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


COMMANDS = [
    ["list", "models"],
    ["list", "edits"],
    ["list", "metrics"],
    ["list", "suites"],
    ["data", "list"],
    ["config", "show"],
    ["encoder", "card"],
    ["--help"],
    ["audit", "--help"],
]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "utf-16"])
def test_every_encoding_can_be_printed_in(encoding, monkeypatch):
    for command in COMMANDS:
        binary = io.BytesIO()
        stream = _stdout(monkeypatch, binary, encoding)
        assert run(command) == 0, command
        stream.flush()
        assert binary.getvalue().decode(encoding).strip()


def test_a_folder_is_imported_and_described_in_any_encoding(tiny_folder, monkeypatch):
    binary = io.BytesIO()
    stream = _stdout(monkeypatch, binary, "cp1252")
    assert run(["data", "import", str(tiny_folder), "--name", "x"]) == 0
    stream.flush()
    assert "popularity" in binary.getvalue().decode("cp1252")


def test_json_is_the_same_in_every_encoding(monkeypatch):
    value = {"é": ["\U0001f600", "σ² → ‖", 'a"b\\'], "n": 1.5}
    for encoding in ("utf-8", "ascii", "cp1252"):
        binary = io.BytesIO()
        stream = _stdout(monkeypatch, binary, encoding)
        prepare_streams()
        write_json(value)
        stream.flush()
        assert json.loads(binary.getvalue().decode(encoding)) == value


@pytest.mark.parametrize("columns", ["0", "-5", "1", "39", "1000000000", "9" * 30, "x", "", "²", "٣"])
def test_any_width_prints_every_model(columns, monkeypatch, capsys):
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, columns)
    assert run(["list", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.strip().startswith(("slmrec", "bpr", "dragon")) for line in lines) == 3
    assert max(map(len, lines)) <= 400
    assert 40 <= data_console().width <= 400
