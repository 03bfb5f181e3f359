from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from robustrec.audits.few_draws import few_draws
from robustrec.audits.suites import load_suite, parse_suite, suite_names
from robustrec.errors import RobustrecError
from robustrec.evaluation.kinds import QUALITY
from robustrec.invalid import invalid

SMALL = """
schema_version = 1
name = "mine"
metrics = ["ndcg@10"]

[[audits]]
kind = "noise"
"""

GATE = """
[[gates]]
name = "g"
select = { metric = "ndcg@10" }
quantity = "relative_drift"
min = -0.1
"""


def refused(text):
    with pytest.raises(RobustrecError) as caught:
        parse_suite(text, source="mine.toml")
    return caught.value


def test_defaults():
    suite = parse_suite(SMALL, source="mine.toml")
    (noise,) = suite.audits
    assert (noise.sigma2, noise.relative, noise.scopes, noise.draws) == ((1e-6,), (), ("all",), 10)
    assert (noise.break_point, noise.training) == (None, None)
    assert (suite.require_edition, suite.compare_with, suite.mask_validation) == ("any", "vanilla", False)
    assert (suite.bootstrap.replicates, suite.bootstrap.level) == (2000, 0.95)


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_load_under_their_own_name_with_gates_that_can_fail(name):
    suite = load_suite(name)
    assert suite.name == name
    assert any(gate.severity == "error" and not gate.optional for gate in suite.gates)
    assert all(gate.optional for gate in suite.gates if gate.select.reference != "clean")


def test_quick_and_paper_are_shipped():
    assert {"quick", "paper"} <= set(suite_names())
    paper = load_suite("paper")
    assert len(paper.metrics) == 16
    assert paper.audits[0].scopes == ("all", "image", "text")
    assert paper.audits[0].training.sigma2 == (1e-6,)


def test_own_file_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    assert load_suite(str(path)).name == "mine"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(RobustrecError, match="unknown suite 'quik'") as caught:
        load_suite("quik")
    assert "did you mean 'quick'" in caught.value.fix


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"#" * (2 << 20)])
def test_unreadable_files_are_errors_in_three_parts(tmp_path, content):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RobustrecError) as caught:
        load_suite(str(path))
    assert "quick" in caught.value.fix


def test_bad_toml_names_the_line():
    error = refused("a = 1\nname =\nb = 2")
    assert "not valid TOML" in error.what
    assert "line 2" in error.what
    assert error.where == "mine.toml"


@pytest.mark.parametrize(
    ("addition", "where", "what", "fix"),
    [
        ("[bootstrap]\nreplicate = 500", "bootstrap.replicate", "unknown key", "did you mean 'replicates'"),
        ("sigma = [1e-6]", "audits[0].sigma", "unknown key", "did you mean 'sigma2'"),
        ("draws = 0", "audits[0].draws", "greater than or equal to 1", ""),
        ('draws = "8"', "audits[0].draws", "valid integer", ""),
        ("draws = true", "audits[0].draws", "valid integer", ""),
        ("sigma2 = [nan]", "audits[0].sigma2[0]", "finite", ""),
        ("sigma2 = [inf]", "audits[0].sigma2[0]", "", ""),
        ("sigma2 = [-1.0]", "audits[0].sigma2[0]", "greater than or equal to 0", ""),
        ("sigma2 = [1e-6, 0.000001]", "audits[0].sigma2", "duplicate", ""),
        ("sigma2 = []", "audits[0]", "needs sigma2, relative, break_point or training", ""),
        ('scopes = ["a b"]', "audits[0].scopes[0]", "neither 'all' nor the name of a modality", ""),
        ("break_point = { metric = 'ndcg@5' }", "mine.toml", "not in the metrics of the suite", ""),
        ("break_point = { max_relative_drop = 1.5 }", "max_relative_drop", "less than 1", ""),
        ("break_point = { sigma2_min = 1.0, sigma2_max = 0.1 }", "break_point", "must be smaller", ""),
        ("training = { }", "audits[0].training.sigma2", "missing", ""),
        ('[[audits]]\nkind = "noise"', "mine.toml", "duplicate value 'noise'", ""),
        ('[[audits]]\nkind = "nois"', "audits[1].kind", "unknown audit 'nois'", "did you mean 'noise'"),
        (GATE + "max_drop = 3", "gates[0].max_drop", "unknown key", "known keys"),
        (GATE.replace("metric", "metrik"), "gates[0].select.metri", "", ""),
        (GATE.replace("min = -0.1", ""), "gates[0]", "can never fail", ""),
        (GATE.replace("ndcg@10", "ndcg@20"), "mine.toml", "which the suite does not list", ""),
        (GATE.replace("metric =", "audit = 'merchant', metric ="), "mine.toml", "which the suite does not run", ""),
        (GATE.replace("metric =", "reference = 'sam', metric ="), "mine.toml", "compares with 'sam'", ""),
        (GATE + GATE, "mine.toml", "duplicate value 'g'", ""),
    ],
)
def test_what_does_not_belong_is_refused_before_any_work(addition, where, what, fix):
    error = refused(SMALL + addition)
    assert where in error.where
    assert error.where.startswith("mine.toml")
    assert what in error.what
    assert fix in error.fix


@pytest.mark.parametrize(
    ("metrics", "hint"),
    [
        ('["ndgc@10"]', "did you mean 'ndcg@20'"),
        ('["ndcg"]', "list length"),
        ('["ndcg@0"]', "list length"),
        ('["ndcg@1001"]', "list length from 1 to 1000"),
        ('["ild@1"]', "list length from 2 to 1000"),
        ('["ndcg@5000000"]', "list length"),
        ('["rbo@20"]', "compares two lists and belongs to the key stability"),
        ('["hit_rat@20"]', "did you mean 'hit_rate@20'"),
        ('["ndcg@10", "ndcg@010"]', "duplicate"),
        ("[]", "at least 1 item"),
        ('"ndcg@10"', "valid array"),
    ],
)
def test_metrics_are_checked(metrics, hint):
    assert hint in refused(SMALL.replace('["ndcg@10"]', metrics)).what


def test_every_metric_can_be_in_a_suite_up_to_1000_places():
    names = [f"{kind}@{k}" for kind in QUALITY for k in (2, 1000)]
    text = SMALL.replace('["ndcg@10"]', json.dumps(names) + '\nvalue = "price"')
    suite = parse_suite(text, source="mine.toml")
    assert suite.metrics == tuple(names)


@pytest.mark.parametrize("name", ["coverage@10", "novelty@10"])
def test_what_does_not_measure_relevant_items_has_no_break_point_and_is_no_headline(name):
    metrics = SMALL.replace('["ndcg@10"]', f'["ndcg@10", "{name}"]')
    for text in (
        f'\nbreak_point = {{ metric = "{name}" }}\n',
        f'\n[[audits]]\nkind = "merchant"\nmetric = "{name}"\n',
    ):
        assert f"metric '{name}' does not measure relevant items" in refused(metrics + text).what


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("schema_version = 1", "schema_version = 2", "Input should be 1"),
        ("schema_version = 1", "", "'schema_version' is missing"),
        ('[[audits]]\nkind = "noise"', "", "'audits' is missing"),
        ('[[audits]]\nkind = "noise"', "audits = []", "at least 1 item"),
        ('name = "mine"', 'nam = "mine"', ""),
    ],
)
def test_the_frame_is_checked(old, new, what):
    assert what in refused(SMALL.replace(old, new)).what


def test_the_digest_is_of_the_resolved_content():
    suite = parse_suite(SMALL, source="a")
    assert suite.digest == parse_suite("# a comment\n" + SMALL + "draws = 10", source="b").digest
    assert suite.digest != parse_suite(SMALL + "draws = 11", source="c").digest


def test_aa_suites_are_allowed():
    assert parse_suite(SMALL + "sigma2 = [0]", source="a").audits[0].sigma2 == (0.0,)


class _Apple(BaseModel, extra="forbid"):
    kind: Literal["apple"]
    colour: str = ""


class _Pear(BaseModel, extra="forbid"):
    kind: Literal["pear"]
    shape: str = ""


class _Basket(BaseModel, extra="forbid"):
    audits: list[Annotated[_Apple | _Pear, Field(discriminator="kind")]]


def test_errors_in_a_union_of_kinds_name_the_key_and_the_keys_of_that_kind():
    with pytest.raises(ValidationError) as caught:
        _Basket.model_validate({"audits": [{"kind": "pear", "shap": "long"}]})
    error = invalid(caught.value, _Basket, source="basket.toml", fix="")
    assert error.where == "basket.toml, key audits[0].shap"
    assert error.fix == "did you mean 'shape'? known keys: kind, shape"


def test_nothing_here_needs_torch():
    code = "import robustrec.audits.suites, robustrec.report.console.console, sys; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize("name", suite_names())
def test_gates_of_shipped_suites_stand_on_at_least_six_draws(name):
    assert few_draws(load_suite(name)) == []


FEW = """
schema_version = 1
name = "few"
metrics = ["ndcg@20"]
[[audits]]
kind = "noise"
sigma2 = [1e-6]
draws = 5
training = { sigma2 = [1e-6], draws = 1 }
[[audits]]
kind = "merchant"
draws = 3
[[audits]]
kind = "sharpness"
noise_pairs = 2
input_probes = 8
[[gates]]
name = "g"
quantity = "relative_drift"
min = -0.1
"""


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ('audit = "noise", sigma2 = 1e-6, trained = false, metric = "ndcg@20"', ["noise audit, draws = 5"]),
        (
            'audit = "noise", metric = "ndcg@20"',
            ["noise audit, training.draws = 1", "noise audit, draws = 5"],
        ),
        ('audit = "noise", trained = true, metric = "ndcg@20"', ["noise audit, training.draws = 1"]),
        ('audit = "merchant", metric = "exposure@20_edited"', ["merchant audit, draws = 3"]),
        ('audit = "sharpness", metric = "ndcg@20"', ["sharpness audit, noise_pairs = 2"]),
        ('audit = "clean", metric = "ndcg@20", reference = "vanilla"', []),
    ],
)
def test_gates_on_few_draws_are_warned_of(select, expected):
    suite = parse_suite(FEW + f"select = {{ {select} }}\n", source="few.toml")
    warnings = few_draws(suite)
    assert [warning.partition(":")[0] for warning in warnings] == expected
    assert all("gate 'g' needs at least 6 draws" in warning for warning in warnings)
    judged_by_estimate = parse_suite(FEW + f'bound = "estimate"\nselect = {{ {select} }}\n', source="few.toml")
    assert few_draws(judged_by_estimate) == []


def test_several_gates_on_few_draws_are_named_together():
    gates = "\n".join(
        f'[[gates]]\nname = "{name}"\nquantity = "relative_drift"\nmin = -0.1\n'
        'select = { audit = "merchant", metric = "exposure@20_edited" }'
        for name in "gh"
    )
    suite = parse_suite(FEW.partition("[[gates]]")[0] + gates, source="few.toml")
    assert "gates 'g', 'h' need at least 6 draws" in few_draws(suite)[0]
