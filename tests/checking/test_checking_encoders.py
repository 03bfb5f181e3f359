"""`doctor --features`: a sound encoder passes, and each check finds the faults that are planted for it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from robustrec.checking import Check, run_checks
from robustrec.checking.encoders import REQUIRED, EncoderToy, check_encoder, checks_of
from robustrec.cli.main import run
from robustrec.encoders import own

IN_PROCESS = 10  # checks before the one with a second process


class Sound:
    """Counts of hashed words, and a small copy of the picture."""

    name = "sound"
    digest = "v1"
    widths: ClassVar[Any] = {"image": 12, "text": 16}

    def text(self, texts: list[str]) -> Any:
        table = np.zeros((len(texts), 16), np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                table[row, hashlib.md5(word.encode()).digest()[0] % 16] += 1
        return table

    def image(self, pictures: list[Any]) -> Any:
        table = np.zeros((len(pictures), 12), np.float32)
        for row, picture in enumerate(pictures):
            if picture is not None:
                table[row] = np.asarray(picture.resize((2, 2)), np.float32).ravel() / 255
        return table

    def encode(self, texts: list[str], pictures: list[Any]) -> dict[str, Any]:
        return {"image": self.image(pictures), "text": self.text(texts)}


class Raises(Sound):
    def image(self, pictures):
        return np.stack([np.asarray(picture.resize((2, 2)), np.float32).ravel() for picture in pictures])


class OtherWidth(Sound):
    widths: ClassVar[Any] = {"image": 12, "text": 17}


class NotANumber(Sound):
    def text(self, texts):
        found = super().text(texts)
        return np.where(found > 1, np.nan, found)


class Integers(Sound):
    def text(self, texts):
        return super().text(texts).astype(int)


class SortsTexts(Sound):
    def encode(self, texts, pictures):
        found = super().encode(texts, pictures)
        texts.sort()
        return found


class DrawsOnPictures(Sound):
    def image(self, pictures):
        found = super().image(pictures)
        for picture in pictures:
            if picture is not None:
                picture.putpixel((0, 0), (1, 2, 3))
        return found


class Noise(Sound):
    def text(self, texts):
        return super().text(texts) + 0.01 * np.random.default_rng().random((len(texts), 16))


class State(Sound):
    calls = 0

    def text(self, texts):
        self.calls += 1
        return super().text(texts) + self.calls


class Warm(Sound):
    """Keeps a cache by position, which a second identical call does not show."""

    held: Any = None

    def text(self, texts):
        if self.held is None or len(self.held) < len(texts):
            self.held = super().text(texts)
        return self.held[: len(texts)]


class BatchNorm(Sound):
    def image(self, pictures):
        found = super().image(pictures)
        return found - found.mean(0)


class Padding(Sound):
    """Mean over words with padding to the longest text of the batch."""

    def text(self, texts):
        longest = max((len(text.split()) for text in texts), default=1) or 1
        return super().text(texts) / longest


class BatchSize(Sound):
    def text(self, texts):
        return super().text(texts) * (1 + 0.01 * len(texts))


class Positions(Sound):
    def text(self, texts):
        return super().text(texts) + np.arange(len(texts))[:, None] * (len(texts) > 1)


class Constant(Sound):
    def image(self, pictures):
        return np.full((len(pictures), 12), 0.25)


class SwappedModalities(Sound):
    widths: ClassVar[Any] = {"image": 16, "text": 12}

    def encode(self, texts, pictures):
        found = super().encode(texts, pictures)
        return {"image": found["text"], "text": found["image"]}


class DigestOfTheClock(Sound):
    reads_of_digest = 0

    @property
    def digest(self):
        type(self).reads_of_digest += 1
        return f"v{self.reads_of_digest}"


class DigestRaises(Sound):
    @property
    def digest(self):
        raise OSError("service unavailable")


def checks(kind: type, tmp: dict[str, Any] | None = None) -> dict[str, Check]:
    made = kind()
    spec = f"{kind.__module__}:{kind.__name__}"
    toy = EncoderToy(own._checked(spec, spec, made, "code"))
    chosen = dict(list(checks_of(toy).items())[:IN_PROCESS]) | dict(tmp or {})
    return {check.name: check for check in run_checks(spec, chosen, required=REQUIRED)}


def problems(kind: type) -> dict[str, str]:
    return {name: check.detail for name, check in checks(kind).items() if check.status == "PROBLEM"}


def test_a_sound_encoder_passes() -> None:
    found = checks(Sound)
    assert len(found) == IN_PROCESS
    assert {check.status for check in found.values()} == {"ok"}
    assert found["vectors"].detail == (
        "image 12, text 16; 7 image vectors and 7 text vectors of 8 rows, one without a text and one without a picture"
    )
    assert found["reads what it declares"].detail == "image vectors follow the picture; text vectors follow the text"
    assert found["repeatable"].detail == "the same vectors"


@pytest.mark.parametrize(
    ("kind", "check", "said"),
    [
        (Raises, "vectors", "AttributeError: 'NoneType' object has no attribute 'resize'"),
        (OtherWidth, "vectors", "text vectors of shape (8, 17), but got (8, 16)"),
        (NotANumber, "vectors", "text vector with NaN or infinity"),
        (Integers, "vectors", "text vectors of floats, but got int64"),
        (SortsTexts, "inputs unchanged", "changes the list of texts"),
        (DrawsOnPictures, "inputs unchanged", "changes a picture in place"),
        (Noise, "repeatable", "a second call with the same rows returns other vectors"),
        (State, "repeatable", "no state of earlier calls"),
        (Warm, "one row at a time", "a row alone gets another vector than in a batch"),
        (BatchNorm, "one row at a time", "do not normalise over the batch"),
        (Padding, "one row at a time", "let padding be masked"),
        (BatchSize, "other batches", "a row gets another vector in another batch"),
        (Positions, "other order", "another order of the rows"),
        (Positions, "equal rows", "two rows with the same text and picture get different text vectors"),
        (Constant, "different rows", "all rows get the same image vector"),
        (SwappedModalities, "reads what it declares", "another picture does not change the image vector"),
        (DigestOfTheClock, "digest", "digest changes between two reads: 'v1' and 'v2'"),
        (DigestRaises, "digest", "OSError: service unavailable"),
    ],
)
def test_each_check_finds_the_fault_planted_for_it(kind: type, check: str, said: str) -> None:
    found = problems(kind)
    assert said in found[check]


def test_errors_name_the_line_of_the_encoder() -> None:
    assert f"({__file__}, line " in problems(Raises)["vectors"]


def test_after_a_fault_of_the_vectors_the_other_checks_are_skipped() -> None:
    found = checks(OtherWidth)
    assert {check.status for name, check in found.items() if name != "vectors"} == {"not applicable"}


def test_encoders_of_one_input_and_fused_encoders_pass() -> None:
    class Texts(Sound):
        widths: ClassVar[Any] = {"text": 16}
        reads = ("text",)

        def encode(self, texts, pictures):
            assert all(picture is None for picture in pictures)
            assert all(texts)
            return {"text": self.text(texts)}

    class Pictures(Sound):
        widths: ClassVar[Any] = {"image": 12}
        reads = ("picture",)

        def encode(self, texts, pictures):
            assert not any(texts)
            assert None not in pictures
            return {"image": self.image(pictures)}

    class Fused(Sound):
        widths: ClassVar[Any] = {"image": 28, "text": 28}
        needs: ClassVar[Any] = {"image": "any", "text": "any"}

        def encode(self, texts, pictures):
            both = np.concatenate([self.image(pictures), self.text(texts)], axis=1)
            return {"image": both, "text": both}

    for kind in (Texts, Pictures, Fused):
        assert problems(kind) == {}
    detail = checks(Fused)["reads what it declares"].detail
    assert detail == "image vectors follow the text and the picture; text vectors follow the text and the picture"


def test_half_precision_is_a_warning() -> None:
    class Half(BatchSize):
        precision = "half"

        def text(self, texts):
            return Sound.text(self, texts) * (1 + 0.001 * len(texts))

    found = checks(Half)
    assert {check.status for check in found.values()} == {"ok"}
    assert found["one row at a time"].detail.startswith("warning: vectors differ by 0.0069 of the largest value")


def test_no_digest_is_not_a_fault() -> None:
    class NoDigest(Sound):
        digest = ""

    found = checks(NoDigest)["digest"]
    assert found.status == "not applicable"
    assert "vectors are not stored" in found.detail


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module with the sound encoder and one that is derived from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    made: list[str] = []
    lines = Path(__file__).read_text().split("class Sound")[1].split("\n\n\nclass ")[0]

    def write(source: str) -> str:
        name = f"doctor_{len(made)}_{hashlib.md5(str(tmp_path).encode()).hexdigest()[:8]}"
        made.append(name)
        head = f"import hashlib, os\nfrom typing import Any, ClassVar\nimport numpy as np\n\nclass Sound{lines}\n\n"
        (tmp_path / f"{name}.py").write_text(f"{head}class Mine(Sound):\n{source}\n")
        return f"{name}:Mine"

    yield write
    own.own_encoder.cache_clear()
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "    def text(self, texts):\n        rows = [[hash(text) % 97] * 16 for text in texts]\n"
            "        return np.array(rows, float)",
            "a second process returns other text vectors",
        ),
        (
            "    weights = np.random.rand(16)\n    def text(self, texts):\n"
            "        return super().text(texts) * self.weights",
            "seed or load all weights",
        ),
        ("    digest = str(os.getpid())", "in a second process; compute it from the weights"),
        (
            "    def __init__(self):\n"
            "        if os.environ['PYTHONHASHSEED'] != '1':\n            raise OSError('busy')",
            "it fails in a second process: the encoder",
        ),
    ],
)
def test_a_second_process_must_agree(module: Callable[[str], str], source: str, said: str) -> None:
    found = {check.name: check for check in check_encoder(module(source))}
    assert found["another process"].status == "PROBLEM"
    assert said in found["another process"].detail
    assert [check.name for check in found.values() if check.status == "PROBLEM"] == ["another process"]


def test_the_command_and_its_exit_code(module: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--features", module("    pass"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in rows] == ["ok"] * 12
    assert "rows a second: about" in rows[-1]["detail"]
    sound, unsound = module("    pass"), module("    def image(self, pictures):\n        raise ValueError('no')")
    assert run(["doctor", "--features", f"minilm+{unsound}"]) == 2
    out = capsys.readouterr().out
    assert unsound[:12] in out
    assert "PROBLEM" in out
    assert run(["doctor", "--features", f"{sound}s"]) == 2
    assert "has no attribute 'Mines'" in capsys.readouterr().err
    assert run(["doctor", "--features", "minilm"]) == 2
    assert "'minilm' is not a user-defined encoder" in capsys.readouterr().err
