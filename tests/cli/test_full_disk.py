"""A disk that is full wherever a command writes: an error in three parts with exit code 2, and nothing half-written."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from robustrec.cli.main import run
from robustrec.files import write_atomically

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="no limit on the size of files")

SHORT = ["--set", "training.max_epochs=2", "--set", "training.batch_size=128", "--set", "vbpr.latent_width=8"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, which fails as a full disk does, whichever library writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _written(folder: Path) -> set[str]:
    """Return the files there are, but for locks and digests that cost nothing but time."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
    return {path.relative_to(folder).as_posix() for path in found if not {".locks", "digests"} & set(path.parts)}


def _refused(arguments, capsys, size):
    with files_up_to(size):
        code = run(arguments)
    told = capsys.readouterr().err
    assert code == 2, told
    assert "Traceback" not in told
    assert "error: cannot write" in told
    assert "File too large" in told
    assert "free disk space" in told


SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "noise"
sigma2 = [1e-2]
draws = 2
[[gates]]
name = "lists"
select = { audit = "noise", metric = "ndcg@20" }
quantity = "drift"
min = -0.99
"""


def test_no_artefact_is_left_half_written(tiny_folder, tmp_path, capsys):
    home = tmp_path / "home"
    train = ["train", "-m", "vbpr", "-s", "vanilla", "-d", str(tiny_folder), "--quiet", *SHORT]
    # Sizes at which the feature store, the parameters and the record of the run fail, one after the other.
    for size in (100, 300, 3_000, 6_000):
        _refused(train, capsys, size)
        assert not any("run" in path or "/." in path for path in _written(home)), size
    assert run(train) == 0
    whole = _written(home)
    (tmp_path / "suite.toml").write_text(SUITE)
    audit = ["audit", *train[1:], "--suite", "suite.toml"]
    out = ["--output-format", f"json:{tmp_path / 'out' / 'r.json'}"]
    for size in (100, 1_000, 5_000):
        capsys.readouterr()
        _refused([*audit, *out], capsys, size)
        # Outputs of tasks are whole, and stay for the next try.
        assert {path for path in _written(home) if not path.startswith(("measured/", "planned/"))} == whole
        assert not any("/." in path for path in _written(home) - whole)
        assert _written(tmp_path / "out") == set()
    left = home / "reports" / ".r.json.abcdefgh"
    left.write_text("half, by a process that was killed")
    assert run([*audit, *out]) == 0
    assert not left.exists()
    assert not any(path.startswith(("measured/", "planned/")) for path in _written(home))
    report = next((home / "reports").glob("*.json"))
    convert = ["report", "convert", str(report), "--output-format", "junit:j.xml"]
    for command in (convert, ["baseline", "accept", str(report)]):
        before = _written(tmp_path)
        capsys.readouterr()
        _refused(command, capsys, 10)
        assert _written(tmp_path) == before


def test_an_import_and_a_sample_leave_nothing(tiny_folder, tmp_path, capsys, monkeypatch):
    home = tmp_path / "home"
    for size in (40, 100, 4_000):
        _refused(["data", "import", str(tiny_folder), "--name", "mine"], capsys, size)
        assert _written(home) == set(), size

    def build(_name, folder, _progress):
        write_atomically(folder / "items.jsonl", b"1" * 4_000)
        write_atomically(folder / "pictures.zip", b"1" * 9_000)

    monkeypatch.setattr("robustrec.datasets.shop.build_shop", build)
    left = home / "samples" / ".clothing-0123.abcdefgh"
    left.mkdir(parents=True)
    (left / "items.jsonl").write_text("half, by a process that was killed")
    _refused(["data", "describe", "clothing"], capsys, 5_000)
    assert not left.exists()
    assert _written(home) == set()
