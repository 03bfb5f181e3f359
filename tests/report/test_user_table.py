"""Per-user values as Parquet: what stands beside the report, in float32, a row for each user, by chunks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_up_report import made_up_report

from robustrec.audits.outcome import write_outcome
from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.report.forms import user_table
from robustrec.report.forms.user_table import write_user_table
from robustrec.results.report import ArraysRecord, Report, read_report

pq = pytest.importorskip("pyarrow.parquet")
USERS = np.array([3, 5, 8, 9, 20])
ARRAYS = {
    "users": USERS,
    "users|cold_items": np.array([5, 20]),
    "m|clean|test|ndcg@20": np.array([0.1, 0.2, 0.3, 1 / 3, 0.5]),
    "m|noise|sigma2=1|ndcg@20": np.arange(15.0).reshape(3, 5),
    "m|clean|test|ndcg@20_cold_items": np.array([0.25, 0.75]),
    "m|noise|sigma2=1|ndcg@20_cold_items": np.arange(6.0).reshape(3, 2),
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    import hashlib

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **ARRAYS)
    data = buffer.getvalue()
    record = ArraysRecord(file="x", digest=hashlib.sha256(data).hexdigest())
    path = tmp_path / "report.json"
    write_outcome(made_up_report().model_copy(update={"arrays": record}), data, path)
    return path


def written_by(path: Path, target: Path) -> Report:
    report = read_report(path)
    assert write_user_table(report, path, target) == 5
    return report


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_every_user_has_a_row_with_every_value(written: Path, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_table, "ROWS", rows)
    target = written.with_name("users.parquet")
    written_by(written, target)
    file = pq.ParquetFile(target)
    assert file.num_row_groups == -(-5 // rows)
    table = file.read()
    assert table.column_names == ["user", *(name for name in ARRAYS if not name.startswith("users"))]
    found = table.to_pydict()
    assert found["user"] == USERS.tolist()
    assert found["m|clean|test|ndcg@20"] == np.float32([0.1, 0.2, 0.3, 1 / 3, 0.5]).tolist()
    assert str(table.schema.field("m|clean|test|ndcg@20").type) == "float"
    assert found["m|noise|sigma2=1|ndcg@20"] == ARRAYS["m|noise|sigma2=1|ndcg@20"].T.tolist()
    assert found["m|clean|test|ndcg@20_cold_items"] == [None, 0.25, None, None, 0.75]
    assert found["m|noise|sigma2=1|ndcg@20_cold_items"] == [None, [0.0, 2.0, 4.0], None, None, [1.0, 3.0, 5.0]]


def test_without_arrays_nothing_is_written(written: Path) -> None:
    written.with_name("report.users.npz").unlink()
    with pytest.raises(RobustrecError, match="no per-user arrays beside the report"):
        written_by(written, written.with_name("users.parquet"))
    assert not written.with_name("users.parquet").exists()


def test_an_error_while_it_is_written_leaves_the_earlier_file(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written.with_name("users.parquet")
    target.write_bytes(b"earlier")
    monkeypatch.setattr(user_table, "ROWS", 2)
    kept, calls = user_table._cells, list[int]()

    def broken(*given: object) -> object:
        calls.append(1)
        if len(calls) > 6:
            raise OSError(28, "No space left on device")
        return kept(*given)

    monkeypatch.setattr(user_table, "_cells", broken)
    with pytest.raises(RobustrecError, match="No space left"):
        written_by(written, target)
    assert target.read_bytes() == b"earlier"
    assert sorted(each.name for each in written.parent.iterdir()) == [
        "report.json",
        "report.users.npz",
        "users.parquet",
    ]


def test_the_command_writes_it_and_does_not_replace_its_input(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = written.with_name("report.users.npz")
    assert run(["report", "users", str(written), "--output", str(written.with_name("u.parquet"))]) == 0
    assert pq.read_metadata(written.with_name("u.parquet")).num_rows == 5
    assert "5 users written to" in capsys.readouterr().err
    before = beside.read_bytes()
    assert run(["report", "users", str(written), "--output", str(beside)]) == 2
    assert beside.read_bytes() == before
