"""What each encoder sees of a picture, as the audits ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tiny_families import save_clip
from toy_shop import MakeDataset

from robustrec.encoders.features import row_encoder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.preprocessing import SeenBox
from robustrec.encoders.visibility import WholePicture, hidden_share, picture_views


@pytest.mark.parametrize(("fit", "top"), [("file", True), ("pad", False)])
def test_the_crop_of_a_clip_folder_is_known(make_dataset: MakeDataset, tmp_path: Path, fit: str, *, top: bool) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    save_clip(folder)
    options = EncoderOptions.model_validate({"weights": (str(folder),), "device": "cpu", "offline": True, "fit": fit})
    encoder = row_encoder(make_dataset(2), "hf-dual", home=tmp_path / "home", options=options)
    (view,) = picture_views(encoder)
    assert (view.seen(300, 400).top > 40) == top


def test_basic_sees_the_whole_picture(make_dataset: MakeDataset, tmp_path: Path) -> None:
    (view,) = picture_views(row_encoder(make_dataset(2), "basic", home=tmp_path))
    assert view.seen(300, 400) == (0, 0, 300, 400)


class Box:
    """A view of a fixed box."""

    def __init__(self, *edges: float) -> None:
        self.box = SeenBox(*edges)

    def seen(self, width: int, height: int) -> SeenBox:
        del width, height
        return self.box


def test_nothing_is_hidden_where_all_is_seen_and_only_then() -> None:
    before = Image.new("RGB", (30, 20))
    after = before.copy()
    after.paste((200, 0, 0), (0, 0, 30, 2))  # the two upper rows
    for whole in (WholePicture(), Box(0.4, 0.3, 29.6, 19.7)):
        assert hidden_share(before, after, (Box(0, 10, 30, 20), whole)) == 0.0
        assert hidden_share(None, after, (whole,)) == 0.0
        assert hidden_share(before, before.copy(), (whole,)) is None
    assert hidden_share(before, after, (Box(0.2, 1.0, 30.0, 20.0),)) == 0.5
    assert hidden_share(before, after, (Box(15.0, 0.2, 30.0, 20.0),)) == 0.5
    assert hidden_share(before, after, (Box(0.0, 0.0, 15.0, 20.0),)) == 0.5
    assert hidden_share(before, after, (Box(0.0, 0.0, 30.0, 1.0),)) == 0.5
