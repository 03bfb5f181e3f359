"""What every edit must satisfy."""

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edit_cases import OURS, applied, noise_picture, shirt, snapshot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from robustrec.edits import EDITS, PICTURE_EDITS, TEXT_EDITS, edit_names
from robustrec.edits.content import Content, changed, content_of
from robustrec.edits.contract import SEVERITIES, apply_edit, touched
from robustrec.edits.view import CatalogueView
from robustrec.errors import RobustrecError
from robustrec.plugins import distinct_names

every_edit = pytest.mark.parametrize("name", EDITS)
PHOTOS = "hero_swap"  # needs several photos of an item, see test_new_edits.py


@every_edit
def test_it_says_what_it_changes_and_what_each_severity_does(name):
    edit = OURS[name]
    assert edit.modality == ("text" if ".texts." in edit.place else "image")
    assert edit.behaviour.endswith(".")
    assert len(edit.declaration.steps) == 5
    assert len(set(edit.declaration.steps)) == 5
    assert edit.severity(2) == f"{edit.declaration.scale}: {edit.declaration.steps[1]}"


@every_edit
def test_severity_0_gives_back_the_very_object(name, clothing, view):
    content = content_of(clothing.catalog, 0)
    before = snapshot(content)
    after = apply_edit(OURS[name], content, 0, np.random.default_rng(0), view)
    assert after is content
    assert not touched(content, after)
    assert snapshot(after) == before


@every_edit
def test_it_is_a_pure_function_of_content_severity_and_generator(name, clothing, view):
    edit = OURS[name]
    for row in range(6):
        content = content_of(clothing.catalog, row)
        before = snapshot(content)
        for severity in SEVERITIES:
            first, second = (apply_edit(edit, content, severity, np.random.default_rng(row), view) for _ in range(2))
            assert snapshot(first) == snapshot(second)
            assert snapshot(content) == before
            assert changed(content, first) == ((edit.modality,) if touched(content, first) else ())
            assert first.picture.size == content.picture.size
            assert first.picture.mode == "RGB"


@every_edit
def test_it_changes_every_item_that_has_what_it_needs(name, clothing, view):
    if name == PHOTOS:
        return
    content = shirt(content_of(clothing.catalog, 3).picture)
    for severity in SEVERITIES:
        for seed in range(4):
            after = apply_edit(OURS[name], content, severity, np.random.default_rng(seed), view)
            assert touched(content, after), (severity, seed)


@every_edit
def test_what_an_item_lacks_cannot_be_edited_and_is_reported(name):
    nothing = Content("", "", (), "", None)
    after = apply_edit(OURS[name], nothing, 5, np.random.default_rng(0), CatalogueView())
    speaks = {"promo_phrase", "keyword_stuffing", "season_swap", "emoji_capitals", "language_mix", "seo_bullets"}
    assert touched(nothing, after) == (name in speaks), "those that only add can add to nothing"
    if OURS[name].modality == "image":
        assert after is nothing


HOSTILE = {
    "html": "<b>Red &amp; Blue</b> <script>alert('x')</script> shirt<br/>",
    "control characters": "Red\x00\x07 shirt\x1b[31m\u200b\ufeff\u2028 cotton\r\n\tsummer",
    "emoji": "👩‍👩‍👧‍👦❤️🔥 red 🇩🇪",
    "right to left": "חולצה אדומה לגברים \u202eAcme\u202c قميص أحمر",
    "10,000 words": "red cotton Acme shirt " * 2500,
    "one letter": "a",
    "dots": "." * 50_000,
    "a word without end": "x" * 60_000,
}
SIZES = [(1, 1), (2, 1), (1, 9), (3000, 2), (2, 3000), (4000, 9), (60, 80), (900, 1100)]


SHELF = CatalogueView(trending=("red", "gift"), brands=("Acme",))


@pytest.mark.parametrize(
    ("name", "case"),
    [*((name, case) for name in TEXT_EDITS for case in HOSTILE), *(("watermark", case) for case in HOSTILE)],
)
def test_hostile_texts(name, case):
    text = HOSTILE[case]
    content = Content(text, text[:40], (text[:100],), text, noise_picture(20, 20))
    before = snapshot(content)
    for severity in (1, 5):
        after = apply_edit(OURS[name], content, severity, np.random.default_rng(1), SHELF)
        assert snapshot(content) == before
        after.title.encode()
        after.description.encode()


@pytest.mark.parametrize("name", PICTURE_EDITS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_of_any_size_keep_it(name, size, view):
    for severity in (1, 5) if max(size) > 500 else SEVERITIES:
        plain = [] if max(size) > 500 else [Image.new("RGB", size, "black"), Image.new("RGB", size, "white")]
        for picture in (noise_picture(*size), *plain):
            content = shirt(picture)
            after = apply_edit(OURS[name], content, severity, np.random.default_rng(2), view)
            assert after.picture.size == size
            assert after.picture.mode == "RGB"


@pytest.mark.parametrize("name", PICTURE_EDITS)
def test_pictures_that_are_grey_change_too(name, view):
    content = shirt(noise_picture(64, 64).convert("L").convert("RGB"))
    after = apply_edit(OURS[name], content, 3, np.random.default_rng(0), view)
    assert touched(content, after) == (name != PHOTOS)


texts = st.text(max_size=40)


@pytest.mark.parametrize("name", TEXT_EDITS)
@given(
    content=st.builds(
        Content, texts, texts, st.lists(texts, max_size=3).map(tuple), st.text(max_size=120), st.just(None)
    ),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_edited_without_an_error(name, content, severity, seed):
    edit = OURS[name]
    first, second = (
        apply_edit(edit, content, severity, np.random.default_rng(seed), CatalogueView()) for _ in range(2)
    )
    assert snapshot(first) == snapshot(second)
    assert changed(content, first) in ((), ("text",))
    assert touched(content, first) == bool(changed(content, first))


@pytest.mark.parametrize("severity", [-1, 6, True, 2.0, "3", None])
def test_severities_are_0_to_5(severity):
    with pytest.raises(RobustrecError, match="severity") as caught:
        apply_edit(OURS["blur"], shirt(), severity, np.random.default_rng(0), CatalogueView())
    assert "0" in caught.value.fix


def test_a_severity_of_numpy_is_one():
    after = apply_edit(OURS["blur"], shirt(), np.int64(2), np.random.default_rng(0), CatalogueView())
    assert after.picture is not None


@every_edit
def test_it_travels_to_another_process(name):
    again = pickle.loads(pickle.dumps(OURS[name]))
    assert again == OURS[name]
    assert again.change is OURS[name].change


def test_another_process_makes_the_same_bytes():
    """Whatever order its sets and dicts of strings come in."""
    code = """
import hashlib, numpy as np
from edit_cases import OURS, applied, applied, shirt, snapshot
from robustrec.edits.view import CatalogueView
view = CatalogueView(trending=("boot", "gift", "sun"))
made = [snapshot(applied(name, shirt(), severity, view=view)) for name in OURS for severity in (2, 5)]
print(hashlib.sha256(repr(made).encode()).hexdigest())
"""
    view = CatalogueView(trending=("boot", "gift", "sun"))
    made = [snapshot(applied(name, shirt(), severity, view=view)) for name in OURS for severity in (2, 5)]
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == hashlib.sha256(repr(made).encode()).hexdigest()


def test_names_are_distinct_and_ours_come_first():
    assert edit_names()[: len(EDITS)] == list(EDITS)
    with pytest.raises(ValueError, match="registered twice"):
        distinct_names("edit", [("blur", "a:b"), ("blur", "c:d")])


def test_the_table_is_there_without_torch_and_pillow():
    code = (
        "import sys; from robustrec.edits import edit; edit('typos'); print({'torch', 'PIL', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
