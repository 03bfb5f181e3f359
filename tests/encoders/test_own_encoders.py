"""User-defined encoders: loading, identity, missing content, blame, combination with others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_shop import MakeDataset, toy_text

from robustrec.encoders import own, stored_network
from robustrec.encoders.chosen import opened_weights, recipe_of
from robustrec.encoders.features import edited_tables, item_features, row_encoder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.rows import RowContent
from robustrec.errors import RobustrecError

HEAD = "import numpy as np\nCALLS = []\n"
SOUND = """
class Sound:
    name = "sound"
    digest = "v1"
    widths = {"image": 3, "text": 2}

    def encode(self, texts, pictures):
        CALLS.append((list(texts), [p if p is None else p.size for p in pictures]))
        text = np.array([[len(t), t.count("e")] for t in texts], np.float32)
        image = np.array([np.full(3, np.nan) if p is None else np.asarray(p).mean((0, 1)) for p in pictures])
        return {"image": image, "text": text}
"""
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a module of encoders into the working folder and return its name; each call has another module."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    made: list[str] = []

    def written(source: str = SOUND, module: str = "") -> str:
        name = module or f"own_{abs(hash(tmp_path))}_{len(made)}"
        made.append(name)
        (folder / f"{name}.py").write_text(HEAD + source)
        return name

    yield written
    own.own_encoder.cache_clear()
    for name in made:
        sys.modules.pop(name, None)


def features_of(dataset: Any, name: str, home: Path, **options: Any) -> Any:
    return item_features(dataset, name, home=home, options=EncoderOptions(**options))


def calls_of(module: str) -> list[Any]:
    calls: list[Any] = sys.modules[module].CALLS
    return calls


def test_features_of_a_user_defined_encoder(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    module, dataset = write(), make_dataset(5)
    found = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    expected = [[len(toy_text(item)), toy_text(item).count("e")] for item in range(5)]
    assert found.tables["text"].tolist() == expected
    assert found.tables["image"].shape == (5, 3)
    assert found.label == f"{module}:Sound"
    assert [(used.name, used.digest) for used in found.weights] == [("sound", "v1")]
    count = len(calls_of(module))
    again = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    assert len(calls_of(module)) == count  # from the store
    assert again.digest == found.digest


def test_missing_content_never_reaches_the_encoder(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    texts = [toy_text(0), "", toy_text(2), "  ", ""]
    module, dataset = write(), make_dataset(5, texts=texts, pictures={3: b"not a picture", 4: None})
    found = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    seen = [row for call in calls_of(module) for row in zip(*call, strict=True)]
    assert all(text.strip() or size for text, size in seen)  # items 3 and 4 have neither
    torch.testing.assert_close(found.tables["text"][[1, 3, 4]], found.tables["text"][[0, 2]].mean(0).expand(3, 2))
    torch.testing.assert_close(found.tables["image"][[3, 4]], found.tables["image"][:3].mean(0).expand(2, 3))
    assert "3 items without a text: mean vector for text" in found.notes
    assert any(note.startswith("1 item without a picture: mean vector for image") for note in found.notes)
    encoder = row_encoder(dataset, f"{module}:Sound", home=tmp_path / "home")
    without = edited_tables(dataset, found, {0: RowContent("", lambda: None)}, encoder)
    torch.testing.assert_close(without.tables["text"][0], found.tables["text"][1])


def test_a_fused_encoder_needs_any_content(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    source = """
class Fused:
    name, digest, widths = "fused", "1", {"image": 1, "text": 1}
    needs = {"image": "any", "text": "both"}
    def encode(self, texts, pictures):
        rows = np.array([[len(t) + (p is not None)] for t, p in zip(texts, pictures)], float)
        return {"image": rows, "text": rows}
"""
    module, dataset = write(source), make_dataset(3, texts=["ab", "", "abc"], pictures={2: None})
    found = features_of(dataset, f"{module}:Fused", tmp_path / "home")
    assert found.tables["image"].flatten().tolist() == [3.0, 1.0, 3.0]
    assert found.tables["text"].flatten().tolist() == [3.0, 3.0, 3.0]


def test_modalities_have_any_name(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    source = SOUND.replace('"text": 2}', '"fusion": 2}').replace('"text": text', '"fusion": text')
    module, dataset = write(source), make_dataset(3, texts=["red cup", "", "blue"], pictures={1: None})
    np.save(tmp_path / "audio_feat.npy", np.ones((3, 4), np.float32))
    found = features_of(
        replace(dataset, feature_files={"audio": tmp_path / "audio_feat.npy"}), f"{module}:Sound", tmp_path
    )
    assert list(found.tables) == ["image", "audio", "fusion"]
    assert list(found.encoded) == ["image", "fusion"]
    assert found.tables["fusion"].tolist() == [[7, 1], [5.5, 1], [4, 1]]  # any content; else the mean


def test_identity_covers_sources_digest_and_widths(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    dataset = make_dataset(3)
    identities = []
    for source in (SOUND, SOUND.replace('"v1"', '"v2"'), SOUND.replace("count", "find"), SOUND):
        sys.modules.pop("own_same", None)
        own.own_encoder.cache_clear()
        name = f"{write(source, 'own_same')}:Sound"
        identities.append(dict(row_encoder(dataset, name, home=tmp_path).identity["networks"][name]))
    assert identities[0]["digest"] != identities[1]["digest"]
    assert identities[0]["code"] != identities[2]["code"]
    assert identities[0] == identities[3]
    assert identities[0]["widths"] == {"image": 3, "text": 2}


def test_without_digest_nothing_is_stored(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    module, dataset = write(SOUND.replace('digest = "v1"', 'digest = ""')), make_dataset(4)
    found = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    count = len(calls_of(module))
    encoder = row_encoder(dataset, f"{module}:Sound", home=tmp_path / "home")
    edited_tables(dataset, found, {1: RowContent("", lambda: None)}, encoder)
    assert len(calls_of(module)) == count  # in memory
    assert not list((tmp_path / "home").rglob("*.safetensors"))
    assert any("has no digest: its vectors are not stored" in note for note in found.notes)
    assert found.weights[0].digest == "no digest"


def test_an_error_names_the_line_of_the_encoder(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    source = SOUND.replace("        text = ", "        1 / 0\n        text = ")
    module = write(source)
    with pytest.raises(RobustrecError, match=rf"ZeroDivisionError: .*{module}.py, line 11") as caught:
        features_of(make_dataset(3), f"{module}:Sound", tmp_path / "home")
    assert f"--features {module}:Sound, encode of 3 rows" in caught.value.where
    assert f"robustrec doctor --features {module}:Sound" in caught.value.fix
    module = write(SOUND.replace("        text = ", "        raise SystemExit(1)\n        text = "))
    with pytest.raises(RobustrecError, match="SystemExit"):
        features_of(make_dataset(3), f"{module}:Sound", tmp_path / "home")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "sound"', 'name = ""', "name must be a text, but got ''"),
        ('{"image": 3, "text": 2}', "{}", "widths must be a dict"),
        ('{"image": 3, "text": 2}', '{"image": 0}', "widths must be a dict"),
        ('{"image": 3, "text": 2}', '{"all": 3}', "widths has 'all', which cannot be the name of a modality"),
        ('digest = "v1"', "digest = 5", "digest must be a text, but got 5"),
        ('digest = "v1"', 'digest = "v1"; reads = "text"', "reads must be a tuple"),
        ('digest = "v1"', 'digest = "v1"; needs = {"text": "words"}', "needs must be a dict"),
        ('digest = "v1"', 'digest = "v1"; reads = ("text",); needs = {"text": "picture"}', "only what it reads"),
        ('digest = "v1"', 'digest = "v1"; batch_size = 0', "batch_size must be a whole number"),
        ('digest = "v1"', 'digest = "v1"; precision = "float16"', "precision must be 'full' or 'half'"),
        ('digest = "v1"', 'digest = "v1"; remote = "no"', "remote must be True or False"),
        ("def encode", "def encoded", "has no method encode"),
        ('digest = "v1"', 'digest = "v1"\n    def __init__(self, path): pass', "cannot be made without arguments"),
        ('{"image": image, "text": text}', '{"image": image}', r"keys \['image', 'text'\], but got \['image'\]"),
        ('{"image": image, "text": text}', "[image, text]", "must return a dict"),
        ('"text": text}', '"text": text[1:]}', r"text vectors of shape \(3, 2\), but got \(2, 2\)"),
        ('"text": text}', '"text": text.astype(int)}', "text vectors of floats, but got int64"),
        ('"text": text}', '"text": text * np.nan}', "text vector with NaN or infinity for the text 'red"),
        ('"text": text}', '"text": text.astype(float) * 1e300}', "text vector with NaN or infinity"),
    ],
)
def test_what_does_not_meet_the_protocol_is_refused(
    make_dataset: MakeDataset, write: Write, tmp_path: Path, old: str, new: str, message: str
) -> None:
    module = write(SOUND.replace(old, new))
    with pytest.raises(RobustrecError, match=message):
        features_of(make_dataset(3), f"{module}:Sound", tmp_path / "home")


def test_names_that_lead_nowhere(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    module = write()
    for name, message in (
        (f"{module}:Missing", "has no attribute 'Missing'"),
        ("no_such_module:Sound", "No module named"),
        ("sound", "unknown encoder 'sound'"),
        (f"basic+{module}:Sound", "'basic' cannot be joined"),
        (f"minilm+{module}:Sound", "'minilm' has no effect"),
        (f"{module}:Sound+nonsense", "unknown encoder 'nonsense'"),
    ):
        with pytest.raises(RobustrecError, match=message):
            features_of(make_dataset(3), name, tmp_path / "home")


def test_joined_encoders_make_their_own_modalities(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    texts = SOUND.replace("Sound", "Texts").replace('"sound"', '"texts"').replace('"v1"', '"v1"; reads = ("text",)')
    texts = texts.replace('{"image": 3, "text": 2}', '{"text": 2}').replace('"image": image, ', "")
    module = write(SOUND + texts.replace("t.count", "1 + t.count"))
    both, dataset = f"{module}:Sound+{module}:Texts", make_dataset(4)
    assert {modality: output.network for modality, output in recipe_of(both).items()} == {
        "image": f"{module}:Sound",
        "text": f"{module}:Texts",
    }
    found = features_of(dataset, both, tmp_path / "home")
    alone = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    assert torch.equal(found.tables["image"], alone.tables["image"])
    assert (found.tables["text"] - alone.tables["text"]).tolist() == [[0.0, 1.0]] * 4
    assert [used.name for used in found.weights] == ["sound", "texts"]


def test_options_of_other_encoders_are_refused(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    module, dataset = write(), make_dataset(3)
    for options, message in (
        ({"weights": ("folder",)}, "does not support --weights folder"),
        ({"denoise": "capfilt"}, "does not support --denoise"),
    ):
        with pytest.raises(RobustrecError, match=message):
            opened_weights(dataset, f"{module}:Sound", home=tmp_path, options=EncoderOptions.model_validate(options))


def test_offline_refuses_only_remote_encoders(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    remote = SOUND.replace('digest = "v1"', 'digest = "v1"; remote = True')
    module, dataset = write(SOUND + remote.replace("Sound", "Remote")), make_dataset(3)
    features_of(dataset, f"{module}:Sound", tmp_path / "home", offline=True)
    features_of(dataset, f"{module}:Remote", tmp_path / "home")
    with pytest.raises(RobustrecError, match="sends texts and pictures to another machine, and this run is offline"):
        features_of(dataset, f"{module}:Remote", tmp_path / "home", offline=True)


def test_an_encoder_of_an_installed_package(
    make_dataset: MakeDataset, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write()
    monkeypatch.syspath_prepend(Path.cwd())
    from importlib.metadata import EntryPoint

    entry = EntryPoint("production", f"{module}:Sound", own.PLUGINS.group)
    monkeypatch.setattr(type(own.PLUGINS), "points", lambda self: {"production": entry} if self is own.PLUGINS else {})
    found = features_of(make_dataset(3), "production", tmp_path / "home")
    assert found.label == "production"


def test_a_buffer_that_is_used_again_and_batches_of_its_size(
    make_dataset: MakeDataset, write: Write, tmp_path: Path
) -> None:
    source = SOUND.replace('digest = "v1"', 'digest = "v1"; batch_size = 2; held = np.zeros((2, 2))').replace(
        "        text = ", "        held = self.held[: len(texts)]\n        held[:] = "
    )
    module, dataset = write(source.replace('"text": text', '"text": held')), make_dataset(5)
    found = features_of(dataset, f"{module}:Sound", tmp_path / "home")
    assert found.tables["text"][:, 0].tolist() == [len(toy_text(item)) for item in range(5)]
    assert max(len(texts) for texts, _ in calls_of(module)) == 2


def impure(line: str) -> str:
    """Return an encoder of texts with one more line before it returns `text`."""
    return SOUND.replace("        image = ", f"        {line}\n        image = ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text = text + np.random.rand(*text.shape)", "a second call with the same rows returns other vectors"),
        ("self.n = getattr(self, 'n', 0) + 1; text = text + self.n", "a second call with the same rows"),
        ("text = text / text.max(0)", "a row alone gets another vector than in a batch"),
        ("text = text - text.mean(0)", "a row alone gets another vector than in a batch"),
        ("text = text[np.argsort(text[:, 0], kind='stable')]", "another order of the rows"),
    ],
)
def test_an_encoder_that_is_not_pure_is_refused_before_it_encodes(
    make_dataset: MakeDataset, write: Write, tmp_path: Path, line: str, message: str
) -> None:
    module, dataset = (
        write(impure(line)),
        make_dataset(12, texts=[f"{'e' * item} {toy_text(item)}" for item in range(12)]),
    )
    with pytest.raises(RobustrecError, match=message) as caught:
        features_of(dataset, f"{module}:Sound", tmp_path / "home")
    assert "otherwise every edit would seem to have an effect" in caught.value.what
    assert sum(len(texts) for texts, _ in calls_of(module)) <= 5 * 8  # not the catalog
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_half_precision_allows_two_percent(make_dataset: MakeDataset, write: Write, tmp_path: Path) -> None:
    line = "text = text * (1 + 0.001 * len(texts))"
    dataset = make_dataset(8)
    half = impure(line).replace('digest = "v1"', 'digest = "v1"; precision = "half"')
    found = features_of(dataset, f"{write(half)}:Sound", tmp_path / "home")
    assert any("half precision" in note for note in found.notes)
    with pytest.raises(RobustrecError, match="at most 1e-05 is allowed"):
        features_of(dataset, f"{write(impure(line))}:Sound", tmp_path / "home")
    with pytest.raises(RobustrecError, match=r"at most 0\.02 is allowed"):
        features_of(dataset, f"{write(half.replace('0.001', '0.01'))}:Sound", tmp_path / "home")


def test_other_vectors_under_the_same_digest_are_refused(
    make_dataset: MakeDataset, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, dataset, home = write(SOUND.replace("t.count", "self.weight * t.count")), make_dataset(6), tmp_path / "home"
    name = f"{module}:Sound"
    kind = own.own_encoder(name).made
    kind.weight = 1.0
    found = features_of(dataset, name, home)
    kind.weight = 2.0  # as a service whose model is replaced
    stored_network._CHECKED.clear()  # as in the next command
    encoder = row_encoder(dataset, name, home=home)
    with pytest.raises(RobustrecError, match="other text vectors than those stored under the same digest"):
        edited_tables(dataset, found, {1: RowContent("edited", lambda: None)}, encoder)
