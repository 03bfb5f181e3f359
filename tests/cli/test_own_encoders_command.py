"""User-defined encoders as a user meets them: the examples of the documentation, audits of edits, exit codes."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from robustrec.cli.main import run
from robustrec.encoders.own import own_encoder

DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs" / "own-encoders.md"
TRAINING = ["-m", "vbpr", "-s", "vanilla", "--set", "training.max_epochs=2", "--set", "training.batch_size=128"]
SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "merchant"
edits = ["truncation", "promo_badge"]
severities = [5]
shares = [0.5]
draws = 2
[[audits]]
kind = "encoder"
edits = ["truncation", "promo_badge"]
severities = [5]
items = 20
[[gates]]
name = "lists keep under edits"
select = { audit = "merchant", metric = "rbo@20" }
quantity = "drift"
min = -0.99
"""
WORDS = ("steel", "linen", "oak", "wool", "glass", "red", "green", "blue", "large", "small", "classic", "modern")


def examples() -> list[str]:
    """Return the Python sources of the documentation: a local encoder and one behind HTTP."""
    return re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the MMRec layout with a catalog: 40 users, 30 items with titles and pictures."""
    return make_shop(tmp_path_factory.mktemp("shop"))


def make_shop(folder: Path) -> Path:
    random = np.random.default_rng(3)
    rows = ["userID\titemID\trating\ttimestamp\tx_label"]
    for user in range(40):
        rows += [
            f"{user}\t{item}\t5.0\t{n}\t{(2, 1, 0)[min(n, 2)]}" for n, item in enumerate(random.permutation(30)[:8])
        ]
    (folder / "shop.inter").write_text("\n".join(rows) + "\n")
    (folder / "pictures").mkdir()
    lines = []
    for item in range(30):
        title = " ".join(random.permutation(WORDS)[:6])
        lines.append(json.dumps({"id": str(item), "title": title, "description": f"{title}, number {item}."}))
        picture = Image.new("RGB", (60, 80), tuple(random.integers(0, 255, 3).tolist()))
        ImageDraw.Draw(picture).ellipse((5, 5 + item, 40, 40 + item), fill=tuple(random.integers(0, 255, 3).tolist()))
        picture.save(folder / "pictures" / f"{item}.png")
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder with the documented encoders and weights, whose modules are forgotten afterwards."""
    monkeypatch.setenv("ROBUSTREC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "suite.toml").write_text(SUITE)
    local, service = examples()
    (tmp_path / "my_encoders.py").write_text(local)
    (tmp_path / "my_service.py").write_text(service)
    random = np.random.default_rng(5)
    np.savez("weights.npz", words=random.normal(size=(1000, 32)), pixels=random.normal(size=(192, 32)))
    yield
    own_encoder.cache_clear()
    for name, module in list(sys.modules.items()):
        if "/pytest-" in str(getattr(module, "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Serve the local encoder over HTTP; yield the paths of the requests."""
    encoder = own_encoder("my_encoders:Local").made
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(encoder.digest.encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            contents = [each and base64.b64decode(each) for each in body["pictures"]]
            assert all(each is None or each.startswith(b"\x89PNG") for each in contents)
            pictures = [each and Image.open(io.BytesIO(each)) for each in contents]
            found = encoder.encode(body["texts"], pictures)
            self.answer(json.dumps({name: table.tolist() for name, table in found.items()}).encode())

        def answer(self, content: bytes) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("ENCODER_URL", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def audit(shop: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Run an audit and return its exit code and report; errors return what was told instead."""

    def call(*more: str, folder: Path = shop) -> tuple[int, Any]:
        capsys.readouterr()
        code = run(["audit", *TRAINING, "-d", str(folder), "--suite", "suite.toml", "--json", "-q", *more])
        told = capsys.readouterr()
        return code, json.loads(told.out) if told.out else told.err

    return call


def test_the_examples_are_short() -> None:
    assert [len([line for line in source.splitlines() if line.strip()]) <= 30 for source in examples()] == [True, True]


def test_the_documented_local_encoder_passes_the_doctor_and_is_audited(
    audit: Callable[..., tuple[int, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--features", "my_encoders:Local", "--json"]) == 0
    assert {row["status"] for row in json.loads(capsys.readouterr().out)} == {"ok"}
    code, report = audit("-f", "my_encoders:Local")
    assert code == 0, report
    assert {status["status"] for status in report["statuses"]} == {"ok"}
    (subject,) = report["subjects"]
    assert subject["subject"]["features"] == "my_encoders:Local"
    assert subject["weights"][0]["name"] == "local"
    assert len(subject["weights"][0]["digest"]) == 64
    movements = {
        (row["condition"]["edit"], row["metric"]): row["clean"]
        for row in report["findings"]
        if row["audit"] == "encoder" and row["metric"].startswith("movement")
    }
    assert movements["truncation", "movement_text"] > 0.1
    assert movements["truncation", "movement_image"] == 0
    assert movements["promo_badge", "movement_image"] > 0.1


def test_the_documented_service_gives_the_same_numbers(
    audit: Callable[..., tuple[int, Any]], service: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--features", "my_service:Service", "--json"]) == 0
    assert {row["status"] for row in json.loads(capsys.readouterr().out)} == {"ok"}
    reports = [audit("-f", name)[1] for name in ("my_encoders:Local", "my_service:Service")]
    values = [[(row["condition"]["label"], row["clean"], row["drift"]) for row in each["findings"]] for each in reports]
    assert values[0] == values[1]
    assert {"/digest", "/encode"} == set(service)


def test_offline_refuses_the_service_before_any_request(
    audit: Callable[..., tuple[int, Any]], service: list[str]
) -> None:
    code, told = audit("-f", "my_service:Service", "--offline")
    assert code == 2
    assert "sends texts and pictures to another machine, and this run is offline" in told
    assert service == []
    assert audit("-f", "my_encoders:Local", "--offline")[0] == 0


def test_a_service_that_is_down_is_an_error_with_the_line(
    audit: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENCODER_URL", "http://127.0.0.1:9")
    code, told = audit("-f", "my_service:Service")
    assert code == 2
    assert "URLError" in told
    line = next(n for n, text in enumerate(examples()[1].splitlines(), start=1) if "/digest" in text)
    assert f"my_service.py, line {line})" in told


def test_an_audit_refuses_an_encoder_that_depends_on_its_batch(audit: Callable[..., tuple[int, Any]]) -> None:
    source = examples()[0].replace('"text": text}', '"text": text - text.mean(0)}')
    Path("my_unsound.py").write_text(source)
    code, told = audit("-f", "my_unsound:Local")
    assert code == 2
    assert "a row alone gets another vector than in a batch" in told


def test_workers_need_a_digest(audit: Callable[..., tuple[int, Any]]) -> None:
    source = re.sub(r"    @property\n    def digest.*?\n\n", "", examples()[0], flags=re.DOTALL)
    Path("my_unnamed.py").write_text(source)
    code, told = audit("-f", "my_unnamed:Local", "--workers", "2")
    assert code == 2
    assert "no digest" in told
    code, report = audit("-f", "my_unnamed:Local")
    assert code == 0
    assert report["subjects"][0]["weights"][0]["digest"] == "no digest"
    assert "no digest: its vectors are not stored" in " ".join(report["subjects"][0]["notes"])
    assert not list(Path("home/encodings").rglob("*.safetensors"))


@pytest.fixture
def production(shop: Path, tmp_path: Path) -> Path:
    """The shop with the exported features of the local encoder as feature files, and audio features."""
    assert run(["encode", "-d", str(shop), "-f", "my_encoders:Local", "--export", "exported", "-q"]) == 0
    folder = tmp_path / "production"
    shutil.copytree(shop, folder)
    for path in Path("exported").glob("*.npy"):
        shutil.copy(path, folder)
    np.save(folder / "audio_feat.npy", np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    return folder


def values_of(report: dict[str, Any], *audits: str) -> list[Any]:
    keys = ("clean", "perturbed", "drift", "ci_low", "ci_high")
    rows = [row for row in report["findings"] if row["audit"] in audits]
    return [(row["condition"]["label"], row["metric"], *(row.get(key) for key in keys)) for row in rows]


def test_exported_features_name_their_items_and_encoder(production: Path, shop: Path) -> None:
    manifest = json.loads(Path("exported/encoder.json").read_text())
    assert manifest["widths"] == {"image": 32, "text": 32}
    assert manifest["items"] == 30
    assert manifest["weights"][0]["name"] == "local"
    assert Path("exported/i_id_mapping.csv").read_text().splitlines()[:3] == ["asin,itemID", "0,0", "1,1"]
    table = np.load("exported/text_feat.npy")
    assert table.dtype == np.float32
    assert run(["encode", "-d", str(shop), "-f", "my_encoders:Local", "--export", "exported"]) == 2  # it exists


def test_imported_features_with_their_encoder_give_the_numbers_of_that_encoder(
    production: Path, audit: Callable[..., tuple[int, Any]]
) -> None:
    (production / "audio_feat.npy").unlink()
    code, again = audit("--encoder", "my_encoders:Local", folder=production)
    assert code == 0, again
    _, direct = audit("-f", "my_encoders:Local")
    assert {status["status"] for status in again["statuses"]} == {"ok"}
    assert values_of(again, "merchant", "quality") == values_of(direct, "merchant", "quality")
    assert values_of(again, "encoder") == values_of(direct, "encoder")
    (subject,) = again["subjects"]
    assert subject["subject"]["features"] == "imported"
    assert subject["weights"][0]["name"] == "local"
    assert "text: 30 unedited items encoded again with my_encoders:Local equal the imported rows" in subject["notes"]


def test_modalities_that_the_encoder_does_not_make_stay_as_imported(
    production: Path, audit: Callable[..., tuple[int, Any]]
) -> None:
    source = re.sub(r"return \{.*\}", 'return {"text": text}', examples()[0]).replace('"image": 32, ', "")
    Path("my_texts.py").write_text(source)
    code, report = audit("--encoder", "my_texts:Local", folder=production)
    assert code == 0, report
    notes = " ".join(report["subjects"][0]["notes"])
    assert "image: my_texts:Local does not make it; no edit changes it" in notes
    assert "audio: my_texts:Local does not make it; no edit changes it" in notes
    (merchant,) = [status for status in report["statuses"] if status["audit"] == "merchant"]
    assert merchant["status"] == "ok"
    assert "promo_badge changes no vector of the model" in merchant["message"]
    assert {row[0] for row in values_of(report, "merchant") if row[1] == "rbo@20"} == {
        "edit=truncation severity=5 share=0.5"
    }


def shuffled(table: Any) -> Any:
    return np.roll(table, 1, axis=0)


@pytest.mark.parametrize(
    ("change", "what", "check"),
    [
        (lambda t: np.random.default_rng(1).normal(size=t.shape), "the cosine of imported rows", "check the weights"),
        (shuffled, "worst: item", "another order than the items: item"),
        (lambda t: t - t.mean(0), "must be at least 0.999", "a constant vector was subtracted from the file"),
        (lambda t: t[:, ::-1], "must be at least 0.999", "rotated or are in another order"),
        (lambda t: t[:, :16], "have 16 columns, but the encoder makes 32", "whether its columns were reduced"),
        (lambda t: t * 2.5, "are 2.5 times as long", "divide it by 2.5"),
        (
            lambda t: t / np.linalg.norm(t, axis=1, keepdims=True),
            "have the same directions",
            "the imported rows are normalised to length 1",
        ),
        (
            lambda t: np.where(np.arange(30)[:, None] == 7, t[::-1], t),
            "worst: item 7",
            "29 of 30 items agree: check whether texts or pictures",
        ),
    ],
)
def test_another_encoder_is_refused_with_what_to_check(
    production: Path, audit: Callable[..., tuple[int, Any]], change: Any, what: str, check: str
) -> None:
    path = production / "text_feat.npy"
    np.save(path, np.ascontiguousarray(change(np.load(path))).astype(np.float32))
    code, told = audit("--encoder", "my_encoders:Local", folder=production)
    assert code == 2
    told = " ".join(told.split())
    assert "this encoder did not make these features: text:" in told
    assert what in told
    assert check in told
    assert "--features my_encoders:Local" in told


def test_rounding_of_the_file_is_allowed_and_measured(production: Path, audit: Callable[..., tuple[int, Any]]) -> None:
    path = production / "text_feat.npy"
    np.save(path, np.load(path).astype(np.float16))
    code, report = audit("--encoder", "my_encoders:Local", folder=production)
    assert code == 0, report
    (note,) = [note for note in report["subjects"][0]["notes"] if note.startswith("text: 30 unedited")]
    assert "of their length on average" in note
    assert note.endswith("smaller effects of edits are not resolved")
    moves = {row["condition"]["edit"]: row["clean"] for row in report["findings"] if row["metric"] == "movement_text"}
    assert moves["promo_badge"] == 0  # the text is unchanged, and so is its row


def test_encoder_without_imported_features_is_an_error(
    production: Path, shop: Path, audit: Callable[..., tuple[int, Any]]
) -> None:
    for folder, more, said in (
        (shop, [], "--encoder is for imported features, but the features of this run are 'basic'"),
        (production, ["-f", "basic"], "--encoder is for imported features"),
    ):
        code, told = audit("--encoder", "my_encoders:Local", *more, folder=folder)
        assert code == 2
        assert said in told
    for name, said in (("basic", "cannot be used with imported features"), ("nonsense", "unknown encoder 'nonsense'")):
        code, told = audit("--encoder", name, folder=production)
        assert code == 2
        assert said in told
    code, told = audit(folder=production)
    assert code == 2
    assert "--encoder package.module:MyEncoder" in told
