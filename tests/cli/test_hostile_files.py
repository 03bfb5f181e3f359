"""What commands say of pipes, folders, sockets, damaged and enormous files where they expect a file, and of outputs."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.runs.external import read_state

sys.path.append(str(Path(__file__).parents[1] / "report"))
from measured_report import SUITE, written

QUIET = ["--quiet", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def report(tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE)
    return str(written(tmp_path))


@pytest.fixture
def shop(tiny_folder, tmp_path):
    return Path(shutil.copytree(tiny_folder, tmp_path / "shop"))


def refused(arguments, capsys):
    """Return what a command says that ends with 2 and an error in three parts."""
    assert run(arguments) == 2, arguments
    said = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in said, said
    assert "error: " in said, said
    assert "where: " in said, said
    assert "fix: " in said, said
    return said


PLACES = {
    "report": ["gate", "NODE"],
    "shown report": ["report", "show", "NODE"],
    "compared report": ["compare", "NODE", "NODE"],
    "suite": ["gate", "report.json", "--suite", "NODE"],
    "audit's suite": ["audit", "--suite", "NODE", *QUIET],
    "waivers": ["gate", "report.json", "--waivers", "NODE"],
    "baseline": ["gate", "report.json", "--baseline", "NODE"],
    "shown baseline": ["baseline", "show", "NODE"],
    "accepted report": ["baseline", "accept", "NODE"],
    "ratings": ["data", "import", "shop", "--name", "x", "--interactions", "NODE"],
    "catalogue": ["data", "import", "shop", "--name", "x", "--items", "NODE"],
    "checkpoint": ["audit", "-m", "vbpr", "-s", "vanilla", "-d", "shop", "--checkpoint", "NODE", *QUIET],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_not_a_file_is_refused_and_not_waited_for(place, kind, report, shop, tmp_path, capsys):
    node = tmp_path / "node.toml"
    if kind == "pipe":
        os.mkfifo(node)
    else:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(node))
    refused([str(node) if each == "NODE" else each for each in PLACES[place]], capsys)


@pytest.mark.parametrize("name", ["image_feat.npy", "tiny.inter", "dataset.toml"])
def test_a_pipe_in_the_folder_of_a_data_set_is_refused(name, shop, capsys):
    (shop / name).unlink(missing_ok=True)
    os.mkfifo(shop / name)
    refused(["data", "describe", str(shop)], capsys)


def test_features_with_an_unbalanced_header(shop, capsys):
    header = b"{'descr':'<f4','fortran_order':False,'shape':((60,8)\n"
    (shop / "image_feat.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    for arguments in (
        ["data", "describe", str(shop)],
        ["data", "import", str(shop), "--name", "x"],
        ["encode", "-d", str(shop), "-f", "imported", *QUIET],
        ["audit", "-m", "vbpr", "-d", str(shop), "-f", "imported", *QUIET],
    ):
        assert "image_feat.npy" in refused(arguments, capsys)


@pytest.mark.parametrize(
    "line",
    [
        'name = "a\\u0000b"',
        '[files]\ninteractions = "a\\u0000b"',
        "[counts]\nusers = 99999999999\nitems = 60\ninteractions = 720",
        "[counts]\nusers = " + "9" * 5000,
        "a = " + "[" * 9000,
        "a = " + ".a" * 9000,
        "\x00",
    ],
)
def test_manifests_that_ended_in_tracebacks(line, shop, capsys):
    (shop / "dataset.toml").write_text(f"schema_version = 1\n{'' if line.startswith('name') else chr(10)}{line}\n")
    refused(["data", "describe", str(shop)], capsys)
    (shop / "dataset.toml").write_text(f'schema_version = 1\nname = "tiny"\n{line}\n')
    refused(["data", "describe", str(shop)], capsys)


@pytest.mark.parametrize(
    "text",
    [
        "seeds = 99999999999",
        "seed = 99999999999999999999999",
        "threads = 99999999999",
        "set = 5",
        "set = [1]",
        'home = "a\\u0000b"',
        "model = [3]",
        "x = " + "9" * 5000,
        "x = " + "{a=" * 9000,
    ],
)
def test_settings_that_ended_in_tracebacks(text, tmp_path, capsys):
    (tmp_path / "robustrec.toml").write_text(text)
    refused(["config", "show"], capsys)
    (tmp_path / "robustrec.toml").unlink()
    (tmp_path / "pyproject.toml").write_text(f"[tool.robustrec]\n{text}\n")
    refused(["config", "show"], capsys)


def test_a_tool_section_that_is_not_a_table(tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text("[tool]\nrobustrec = 5\n")
    refused(["config", "show"], capsys)
    (tmp_path / "pyproject.toml").write_text("tool = 5\n")
    assert run(["config", "show"]) == 0


@pytest.mark.parametrize("option", ["learning_rate=Infinity", "learning_rate=inf", "batch_size=99999999999999"])
def test_settings_of_training_are_finite(option, shop, capsys):
    arguments = ["audit", "-m", "vbpr", "-d", str(shop), "--set", f"training.{option}", "--dry-run"]
    refused(arguments, capsys)


def test_arguments_with_nul(report, capsys):
    for arguments in (["report", "show", "a\0b"], ["gate", report, "--output-format", "json:a\0b"], ["list", "a\0"]):
        assert "NUL" in refused(arguments, capsys)


def test_names_that_are_too_long(capsys):
    for arguments in (
        ["data", "describe", "a" * 300],
        ["report", "show", "a" * 5000],
        ["gate", "x", "--suite", "a" * 300],
    ):
        refused(arguments, capsys)


def test_checkpoints_without_names_or_numbers(tmp_path):
    for content in (
        {0: torch.ones(2)},
        {"a": torch.ones(2, device="meta")},
        {"a": torch.ones(2).to_sparse()},
        {"state_dict": {("a",): torch.ones(1)}},
        [torch.ones(2)],
    ):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(RobustrecError, match="plain tensors"):
            read_state(tmp_path / "a.pth")


def test_outputs_keep_links_and_pipes_and_overwrite_no_input(report, tmp_path, capsys):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link.json").symlink_to("kept/report.json")
    assert run(["report", "convert", report, "--output-format", "json:link.json"]) == 0
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "kept" / "report.json").is_file()
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert run(["gate", report, "--output-format", "markdown:pipe"]) == 0
    assert os.read(reader, 1 << 16).startswith(b"#")
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    before = Path(report).read_bytes()
    for arguments in (
        ["report", "convert", report, "--output-format", f"html:{report}"],
        ["gate", report, "--output-format", "json:report.json"],
        ["gate", report, "--suite", "suite.toml", "--output-format", "json:suite.toml"],
        ["baseline", "accept", report, "--output", report],
        ["compare", report, report, "--html", report],
        ["report", "convert", report, "--output-format", "html:a", "--output-format", "csv:./a"],
    ):
        refused(arguments, capsys)
    assert Path(report).read_bytes() == before
    assert (tmp_path / "suite.toml").read_text() == SUITE


def test_an_output_in_place_of_a_folder_or_below_a_file_is_refused(report, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    for path in ("folder", f"{report}/below"):
        refused(["report", "convert", report, "--output-format", f"html:{path}"], capsys)
        refused(["baseline", "accept", report, "--output", path], capsys)
        refused(["list", "edits", "--sheet", f"{path}.png" if path != "folder" else "folder"], capsys)


def test_arrays_of_a_baseline_without_users(report, tmp_path, capsys):
    beside = tmp_path / "report.users.npz"
    with np.load(beside) as arrays:
        held = {name: arrays[name] for name in arrays.files if name != "users"}
    np.savez(beside, **held)
    assert "does not match the report" in refused(["baseline", "accept", report], capsys)
