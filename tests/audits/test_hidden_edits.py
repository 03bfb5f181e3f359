"""Edits outside the crop of an encoder: their hidden share is measured and shown, and no gate passes on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from merchant_shop import N_ITEMS, make_shop, rows, shop_plan
from PIL import Image
from torch import nn

from robustrec.audits import run as runner
from robustrec.audits.outcome import make_report
from robustrec.edits import edit
from robustrec.edits.content import Content
from robustrec.edits.contract import apply_edit, changes
from robustrec.edits.view import CatalogueView
from robustrec.encoders import lite0
from robustrec.encoders.preprocessing import Fit, PictureRule, rule_of
from robustrec.encoders.visibility import WholePicture, hidden_share
from robustrec.results.hidden import hidden_edits
from robustrec.seeds import numpy_generator

CLIP = rule_of({}, default="CLIP")
DINOV2 = rule_of({"size": {"shortest_edge": 256}}, default="Bit")
SUITE = (
    """
schema_version = 1
name = "edits"
metrics = ["ndcg@20"]
stability = ["rbo@20"]
bootstrap = { replicates = 100 }
[[audits]]
kind = "merchant"
edits = ["EDGE", "MIDDLE", "MOSTLY", "promo_phrase+EDGE", "typos"]
severities = [3]
shares = [0.2]
draws = 2
[[audits]]
kind = "encoder"
edits = ["EDGE", "MIDDLE"]
severities = [3]
items = 8
denoise = false
[[gates]]
name = "badge at the edge"
select = { audit = "merchant", edit = "EDGE", metric = "ndcg@20", reference = "clean" }
quantity = "relative_drift"
min = -0.9
bound = "estimate"
[[gates]]
name = "badge in the middle"
select = { audit = "merchant", edit = "MIDDLE", metric = "ndcg@20", reference = "clean" }
quantity = "relative_drift"
min = -0.9
bound = "estimate"
[[gates]]
name = "mostly at the edge"
select = { audit = "merchant", edit = "MOSTLY", metric = "ndcg@20", reference = "clean" }
quantity = "relative_drift"
min = -0.9
bound = "estimate"
[[gates]]
name = "movement"
select = { audit = "encoder", edit = "EDGE", metric = "movement_image" }
quantity = "value"
max = 9.0
bound = "estimate"
""".replace("EDGE", f"{__name__}:edge")
    .replace("MIDDLE", f"{__name__}:middle")
    .replace("MOSTLY", f"{__name__}:mostly")
)


@changes("image", scale="rows of a band", steps=("1", "2", "3", "4", "5"))
def edge(content: Content, severity: int, random: np.random.Generator, view: Any) -> Content:
    """A band along the upper edge."""
    return _band(content, 0, 2 * severity)


@changes("image", scale="rows of a band", steps=("1", "2", "3", "4", "5"))
def middle(content: Content, severity: int, random: np.random.Generator, view: Any) -> Content:
    """A band through the middle."""
    return _band(content, 44, 2 * severity)


@changes("image", scale="rows of a band", steps=("1", "2", "3", "4", "5"))
def mostly(content: Content, severity: int, random: np.random.Generator, view: Any) -> Content:
    """A wide band along the upper edge, and a row of pixels through the middle."""
    return _band(_band(content, 0, 8 * severity), 44, 1)


def _band(content: Content, top: int, rows: int) -> Content:
    if content.picture is None:
        return content
    picture = content.picture.copy()
    picture.paste((250, 20, 200), (0, top, picture.width, top + rows))
    return replace(content, picture=picture)


def test_the_share_is_that_of_the_pixels_outside_the_crop() -> None:
    before = Image.new("RGB", (300, 400), (90, 90, 90))
    for top, bottom, expected in ((0, 40, 1.0), (40, 60, 0.5), (60, 340, 0.0), (0, 400, 100 / 400)):
        after = before.copy()
        after.paste((0, 0, 0), (0, top, 300, bottom))
        # The crop of CLIP shows rows 49.7 to 350.3 of 400, so pixel rows 50 to 349.
        assert hidden_share(before, after, [CLIP]) == pytest.approx(expected)
        assert hidden_share(before, after, [WholePicture()]) == 0
        assert hidden_share(before, after, [CLIP, WholePicture()]) == 0


def test_what_is_not_known_or_not_changed_has_no_share() -> None:
    picture = Image.new("RGB", (300, 400), (90, 90, 90))
    assert hidden_share(picture, picture.copy(), [CLIP]) is None
    assert hidden_share(picture, picture, [CLIP]) is None
    assert hidden_share(picture, Image.new("RGB", (300, 400)), []) is None
    assert hidden_share(picture, None, [CLIP]) == 0
    # A new picture, and one of another size, are changed everywhere.
    assert hidden_share(None, picture, [CLIP]) == pytest.approx(100 / 400)
    assert hidden_share(picture, Image.new("RGB", (400, 300), (90, 90, 90)), [CLIP]) == pytest.approx(100 / 400)


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_a_fit_of_the_whole_picture_hides_nothing(fit: Fit) -> None:
    before = Image.new("RGB", (300, 400), (90, 90, 90))
    after = before.copy()
    after.paste((0, 0, 0), (0, 0, 300, 20))
    assert hidden_share(before, after, [rule_of({}, default="CLIP", fit=fit)]) == 0


@pytest.mark.parametrize(
    ("name", "clip", "dinov2"),
    [
        ("promo_badge", (0.87, 0.37, 0.15), (1.0, 0.68, 0.36)),
        ("watermark", (1.0, 0.24, 0.25), (1.0, 0.43, 0.43)),
        ("text_banner", (1.0, 0.60, 0.35), (1.0, 0.84, 0.55)),
    ],
)
def test_a_weak_edit_of_a_portrait_picture_is_hidden_from_clip_and_dinov2(
    name: str, clip: tuple[float, ...], dinov2: tuple[float, ...]
) -> None:
    tiles = np.random.default_rng(0).integers(60, 200, (20, 15, 3)).astype(np.uint8)
    content = Content("Blue mug", "", ("Home",), "A mug.", Image.fromarray(tiles).resize((300, 400)))
    for rule, expected in ((CLIP, clip), (DINOV2, dinov2)):
        for severity, share in zip((1, 3, 5), expected, strict=True):
            found = []
            for draw in range(12):
                random = numpy_generator(0, "edit", name, draw, 7)
                after = apply_edit(edit(name), content, severity, random, CatalogueView())
                found.append(hidden_share(content.picture, after.picture, [rule]))
            assert float(np.mean([each for each in found if each is not None])) == pytest.approx(share, abs=0.1)


class _Cells(nn.Module):
    """A network with the mean colours of 4 x 4 cells as its vector."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.scale * nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1)


def small_rule(fit: Fit = "file") -> PictureRule:
    """A crop like that of DINOv2, small enough for a test: of 48 x 96 pixels, rows 29 to 67 are seen."""
    return rule_of({"size": {"shortest_edge": 40}, "crop_size": 32}, default="Bit", fit=fit)


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_shop(tmp_path_factory.mktemp("shops") / "shop", tiny_folder / "tiny.inter")
    for item in range(N_ITEMS):
        place = folder / "pictures" / f"{item}.png"
        high = Image.new("RGB", (48, 96), (245, 245, 240))
        high.paste(Image.open(place), (0, 24))
        high.save(place)
    return folder


@pytest.fixture
def measured(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    torch.save(_Cells().state_dict(), tmp_path / "weights.pth")
    monkeypatch.setattr(lite0, "EfficientNetLite0", _Cells)
    monkeypatch.setattr(lite0, "picture_rule", small_rule)

    def measure(**encoder: Any) -> tuple[Any, runner.Measurements]:
        plan = shop_plan(
            shop,
            tmp_path / "home",
            features="minilm+lite0" if encoder.pop("texts", False) else "lite0",
            weights=(f"lite0={tmp_path / 'weights.pth'}",),
            suite=SUITE,
            set={"training": {"max_epochs": 2, "learning_rate": 0.01, "batch_size": 128}, "encoder": encoder},
        )
        found = runner.measure(plan)
        report, _ = make_report(plan, found, command=["robustrec"])
        return report, found

    return measure


def test_no_gate_passes_on_an_edit_that_the_crop_hides(measured: Any) -> None:
    report, found = measured()
    shares = {row.condition.edit: row.clean for row in rows(found, metric="hidden_share")}
    assert shares[f"{__name__}:edge"] == 1
    assert shares[f"{__name__}:middle"] == pytest.approx(0.2, abs=0.03)
    assert "typos" not in shares
    # This model reads pictures alone, so nothing of the combination arrives.
    assert {condition.edit for _, audit, condition in hidden_edits(found.results.findings) if audit == "merchant"} == {
        f"{__name__}:edge",
        f"{__name__}:mostly",
        f"promo_phrase+{__name__}:edge",
    }
    gates = {gate.gate: gate for gate in report.gates}
    assert gates["badge in the middle"].status == "pass"
    # Nothing of the first changes a vector, so there is no drift to judge.
    for name in ("badge at the edge", "mostly at the edge", "movement"):
        assert gates[name].status == ("error" if name == "badge at the edge" else "inconclusive")
        share = "96.8 %" if name.startswith("mostly") else "100 %"
        assert f"{share} of the pixels that this edit changes are outside the crop" in gates[name].message
        assert "--set encoder.fit=pad" in gates[name].message
    assert report.verdict != "pass"
    (warning,) = [each for each in found.results.warnings if "hides" in each]
    assert f"{__name__}:edge severity 3 (100 %)" in warning
    assert "middle" not in warning


def test_with_the_whole_picture_the_same_gates_pass(measured: Any) -> None:
    report, found = measured(fit="pad")
    shares = [row.clean for row in found.results.findings if row.metric == "hidden_share"]
    assert len(shares) >= 4
    assert not any(shares)
    assert {gate.status for gate in report.gates} == {"pass"}
    assert not [each for each in found.results.warnings if "hides" in each]
