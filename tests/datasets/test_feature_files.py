from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robustrec.datasets import feature_files
from robustrec.datasets.feature_files import check_finite, open_features
from robustrec.errors import RobustrecError


def saved(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4"])
def test_tables_are_mapped_not_loaded(tmp_path: Path, dtype: str) -> None:
    table = open_features(saved(tmp_path / "x.npy", np.ones((4, 3), dtype=dtype)), 4)
    assert isinstance(table, np.memmap)
    assert table.shape == (4, 3)
    check_finite(tmp_path / "x.npy", table)


WRONG = {
    "rows": (np.ones((5, 3), dtype=np.float32), "expected 4 feature rows, one per item, but got 5"),
    "one dimension": (np.ones(4), r"got float64 \(4,\)"),
    "integers": (np.ones((4, 3), dtype=np.int64), r"got int64"),
    "no columns": (np.ones((4, 0)), r"got float64 \(4, 0\)"),
    "texts": (np.full((4, 3), "x"), "got <U1"),
    "objects": (np.full((4, 3), None), "cannot read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_shapes_and_types_are_errors(tmp_path: Path, case: str) -> None:
    array, what = WRONG[case]
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(RobustrecError, match=what) as caught:
        open_features(path, 4)
    assert caught.value.where == str(path)


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.ones((4, 3)))
    whole = path.read_bytes()
    for content in (b"", b"\x80\x04N.", whole[:50], whole[:-1], whole[:8] + b"\xff\xff" + whole[10:], b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(RobustrecError):
            open_features(path, 4)
    with pytest.raises(RobustrecError, match="cannot read"):
        open_features(tmp_path / "none.npy", 4)
    archive = tmp_path / "y.npz"
    np.savez(archive, a=np.ones((4, 3)))
    with pytest.raises(RobustrecError, match="cannot read"):
        open_features(archive, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_float32_cannot_hold_name_their_row(
    tmp_path: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "CHUNK_VALUES", 6)  # so that the value lies in the second piece
    table = np.ones((5, 3))
    table[3, 1] = value
    path = saved(tmp_path / "x.npy", table)
    with pytest.raises(RobustrecError, match="of item 3") as caught:
        check_finite(path, open_features(path, 5))
    assert "row 3, column 1" in caught.value.where
