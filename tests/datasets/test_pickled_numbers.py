"""Pickles that are read as data: what must not run does not, and damage is an error."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pickled_files import framed, saved

from robustrec.datasets import pickled_numbers, user_graph
from robustrec.datasets.pickled_numbers import UnreadableError, read_pickled_numbers
from robustrec.datasets.user_graph import UserGraph, read_user_graph, write_user_graph
from robustrec.errors import RobustrecError

TABLE = {0: [[2, 1], [3.0, 2.0]], 1: [[], []], 2: [[0], [1.0]]}


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    """Pickles by its name."""


def attacks(target: Path) -> dict[str, bytes]:
    touch = f"touch {target}"
    row = [[0], [1.0]]
    objects = {
        "os.system": Calls(os.system, touch),
        "subprocess": Calls(subprocess.call, ["touch", str(target)]),
        "eval": Calls(eval, f"open({str(target)!r}, 'w')"),
        "open": Calls(open, str(target), "w"),
        "numpy.save": Calls(np.save, str(target), [1]),
        "numpy.load": Calls(np.load, str(target)),
        "torch": torch.zeros(2),
        "an object": Plain(),
        "a set": {1, 2},
        "a subclass": OrderedDict(row=row),
        "a class": Plain,
    }
    found = {
        f"{name} in protocol {p}": pickle.dumps({0: [[0], [value]]}, p)
        for name, value in objects.items()
        for p in (2, 3, 4, 5)
    }
    found |= {
        "text protocol": pickle.dumps({0: [[0], [Calls(os.system, touch)]]}, 0),
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "newobj": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "persistent": b"\x80\x02Pabc\n.",
        "extension": b"\x80\x02\x82\x01.",
        "a method of a name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",
        "module with dots": b"\x80\x04\x8c\x0bnumpy.ma.os\x8c\x06system\x93.",
        "text for a name": b"\x80\x04\x8c\x0c_reconstruct)R.",
        "build on a dict": b"\x80\x04}}b.",
        "reduce of a list": b"\x80\x04])R.",
    }
    return found


@pytest.mark.parametrize("attack", list(attacks(Path("x"))))
def test_malicious_files_do_not_run(tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "ran"
    content = attacks(target)[attack]
    monkeypatch.setattr(pickle, "loads", _refuse)
    monkeypatch.setattr(pickle, "load", _refuse)
    with pytest.raises(RobustrecError) as caught:
        read_user_graph(framed(tmp_path / "g.npy", content), 1)
    assert not target.exists()
    assert "mv " in caught.value.fix
    assert str(tmp_path) in caught.value.where


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("unpickled")


def test_the_name_that_was_not_followed_is_in_the_error(tmp_path: Path) -> None:
    path = framed(tmp_path / "g.npy", attacks(tmp_path / "ran")["os.system in protocol 4"])
    with pytest.raises(RobustrecError, match=r"system, which could execute code"):
        read_user_graph(path, 1)


def test_a_file_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    whole = saved(tmp_path / "g.npy", {0: [np.arange(3), [1.0, 2.0, np.float32(1)]], 1: [[], []]}).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.npy").write_bytes(whole[:length])
        with pytest.raises(RobustrecError, match="cannot read the user graph"):
            read_user_graph(tmp_path / "cut.npy", 2)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_pickles_are_read_or_refused(data: st.DataObject) -> None:
    """Whatever bytes are changed: numbers, or an error that says so; never another exception."""
    content = bytearray(pickle.dumps({0: [np.arange(3), [np.float32(2), 1]], 1: [[7], (0.5,)]}, protocol=4))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableError):
        read_pickled_numbers(bytes(content))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(UnreadableError):
        read_pickled_numbers(content)


def test_nesting_and_size_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableError, match="nested too deeply"):
        read_pickled_numbers(b"\x80\x04" + b"(" * 100_000 + b".")
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep, 1]
    with pytest.raises(UnreadableError, match="nested too deeply"):
        read_pickled_numbers(pickle.dumps(deep, 4))
    path = saved(tmp_path / "g.npy", TABLE)
    monkeypatch.setattr(user_graph, "MAX_BYTES", 100)
    with pytest.raises(RobustrecError, match="more than 100"):
        read_user_graph(path, 3)


def test_an_archive_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros(100_000, np.int64)
    write_user_graph(tmp_path / "g.npz", UserGraph(zeros, zeros, zeros))
    monkeypatch.setattr(user_graph, "MAX_BYTES", 100_000)
    assert (tmp_path / "g.npz").stat().st_size < 100_000
    with pytest.raises(RobustrecError, match="its arrays have more"):
        read_user_graph(tmp_path / "g.npz", 3)


def test_reading_needs_neither_torch_nor_the_pickle_module() -> None:
    code = "import sys\nfrom robustrec.datasets.user_graph import read_user_graph\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    nodes = list(ast.walk(ast.parse(Path(pickled_numbers.__file__).read_text())))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    assert "pickletools" in used
    assert not used & {"pickle", "importlib", "__import__", "eval", "exec", "compile", "getattr"}
