"""Gates in one line: the gate of a suite that says the same, and refusals with position and the right form."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.audits.gate_text import parse_gate, with_gates
from robustrec.audits.plan_checks import check_gates_select
from robustrec.audits.suites import load_suite, parse_suite
from robustrec.errors import RobustrecError

SUITE = """
schema_version = 1
name = "all"
metrics = ["ndcg@20", "gini@10"]
stability = ["overlap@20", "changed@5"]
segments = ["category"]
[[audits]]
kind = "noise"
sigma2 = [1e-6]
draws = 4
[[audits]]
kind = "merchant"
edits = ["typos"]
severities = [3]
shares = [0.1]
draws = 4
metric = "ndcg@20"
exposure = 20
"""

LABELS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
KEYS = {
    "noise": st.fixed_dictionaries(
        {},
        optional={
            "sigma2": st.sampled_from(["1e-6", "0.5", ".25", "3"]),
            "modality": st.sampled_from(["all", "image"]),
            "trained": st.sampled_from(["true", "false"]),
            "strategy": st.sampled_from(["vanilla", "sg*"]),
            "model": st.just("slmrec"),
        },
    ),
    "merchant": st.fixed_dictionaries(
        {},
        optional={
            "edit": st.sampled_from(["typos", "promo_*", "shop.edits:rename"]),
            "severity": st.sampled_from(["3", "5"]),
            "share": st.just("0.1"),
            "features": LABELS.map(lambda text: json.dumps(text, ensure_ascii=False)),
        },
    ),
    None: st.just({}),
}


def toml_value(text):
    """A value as TOML has it: bare numbers and truth values, else a text."""
    bare = text in ("true", "false") or text.replace(".", "").replace("e-", "").isdigit()
    number = f"0{text}" if text.startswith(".") else text
    return number if bare else text if text.startswith('"') else json.dumps(text)


@st.composite
def gates(draw):
    """A gate in one line, and the same as a table of a suite."""
    space = draw(st.sampled_from(["", " ", "  "]))
    audit = draw(st.sampled_from([None, "noise", "merchant", "clean"]))
    keys = draw(KEYS[audit]) if audit in KEYS else {}
    reference = draw(st.sampled_from([None, "baseline", "vanilla"]))
    metric = draw(st.sampled_from(["ndcg@20", "gini@10", "overlap@20", "changed@5"][: 2 if audit == "clean" else 4]))
    digits = draw(st.integers(1, 99))
    lower = draw(st.booleans())
    if metric in ("overlap@20", "changed@5") and reference is None:
        sign, written = (">", f".{digits:02}") if metric == "overlap@20" else ("<", f"{digits}%")
        limit = digits / 100 - 1 if metric == "overlap@20" else digits / 100
        limits = {"min" if sign == ">" else "max": round(limit, 6)}
        quantity, bounds = "drift", [sign + written]
    elif audit == "clean" and reference is None:
        sign = ">=" if metric == "ndcg@20" else "<="
        quantity, bounds, limits = "value", [f"{sign}0.{digits:02}"], {}
        limits["min" if sign == ">=" else "max"] = digits / 100
    else:
        percent = draw(st.booleans())
        # The other limit alone allows every loss.
        alone = [("max",)] if metric in ("changed@5", "gini@10") else [("min",)]
        sides = draw(st.sampled_from([*alone, ("min", "max")]))
        sides = sides if len(sides) == 2 or lower else sides[::-1]
        quantity = "relative_drift" if percent else "drift"
        unit = "%" if percent else ""
        size = f"{digits}" if percent else f"0.{digits:02}"
        signs = {"min": ("> -", ">=-")[lower].replace(" ", space), "max": f"<{space}+"}
        bounds = [f"{signs[side]}{size}{unit}" for side in sides]
        limits = {side: (-1 if side == "min" else 1) * digits / 100 for side in sides}
    inside = f"{space},{space}".join(f"{key}{space}={space}{value}" for key, value in keys.items())
    head = "" if audit is None else f"{audit}{space}{f'({inside})' if keys else ''}{space}:{space}"
    vs = f" vs{space or ' '}{reference}" if reference else ""
    text = f"{head}{metric}{space}{f'{space},{space}'.join(bounds)}{vs}"
    select = {"metric": metric, **({"audit": audit} if audit else {}), **keys}
    table = ", ".join(f"{key} = {toml_value(value)}" for key, value in select.items())
    lines = [f"select = {{ {table} }}", f'quantity = "{quantity}"']
    lines += [f"{name} = {value!r}" for name, value in limits.items()]
    lines += [f'against = "{reference}"'] if reference else []
    return text, "\n".join(lines)


@settings(max_examples=100, deadline=None)
@given(gates())
def test_a_line_is_the_gate_that_a_suite_would_have(drawn):
    text, table = drawn
    gate = parse_gate(text)
    written = f"{SUITE}\n[[gates]]\nname = {json.dumps(gate.name, ensure_ascii=False)}\n{table}\n"
    suite = parse_suite(written, source="test")
    assert gate == suite.gates[0]
    # The name is a gate too, and the same one.
    assert parse_gate(gate.name) == gate
    assert with_gates(parse_suite(SUITE, source="test"), [text]).digest == suite.digest


@pytest.mark.parametrize(
    ("text", "quantity", "limits"),
    [
        ("ndcg@20>-2%", "relative_drift", (-0.02, None)),
        ("overlap@20>=.9", "drift", (-0.1, None)),
        ("overlap@20>=90%", "drift", (-0.1, None)),
        ("changed@20<=.1", "drift", (None, 0.1)),
        ("ndcg@20>-0.01", "drift", (-0.01, None)),
        ("clean:recall@20>=5%", "value", (0.05, None)),
        ("encoder:displacement<=0.1", "value", (None, 0.1)),
        ("rbo@20>-0.05 vs baseline", "drift", (-0.05, None)),
        ("clean:ndcg@20>+2% vs vanilla", "relative_drift", (0.02, None)),
        ("content_use:content_use>=.1", "value", (0.1, None)),
    ],
)
def test_what_the_limits_mean(text, quantity, limits):
    gate = parse_gate(text)
    assert (gate.quantity, (gate.min, gate.max)) == (quantity, limits)
    assert (gate.bound, gate.severity, gate.optional, gate.name) == ("interval", "error", False, text)


WRONG = [
    ("", 1, "expected a metric", "--gate 'ndcg@20>-2%'"),
    ("ndcg@20", 8, "expected > or <", "quote the gate"),
    ("ndcg>-2%", 5, "no list length", "ndcg@20"),
    ("ndcg@0>-2%", 6, "no list length", "ndcg@20"),
    ("ndgc@20>-2%", 1, "unknown metric 'ndgc'", "did you mean 'ndcg'"),
    ("ndcg@20>x", 9, "expected a limit", "ndcg@20>-2%"),
    ("ndcg@20>-2% vs", 13, "unexpected 'vs'", "'ndcg@20>-2%'"),
    ("ndcg@20>-2% please", 13, "unexpected 'please'", "'ndcg@20>-2%'"),
    ("ndcg@20>-2%,>-3%", 13, "two lower bounds", "remove one"),
    ("ndcg@20>-2%,<0.1", 14, "different quantities", ">-2%,<+2%"),
    ("marchant:ndcg@20>-2%", 1, "unknown audit 'marchant'", "did you mean 'merchant'"),
    ("noise(sigma=1):ndcg@20>-2%", 7, "unknown key 'sigma'", "did you mean 'sigma2'"),
    ("noise(sigma2=abc):ndcg@20>-2%", 14, "sigma2=abc", "variance of the noise"),
    ("noise(sigma2=1,sigma2=2):ndcg@20>-2%", 16, "duplicate key", "remove"),
    ("noise(sigma2=1:ndcg@20>-2%", 14, "sigma2=1:ndcg@20", "variance"),
    ('noise(part="\\x"):ndcg@20>-2%', 12, "not a quoted text", "backslash"),
    ("noise(sigma2=1)ndcg@20>-2%", 16, "expected ':'", "noise:"),
    # wrong directions, with the right form
    ("recall@20<-2%", 11, "asks for a change", "--gate 'recall@20>-2%'"),
    ("noise:ndcg@20>+2%", 15, "asks for a change", "--gate 'noise:ndcg@20>-2%'"),
    ("gini@20<-2%", 9, "asks for a change", "--gate 'gini@20<+2%'"),
    ("overlap@20<=.9", 13, "asks for a change", "--gate 'overlap@20>=.9'"),
    ("changed@20>.1", 12, "asks for a change", "--gate 'changed@20<=.1'"),
    ("overlap@20>-2%", 12, "value without a sign", "--gate 'overlap@20>=0.9'"),
    ("clean:ndcg@20<0.1", 15, "more is better", "--gate 'clean:ndcg@20>0.1'"),
    ("clean:gini@20>0.1", 15, "less is better", "--gate 'clean:gini@20<0.1'"),
    ("clean:gini@20>+3% vs baseline", 15, "less is better", "--gate 'clean:gini@20<+3% vs baseline'"),
    ("clean:ndcg@20<-3% vs vanilla", 15, "more is better", "--gate 'clean:ndcg@20>-3% vs vanilla'"),
    # the same for values of audits: a gate that passes when most items lose their places
    ("losing@20>10%", 11, "less is better", "--gate 'losing@20<10%'"),
    ("guarantee:places_kept@20<.9", 26, "more is better", "--gate 'guarantee:places_kept@20>.9'"),
    ("worst:items_losing_25>0.1", 23, "less is better", "--gate 'worst:items_losing_25<0.1'"),
    ("encoder:movement_fused>0.1", 24, "less is better", "--gate 'encoder:movement_fused<0.1'"),
    ("content_use:content_use<=.1", 26, "more is better", "--gate 'content_use:content_use>=.1'"),
    # wrong quantities
    ("clean:ndcg@20>-2%", 15, "no change without a reference", "vs baseline'"),
    ("ndcg@20>0.1", 9, "no sign", "--gate 'clean:ndcg@20>=0.05'"),
    ("ndcg@20>2%", 9, "no sign", "--gate 'ndcg@20>-2%'"),
    ("ndcg@20>2% vs baseline", 9, "no sign", "--gate 'ndcg@20>-2% vs baseline'"),
    # limits that decide nothing
    ("ndcg@20>-200%", 1, "can never fail", "robustrec docs gates"),
    ("clean:ndcg@20>=1.5", 7, "can never pass", "robustrec docs gates"),
    ("segment", 8, "expected > or <", "quote"),
]


@pytest.mark.parametrize(("text", "character", "what", "fix"), WRONG, ids=[each[0] for each in WRONG])
def test_a_wrong_line_is_refused_with_position_and_the_right_form(text, character, what, fix):
    with pytest.raises(RobustrecError) as raised:
        parse_gate(text)
    assert what in raised.value.what
    assert raised.value.where == f"--gate, character {character} of {text!r}"
    assert fix in raised.value.fix


@pytest.mark.parametrize(("text", "character", "what", "fix"), WRONG, ids=[each[0] for each in WRONG])
def test_the_form_that_an_error_names_is_a_gate(text, character, what, fix):
    """Every quoted gate in a fix parses, so that it works when pasted."""
    with pytest.raises(RobustrecError) as raised:
        parse_gate(text)
    words = shlex.split(raised.value.fix.replace(", ", " ").replace("did you mean", ""))
    for place, word in enumerate(words[:-1]):
        if word == "--gate":
            parse_gate(words[place + 1])


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from('ndcg@20>=<-+%,:()" .vs1e*noiseclean\\\x1b\n'), max_size=30))
def test_any_text_is_a_gate_or_a_refusal(text):
    with suppress(RobustrecError):
        gate = parse_gate(text)
        assert parse_gate(gate.name) == gate


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("overlap@20>=.9", "cannot match a finding"),  # measured for content use alone
        ("rbo@7>=.9", "selects 'rbo@7', which the suite does not list"),
        ("noise(sigma2=0.5):ndcg@20>-2%", "cannot match a finding"),
        ("*(edit=typos):ndcg@20>-2%", "cannot match a finding"),
        ("merchant:ndcg@20>-2%", "selects 'merchant', which the suite does not run"),
        ("clean:ndcg@20>-2% vs sgbd", "compares with 'sgbd', but compare_with is 'vanilla'"),
        ("clean:ndcg@20>-2% vs sgbd", "compare with vanilla or baseline, or set compare_with"),
    ],
)
def test_what_the_suite_does_not_measure_is_refused(text, what):
    with pytest.raises(RobustrecError) as raised:
        check_gates_select(with_gates(load_suite("ci"), [text]))
    assert what in f"{raised.value.what}; {raised.value.fix}"
    assert text in str(raised.value)


def test_the_same_gate_twice_is_refused():
    with pytest.raises(RobustrecError) as raised:
        with_gates(load_suite("ci"), ["ndcg@20>-2%", "ndcg@20 > -2%"])
    assert "ndcg@20>-2%" in raised.value.what


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("ndcg@20>-2,5%", "ndcg@20>-2.5%"),
        ("ndcg@20>\u22122%", "ndcg@20>-2%"),
        ("ndcg@20 \u2265 \u20132 %", "ndcg@20 >= -2%"),
        ("ndcg@20>- 2%", "ndcg@20>-2%"),
        ("ndcg@20>-2", "ndcg@20>-2%"),
        ("NDCG@20>-2 percent", "ndcg@20>-2%"),
        ("ndcg20=>-2%", "ndcg@20>=-2%"),
        ("\u201cndcg@20>-2%\u201d", "ndcg@20>-2%"),
        ("merchant[severity=3]: ndcg@20>-5%", "merchant(severity=3): ndcg@20>-5%"),
        ("merchant(share=10%):ndcg@20>-5%", "merchant(share=0.1):ndcg@20>-5%"),
        ("ndcg@20>-2%<+2%", "ndcg@20>-2%,<+2%"),
        ("ndcg@20>-2% against Baseline", "ndcg@20>-2% vs baseline"),
    ],
)
def test_a_mistyped_gate_is_refused_with_what_it_likely_means(text, likely):
    with pytest.raises(RobustrecError) as refused:
        parse_gate(text)
    assert refused.value.fix == f"did you mean this: --gate {shlex.quote(likely)}"
    parse_gate(likely)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("ndcg@20<+2%", "--gate 'ndcg@20>-2%', or limit both sides: --gate 'ndcg@20>-2%,<+2%'"),
        ("rank_edited>-5%", "--gate 'rank_edited<+5%', or limit both sides: --gate 'rank_edited>-5%,<+5%'"),
        ("clean:ndcg@20<+2% vs vanilla", "--gate 'clean:ndcg@20>-2% vs vanilla', or limit both sides"),
        ("content_use:ndcg@20>-10%", "--gate 'content_use:content_use>=10%'"),
        ("content_use(fill=mean):overlap@20>=.9", "--gate 'content_use:content_use>=10%'"),
        ("ndcg@20>-2%,recall@20>-2%", "a --gate for each metric"),
        ("ndcg@20>-2% and recall@20>-2%", "another --gate for the rest"),
    ],
)
def test_a_gate_that_every_loss_or_a_model_without_content_passes_is_refused(text, fix):
    with pytest.raises(RobustrecError) as refused:
        parse_gate(text)
    assert fix in refused.value.fix


def test_a_gate_of_a_suite_that_a_model_without_content_passes_is_refused():
    table = 'select = { audit = "content_use", metric = "ndcg@20" }\nquantity = "relative_drift"\n'
    for limit, refused in (("min = -0.1", True), ("max = -0.1", False)):
        suite = parse_suite(f'{SUITE}\n[[gates]]\nname = "use"\n{table}{limit}\n', source="test")
        if not refused:
            check_gates_select(suite)
            continue
        with pytest.raises(RobustrecError, match="a model that ignores content"):
            check_gates_select(suite)


def test_the_file_that_the_shell_made_of_an_unquoted_limit_is_named(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m robustrec audit --gate ndcg@20>-2%"
    place = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, **place)
    assert done.returncode == 2
    assert "the shell has made the file -2%: rm ./-2%" in " ".join(done.stderr.split())
    assert (tmp_path / "-2%").read_bytes() == b""
