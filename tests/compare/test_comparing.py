"""Strategies at equal budget: what is held equal, paired tables, and sentences that follow from the intervals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from by_name import compared
from labelled import condition_of

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.comparison.budget import at_budget, gradient_evaluations
from robustrec.comparison.content import left_of, withheld
from robustrec.comparison.measure import Measure
from robustrec.comparison.rows import NO_DIFFERENCE, verdict_of
from robustrec.comparison.rows import compared as compared_measures
from robustrec.comparison.run import Effort, plan_comparison, run_comparison
from robustrec.comparison.sentences import cut_off_words, sentences
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.results.conditions import MEAN_FEATURES
from robustrec.runs.plan import subject_specs

NOISY = condition_of("sigma_rel=0.5")
STRATEGIES = ("vanilla", "sam", "mirror", "sgbd")


def _settings(folder, home, **given):
    training = {"max_epochs": 3, "learning_rate": 0.01, "batch_size": 128}
    asked = {"model": ("vbpr",), "strategy": STRATEGIES, "set": {"training": training}, "device": "cpu"} | given
    return Settings(home=home, dataset=str(folder), **asked)


def _specs(strategies=STRATEGIES):
    return {
        spec.strategy_name: spec
        for spec in subject_specs(Settings(model=("vbpr",), strategy=strategies, dataset="clothing"), "sample")
    }


def test_equal_epochs_are_equal_and_nothing_stops_early():
    for spec in _specs().values():
        training = at_budget(spec, "epochs", 60).training
        assert (training.max_epochs, training.patience) == (60, 60)


def test_equal_gradients_take_no_more_than_plain_training():
    specs = _specs()
    plain = gradient_evaluations(at_budget(specs["vanilla"], "gradients", 60), 10_000)
    steps = -(-10_000 // specs["vanilla"].training.batch_size)
    assert plain == 60 * steps
    wanted = {"vanilla": 60, "sam": 30, "mirror": 45, "sgbd": 36}
    for name, epochs in wanted.items():
        spec = at_budget(specs[name], "gradients", 60)
        assert spec.training.max_epochs == epochs
        taken = gradient_evaluations(spec, 10_000)
        # sgbd takes three passes on every third step: rounding to whole mirrored steps is all that may differ.
        assert plain * 0.98 <= taken <= plain * 1.001, name
    ninth = specs["sgbd"].strategy.model_copy(update={"beta": 9})
    assert at_budget(replace(specs["sgbd"], strategy=ninth), "gradients", 33).training.max_epochs == 27, "of 11/9"


def _tables(rng, gap, flat):
    users = rng.normal(0.3, 0.2, (1, 50))
    base = {"ndcg@20": users + rng.normal(0, 0.01, (4, 1)), "input sharpness image": np.exp(rng.normal(0, 0.05, 4))}
    return base, {
        "ndcg@20": base["ndcg@20"] + gap + rng.normal(0, 0.002, (4, 50)),
        "input sharpness image": base["input sharpness image"] * flat * np.exp(rng.normal(0, 0.02, 4)),
    }


def _rows(gap, flat, rng):
    plain, ours = _tables(rng, gap, flat)
    return compared("vbpr", "epochs", "sgbd", (5, 5), ours, ("vanilla", plain), level=0.95)


def test_pairing_finds_what_the_spread_of_users_would_hide():
    quality, sharpness = _rows(0.01, 0.5, np.random.default_rng(3))
    assert quality.difference.low < 0.01 < quality.difference.high
    assert quality.difference.high - quality.difference.low < 0.1 * (quality.value.high - quality.value.low)
    assert sharpness.ratio.low < 0.5 < sharpness.ratio.high < 0.6
    (told,) = sentences([quality, sharpness], 4)
    assert told.startswith("vbpr, equal epochs, sgbd against vanilla, 4 seeds: better: ndcg@20 +0.0")
    assert "; flatter: input sharpness image " in told


def test_no_difference_is_said_to_be_none():
    (told,) = sentences(_rows(0.0, 1.0, np.random.default_rng(8)), 4)
    assert told.endswith("seeds: no significant difference: ndcg@20, input sharpness image")


def test_a_planted_worsening_is_called_worse_and_sharper():
    (told,) = sentences(_rows(-0.01, 2.0, np.random.default_rng(3)), 4)
    assert "worse: ndcg@20 -0.0" in told
    assert "sharper: input sharpness image 2" in told


@pytest.mark.parametrize(("ours", "word"), [(0.001, "drifts less"), (-0.001, "drifts less"), (-0.05, "drifts more")])
def test_drift_is_better_nearer_to_nothing_from_either_side(ours, word):
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1e-4, (4, 3, 20))
    plain = {"ndcg@20 drift sigma2=1": -0.02 + noise}
    (row,) = compared(
        "vbpr", "epochs", "sgbd", (5, 5), {"ndcg@20 drift sigma2=1": ours + 2 * noise}, ("vanilla", plain), level=0.95
    )
    assert verdict_of(row) == word


def test_a_significant_difference_that_is_small_is_said_to_be_small():
    rng = np.random.default_rng(2)
    plain, ours = _tables(rng, 0.0006, 1.0)
    ours["ndcg@20"] = plain["ndcg@20"] + 0.0006 + rng.normal(0, 1e-5, (4, 50))
    (told,) = sentences(compared("vbpr", "epochs", "sgbd", (5, 5), ours, ("vanilla", plain), level=0.95), 4)
    assert "better: ndcg@20 +0.0006" in told
    assert told.endswith("Conditions: ndcg@20 differs by less than 1.00 % of the value of vanilla")


def test_what_only_one_of_two_has_is_compared_with_nothing():
    plain, ours = _tables(np.random.default_rng(2), 0.0, 1.0)
    del plain["input sharpness image"]
    rows = compared("vbpr", "epochs", "sgbd", (5, 5), ours, ("vanilla", plain), level=0.95)
    assert rows[1].difference is None
    assert rows[1].note == "not measured for vanilla"
    assert "input sharpness" not in sentences(rows, 4)[0]


def test_one_training_tells_nothing_of_another():
    plain = {"input sharpness image": np.array([2.0])}
    (row,) = compared(
        "vbpr", "epochs", "sgbd", (5, 5), {"input sharpness image": np.array([1.0])}, ("vanilla", plain), level=0.95
    )
    assert (row.ratio.low, row.ratio.high) == (None, None)
    assert "one seed" in row.note
    assert NO_DIFFERENCE in sentences([row], 1)[0]
    assert "one training seed" in sentences([row], 1)[0]


def test_a_short_patience_is_not_called_the_lack_of_early_stopping():
    """A training that stopped after 2 evaluations without improvement counts as cut off, and did stop early."""
    words = "trainings ended before early stopping with a patience of 5 or more"
    assert cut_off_words({"sgbd": 2, "vanilla": 0}, 2).startswith(f"{words}, so more epochs")
    cut = [row.model_copy(update={"cut_off": 2}) for row in _rows(0.0, 1.0, np.random.default_rng(8))]
    assert f"{words}: " in sentences(cut, 2)[0]


def test_measures_that_are_not_positive_have_no_ratio():
    plain = {"trace": np.array([-1.0, 2.0])}
    (row,) = compared("vbpr", "epochs", "sgbd", (5, 5), {"trace": np.array([1.0, 2.0])}, ("vanilla", plain), level=0.95)
    assert row.ratio is None
    assert row.difference.estimate == pytest.approx(1.0)


@pytest.fixture(scope="module")
def report(tiny_folder, tmp_path_factory):
    training = {"max_epochs": 16, "patience": 5, "learning_rate": 0.03, "batch_size": 128}
    settings = _settings(tiny_folder, tmp_path_factory.mktemp("home"), seeds=2, set={"training": training})
    plan = plan_comparison(settings, 4)
    conditions = (NoiseCondition(0.5, relative=True), NoiseCondition(0.0))
    effort = Effort(conditions, draws=2, triples=50, probes=4, steps=6)
    return plan, run_comparison(plan, effort, command=["robustrec", "compare"])


def test_a_comparison_from_trainings_to_rows(report):
    plan, found = report
    assert plan.trainings == 2 * (1 + 3 * 2 + 4)  # plain training is the same for equal epochs and equal gradients
    assert found.seeds == (0, 1)
    flat = {"input sharpness image", "input sharpness text", "worst case (ASAM)", "row-adaptive curvature"}
    raw = ("input sharpness image, raw margins", "input sharpness text, raw margins", "audited loss", "λ₁", "trace")
    flat |= {f"{name} (scale-dependent)" for name in (*raw, "worst case (SAM)")}
    noisy = {"ndcg@20 drift sigma_rel=0.5", "ndcg@20 drift sigma2=0"}
    noisy |= {f"{name} under {where}" for name in ("overlap@20", "rbo@20") for where in ("sigma_rel=0.5", "sigma2=0")}
    content = {"ndcg@20 with mean features", "overlap@20 with mean features"}
    assert {row.measure for row in found.rows} == {"ndcg@20", *content, *noisy, *flat}
    assert len(found.rows) == 3 * 4 * (3 + len(noisy) + len(flat))
    assert all(row.left is not None and 0 < row.left.estimate < 0.95 for row in found.rows), "tiny items have groups"
    assert {row.reference for row in found.rows if row.strategy == "vanilla"} == {None}
    for row in found.rows:
        assert row.value.low <= row.value.estimate <= row.value.high
        if row.measure == "ndcg@20 drift sigma2=0":
            assert row.value.estimate == row.value.low == row.value.high == 0.0
        if row.measure.endswith("under sigma2=0"):
            assert row.value.estimate == 1.0
            assert row.conclusion in ("", NO_DIFFERENCE)
        if row.difference is not None and row.measure == "ndcg@20":
            assert sum(row.difference_shares.values()) == pytest.approx(1.0)
        if row.measure.endswith("(scale-dependent)"):
            assert row.better == "neither"
            assert row.conclusion == ""
            assert "depends on the scale" in row.note
        if " drift " in row.measure:
            assert "2 draws: the interval is too narrow" in row.note
    noisy = [row for row in found.rows if row.measure == "ndcg@20 drift sigma_rel=0.5"]
    assert all(row.value.estimate != 0 for row in noisy)
    assert {"seed", "draw", "user"} <= set(noisy[0].shares)


def test_what_each_training_took_and_whether_it_was_cut_off_is_recorded(report):
    _, found = report
    by = {(each.budget, each.strategy, each.seed): each for each in found.trainings}
    assert len(by) == len(found.trainings) == 3 * 4 * 2
    more = {"vanilla": 0, "mirror": 1, "sgbd": 2}  # on every third step, the first among them
    steps = -(-80 * 7 // 128)
    for (budget, strategy, _), each in by.items():
        taken = each.epochs * steps
        assert each.gradients == taken + (taken if strategy == "sam" else more[strategy] * -(-taken // 3))
        assert bool(each.cut_off) == (each.epochs - each.best_epoch < 5)
        if budget == "epochs":
            assert each.epochs == 4
        if budget == "early-stop":
            assert each.epochs == min(16, each.best_epoch + 5)
    stopped = {each.epochs for each in by.values() if each.budget == "early-stop"}
    assert len(stopped) > 1, "until early stopping"
    assert any(each.cut_off for each in by.values())
    assert not all(each.cut_off for each in by.values())
    rows = {(row.budget, row.strategy): row for row in found.rows}
    for (budget, strategy), row in rows.items():
        own = [each for each in found.trainings if (each.budget, each.strategy) == (budget, strategy)]
        assert row.cut_off == sum(bool(each.cut_off) for each in own)
        assert row.gradients == round(sum(each.gradients for each in own) / 2)
    sam = [sentence for sentence in found.sentences if ", sam against" in sentence]
    assert "sam used 2.00 times the gradient evaluations of vanilla" in sam[0]
    assert "gradient evaluations" not in sam[1].partition("Conditions: ")[2]
    for (budget, strategy), row in rows.items():
        if strategy != "vanilla" and row.cut_off:
            words = {"epochs": "equal epochs", "gradients": "equal gradient evaluations"}.get(
                budget, "until early stopping"
            )
            (told,) = [
                each for each in found.sentences if each.startswith(f"vbpr, {words}, {strategy} against vanilla")
            ]
            assert f"{row.cut_off} of 2 of {strategy}" in told


def test_why_no_edits_were_measured_is_said(report):
    (told,) = [each for each in report[1].sentences if "merchant edits" in each]
    assert told.startswith("merchant edits were not measured: imported features cannot be computed again")
    assert report[1].edit_draws == 0


def test_plain_training_is_one_row_in_both_budgets(report):
    _, found = report
    at = {row.budget: row.value for row in found.rows if (row.strategy, row.measure) == ("vanilla", "ndcg@20")}
    assert at["epochs"] == at["gradients"]


def test_what_cannot_be_compared_is_refused(tiny_folder, tmp_path):
    with pytest.raises(RobustrecError, match="not among the compared strategies"):
        plan_comparison(_settings(tiny_folder, tmp_path, strategy=("sam", "sgbd")), 4)


@pytest.mark.parametrize("measure", ["ndcg@20", "ndcg@20 drift sigma_rel=0.1"])
def test_few_users_who_differ_between_strategies_carry_no_conclusion(measure):
    """Three users of 300 who lose at every seed and draw: the interval would have no width, and p would be tiny."""
    shape = (3, 6, 300) if " drift " in measure else (3, 300)
    plain, ours = np.zeros(shape) + (0 if " drift " in measure else 0.3), np.zeros(shape)
    ours += plain
    ours[..., :3] -= 0.2
    (row,) = compared("vbpr", "epochs", "sgbd", (5, 5), {measure: ours}, ("vanilla", {measure: plain}), level=0.95)
    assert row.conclusion == NO_DIFFERENCE
    most = 2 if " drift " in measure else 1
    assert row.difference.high - row.difference.low >= 3.6 / 300 * most
    assert "3 of 300 users differ" in row.note


def _content(ours: float, theirs: float, *, drift: float = 0.001) -> tuple[dict[Measure, Any], dict[Measure, Any]]:
    """Two strategies with the same quality: shares that mean features leave of it, and a smaller drift of ours."""
    random = np.random.default_rng(0)
    quality = random.random((3, 400)) * (1 + 0.05 * random.standard_normal((3, 1)))
    found = []
    for left, moved in ((ours, drift), (theirs, 0.05)):
        noise = 0.01 * random.standard_normal((3, 400))
        found.append(
            {
                Measure("quality", "ndcg@20"): quality + 0.001 * random.standard_normal((3, 400)),
                Measure("content", "ndcg@20", MEAN_FEATURES): left * quality + noise,
                Measure("drift", "ndcg@20", NOISY): -moved * (1 + 0.1 * random.standard_normal((3, 4, 400))),
            }
        )
    return found[0], found[1]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (0.4, 0.5, "drifts less"),
        (0.99, 0.5, "sgbd is content-free ("),
        (0.4, 0.99, "vanilla is content-free ("),
    ],
)
def test_robustness_of_a_strategy_that_ignores_content_has_no_conclusion(ours: float, theirs: float, said: str) -> None:
    tables, reference = _content(ours, theirs)
    rows = compared_measures("vbpr", "epochs", "sgbd", (5, 5), tables, ("vanilla", reference), level=0.95)
    left, other = (left_of(each, "ndcg@20", level=0.95) for each in (tables, reference))
    assert left is not None
    assert other is not None
    assert left.mean.estimate == pytest.approx(ours, abs=0.01)
    assert left.mean.low < left.mean.estimate < left.mean.high
    rows = withheld(rows, "sgbd", left, "vanilla", other)
    drift = next(row for row in rows if row.kind == "drift")
    assert (drift.conclusion == "drifts less") == (said == "drifts less")
    assert next(row for row in rows if row.kind == "content").conclusion == ""
    assert any(said in sentence for sentence in sentences(rows, 3))


def test_a_ratio_at_the_limit_is_uncertain() -> None:
    random = np.random.default_rng(1)
    quality = random.random((3, 200))
    tables = {
        Measure("quality", "ndcg@20"): quality,
        Measure("content", "ndcg@20", MEAN_FEATURES): 0.95 * quality + 0.3 * random.standard_normal((3, 200)),
    }
    found = left_of(tables, "ndcg@20", level=0.95)
    assert found is not None
    assert found.uncertain
    assert left_of({}, "ndcg@20", level=0.95) is None


def test_strategies_are_compared_on_a_sample_of_users(tiny_folder, tmp_path):
    training = {"max_epochs": 1, "batch_size": 128}
    settings = _settings(
        tiny_folder, tmp_path, seeds=2, strategy=("vanilla", "sam"), set={"training": training}, users=30
    )
    effort = Effort((NoiseCondition(0.5, relative=True),), draws=2, triples=50, probes=2, steps=2)
    found = run_comparison(plan_comparison(settings, 1), effort, command=["robustrec", "compare"])
    assert found.n_users == 30
    assert (
        "users: a stratified sample of 30 of 80 test users was ranked; the intervals are conservative" in found.warnings
    )
