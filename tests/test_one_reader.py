"""Files that may be damaged or hostile are opened in one place, and everything is printed through one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "robustrec"

READERS = {
    "np.load": "untrusted.open_npy or untrusted.read_npz",
    "np.lib.format.open_memmap": "untrusted.open_npy",
    "np.lib.format.read_magic": "untrusted.read_npy_header",
    "np.fromfile": "untrusted.read_bytes",
    "json.load": "untrusted.read_json",
    "json.loads": "untrusted.parse_json",
    "tomllib.load": "untrusted.read_toml",
    "tomllib.loads": "untrusted.parse_toml",
    "pickle.load": "nothing: pickles are programs",
    "pickle.loads": "nothing: pickles are programs",
    "torch.load": "runs.external.read_state",
    "zipfile.ZipFile": "datasets.pictures.open_zip",
    "Console": "cli.terminal.data_console",
    "print": "streams.write_text",
    "typer.echo": "streams.write_text",
    "sys.stdout.write": "streams.write_text",
    "sys.stdout.buffer.write": "streams.write_bytes",
    "sys.stderr.write": "cli.terminal.say",
}

EXCEPTIONS = {
    ("untrusted/documents.py", "json.loads"): "it is the reader",
    ("untrusted/documents.py", "tomllib.loads"): "it is the reader",
    ("untrusted/arrays.py", "zipfile.ZipFile"): "it is the reader",
    ("untrusted/archives.py", "zipfile.ZipFile"): "it is the reader of archives",
    ("datasets/pictures.py", "zipfile.ZipFile"): "it is the reader of pictures",
    ("evidence/pack.py", "zipfile.ZipFile"): "it writes",
    ("datasets/picture_copies.py", "zipfile.ZipFile"): "it writes",
    ("datasets/stored_pictures.py", "zipfile.ZipFile"): "it writes",
    ("datasets/shop/formats.py", "zipfile.ZipFile"): "it writes",
    ("datasets/formats/json_lines.py", "json.loads"): "one line at a time; NaN stands for a missing text",
    ("results/baseline.py", "json.loads"): "what pydantic has just written",
    ("checkpoint_files.py", "json.loads"): "a header under the digest of a checkpoint",
    ("encoders/row_store.py", "json.loads"): "content under its digest",
    ("runs/external.py", "torch.load"): "it is the reader, with weights_only=True",
    ("encoders/sentence_modules.py", "torch.load"): "weights of a Dense module, with weights_only=True",
    ("encoders/lite0.py", "torch.load"): "a file of the installed package or of the user, with weights_only=True",
    ("encoders/cnn.py", "torch.load"): "a file that torchvision has fetched and checked, with weights_only=True",
    ("runs/edit_pools.py", "np.lib.format.open_memmap"): "it writes a new file",
    ("engine/local.py", "json.loads"): "messages of a process that it started",
    ("engine/on_ray.py", "json.loads"): "messages of processes of the same command",
    ("engine/ray_link.py", "json.loads"): "messages of processes of the same command",
    ("engine/ray_worker.py", "json.loads"): "messages of processes of the same command",
    ("engine/spread.py", "json.loads"): "messages of processes of the same command",
    ("engine/worker.py", "json.loads"): "messages of the process that started it",
    ("cli/terminal.py", "Console"): "it makes the consoles",
    ("streams.py", "sys.stdout.write"): "it is the writer",
    ("streams.py", "sys.stderr.write"): "it is the writer",
}


def _calls(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


@cache
def _found() -> dict[tuple[str, str], int]:
    return {
        (path.relative_to(PACKAGE).as_posix(), name): line
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, line in _calls(path)
        if name in READERS
    }


def test_nothing_else_opens_untrusted_files_or_prints():
    stray = [
        f"robustrec/{file}:{line} calls {name}; use {READERS[name]}"
        for (file, name), line in _found().items()
        if (file, name) not in EXCEPTIONS
    ]
    assert not stray, "\n".join(stray)


@pytest.mark.parametrize("exception", EXCEPTIONS, ids="-".join)
def test_exceptions_are_needed(exception):
    assert exception in _found()
