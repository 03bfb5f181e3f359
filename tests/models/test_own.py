"""Models of one's own: what a name leads to, what is refused and how, and which sources count."""

from __future__ import annotations

import sys

import pytest

from robustrec.errors import RobustrecError
from robustrec.models import known, model_class, section_of, training_defaults
from robustrec.models.own import attributed_to, is_own, is_scorer, load_own, own_sources

RECOMMENDER = """
from pydantic import BaseModel
from torch import nn
class Config(BaseModel): pass
class Model(nn.Module):
    Config, modalities = Config, ("text",)
    def represent(self, features): ...
    def loss(self, features, batch): ...
    def module(self): return self
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files of a folder that is then the working folder; what they define is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def to_files(files=None, **more):
        for name, text in {**(files or {}), **more}.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    yield to_files
    load_own.cache_clear()
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or sys.modules[name].__spec__):
            del sys.modules[name]


def test_a_colon_makes_a_name_ones_own():
    assert is_own("shop:Model")
    assert not is_own("vbpr")
    known("shop:Model")  # whether it is there is seen when it is imported
    assert section_of("shop.models:Model") == "Model"
    assert section_of("vbpr") == "vbpr"
    assert training_defaults("shop:Model", "sample") == {}
    with pytest.raises(RobustrecError, match="vbrp"):
        known("vbrp")


def test_classes_and_functions_are_found_in_the_working_folder_and_in_packages(write):
    write(
        {"shops/models/deep": "from shop_a import Model\n"},
        shop_a=RECOMMENDER + "def score(features, users): ...\nclass Scores:\n    def score(self, f, u): ...\n",
    )
    model = load_own("shop_a:Model").kind
    assert model_class("shop_a:Model") is model
    assert not is_scorer(model)
    assert is_scorer(load_own("shop_a:score").kind)
    assert is_scorer(load_own("shop_a:Scores").kind)
    assert load_own("shops.models.deep:Model").kind is model


def test_the_working_folder_hides_no_installed_package(write):
    write(json="broken", numpy="broken")
    write(shop_b="import json, numpy\ndef score(features, users): ...\n")
    before = [*sys.path]
    load_own("shop_b:score")
    assert sys.path == before


BAD = {
    "is not MODULE:NAME": ["shop:", ":Model", "a b:Model", "shop/model.py:Model", "./shop:Model", "shop:Model.score"],
    "module 'shop_none' not found": ["shop_none:Model", "shop_none.models:Model"],
    "module 'shop_c.models' not found": ["shop_c.models:Model"],
    "has no 'Missing'": ["shop_c:Missing"],
    "is a int; expected a class or a function": ["shop_c:number"],
    "is a Model; expected a class": ["shop_c:instance"],
    "neither represent and loss": ["shop_c:Nothing"],
    "has no loss, module, modalities, Config": ["shop_c:Half"],
    "is not a torch.nn.Module": ["shop_c:Plain"],
    "not a pydantic.BaseModel class": ["shop_c:DictConfig"],
    "modalities = 'text'": ["shop_c:String"],
    "modalities = ('all', 'text')": ["shop_c:Unknown"],
    "modalities = <property": ["shop_c:Property"],
    "modalities = ['a picture']": ["shop_c:wrong_claim"],
}
SHOP_C = (
    RECOMMENDER
    + """
number, instance = 3, Model()
class Nothing: pass
class Half:
    score = 3
    def represent(self, features): ...
class Plain:
    Config, modalities, represent, loss, module = Config, (), None, None, None
class DictConfig(Model):
    Config = dict
class String(Model):
    modalities = "text"
class Unknown(Model):
    modalities = ("all", "text")
class Property(Model):
    @property
    def modalities(self): return ("text",)
def wrong_claim(features, users): ...
wrong_claim.modalities = ["a picture"]
"""
)


@pytest.mark.parametrize(("told", "name"), [(told, name) for told, names in BAD.items() for name in names])
def test_what_is_no_model_is_refused(told, name, write):
    write(shop_c=SHOP_C)
    with pytest.raises(RobustrecError) as caught:
        load_own(name)
    assert told in caught.value.what
    assert f"--model {name}" in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("\nimport shop_not_installed", "ModuleNotFoundError: No module named 'shop_not_installed' ({path}, line 2)"),
        ("\n\n1 / 0", "ZeroDivisionError: division by zero ({path}, line 3)"),
        ("import sys\nsys.exit(0)", "SystemExit: 0 ({path}, line 2)"),
        ("raise SystemExit", "SystemExit ({path}, line 1)"),
        ("def", "SyntaxError: invalid syntax (shop_d.py, line 1)"),
        ("import json\njson.loads('[')", "JSONDecodeError: Expecting value: line 1 column 2 (char 1) ({path}, line 2)"),
    ],
)
def test_a_module_that_raises_is_an_error_with_its_line(source, told, write, tmp_path):
    write(shop_d=source)
    with pytest.raises(RobustrecError) as caught:
        load_own("shop_d:Model")
    assert caught.value.what == told.format(path=tmp_path / "shop_d.py")
    assert "robustrec doctor --model shop_d:Model" in caught.value.fix


def test_only_user_defined_code_is_named_in_the_error(write):
    with pytest.raises(ValueError, match="ours"), attributed_to("vbpr", "represent"):
        raise ValueError("ours")
    with pytest.raises(KeyboardInterrupt), attributed_to("shop:Model", "represent"):
        raise KeyboardInterrupt
    inner = RobustrecError("already told", where="x", fix="y")
    with pytest.raises(RobustrecError) as caught, attributed_to("shop:Model", "represent"):
        raise inner
    assert caught.value is inner


def _names(*modules):
    return [file.name for _, file in own_sources(set(modules))]


def test_the_sources_of_a_file_are_it_and_what_it_imports_beside_it(write):
    write(
        {"shop_e_graph/build": "g = 1", "shop_e_graph/__init__": "import shop_e"},
        shop_e="import shop_e_layers, numpy\ndef score(features, users):\n    from shop_e_late import x\n",
        shop_e_layers="from shop_e_graph.build import g",
        shop_e_late="x = 1",
        shop_e_other="y = 1",
    )
    load_own("shop_e:score")
    assert _names("shop_e") == ["shop_e.py", "__init__.py", "build.py", "shop_e_late.py", "shop_e_layers.py"]


def test_the_sources_of_a_package_are_all_of_it(write):
    write(
        {
            "shop_f/__init__": "",
            "shop_f/models/mine": "from ..layers import x\nimport robustrec, torch\ndef score(features, users): ...\n",
            "shop_f/layers": "x = 1",
            "shop_f/unused": "(",
        }
    )
    load_own("shop_f.models.mine:score")
    assert _names("shop_f.models.mine") == ["__init__.py", "layers.py", "mine.py", "unused.py"]


def _code(write, monkeypatch, tmp_path, folder, **changed):
    """Return the code digest of a model in a folder of its own, imported anew."""
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if str(tmp_path) not in path])
    files = {"shop_g": "import shop_g_part\ndef score(features, users): ...\n", "shop_g_part": "x = 1", "shop_h": ""}
    write({f"{folder}/{name}": text for name, text in (files | changed).items()})
    load_own.cache_clear()
    for name in files:
        sys.modules.pop(name, None)
    return load_own("shop_g:score").code


def test_the_digest_follows_what_counts_and_nothing_else(write, monkeypatch, tmp_path):
    def code(folder, **changed):
        return _code(write, monkeypatch, tmp_path, folder, **changed)

    first = code("a")
    assert code("b") == first, "not the folder"
    assert code("c", shop_h="y = 2") == first, "not what it does not import"
    assert code("d", shop_g_part="x = 2") != first
    assert code("e", shop_g="import shop_g_part\ndef score(features, users): pass\n") != first


def test_code_is_that_of_the_import_whatever_is_edited_later(write):
    write(shop_i="def score(features, users): ...\n")
    before = load_own("shop_i:score")
    write(shop_i="def score(features, users): return 1\n")
    assert load_own("shop_i:score") is before
