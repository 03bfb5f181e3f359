"""Gates select by field; the label of a condition is still read, with a warning that has the keys to write."""

import re
import tomllib
from pathlib import Path

import pytest
from labelled import condition_of
from made_up_report import drift

from robustrec.audits.checked import checked_report
from robustrec.audits.plan_checks import check_gates_select
from robustrec.audits.suites import load_suite, parse_suite, suite_names
from robustrec.cli.main import run
from robustrec.errors import RobustrecError
from robustrec.results.gates import Gate, label_warnings, selects
from robustrec.results.report import read_report
from robustrec.results.selection import Select, label_warning

RUN = Path(__file__).parent / "data" / "run-v2.json"
LABELS = (
    *("sigma2=1e-06", "sigma2=0.01", "sigma2=1e-06 image", "sigma2=1e-06 frozen graphs", "sigma_rel=0.05"),
    *("trained sigma2=1e-06", "break point: ndcg@20 -5%", "edit=promo_badge severity=3 share=0.1"),
    *("edit=promo_badge severity=1 share=0.1", "edit=promo_phrase+promo_badge severity=3 share=0.1", "test"),
    *("edit=all severity=3 share=0.1", "edit=crop severity=3 share=0.1 frozen graphs", "sigma_std=0.1"),
    *("sigma_std=0.1 standardised", "sigma_std=0.1 image standardised", "sigma_std=0.1 rebuilt graphs"),
)
SUITE = """
schema_version = 1
name = "own"
metrics = ["ndcg@20"]
[[audits]]
kind = "noise"
sigma2 = [1e-6, 1e-4]
scopes = ["all", "image"]
[[audits]]
kind = "merchant"
edits = ["promo_badge", "typos"]
severities = [1, 3]
[[gates]]
name = "g"
select = { SELECT, metric = "ndcg@20" }
quantity = "relative_drift"
min = -0.1
"""


def suite_of(select: str):
    return parse_suite(SUITE.replace("SELECT", select), source="own.toml")


def chosen(select: Select) -> set[str]:
    return {label for label in LABELS if select.wants(condition_of(label))}


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        ({}, set(LABELS)),
        ({"sigma2": 1e-6}, {each for each in LABELS if "sigma2=1e-06" in each}),
        (
            {"sigma2": 0.000001, "modality": "all", "trained": False},
            {"sigma2=1e-06", "sigma2=1e-06 frozen graphs"},
        ),
        ({"sigma2": 1e-6, "modality": "im*"}, {"sigma2=1e-06 image"}),
        ({"edit": "promo_*", "severity": 3}, {each for each in LABELS if "promo" in each and "severity=3" in each}),
        ({"edit": "all"}, {"edit=all severity=3 share=0.1"}),
        ({"kind": "edit", "graphs": "frozen"}, {"edit=crop severity=3 share=0.1 frozen graphs"}),
        ({"kind": "break_point"}, {"break point: ndcg@20 -5%"}),
        ({"trained": True}, {"trained sigma2=1e-06"}),
        ({"standardised": True, "modality": "all"}, {"sigma_std=0.1 standardised"}),
        ({"share": 0.25}, set()),
    ],
)
def test_conditions_are_selected_by_field(keys, labels):
    assert chosen(Select(metric="ndcg@20", **keys)) == labels


def test_a_group_selects_findings_of_these_users_and_items():
    edited = drift(audit="merchant", condition="edit=crop severity=3 share=0.1", metric="ndcg@20_edited")
    others = drift(audit="merchant", condition="edit=crop severity=3 share=0.1", metric="ndcg@20_untouched")
    everyone = drift(audit="merchant", condition="edit=crop severity=3 share=0.1", metric="ndcg@20")

    def selected(**keys: str) -> list[bool]:
        gate = Gate(name="g", select=Select(**keys), quantity="drift", min=-0.1)
        return [selects(gate, row) for row in (edited, others, everyone)]

    assert selected(metric="ndcg@20", group="edited") == [True, False, False]
    assert selected(metric="ndcg@20_edited", group="edited") == [True, False, False]
    assert selected(metric="ndcg@20_edited") == [True, False, False]
    assert selected(metric="*", group="untouched") == [False, True, False]
    assert selected(metric="ndcg@20") == [False, False, True]


@pytest.mark.parametrize(
    "pattern",
    [
        *LABELS,
        *("sigma2=1e-6", "sigma2=0.000001 image", "trained *", "edit=* severity=3 *", "edit=promo_badge severity=3 *"),
        *("edit=promo_* *", "edit=* *", "break point: *", "sigma_std=0.1* standardised", "sigma2=1e-06*"),
    ],
)
def test_the_keys_that_the_warning_of_a_label_names_select_the_same(pattern):
    old = Select(metric="ndcg@20", condition=pattern)
    told = label_warning("g", old)
    new = Select.model_validate(tomllib.loads(told[told.index("select = ") :])["select"])
    assert chosen(new) == chosen(old) != set()
    assert label_warning("g", new) == ""


def test_a_warning_keeps_the_other_keys():
    told = label_warning(
        "g", Select(audit="merchant", metric="rank", group="edited", strategy="sgbd", condition="edit=crop *")
    )
    keys = 'select = { audit = "merchant", edit = "crop", metric = "rank", group = "edited", strategy = "sgbd" }'
    assert told.endswith(keys)
    assert "docs/gates.md" in label_warning("g", Select(metric="m", condition="sigma2=1e-*"))


@pytest.mark.parametrize(
    ("select", "key", "what", "fix"),
    [
        ("edits = 3", "edits", "unknown key 'edits'", "did you mean 'edit'"),
        ('severity = "3"', "severity", "valid integer", ""),
        ('graphs = "rebuild"', "graphs", "'rebuilt' or 'frozen'", ""),
        ('group = "edit"', "group", "'edited'", ""),
        ("trained = 1", "trained", "valid boolean", ""),
        ('sigma2 = 1e-6, edit = "crop"', "select", "no condition has edit and sigma2 together", ""),
        ('kind = "edit", rho = 0.1', "select", "kind edit does not have rho", ""),
        ('condition = "sigma2=1e-6", modality = "all"', "select", "cannot be combined: remove condition", ""),
    ],
)
def test_keys_that_cannot_be_are_refused(select, key, what, fix):
    with pytest.raises(RobustrecError) as caught:
        suite_of(f'audit = "noise", {select}')
    assert what in caught.value.what
    assert f"gates[0].select{'' if key == 'select' else '.' + key}" in caught.value.where
    assert caught.value.where.startswith("own.toml")
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("select", "key", "fix"),
    [
        ('audit = "noise", sigma2 = 1e-5', "sigma2", "sigma2 can be 1e-06, 0.0001"),
        ('audit = "noise", sigma2 = 1e-6, modality = "text"', "modality", "available values: all, image"),
        ('audit = "noise", sigma2 = 1e-6, graphs = "frozen"', "graphs", "available values: rebuilt"),
        ('audit = "noise", trained = true', "trained", "trained can be false"),
        ('audit = "noise", severity = 3', "severity", "remove severity"),
        ('audit = "merchant", edit = "promo_bagde"', "edit", "did you mean 'promo_badge'"),
        ('audit = "merchant", edit = "typos", severity = 5', "severity", "severity can be 1, 3"),
        ('audit = "merchant", share = 0.2', "share", "share can be 0.1"),
        ('audit = "merchant", condition = "edit=crop *"', "condition", "available conditions"),
    ],
)
def test_a_selection_that_can_match_nothing_is_refused(select, key, fix):
    with pytest.raises(RobustrecError) as caught:
        check_gates_select(suite_of(select))
    assert caught.value.where == f"suite 'own', gates, select.{key}"
    assert "gate 'g' cannot match a finding" in caught.value.what
    assert fix in caught.value.fix


def test_selections_of_what_is_measured_are_accepted():
    for select in (
        'audit = "noise", sigma2 = 1e-6, modality = "all", graphs = "rebuilt", trained = false',
        'audit = "merchant", edit = "all", severity = 3',
        'audit = "merchant", severity = 3, group = "edited"',
    ):
        check_gates_select(suite_of(select))


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_select_by_field(name):
    suite = load_suite(name)
    assert not label_warnings(suite.gates)
    check_gates_select(suite)


def test_an_optional_gate_on_training_noise_is_not_asked_of_external_models():
    assert Select(metric="m", trained=True).of_training_noise
    assert Select(metric="m", condition="trained sigma2=0.01").of_training_noise
    assert not Select(metric="m", condition="sigma2=0.01").of_training_noise
    assert not Select(metric="m", sigma2=0.01).of_training_noise


def test_the_warning_is_given_for_the_suite_of_a_command_and_not_for_the_one_of_an_old_report(tmp_path, capsys):
    text = 'name = "own"\nmetrics = ["ndcg@20"]\nbootstrap = { replicates = 100 }\n[[audits]]\nkind = "noise"\n'
    gate = '[[gates]]\nname = "g"\nquantity = "relative_drift"\nmin = -0.9\nselect = { audit = "noise", KEYS }\n'
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    keys = 'condition = "sigma2=1e-2 image", metric = "ndcg@20"'
    old.write_text(f"schema_version = 1\n{text}{gate.replace('KEYS', keys)}")
    assert run(["gate", str(RUN), "--suite", str(old), "--output-format", f"json:{tmp_path}/out.json"]) == 0
    capsys.readouterr()
    (told,) = [each for each in read_report(tmp_path / "out.json").warnings if each.startswith("selection by label")]
    written = re.search(r"select = \{ audit = \"noise\", (.*) \}", told)[1]
    new.write_text(f"schema_version = 1\n{text}{gate.replace('KEYS', written)}")
    assert run(["gate", str(RUN), "--suite", str(new), "--output-format", f"json:{tmp_path}/new.json"]) == 0
    again = read_report(tmp_path / "new.json")
    assert not [each for each in again.warnings if each.startswith("selection by label")]
    assert again.gates == read_report(tmp_path / "out.json").gates
    assert not [each for each in checked_report(RUN).warnings if each.startswith("selection by label")]
