"""Users' own edits: found by entry point or module:function, tried before any work, and watched while they work."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from edit_cases import shirt

from robustrec.edits import EDITS, edit, edit_names
from robustrec.edits.contract import apply_edit, declaration_of
from robustrec.edits.view import CatalogueView
from robustrec.errors import RobustrecError

HEAD = """
from __future__ import annotations
import time
from dataclasses import replace
import numpy as np
from PIL import Image, ImageDraw
from robustrec.edits.contract import changes

STEPS = ("1", "2", "3", "4", "5")
"""
GOOD = '''
@changes("text", scale="exclamation marks", steps=STEPS)
def shout(content, severity, generator, view):
    """Ends the title with exclamation marks."""
    return replace(content, title=content.title + "!" * severity)
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of edits into the working folder and return the name to call it by."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(body, name="own_edits_here"):
        (tmp_path / f"{name}.py").write_text(HEAD + body)
        sys.modules.pop(name, None)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(("own_edits", "plugin_of")):
            del sys.modules[name]


def test_one_in_the_working_folder_is_found_without_installing_it(module):
    found = edit(f"{module(GOOD)}:shout")
    assert (found.modality, found.own) == ("text", False)
    assert found.behaviour == "Ends the title with exclamation marks."
    after = apply_edit(found, shirt(), 3, np.random.default_rng(0), CatalogueView())
    assert after.title == shirt().title + "!!!"
    content = shirt()
    assert apply_edit(found, content, 0, np.random.default_rng(0), CatalogueView()) is content


def body(lines, *, modality="text", signature="content, severity, generator, view", steps="STEPS"):
    return f'''
@changes("{modality}", scale="something", steps={steps})
def own({signature}):
    """Does something."""
    {lines}
'''


FAULTS = {
    "draws on the picture": (
        body(
            "content.picture and ImageDraw.Draw(content.picture).point((0, 0), (1, 2, 3)); return content",
            modality="image",
        ),
        "modified its input in place",
        "copy",
    ),
    "writes into the frozen content": (
        body("object.__setattr__(content, 'title', content.title + '!'); return content"),
        "modified its input in place",
        "copy",
    ),
    "draws on the picture and returns a copy": (
        body(
            "p = content.picture; p and p.paste((1, 2, 3), (0, 0, 2, 2)); "
            "return replace(content, picture=p and p.copy())",
            modality="image",
        ),
        "modified its input in place",
        "copy",
    ),
    "takes other arguments": (body("return content", signature="content, severity"), "does not take", "def name"),
    "needs more arguments": (
        body("return content", signature="content, severity, generator, view, more"),
        "does not take",
        "def name",
    ),
    "returns a text": (body("return content.title"), "returned a str", "Content"),
    "returns nothing": (body("pass"), "returned a NoneType", "Content"),
    "returns a number as title": (body("return replace(content, title=3)"), "not strings", "str"),
    "returns a list of categories": (body("return replace(content, categories=['a'])"), "not a tuple", "str"),
    "returns a grey picture": (
        body("return replace(content, picture=content.picture and content.picture.convert('L'))", modality="image"),
        "returned the picture",
        "convert",
    ),
    "returns an array as picture": (
        body("return replace(content, picture=np.zeros((4, 4, 3)))", modality="image"),
        "returned the picture",
        "convert",
    ),
    "edits the other modality": (
        body("return replace(content, title='x')", modality="image"),
        "changed the text",
        "two",
    ),
    "draws from the global generator": (
        body("return replace(content, title=str(np.random.random()))"),
        "different results for the same generator state",
        "generator",
    ),
    "reads the clock": (
        body("return replace(content, title=str(time.perf_counter_ns()))"),
        "different results for the same generator state",
        "generator",
    ),
    "fails without a picture": (
        body("return replace(content, picture=content.picture.rotate(5))", modality="image"),
        "AttributeError",
        "without a picture",
    ),
    "fails at severity 5": (
        body("return content if severity < 5 else 1 / 0"),
        "failed at severity 5: ZeroDivisionError",
        "correct the function",
    ),
    "has four steps": (body("return content", steps="STEPS[:4]"), "five steps", "severity"),
    "has an unknown modality": (
        body("return content", modality="txt"),
        "unknown modality 'txt'",
        "did you mean 'text'",
    ),
    "says nothing": (
        "def own(content, severity, generator, view): return content",
        "does not declare what it changes",
        "@",
    ),
    "is no function": ("own = 3", "must be a function", "function"),
    "is not there": ("", "cannot be imported: AttributeError", "python -c"),
    "does not compile": ("def own(:", "cannot be imported: SyntaxError", "python -c"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_one_is_refused_before_any_work(fault, module):
    text, what, fix = FAULTS[fault]
    name = f"{module(text)}:own"
    with pytest.raises(RobustrecError) as caught:
        edit(name, where="audits/mine.toml: edits")
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.where
    if "import" in what or "must be a function" in what:
        assert "audits/mine.toml" in caught.value.where


def test_a_docstring_is_asked_for(module):
    text = (
        '@changes("text", scale="a", steps=STEPS)\ndef own(content, severity, generator, view):\n    return content\n'
    )
    with pytest.raises(RobustrecError, match="has no docstring"):
        edit(f"{module(text)}:own")


def test_what_the_trial_misses_is_caught_at_work(module):
    """Faults that only show on some items: the real item is watched as closely as the made-up one."""
    text = body("p = content.picture; p and p.width == 80 and p.putpixel((0, 0), (0, 0, 0)); return content")
    found = edit(f"{module(text)}:own")
    with pytest.raises(RobustrecError, match="modified its input in place") as caught:
        apply_edit(found, shirt(), 1, np.random.default_rng(0), CatalogueView())
    assert caught.value.where == "own_edits_here:own"
    text = body("return replace(content, title=content.title[:10] / 2 if 'Acme red' in content.title else 'x')")
    found = edit(f"{module(text, 'own_edits_two')}:own")
    with pytest.raises(RobustrecError, match="failed at severity 2: TypeError") as caught:
        apply_edit(found, shirt(), 2, np.random.default_rng(0), CatalogueView())
    assert isinstance(caught.value.__cause__, TypeError)


def test_no_change_counts_as_untouched_whatever_object_comes_back(module):
    found = edit(f"{module(body('return replace(content)'))}:own")
    content = shirt()
    assert apply_edit(found, content, 4, np.random.default_rng(0), CatalogueView()) is content


@pytest.mark.parametrize("name", ["no_such_module_here:own", ":own", "own:", "a.b.c:d", "os:path.join"])
def test_names_that_lead_nowhere(name, module):
    with pytest.raises(RobustrecError):
        edit(name)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(RobustrecError, match="unknown edit 'promo_bagde'") as caught:
        edit("promo_bagde", where="suite")
    assert "did you mean 'promo_badge'?" in caught.value.fix
    assert caught.value.where == "suite"


def install(folder, points, name="plugin-of-ours"):
    """Make a folder look like an installed distribution with entry points."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "\n".join(f"{key} = {value}" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[robustrec.edits]\n{lines}\n")


def test_an_installed_plugin_is_found_by_name(module, tmp_path, monkeypatch):
    module(GOOD, "plugin_of_ours")
    install(tmp_path, {"shout": "plugin_of_ours:shout"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert edit_names() == [*EDITS, "shout"]
    found = edit("shout")
    assert (found.name, found.place, found.own) == ("shout", "plugin_of_ours:shout", False)
    assert declaration_of(found.change) == found.declaration


def test_a_plugin_that_cannot_be_imported_is_an_error_and_no_warning(module, tmp_path, monkeypatch):
    install(tmp_path, {"broken": "plugin_of_nobody:gone"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RobustrecError, match="cannot be imported: ModuleNotFoundError") as caught:
        edit("broken")
    assert "plugin-of-ours" in caught.value.fix


@pytest.mark.parametrize("taken", ["blur", "shout"])
def test_two_edits_of_one_name_are_an_error(taken, module, tmp_path, monkeypatch):
    module(GOOD, "plugin_of_ours")
    install(tmp_path, {taken: "plugin_of_ours:shout"})
    if taken == "shout":
        install(tmp_path, {taken: "plugin_of_others:shout"}, "plugin-of-others")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RobustrecError, match=f"two edits are named '{taken}'"):
        edit_names()


def test_own_edits_are_not_imported_over_installed_packages(module, tmp_path):
    """The working folder comes last: a json.py in it hides nothing."""
    (tmp_path / "json.py").write_text("raise SystemExit")
    before = [*sys.path]
    edit(f"{module(GOOD)}:shout")
    assert sys.path == before
    assert replace(shirt()).title
