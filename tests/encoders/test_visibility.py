"""What each encoder sees of a picture, as the audits ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_families import save_clip
from toy_shop import MakeDataset

from robustrec.encoders.features import row_encoder
from robustrec.encoders.options import EncoderOptions
from robustrec.encoders.visibility import picture_views


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
