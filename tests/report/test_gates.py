from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled import condition_of
from made_up_report import SGBD, VANILLA, drift, value
from pydantic import ValidationError

from robustrec.audits.rows import Intervals, difference_rows, drift_rows
from robustrec.audits.suites import Bootstrap
from robustrec.results.findings import AuditStatus, Finding
from robustrec.results.gates import Gate, applicable_gates
from robustrec.results.inapplicable import not_judged
from robustrec.results.judging import judge
from robustrec.results.selection import plain_label

SEVERITY = {"pass": 0, "inconclusive": 1, "fail": 2}
SHARES = st.floats(-1, 1)
WIDTHS = st.floats(0, 0.5)


def gate(**changes):
    fields = {"name": "g", "select": {"metric": "ndcg@20"}, "quantity": "relative_drift", "min": -0.02, "max": 0.02}
    return Gate.model_validate({**fields, **changes})


def status(one_gate, *findings):
    (result,) = judge([one_gate], findings)
    return result.status


def without_checks(row, **changes):
    """A row as a fault in the measuring code would make it, past the checks of Finding."""
    return Finding.model_construct(**{**dict(row), **changes})


@pytest.mark.parametrize(
    ("relative", "half_width", "expected"),
    [
        (-0.010, 0.004, "pass"),
        (-0.030, 0.004, "fail"),
        (+0.030, 0.004, "fail"),
        (-0.018, 0.004, "inconclusive"),
        (+0.018, 0.004, "inconclusive"),
        (0.0, 0.5, "inconclusive"),
        (0.0, 0.0, "pass"),
    ],
)
def test_the_whole_interval_counts(relative, half_width, expected):
    assert status(gate(), drift(relative=relative, half_width=half_width)) == expected


def test_the_limit_itself_is_within_and_nothing_is_rounded():
    limit = gate(min=-0.02, max=None, bound="estimate")
    assert status(limit, drift(relative=-0.02)) == "pass"
    assert status(limit, drift(relative=math.nextafter(-0.02, -1))) == "fail"
    row = drift(relative_ci_low=-0.02, relative_ci_high=0.0)
    assert status(gate(), row) == "pass"
    below = drift(relative_ci_low=math.nextafter(-0.02, -1), relative_ci_high=0.0)
    assert status(gate(), below) == "inconclusive"


def test_the_estimate_alone_never_straddles():
    assert status(gate(bound="estimate"), drift(relative=-0.018, half_width=0.1)) == "pass"
    assert status(gate(bound="estimate"), drift(relative=-0.022, half_width=0.1)) == "fail"


def test_quantities_read_their_own_columns():
    row = drift(relative=-0.01, clean=50.0, half_width=0.001)
    assert status(gate(), row) == "pass"
    assert status(gate(quantity="drift"), row) == "fail"
    good = value(number=0.1, half_width=0.001)
    assert status(gate(quantity="value", min=0.09, max=None), good) == "pass"
    assert status(gate(quantity="value", min=0.11, max=None), good) == "fail"
    assert status(gate(quantity="value", min=0.09, max=None), row) == "error"
    assert status(gate(), good) == "error"


@pytest.mark.parametrize(
    "select",
    [
        {"metric": "ndcg@10"},
        {"metric": "ndcg@20", "audit": "merchant"},
        {"metric": "ndcg@20", "condition": "sigma2=1e-05"},
        {"metric": "ndcg@20", "strategy": "sam"},
        {"metric": "ndcg@20", "model": "bpr"},
        {"metric": "ndcg@20", "reference": "vanilla"},
    ],
)
def test_selecting_nothing_is_an_error_that_says_what_there_is(select):
    (result,) = judge([gate(select=select)], [drift()])
    assert (result.status, result.selected) == ("error", 0)
    assert "no finding matches" in result.message
    assert ("ndcg@20" if select["metric"] == "ndcg@10" else "sigma2=1e-06") in result.message


def test_no_findings_at_all_is_an_error():
    assert status(gate()) == "error"


@pytest.mark.parametrize("bound", ["interval", "estimate"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("limits", [{"min": -0.02, "max": None}, {"min": None, "max": 0.02}])
def test_what_is_no_number_never_passes(bound, wrong, limits):
    columns = ("relative_drift", "relative_ci_low", "relative_ci_high")
    row = without_checks(drift(), **dict.fromkeys(columns, wrong))
    assert status(gate(bound=bound, **limits), row) == "error"


@pytest.mark.parametrize("column", ["relative_drift", "relative_ci_low", "relative_ci_high"])
def test_one_bad_number_of_three_is_enough_for_an_error(column):
    for wrong in (math.nan, math.inf, None):
        assert status(gate(), without_checks(drift(), **{column: wrong})) == "error"


def test_a_missing_interval_is_named_with_the_way_out():
    (result,) = judge([gate()], [drift(relative_ci_low=None, relative_ci_high=None)])
    assert result.status == "error"
    assert 'bound = "estimate"' in result.message


def test_the_note_of_a_missing_number_is_passed_on():
    row = drift(relative=None, relative_ci_low=None, relative_ci_high=None, note="clean value is 0")
    (result,) = judge([gate()], [row])
    assert result.message == "ndcg@20 has no relative drift (clean value is 0)"


def test_no_users_is_an_error_for_a_mean_over_users_only():
    assert status(gate(), drift(n_users=0)) == "error"
    ratio = value(number=30.0, half_width=1.0, metric="snr_db_image", n_users=0)
    assert status(gate(select={"metric": "snr_db_image"}, quantity="value", min=20, max=None), ratio) == "pass"


def test_the_worst_finding_decides_and_is_named():
    rows = [drift(VANILLA, -0.001), drift(SGBD, -0.05), drift(VANILLA, -0.03)]
    (result,) = judge([gate()], rows)
    assert (result.status, result.subject, result.estimate, result.selected) == ("fail", SGBD, -0.05, 3)
    assert status(gate(), drift(relative=-0.001), drift(relative=-0.018)) == "inconclusive"
    assert status(gate(), drift(relative=-0.9), drift(n_users=0)) == "error"
    assert judge([gate()], [drift(VANILLA, 0.0), drift(SGBD, -0.009)])[0].subject == SGBD


def test_names_are_selected_exactly_or_by_wildcards():
    rows = [drift(VANILLA, -0.01), drift(SGBD, -0.9), drift(VANILLA, -0.9, condition="sigma2=1e-04 image")]
    assert (
        status(gate(select={"metric": "ndcg@20", "strategy": "vanilla", "condition": "sigma2=1e-6"}), *rows) == "pass"
    )
    assert status(gate(select={"metric": "ndcg@20", "strategy": "van*", "condition": "sigma2=*"}), *rows) == "fail"
    bracket = drift(condition="share [all]")
    assert status(gate(select={"metric": "ndcg@20", "condition": "share [all]"}), bracket) == "pass"
    assert status(gate(select={"metric": "ndcg@20", "condition": "share [a]*"}), bracket) == "error"


@pytest.mark.parametrize("spelling", ["1e-6", "1e-06", "1E-6", "0.000001", "1.0e-6"])
def test_a_number_in_a_condition_has_many_spellings(spelling):
    assert plain_label(f"sigma2={spelling} image") == "sigma2=1e-06 image"


def test_other_texts_in_conditions_stay_as_they_are():
    for condition in ("sigma2=*", "break point: ndcg@20 -5%", "edit=promo_badge", "kind=1e-6x"):
        assert plain_label(condition) == condition


def test_a_break_point_beyond_the_search_is_known_to_be_large_or_small():
    at_least = gate(select={"metric": "sigma2"}, quantity="value", min=1e-4, max=None)
    common = {"audit": "noise", "metric": "sigma2", "condition": "break point"}
    beyond = value(number=None, ci_low=1.0, **common)
    below = value(number=None, ci_high=1e-8, **common)
    found = value(number=1e-3, half_width=None, ci_low=9e-4, ci_high=1e-3, **common)
    assert status(at_least, beyond) == status(at_least, found) == "pass"
    assert status(at_least, below) == "fail"
    assert status(gate(select={"metric": "sigma2"}, quantity="value", min=2.0, max=None), beyond) == "inconclusive"
    assert status(at_least, value(number=None, **common)) == "error"
    assert "at least 1 " in judge([at_least], [beyond])[0].message.replace(",", " ")


@pytest.mark.parametrize(
    "fields",
    [
        {"min": None, "max": None},
        {"min": 0.1, "max": -0.1},
        {"min": math.nan},
        {"severity": "warning"},
        {"quantity": "percent"},
        {"name": ""},
        {"limit": 3},
    ],
)
def test_gates_that_make_no_sense_are_refused(fields):
    with pytest.raises(ValidationError):
        gate(**fields)


def test_messages_are_plain_words():
    (relative,) = judge([gate(min=-0.01, max=None)], [drift(relative=-0.012, half_width=0.003)])
    assert relative.message == "ndcg@20 fell by 1.20 % (95 % interval -1.50 to -0.90 %), limit: at least -1 %"
    (absolute,) = judge([gate(quantity="drift", min=-0.1, max=None)], [drift(relative=-0.0121, clean=1.0)])
    assert absolute.message.startswith("ndcg@20 fell by 0.0121 from 1 to 0.9879 (95 % interval -0.0161 to")
    (still,) = judge([gate()], [drift(relative=0.0, half_width=0.0)], level=0.9)
    assert still.message == "ndcg@20 did not change (90 % interval 0 to 0 %), limits -2 to 2 %"
    (worse,) = judge(
        [gate(select={"metric": "ndcg@20", "reference": "vanilla"})],
        [drift(relative=-0.03, reference="vanilla", audit="clean")],
    )
    assert worse.message.startswith("ndcg@20 is 3.00 % below vanilla's")
    (level,) = judge([gate(quantity="value", min=None, max=0.2, bound="estimate")], [value()])
    assert level.message == "ndcg@20 is 0.1000, limit: at most 0.2"


def test_gates_are_sorted_by_the_plan_before_any_work():
    always = gate(name="always")
    against = gate(name="against", select={"metric": "ndcg@20", "reference": "vanilla"}, optional=True)
    strict = gate(name="strict", select={"metric": "ndcg@20", "strategy": "sam"})
    both = applicable_gates([always, against, strict], [VANILLA, SGBD])
    assert [each.name for each in both.gates] == ["always", "against"]
    assert both.left_out == ()
    assert "strict" in both.unmet[0]
    alone = applicable_gates([always, against], [SGBD])
    assert [each.name for each in alone.gates] == ["always"]
    assert "needs model *, strategy * to compare with strategy vanilla" in alone.left_out[0]
    other_seed = VANILLA.model_copy(update={"seed": 1})
    assert applicable_gates([against], [SGBD, other_seed]).gates == ()


@given(SHARES, WIDTHS, st.floats(-1, 0), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_looser_limits_never_judge_harder(relative, half_width, low, high, lower, higher):
    row = drift(relative=relative, half_width=half_width)
    tight = status(gate(min=low, max=high), row)
    loose = status(gate(min=low - lower, max=high + higher), row)
    assert SEVERITY[loose] <= SEVERITY[tight]


@given(SHARES, WIDTHS, st.floats(-1, 0), st.floats(0, 1))
def test_signs_are_treated_alike(relative, half_width, low, high):
    here = status(gate(min=low, max=high), drift(relative=relative, half_width=half_width))
    mirrored = status(gate(min=-high, max=-low), drift(relative=-relative, half_width=half_width))
    assert here == mirrored


@given(st.lists(st.tuples(SHARES, WIDTHS), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_findings_does_not_matter_and_more_never_helps(pairs, random):
    rows = [drift(relative=relative, half_width=half_width) for relative, half_width in pairs]
    together = status(gate(), *rows)
    assert SEVERITY[together] == max(SEVERITY[status(gate(), row)] for row in rows)
    random.shuffle(rows)
    assert status(gate(), *rows) == together


def comparison(reference, relative, half_width):
    return drift(SGBD, relative, half_width=half_width, reference=reference, audit="clean", condition="test")


KINDS = {
    "a value": (
        {"quantity": "value", "min": 0.1, "max": None},
        lambda at, half: value(number=0.1 + at, half_width=half),
    ),
    "a drift": (
        {"quantity": "drift", "min": 0.0, "max": None},
        lambda at, half: drift(relative=at, clean=1.0, half_width=half),
    ),
    "a relative drift": ({"min": 0.0, "max": None}, lambda at, half: drift(relative=at, half_width=half)),
    "a ceiling": ({"min": None, "max": 0.0}, lambda at, half: drift(relative=-at, half_width=half)),
    "against a strategy": (
        {"against": "vanilla", "min": 0.0, "max": None},
        lambda at, half: comparison("vanilla", at, half),
    ),
    "against the baseline": (
        {"against": "baseline", "min": 0.0, "max": None},
        lambda at, half: comparison("baseline", at, half),
    ),
    "a search's bracket": (
        {"quantity": "value", "min": 0.1, "max": None},
        lambda at, half: value(number=0.1 + at, half_width=half, interval="bracket"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("correction", ["holm", "benjamini-hochberg", "none"])
def test_every_kind_of_gate_passes_fails_stays_open_and_errs(kind, correction):
    limits, row = KINDS[kind]
    one = gate(**limits)

    def judged(*rows):
        return judge([one], rows, correction=correction)[0].status

    assert judged(row(0.05, 0.01)) == "pass"
    assert judged(row(-0.05, 0.01)) == "fail"
    assert judged(row(0.005, 0.01)) == judged(row(-0.005, 0.01)) == "inconclusive"
    assert judged(row(0.05, 0.01).model_copy(update={"n_users": 0})) == "error"
    assert judged() == "error"


def test_a_gate_on_the_estimate_passes_fails_and_errs_and_is_never_open():
    one = gate(bound="estimate", min=0.0, max=None)
    rows = [drift(relative=at, half_width=0.1) for at in (0.05, -0.05, 0.0)]
    assert [status(one, row) for row in rows] == ["pass", "fail", "pass"]
    assert status(one) == status(one, drift(n_users=0)) == "error"


def test_against_is_the_reference_in_one_word():
    row = comparison("vanilla", -0.05, 0.01)
    long, short = gate(select={"metric": "ndcg@20", "reference": "vanilla"}), gate(against="vanilla")
    assert judge([long], [row]) == judge([short], [row])
    assert status(gate(against="vanilla"), drift()) == "error"
    for wrong in (
        {"against": "sam", "select": {"metric": "ndcg@20", "reference": "vanilla"}},
        {"against": "baseline", "quantity": "value"},
    ):
        with pytest.raises(ValidationError):
            gate(**wrong)


def test_features_are_selected_too():
    blip = SGBD.model_copy(update={"features": "blip"})
    rows = [drift(SGBD, 0.0), drift(blip, -0.9)]
    assert status(gate(select={"metric": "ndcg@20", "features": "basic"}), *rows) == "pass"
    assert status(gate(select={"metric": "ndcg@20", "features": "bl*"}), *rows) == "fail"
    speaking = applicable_gates([gate(select={"metric": "ndcg@20", "features": "blip"})], [SGBD])
    assert "features blip" in speaking.unmet[0]


def test_a_gate_against_the_baseline_needs_one_that_has_the_subject():
    one = gate(against="baseline")
    assert "no baseline was given" in applicable_gates([one], [SGBD]).unmet[0]
    assert applicable_gates([one], [SGBD]).needs_baseline
    assert "in the baseline too" in applicable_gates([one], [SGBD], [VANILLA]).unmet[0]
    assert not applicable_gates([one], [SGBD], [VANILLA]).needs_baseline
    assert applicable_gates([one], [SGBD], [SGBD]).gates == (one,)
    lenient = gate(against="baseline", optional=True)
    assert "no baseline was given" in applicable_gates([lenient], [SGBD]).left_out[0]


def test_few_users_who_differ_are_named_where_they_leave_a_gate_undecided():
    row = drift(relative=0.0, half_width=0.05, n_users=100, n_changed=3)
    (result,) = judge([gate()], [row])
    assert result.status == "inconclusive"
    assert result.message.endswith("; only 3 of 100 users changed, too few to decide; use more test users")
    (decided,) = judge([gate()], [drift(relative=0.0, half_width=0.005, n_users=100, n_changed=3)])
    assert (decided.status, "differ" in decided.message) == ("pass", False)
    (many,) = judge([gate()], [drift(relative=0.0, half_width=0.05, n_users=100, n_changed=10)])
    assert "differ" not in many.message


@pytest.mark.parametrize(
    ("users", "changed", "expected"),
    [
        (100, 0, "inconclusive"),  # 3.6 % of users may change, up to 36 % of this clean mean
        (100, 3, "inconclusive"),
        (100, 9, "inconclusive"),
        (20_000, 0, "pass"),  # at most 0.02 % of users
        (20_000, 9, "pass"),
    ],
)
def test_rows_of_few_users_who_differ_are_judged_by_how_many_more_there_may_be(users, changed, expected):
    clean = np.where(np.arange(users) % 5 == 0, 0.5, 0.0)
    moved = np.stack([clean] * 6)
    moved[:, np.flatnonzero(clean)[:changed]] = 0.25
    intervals = Intervals(Bootstrap(replicates=200), 0)
    (row,) = drift_rows(SGBD, "noise", condition_of("c"), {"ndcg@20": clean}, {"ndcg@20": moved}, intervals)
    assert row.n_changed == changed
    (result,) = judge([gate()], [row])
    assert result.status == expected
    assert (f"only {changed} of {users} users changed" in result.message) == (expected == "inconclusive")


def test_a_difference_between_strategies_that_few_users_make_is_not_decided():
    clean = np.where(np.arange(100) % 2 == 0, 0.5, 0.0)
    theirs = {"ndcg@20": np.stack([clean] * 6)}
    ours = {"ndcg@20": theirs["ndcg@20"].copy()}
    ours["ndcg@20"][:, :4] -= 0.1 * clean[:4]
    own = {"ndcg@20": clean}
    intervals = Intervals(Bootstrap(replicates=200), 0)
    (row,) = difference_rows(SGBD, "vanilla", "noise", condition_of("c"), (own, ours), (own, theirs), intervals)
    assert row.n_changed == 2
    limit = gate(quantity="drift", min=-0.02, max=None, against="vanilla")
    assert judge([limit], [row])[0].status == "inconclusive"


EDIT = "edit=promo_badge severity=1 share=0.1"


def hidden(share, *, modality="image", audit="merchant", subject=SGBD, condition=EDIT):
    changes = {"audit": audit, "condition": condition, "metric": "hidden_share", "unit": "share of changed pixels"}
    row = value(subject, share, **changes)
    return row.model_copy(update={"modality": modality, "n_users": 0})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (hidden(0.901), "inconclusive"),
        (hidden(1.0), "inconclusive"),
        (hidden(0.9), "pass"),
        (hidden(0.0), "pass"),
        (hidden(1.0, modality="both"), "pass"),
        (hidden(1.0, subject=VANILLA), "pass"),
        (hidden(1.0, audit="encoder"), "pass"),
        (hidden(1.0, condition="edit=promo_badge severity=3 share=0.1"), "pass"),
    ],
)
def test_no_gate_passes_on_an_edit_that_the_encoder_does_not_see(row, expected):
    edited = drift(relative=-0.001, half_width=0.0005, audit="merchant", condition=EDIT)
    (result,) = judge([gate()], [edited, row])
    assert result.status == expected
    assert ("outside the crop of the encoder" in result.message) == (expected != "pass")
    assert ("--set encoder.fit=pad" in result.message) == (expected != "pass")


def test_a_breach_on_a_hidden_edit_stays_a_breach():
    edited = drift(relative=-0.2, audit="merchant", condition=EDIT)
    assert status(gate(), edited, hidden(1.0)) == "fail"


def test_a_limit_on_the_hidden_share_itself_is_judged():
    one = gate(select={"metric": "hidden_share"}, quantity="value", min=None, max=0.95, bound="estimate")
    assert status(one, hidden(0.94)) == "pass"
    assert status(one, hidden(0.96)) == "fail"


def test_a_hidden_edit_without_any_drift_says_why_nothing_is_selected():
    one = gate(select={"audit": "merchant", "edit": "promo_badge", "metric": "ndcg@20"})
    (result,) = judge([one], [hidden(1.0)])
    assert result.status == "error"
    assert "100 % of the pixels that this edit changes are outside the crop" in result.message
    # Where another severity is seen, something else is wrong.
    seen = hidden(0.2, condition="edit=promo_badge severity=3 share=0.1")
    assert "crop" not in judge([one], [hidden(1.0), seen])[0].message


def test_subjects_that_a_gate_says_nothing_of_are_named():
    image, words = {"condition": "sigma2=0.1 image"}, {"condition": "sigma2=0.1 text"}
    other = VANILLA.model_copy(update={"model": "texts"})
    on_image = gate(select={"metric": "ndcg@20", "audit": "noise", "modality": "image"})
    rows = [drift(SGBD, **image), drift(VANILLA, **image), drift(SGBD, **words), drift(other, **words)]
    subjects = [SGBD, VANILLA, other, other.model_copy(update={"seed": 1})]
    assert not_judged(on_image, rows, [], subjects) == (
        "gate 'g' does not judge texts/vanilla/basic: no finding of audit noise has modality 'image', metric 'ndcg@20'"
    )
    both = [*rows, drift(other, **image)]
    assert not not_judged(on_image, both, [], subjects)
    of_sgbd = gate(select={"metric": "ndcg@20", "modality": "image", "strategy": "sgbd"})
    assert not not_judged(of_sgbd, rows, [], subjects), "the gate is not meant for it"
    assert not not_judged(on_image, [row for row in rows if row.subject != other], [], subjects), (
        "the audit measured nothing"
    )
    assert not not_judged(on_image, [drift(other, **words)], [], subjects), "no finding at all is an error"
    not_applicable = AuditStatus(subject=other, audit="noise", status="not_applicable", message="why")
    assert not not_judged(on_image, rows, [not_applicable], subjects[:3]), "its status says why"
