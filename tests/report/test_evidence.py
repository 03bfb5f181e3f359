"""Evidence packs: what is in them, their bytes, and that every planted fault is refused."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from evidence_packs import changed, other_arrays, packed, resealed, unsigned
from measured_report import written

from robustrec.cli.main import run
from robustrec.evidence.pack import ARRAYS, MANIFEST, PUBLIC_KEY, REPORT, SIGNATURE, pack_of, zip_of
from robustrec.evidence.verify import RefusedError, verify
from robustrec.files import digest_json
from robustrec.results.planned import criteria_digest
from robustrec.untrusted.archives import stored_files

pytest.importorskip("cryptography")
from robustrec.evidence.signing import make_keys, read_private_key, read_public_key


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make_keys(folder / f"{name}.pem")
    return folder


@pytest.fixture(scope="module")
def signed(tmp_path_factory, keys):
    """A signed pack, as bytes."""
    folder = tmp_path_factory.mktemp("pack")
    return packed(folder, operator="Ana", key=read_private_key(keys / "ours.pem")).read_bytes()


@pytest.fixture
def pack(signed, tmp_path):
    path = tmp_path / "pack.zip"
    path.write_bytes(signed)
    return path


def refusal(pack, **options):
    with pytest.raises(RefusedError) as refused:
        verify(pack, **options)
    return str(refused.value)


def test_a_pack_is_verified_and_its_numbers_are_counted(pack, keys):
    found = verify(pack, key=read_public_key(keys / "ours.pub.pem"))
    assert found.expected
    assert found.manifest.operator == "Ana"
    assert set(found.numbers.from_arrays) == {"clean", "noise"}
    assert found.numbers.from_arrays.total() > 60
    assert not found.numbers.stated.total()


def test_equal_input_gives_equal_bytes(tmp_path, signed, keys):
    path = written(tmp_path)
    again = pack_of(path, operator="Ana", key=read_private_key(keys / "ours.pem"))[0]
    assert again == pack_of(path, operator="Ana", key=read_private_key(keys / "ours.pem"))[0]
    names = zipfile.ZipFile(packed(tmp_path)).namelist()
    assert names == sorted(names)
    assert {REPORT, ARRAYS, MANIFEST, "plan.json", "waivers.json", "limits.md", "method.md", "headings.md"} <= {*names}
    assert stored_files(signed)[REPORT] == path.read_bytes() or json.loads(path.read_bytes())


def test_one_changed_byte_of_any_file_is_refused(pack, signed):
    for name, content in stored_files(signed).items():
        place = len(content) // 2
        other = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        changed(pack, lambda files, name=name, other=other: files.update({name: other}),
                listed_again=False, documents_again=False)  # fmt: skip
        assert refusal(pack), name
        pack.write_bytes(signed)


def test_changed_bytes_between_the_files_are_refused(pack, signed):
    """Those of the zip itself: dates, attributes, comments, what stands before or behind it."""
    at = signed.rindex(b"PK\x01\x02")
    for data in (signed[: at + 12] + b"\x01" + signed[at + 13 :], signed + b"\x00", signed[:-2] + b"\x01\x00x"):
        pack.write_bytes(data)
        assert run(["evidence", "verify", str(pack)]) != 0


@pytest.mark.parametrize("name", [REPORT, ARRAYS, "waivers.json", SIGNATURE, PUBLIC_KEY])
def test_a_missing_file_is_refused(pack, name):
    changed(pack, lambda files: files.pop(name), listed_again=False, documents_again=False)
    assert "missing" in refusal(pack) or name in refusal(pack)


def test_an_additional_file_is_refused_even_in_the_manifest(pack):
    changed(pack, lambda files: files.update({"more.txt": b"x"}), listed_again=False)
    assert "more.txt is in the pack, but not in the manifest" in refusal(pack)
    changed(pack, unsigned)
    assert "other files" in refusal(pack)


def test_a_signature_by_another_key_is_refused(tmp_path, pack, keys):
    theirs, key = packed(tmp_path, key=read_private_key(keys / "theirs.pem")), read_public_key(keys / "ours.pub.pem")
    verify(theirs)
    assert "not by the expected one" in refusal(theirs, key=key)
    assert "not signed" in refusal(packed(tmp_path), key=key)


def test_a_signature_of_other_content_is_refused(pack):
    changed(pack, lambda files: resealed(files, lambda data: data.update(command=["other"])))
    assert "the signature is not one of this manifest" in refusal(pack)


def test_a_finding_that_was_changed_with_all_digests_is_refused(pack):
    """Its interval is narrower, which no mean of the arrays contradicts."""

    def narrower(data):
        row = next(each for each in data["findings"] if each["audit"] == "noise")
        row["ci_low"] += 1e-6 * abs(row["ci_low"])

    changed(pack, lambda files: (unsigned(files), resealed(files, narrower)))
    assert "ci_low of ndcg@20" in refusal(pack)


@pytest.mark.parametrize("field", ["users_lose", "n_changed", "degrees", "relative_ci_high", "n_draws", "n_users"])
def test_every_number_of_a_finding_is_compared(pack, field):
    def other(data):
        row = next(each for each in data["findings"] if each["audit"] == "noise")
        row[field] = row[field] + 1 if isinstance(row[field], int) else row[field] * (1 + 1e-7)

    changed(pack, lambda files: (unsigned(files), resealed(files, other)))
    assert f"{field} of ndcg@20" in refusal(pack)


def test_a_removed_finding_is_refused(pack):
    def without(data):
        place = next(at for at, each in enumerate(data["findings"]) if each["metric"] == "rbo@20")
        del data["findings"][place]

    changed(pack, lambda files: (unsigned(files), resealed(files, without)))
    assert "no finding has it" in refusal(pack)


def test_changed_arrays_are_refused(pack):
    def other(arrays):
        name = next(each for each in arrays if "noise" in each and "ndcg" in each)
        arrays[name][:, :2] = arrays[name][:, 1::-1]  # two users exchange their values: no mean differs

    changed(pack, lambda files: (unsigned(files), other_arrays(files, other)))
    assert "from the arrays" in refusal(pack)


def test_a_changed_document_is_refused_with_its_manifest_made_again(pack):
    for name in ("waivers.json", "plan.json", "README.md", "limits.md"):
        changed(pack, lambda files, name=name: (SIGNATURE in files and unsigned(files),
                                                files.update({name: files[name] + b" "})),
                documents_again=False)  # fmt: skip
        assert f"{name} is not what the report gives" in refusal(pack)


def test_a_suite_that_was_changed_after_the_plan_is_refused(pack):
    """With its digest, the digests of the report, its documents and the manifest made again."""

    def lower(data):
        data["suite"]["content"]["gates"][0]["min"] = data["gates"][0]["min"] = -0.95
        data["suite"]["digest"] = digest_json(data["suite"]["content"])

    changed(pack, lambda files: (unsigned(files), resealed(files, planned)))
    assert not any("before the run" in note for note in verify(pack).notes)
    changed(pack, lambda files: resealed(files, lower))
    assert "the criteria of the report differs from the plan" in refusal(pack)


def planned(data):
    """Give a report the record of its plan."""
    suite = data["suite"]
    data["planned"] = {
        "time": "2020-01-01T00:00:00Z",
        "robustrec": "0.2.0",
        "suite": suite["name"],
        "suite_digest": suite["digest"],
        "criteria_digest": criteria_digest(suite["content"]),
        "dataset_digest": data["dataset"]["digest"],
        "seeds": data["seeds"],
    }


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"suite_digest": "0" * 64}, "the suite of the report differs"),
        ({"criteria_digest": "0" * 64}, "the criteria of the report differs"),
        ({"dataset_digest": "0" * 64}, "the data set of the report differs"),
        ({"seeds": {"audit": 1}}, "the seed of the audit of the report differs"),
        ({"time": "2090-01-01T00:00:00Z"}, "the plan is later than the report"),
    ],
)
def test_a_plan_of_something_else_is_refused(pack, changes, says):
    def other(data):
        planned(data)
        data["planned"].update(changes)

    changed(pack, lambda files: (unsigned(files), resealed(files, other)))
    assert says in refusal(pack)


def test_a_waiver_that_the_plan_does_not_have_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path)
    files = {"report.json": path.read_bytes()}
    resealed(files, planned)
    path.write_bytes(files["report.json"])
    waiver = '[[waivers]]\ngate = "stands noise"\nowner = "Ana"\nreason = "known"\nexpires = 2126-01-01\n'
    (tmp_path / "waivers.toml").write_text(waiver)
    run(["gate", "report.json", "--waivers", "waivers.toml", "--output-format", "json:waived.json"])
    assert run(["evidence", "waived.json", "--out", "w.zip"]) == 0
    assert json.loads(stored_files((tmp_path / "w.zip").read_bytes())["waivers.json"])[0]["owner"] == "Ana"
    capsys.readouterr()
    assert run(["evidence", "verify", "w.zip", "--json"]) == 0
    assert "waiver of 'stands noise' was added after the plan" in str(json.loads(capsys.readouterr().out)["notes"])


def zipped(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, method
            archive.writestr(entry, content)


def test_links_paths_outside_and_bombs_are_refused(tmp_path, signed):
    files = stored_files(signed)
    path, regular = tmp_path / "hostile.zip", stat.S_IFREG | 0o644
    known = [(name, content, regular) for name, content in files.items()]
    zipped(path, [*known, ("../outside.txt", b"x", regular)])
    assert "outside" in refusal(path)
    zipped(path, [*known, ("link", b"/etc/passwd", stat.S_IFLNK | 0o777)])
    assert "a link" in refusal(path)
    zipped(path, [(REPORT, b"0" * 50_000_000, regular)], zipfile.ZIP_DEFLATED)
    assert "larger than the archive" in refusal(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(path, [*known, (REPORT, files[REPORT], regular)])
    assert "two entries" in refusal(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hostile.zip"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", None])
def test_what_is_no_pack_is_unusable_or_refused(tmp_path, content):
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)
    assert run(["evidence", "verify", str(path)]) == (1 if content == b"PK" else 2)
    path.write_bytes(zip_of({"a.txt": b"x"}))
    assert run(["evidence", "verify", str(path)]) == 2


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    assert run(["evidence", "keygen", "--output=key.pem"]) == 0
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    held = (tmp_path / "key.pem").read_bytes()
    assert run(["evidence", "keygen", "--out", "key.pem"]) == 2
    assert (tmp_path / "key.pem").read_bytes() == held
    assert run(["evidence", "report.json", "--output", "a.zip"]) == 0
    assert run(["evidence", "pack", "report.json", "--out", "b.zip", "--key", "key.pem"]) == 0
    assert run(["evidence", "verify", "a.zip"]) == 0
    assert "signature    none" in capsys.readouterr().out
    assert run(["evidence", "verify", "a.zip", "--public-key", "key.pub.pem"]) == 1
    assert "REFUSED" in capsys.readouterr().out
    assert run(["evidence", "verify", "b.zip", "--public-key", "key.pub.pem", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["verified"]
    assert facts["key_expected"]
    assert facts["numbers"]["recomputed"]["noise"]
    (tmp_path / "report.users.npz").unlink()
    assert run(["evidence", "report.json", "--out", "c.zip"]) == 2
    assert not (tmp_path / "c.zip").exists()


def test_a_pack_of_a_report_of_an_older_schema_counts_what_it_cannot_recompute(tmp_path):
    """Its findings have no arrays here, and its conditions are labels."""
    data = json.loads((Path(__file__).parent / "data" / "report-v2.json").read_text())
    buffer = io.BytesIO()
    np.savez(buffer, users=np.arange(3))
    (tmp_path / "old.users.npz").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    data |= {"arrays": {"file": "old.users.npz", "digest": digest}, "judgement": None}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data))
    (tmp_path / "old.zip").write_bytes(pack_of(path)[0])
    found = verify(tmp_path / "old.zip")
    assert found.numbers.stated.total() > 0
    assert found.numbers.from_arrays.total() == 0
    assert any("no record from before the run" in note for note in found.notes)


def test_an_array_that_a_run_writes_may_not_be_missing(pack):
    """Else a changed finding would only count as not recomputed."""

    def without(arrays):
        del arrays[next(each for each in arrays if "noise" in each and "ndcg" in each)]

    changed(pack, lambda files: (unsigned(files), resealed(files, planned), other_arrays(files, without)))
    assert "there are no raw arrays of ndcg@20" in refusal(pack)
