"""Damaged .npy and .npz files: an error in three parts or the array, never anything else."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import lzma
import struct
from pathlib import Path

import numpy as np
import pytest
from fuzzing import TOKENS, fuzzed, mutations
from hypothesis import strategies as st

from robustrec.datasets.feature_files import check_finite, open_features
from robustrec.datasets.user_graph import UserGraph, read_user_graph
from robustrec.encoders.imported import read_table
from robustrec.errors import RobustrecError
from robustrec.results.arrays import Packed, unpacked
from robustrec.untrusted import UnreadableError, read_npz


def npy(array: np.ndarray, version=None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    return stream.getvalue()


def npz(save, **arrays) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


TABLE = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
TABLES = [npy(TABLE), npy(TABLE.astype(np.float64), (2, 0)), npy(np.asfortranarray(TABLE), (3, 0))]
GRAPH = UserGraph(np.array([0, 1, 2, 2]), np.array([1, 0]), np.array([2, 2]))
GRAPHS = [npz(save, **GRAPH._asdict()) for save in (np.savez, np.savez_compressed)]
DICTS = [npy(np.array({0: [[1], [2.0]], 1: [[0], [2.0]], 2: [[], []]}, dtype=object))]
USERS = [
    npz(save, users=np.arange(4), **{"a|clean|test|ndcg@20": np.ones(4)}) for save in (np.savez, np.savez_compressed)
]

KEYS = st.sampled_from(["'descr'", "'fortran_order'", "'shape'", "'x'", "1"])
PARTS = st.sampled_from(
    [
        *(
            "'<f4'",
            "'|O'",
            "'<f99'",
            "[('a','<f4')]",
            "False",
            "True",
            "1",
            "(6, 4)",
            "(6,4",
            "(-1,4)",
            "()",
            "((6, 4)",
        ),
        *("(6L, 4L)", f"({2**62}, {2**62})", "(True, 4)", "(6.0, 4)", "'\\d'", "__import__('os')", "-" * 900 + "1"),
    ]
)
HEADERS = st.lists(st.tuples(KEYS, PARTS), min_size=2, max_size=4).map(
    lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + ", }\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def _read_tables(content: bytes, place: Path) -> None:
    path = place / "image_feat.npy"
    path.write_bytes(content)
    with contextlib.suppress(RobustrecError):
        table = open_features(path, 6)
        check_finite(path, table)
        assert table.shape[0] == 6
    with contextlib.suppress(RobustrecError):
        assert read_table(path, 6, "image").isfinite().all()


@fuzzed(mutations(TABLES))
def test_feature_files(place, content):
    _read_tables(content, place)


@fuzzed(HEADERS, st.sampled_from([1, 2, 3, 4]), st.sampled_from(TOKENS))
def test_headers_of_feature_files(place, header, version, token):
    raw = header.encode() + token
    length = struct.pack("<H" if version == 1 else "<I", min(len(raw), 65535))
    _read_tables(b"\x93NUMPY" + bytes([version, 0]) + length + raw + TABLE.tobytes(), place)


@fuzzed(mutations(GRAPHS) | mutations(DICTS))
def test_user_graphs(place, content):
    for name in ("user_graph.npz", "user_graph_dict.npy"):
        (place / name).write_bytes(content)
        with contextlib.suppress(RobustrecError):
            assert len(read_user_graph(place / name, 3).starts) == 4


@fuzzed(mutations(USERS))
def test_arrays_of_a_baseline(content):
    with contextlib.suppress(UnreadableError):
        read_npz(content, most=1 << 20)
    data = lzma.compress(content)
    record = Packed(form="draws", digest=hashlib.sha256(data).hexdigest(), data=base64.b64encode(data).decode())
    with contextlib.suppress(RobustrecError):
        assert "users" in unpacked(record, source="baseline.json")


@fuzzed(mutations([lzma.compress(USERS[0])]))
def test_compressed_arrays_of_a_baseline(data):
    record = Packed(form="draws", digest=hashlib.sha256(data).hexdigest(), data=base64.b64encode(data).decode())
    with contextlib.suppress(RobustrecError):
        assert "users" in unpacked(record, source="baseline.json")
