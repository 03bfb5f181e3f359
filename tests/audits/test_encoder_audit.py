"""The encoder audit: distances in closed form, planted faults that must show, the clean signal where it is known."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled import condition_of
from PIL import Image, ImageDraw
from rich.console import Console

from robustrec.audits import run as runner
from robustrec.audits.encoder import items as encoder_items
from robustrec.audits.encoder.audit import (
    VectorShifts,
    chosen_items,
    median_distance,
    picture_distance,
    same_vectors,
    text_distance,
)
from robustrec.audits.encoder.items import Contents
from robustrec.audits.encoder.rows import edit_rows, pooled
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import Plan, cost_of, make_plan
from robustrec.audits.rows import Intervals
from robustrec.audits.suites import Bootstrap, load_suite
from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.encoders import ENCODERS
from robustrec.encoders.rows import EncodedRows, RowContent, catalog_rows
from robustrec.encoders.store import Encoded
from robustrec.errors import RobustrecError
from robustrec.files import shipped
from robustrec.report.console.console import print_report
from robustrec.results.findings import Finding
from robustrec.runs import edited_rows
from robustrec.runs.edited_rows import encode_all
from robustrec.runs.treatments import Shown, row_of
from robustrec.subject import Subject

SUITE = """
schema_version = 1
name = "encoder test"
metrics = ["ndcg@20"]
bootstrap = { replicates = 200 }
[[audits]]
kind = "encoder"
edits = ["promo_badge", "wrong_picture", "typos", "promo_phrase+promo_badge"]
severities = [0, 1, 5]
items = 24
"""
GATE = """
[[gates]]
name = "stands typing errors"
select = { audit = "encoder", edit = "typos", severity = 5, metric = "movement_image" }
quantity = "value"
max = 0.5
"""
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200), "yellow": (230, 210, 40)}
SHAPES = ("cup", "lamp", "rug")


class Plain:
    """Pictures as thumbnails and texts as hashed words, deaf to neither; the planted faults below differ from it."""

    without_effect = False
    weights = ()

    def __init__(self, name: str, dataset: Any, home: Path, options: Any) -> None:
        self.name, self.dataset, self.home = name, dataset, home
        self.identity = {"encoder": name}

    def encode(self, rows: Sequence[RowContent], progress: Any = None) -> EncodedRows:
        image, text = torch.zeros(len(rows), 48), torch.zeros(len(rows), 64)
        for place, row in enumerate(rows):
            picture = row.picture()
            if picture is not None and not self.without_effect:
                image[place] = torch.from_numpy(np.asarray(picture.resize((4, 4)), dtype=np.float32).ravel() / 255)
            for word in row.text.lower().split():
                text[place, zlib.crc32(word.encode()) % 64] += 1
        return EncodedRows({"image": text[:, :48] if self.without_effect else image, "text": text}, ())

    def catalog_features(self, progress: Any) -> Encoded:
        return Encoded(self.encode(catalog_rows(self.dataset.catalog, self.home / "digests")).tables, (), {})


class Deaf(Plain):
    """Reads texts only, and says that its numbers are of pictures too."""

    without_effect = True


def drawn(item: int) -> Image.Image:
    image = Image.new("RGB", (48, 48), (240, 240, 235))
    shape = (10 + item % 5, 10, 36, 36)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if item % 3 else draw.rectangle)(shape, fill=list(COLOURS.values())[item % 4])
    return image


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny interactions with 60 items that are drawn and described, as they are and with a merchant's noise."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "tiny.inter").write_bytes((tiny_folder / "tiny.inter").read_bytes())
    for kind, noisy in (("", True), ("clean_", False)):
        (folder / f"{kind}pictures").mkdir()
        lines = []
        for item in range(60):
            picture = drawn(item)
            if noisy and item % 2:
                ImageDraw.Draw(picture).rectangle((0, 0, 24, 12), fill=(255, 0, 0))
            picture.save(folder / f"{kind}pictures" / f"{item}.png")
            title = f"{list(COLOURS)[item % 4]} {SHAPES[item % 3]} number {item}"
            said = f"best hot deal {title}" if noisy and item % 2 else title
            lines.append(json.dumps({"itemID": item, "title": said, "brand": "Acme", "image": f"{item}.png"}))
        (folder / f"{kind}items.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "dataset.toml").write_text(
        'schema_version = 1\nname = "tiny"\nedition = "sample"\nsynthetic = true\n[files]\n'
        'interactions = "tiny.inter"\nitems = "items.jsonl"\npictures = "pictures"\n'
        'clean_items = "clean_items.jsonl"\nclean_pictures = "clean_pictures"\n'
    )
    return folder


def planned(folder: Path, home: Path, features: str, *models: str, suite: str = SUITE) -> Plan:
    path = home / "encoder.toml"
    path.write_text(suite)
    overrides = {"training": {"max_epochs": 1, "batch_size": 128}}
    settings = Settings(
        home=home,
        model=models or ("vbpr",),
        dataset=str(folder),
        strategy=("vanilla",),
        suite=str(path),
        device="cpu",
        features=features,
        set=overrides,
    )
    return make_plan(settings)


def measured(folder: Path, home: Path, features: str, *models: str, suite: str = SUITE) -> runner.Measurements:
    plan = planned(folder, home, features, *models, suite=suite)
    run = runner.measure(plan)
    assert run.context.costs.encodings <= cost_of(plan).encodings
    return run


@pytest.fixture
def with_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Plain", "Deaf"):
        monkeypatch.setitem(ENCODERS, name.lower(), f"{__name__}:{name}")


def rows_of(run: runner.Measurements, condition: str) -> dict[str, Finding]:
    return rows_of_findings(run.results.findings, condition)


def rows_of_findings(findings: Sequence[Finding], condition: str) -> dict[str, Finding]:
    return {row.metric: row for row in findings if row.audit == "encoder" and row.condition.label == condition}


def status_of(run: runner.Measurements) -> Any:
    return next(status for status in run.results.statuses if status.audit == "encoder")


def value(run: runner.Measurements, condition: str, metric: str) -> float:
    found = rows_of(run, condition)[metric].clean
    assert found is not None
    return found


def test_text_distance_counts_words_that_are_put_in_taken_out_or_changed() -> None:
    assert text_distance("a red cup", "a red cup") == 0.0
    assert text_distance("a red cup", "a blue cup") == pytest.approx(1 / 3)
    assert text_distance("a red cup", "best a red cup deal") == pytest.approx(2 / 5)
    assert text_distance("red cup", "") == 1.0
    assert text_distance("", "") == 0.0
    assert text_distance("A Red cup", "a red CUP") == 0.0


@given(*[st.lists(st.sampled_from("abcd"), max_size=8)] * 2)
def test_text_distance_is_levenshteins(a: list[str], b: list[str]) -> None:
    table = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
    for i, one in enumerate(a, start=1):
        for j, other in enumerate(b, start=1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (one != other))
    expected = table[-1, -1] / max(len(a), len(b), 1)
    assert text_distance(" ".join(a), " ".join(b)) == pytest.approx(expected)


def test_picture_distance_is_the_root_mean_square_over_pixels_and_channels() -> None:
    black, white = (Image.new("RGB", (8, 4), shade) for shade in ((0, 0, 0), (255, 255, 255)))
    assert picture_distance(black, white) == 1.0
    assert picture_distance(black, black.copy()) == 0.0
    assert picture_distance(black, white.resize((3, 3))) == 1.0, "another size is brought to the first one's"
    assert picture_distance(black, None) == picture_distance(None, black) == 1.0
    assert picture_distance(None, None) == 0.0
    half = black.copy()
    half.paste((255, 255, 255), (0, 0, 4, 4))
    assert picture_distance(black, half) == pytest.approx(np.sqrt(0.5))


def test_median_distance_never_pairs_a_thing_with_itself() -> None:
    def distance(a: float, b: float) -> float:
        return float(a == b)

    assert median_distance([1.0, 2.0, 3.0], distance, np.random.default_rng(0)) == 0.0
    assert median_distance([1.0], distance, np.random.default_rng(0)) == 0.0


def test_items_are_a_seeded_choice() -> None:
    assert chosen_items(100, 8, seed=0) == chosen_items(100, 8, seed=0) != chosen_items(100, 8, seed=1)
    assert chosen_items(5, 8, seed=0) == [0, 1, 2, 3, 4]


def test_pictures_beyond_the_budget_are_decoded_again_and_encoded_in_parts(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_dataset(str(shop), home=tmp_path).catalog
    assert catalog is not None
    for module in (encoder_items, edited_rows):
        monkeypatch.setattr(module, "BUDGET", 3 * 3 * 48 * 48)
    contents = Contents(catalog, range(8))
    first, again = list(contents), list(contents)
    assert [one is other for one, other in zip(first, again, strict=True)] == [True] * 3 + [False] * 5
    assert [content.title for content in first] == [content.title for content in again]
    parts = []

    def encode(rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        parts.append(len(rows))
        return {"image": torch.tensor([[float(len(row.content.text))] for row in rows])}

    rows = [row_of("x" * place, Shown(content.picture)) for place, content in enumerate(first)]
    assert encode_all(iter(rows), encode)["image"].flatten().tolist() == list(range(8))
    assert parts == [4, 4]
    assert encode_all(iter([]), encode) == {}
    parts.clear()
    monkeypatch.setattr(edited_rows, "AT_ONCE", 3)
    encode_all(iter(rows), encode)
    assert parts == [3, 3, 2]


def test_one_subject_is_planned_where_only_the_encoder_is_looked_at(shop: Path, tmp_path: Path) -> None:
    assert [spec.model for spec in planned(shop, tmp_path, "basic", "bpr", "vbpr", "slmrec").specs] == ["vbpr"]
    more = SUITE + '[[audits]]\nkind = "noise"\n'
    assert len(planned(shop, tmp_path, "basic", "bpr", "vbpr", "slmrec", suite=more).specs) == 3


def test_a_fused_vector_is_measured_once() -> None:
    one, two = torch.zeros(3, 2), torch.ones(3, 2)
    assert same_vectors({"image": one, "text": one.clone()}) == {"fused": ("image", "text")}
    assert same_vectors({"image": one, "text": two}) == {"image": ("image",), "text": ("text",)}
    assert same_vectors({"text": two}) == {"text": ("text",)}


def test_factor_and_contraction_of_a_known_encoder_are_its_slope() -> None:
    random = np.random.default_rng(3)
    sizes = random.uniform(0.1, 0.5, size=40)
    moves = VectorShifts(np.arange(40), sizes, {"image": 3.0 * sizes})
    subject = Subject(model="m", strategy="s", features="f", seed=0)
    rows = edit_rows(subject, condition_of("c"), "image", moves, {"image": 6.0}, 0.5, Intervals(Bootstrap(), 0))
    found = {row.metric: row for row in rows}
    for bound in ("clean", "ci_low", "ci_high"):
        assert getattr(found["factor_image"], bound) == pytest.approx(3.0)
        # The edit is sizes / 0.5 of the distance of two items before, 3 sizes / 6 after.
        assert getattr(found["contraction_image"], bound) == pytest.approx(0.25)
    assert found["movement_image"].clean == pytest.approx(sizes.mean() / 2)
    low, high = found["edit_size"].ci_low, found["edit_size"].ci_high
    assert low is not None
    assert high is not None
    assert low < sizes.mean() < high


def test_several_edits_of_an_item_count_as_their_mean() -> None:
    one = VectorShifts(np.array([1, 4]), np.array([0.2, 0.4]), {"text": np.array([1.0, 2.0])})
    two = VectorShifts(np.array([4, 7]), np.array([0.6, 0.1]), {"text": np.array([4.0, 5.0])})
    both = pooled([one, two])
    assert both.items.tolist() == [1, 4, 7]
    assert both.sizes == pytest.approx([0.2, 0.5, 0.1])
    assert both.moved["text"] == pytest.approx([1.0, 3.0, 5.0])


def test_an_encoder_that_sees_both_is_measured_by_modality(with_encoders: None, shop: Path, tmp_path: Path) -> None:
    beside = SUITE + '[[audits]]\nkind = "noise"\ndraws = 1\n'
    run = measured(shop, tmp_path, "plain", "vbpr", "slmrec", suite=beside)
    assert status_of(run).status == "ok"
    assert status_of(run).message == ""
    others = [status for status in run.results.statuses if status.audit == "encoder"][1:]
    assert [status.status for status in others] == ["not_applicable"]
    assert status_of(run).subject.label in others[0].message
    wrong, badge, typos = (f"edit={name} severity=5" for name in ("wrong_picture", "promo_badge", "typos"))
    assert value(run, wrong, "movement_image") > value(run, badge, "movement_image") > 0
    assert value(run, wrong, "movement_text") == value(run, typos, "movement_image") == 0.0
    assert value(run, typos, "factor_text") > 0
    pooled_rows = rows_of(run, "edits of image severity=5")
    assert value(run, "edits of image severity=5", "movement_image") == value(run, badge, "movement_image"), (
        "the mean leaves upload faults out"
    )
    assert pooled_rows["contraction_text"].clean == 0.0
    assert pooled_rows["contraction_image"].ci_low is not None
    assert {"edits of text severity=1", "edits of both severity=5"} <= {
        row.condition.label for row in run.results.findings
    }


def test_identity_edits_move_exactly_nothing(with_encoders: None, shop: Path, tmp_path: Path) -> None:
    run = measured(shop, tmp_path, "plain")
    for name in ("wrong_picture", "typos", "promo_phrase+promo_badge"):
        rows = rows_of(run, f"edit={name} severity=0")
        assert rows["edit_size"].clean == 0.0
        for vector in ("image", "text"):
            row = rows[f"movement_{vector}"]
            assert (row.clean, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0)
            assert f"factor_{vector}" not in rows, "nothing divided by nothing"


def test_an_encoder_that_ignores_pictures_has_factor_zero_and_says_so(
    with_encoders: None, shop: Path, tmp_path: Path
) -> None:
    run = measured(shop, tmp_path, "deaf")
    for condition in ("edit=wrong_picture severity=5", "edits of image severity=1"):
        rows = rows_of(run, condition)
        assert [rows[f"{kind}_image"].clean for kind in ("movement", "factor", "contraction")] == [0.0, 0.0, 0.0]
    assert status_of(run).status == "ok"
    assert "ignores pictures" in status_of(run).message
    assert "texts" not in status_of(run).message


def test_the_clean_signal_is_compared_on_both_sides_of_the_encoder(
    with_encoders: None, shop: Path, tmp_path: Path
) -> None:
    run = measured(shop, tmp_path, "plain")
    rows = rows_of(run, "merchant noise")
    means = [value(run, "merchant noise", f"distance_to_clean_{part}_input") for part in ("text", "image")]
    assert min(means) > 0
    for vector in ("image", "text"):
        nearer = rows[f"nearer_by_encoding_{vector}"]
        after = value(run, "merchant noise", f"distance_to_clean_{vector}")
        assert nearer.clean == pytest.approx(np.mean(means) - after)
        assert nearer.ci_low is not None
    assert not rows_of(run, "merchant noise, capfilt"), "this encoder has no captioner"


def test_the_console_shows_edits_by_vector_and_the_clean_signal(
    with_encoders: None, shop: Path, tmp_path: Path
) -> None:
    plan = planned(shop, tmp_path, "plain", suite=SUITE + GATE)
    report, _ = make_report(plan, runner.measure(plan), command=())
    assert report.verdict == "pass"
    text = StringIO()
    print_report(report, Console(file=text, width=120))
    shown = text.getvalue()
    assert "encoder plain, vector image: movement under edits" in shown
    assert "mean of picture edits" in shown
    assert "encoding" in shown.partition("distance to the clean content")[2]
    badge = next(line for line in shown.splitlines() if line.strip().startswith("promo badge  "))
    movement = rows_of_findings(report.findings, "edit=promo_badge severity=5")["movement_image"].clean
    assert f"{movement:.2f}" in badge


def test_imported_features_cannot_be_encoded_again(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="imported features cannot be computed again"):
        measured(tiny_folder, tmp_path, "imported")


def test_unknown_edits_are_refused_before_any_work(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="wrong_pictur"):
        measured(shop, tmp_path, "basic", suite=SUITE.replace('"wrong_picture"', '"wrong_pictur"'))


def test_the_shipped_suite_asks_for_every_edit() -> None:
    (audit,) = load_suite("encoder").audits
    assert audit.kind == "encoder"
    assert audit.edits == ("all",)


@pytest.mark.skipif(not shipped("fixtures", "tiny-blip").is_dir(), reason="the tiny BLIP is not here")
def test_capfilt_is_measured_against_the_clean_encoding(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace('"promo_badge", "wrong_picture", "typos", "promo_phrase+promo_badge"', '"wrong_picture"')
    run = measured(shop, tmp_path, "tiny-blip", suite=suite.replace("items = 24", "items = 12"))
    assert status_of(run).message == ""
    assert value(run, "edit=wrong_picture severity=0", "movement_fused") == 0.0
    assert value(run, "edit=wrong_picture severity=5", "movement_fused") > 0.0
    before = value(run, "merchant noise", "distance_to_clean_fused")
    rows = rows_of(run, "merchant noise, capfilt")
    after, nearer = rows["distance_to_clean_fused"].clean, rows["nearer_by_capfilt_fused"]
    assert nearer.clean == pytest.approx(before - after)
    assert nearer.ci_low is not None
