"""Verdicts, claims, improvements and falls from invented trainings whose answer is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from robustrec.comparison.result import Training
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.reproduce.claims import claims_of
from robustrec.reproduce.falls import falls_of
from robustrec.reproduce.improvements import _LARGEST, improvements_of
from robustrec.reproduce.inputs import Inputs, Missing
from robustrec.reproduce.intervals import over_seeds, p_of
from robustrec.reproduce.measure import ALL_METRICS, SeedResult
from robustrec.reproduce.pages import reproduction_markdown, reproduction_page
from robustrec.reproduce.paper import FEATURES, STRATEGIES, Cell, RowKey, paper
from robustrec.reproduce.plan import Asked, Group, ReproductionPlan
from robustrec.reproduce.result import Reproduction
from robustrec.reproduce.rows import Features, Place, parse_features, rows_of
from robustrec.reproduce.sections import sections_of
from robustrec.reproduce.table import rows_found

ROOT = Path(__file__).resolve().parents[2]


def result(seed, values, *, noisy=None, cut=False):
    training = Training(
        model="slmrec",
        budget="early-stop",
        strategy="vanilla",
        seed=seed,
        epochs=40,
        best_epoch=20,
        gradients=100,
        cut_off="best epoch 20 of 40, patience 30" if cut else "",
    )
    whole = dict.fromkeys(ALL_METRICS, 0.01) | values
    return SeedResult(seed, whole, None if noisy is None else whole | noisy, training, f"key{seed}")


def plan_of(rows, inputs=None, seeds=3):
    groups = {}
    for key in rows:
        groups.setdefault((key.dataset, key.features), []).append(key)
    made = tuple(
        Group(Place(dataset, dataset), kind, inputs or Inputs(None, kind), tuple(keys), Settings())
        for (dataset, kind), keys in groups.items()
    )
    return ReproductionPlan(Settings(seeds=seeds), Asked(), made)


ROW = RowKey(3, "baby", "slmrec", "blip", "mirror")
NAME = ("baby", "blip", "slmrec", "mirror")
PRINTED = {name: cell.value for name, cell in paper().rows[ROW].items()}


def verdict(scale, spread=0.01, *, n=3, cut=False, inputs=None, row=ROW, seeds=3, printed=PRINTED):
    """Return the row of trainings around `scale` times the printed values."""
    shifts = np.linspace(-1, 1, n) if n > 1 else [0.0]
    found = [
        result(seed, {name: value * scale * (1 + spread * shift) for name, value in printed.items()}, cut=cut)
        for seed, shift in enumerate(shifts)
    ]
    name = (row.dataset, row.features, row.model, row.strategy)
    (one,) = rows_found(plan_of([row], inputs, seeds), {name: {"early-stop": found}}, {}, {})
    return one


def test_a_row_agrees_differs_or_is_not_decided():
    assert verdict(1.0).verdict == "agrees"
    assert verdict(1.4).verdict == "differs"
    assert verdict(0.7).verdict == "differs"
    assert verdict(1.4).reason
    assert verdict(1.4).experiment.startswith("robustrec ")
    wide = verdict(1.0, spread=0.3)
    assert (wide.verdict, "wider than 10" in wide.why) == ("not decided", True)


def test_a_difference_in_one_cell_is_a_difference():
    moved = verdict(1.0, printed=PRINTED | {"map@5": PRINTED["map@5"] * 1.5})
    assert (moved.verdict, moved.why) == ("differs", "map@5")
    assert [value.verdict for value in moved.values] == ["agrees", "agrees", "agrees", "differs"]


def test_too_few_seeds_never_decide():
    for n in (1, 2):
        assert verdict(3.0, n=n).verdict == "not decided"
    assert verdict(3.0, n=1).why == "1 seed; at least 3 are needed"
    assert verdict(3.0, n=3, seeds=5).why == "3 of 5 seeds were trained"


def test_a_training_that_was_cut_off_never_decides():
    assert verdict(1.0, cut=True).verdict == "not usable"
    assert verdict(1.0, cut=True).why == "3 of 3 trainings ended before early stopping"


@pytest.mark.parametrize("unlike", ["data: 10 users, the paper's 19,445", "features: minilm in place of blip"])
def test_other_data_and_features_are_not_usable(unlike):
    row = verdict(1.0, inputs=Inputs(None, "minilm", unlike=(unlike,)))
    assert row.verdict == "not usable"
    assert {value.verdict for value in row.values} == {"not usable"}
    assert unlike in row.substitutes


def test_cells_with_a_fault_take_no_part():
    row = RowKey(3, "baby", "slmrec", "blip", "vanilla")
    printed = {name: cell.value for name, cell in paper().rows[row].items()}
    faulty = [name for name, cell in paper().rows[row].items() if not cell.sound]
    assert faulty == ["ndcg@5"]
    moved = verdict(1.0, row=row, printed=printed | {"ndcg@5": 0.1})
    assert moved.verdict == "agrees"
    assert moved.why == "3 cells; 1 printed cells are not sound"
    copied = next(key for key, cells in paper().rows.items() if not any(cell.sound for cell in cells.values()))
    values = {name: 0.01 for name in paper().rows[copied]}
    assert verdict(1.0, row=copied, printed=values).why == "no printed cell is sound"


def test_the_range_is_that_of_one_further_training():
    """Of equal experiments about 95 % of further trainings lie in it; the interval of the mean has fewer than half."""
    draw = np.random.default_rng(3)
    trainings = draw.normal(1.0, 0.05, size=(3000, 5))
    inside = mean_inside = 0
    for *found, further in trainings:
        about = over_seeds(found)
        inside += about.one_low <= further <= about.one_high
        mean_inside += about.low <= further <= about.high
    assert abs(inside / len(trainings) - 0.95) < 0.012
    assert mean_inside / len(trainings) < 0.85
    known = stats.t.interval(0.95, 3, np.mean(found), stats.sem(found))
    np.testing.assert_allclose([about.low, about.high], known, rtol=1e-12)
    assert p_of(found) == pytest.approx(stats.ttest_1samp(found, 0).pvalue, rel=1e-9)


def test_a_missing_input_is_named_with_its_command():
    missing = Inputs(None, "blip", Missing("no weights", "robustrec reproduce sgbd --weights blip=FOLDER"))
    (row,) = rows_found(plan_of([ROW], missing), {}, {}, {})
    assert (row.verdict, row.missing) == ("missing", "no weights")
    (left,) = rows_found(plan_of([ROW]), {}, {}, {})
    assert left.verdict == "left"
    failed = RobustrecError("diverged", where="training", fix="use a smaller learning rate")
    (row,) = rows_found(plan_of([ROW]), {}, {NAME: failed}, {})
    assert (row.verdict, row.fix) == ("failed", "use a smaller learning rate")


def found_of(model, gain, *, cut=False, seeds=5, budget="early-stop", noise=0.004):
    """Return trainings of the three strategies in which SGBD is better by `gain`."""
    draw = np.random.default_rng(len(model))
    base = 0.03 * (1 + 0.03 * draw.normal(size=seeds))
    own = {"vanilla": base, "mirror": base * (1 + noise * draw.normal(size=seeds))}
    own["sgbd"] = base * (1 + gain + noise * draw.normal(size=seeds))
    return {
        ("baby", "blip", model, name): {
            budget: [result(seed, {"ndcg@5": float(value)}, cut=cut) for seed, value in enumerate(values)]
        }
        for name, values in own.items()
    }


def rows_in(found, table=3):
    return [RowKey(table, dataset, model, kind, name) for dataset, kind, model, name in found]


def conclusions(found):
    return {(each.pooled, each.model, each.reference): each for each in claims_of(plan_of(rows_in(found)), found)}


def test_claims_hold_where_there_is_a_gain_only():
    better = conclusions(found_of("slmrec", 0.05) | found_of("dragon", 0.05))
    assert {each.conclusion for each in better.values()} == {"holds"}
    pooled = better[True, "slmrec, dragon", "vanilla"]
    assert pooled.low < 0.05 < pooled.high
    worse = conclusions(found_of("slmrec", -0.05))
    assert {each.conclusion for each in worse.values()} == {"the opposite holds"}
    none = conclusions(found_of("slmrec", 0.0))
    assert {each.conclusion for each in none.values()} == {"no significant difference"}


def test_claims_are_not_decided_by_few_seeds_or_trainings_that_were_cut_off():
    few = conclusions(found_of("slmrec", 0.5, seeds=2))
    assert {(each.conclusion, each.why) for each in few.values()} == {("not decided", "2 seeds; at least 3 are needed")}
    cut = conclusions(found_of("slmrec", 0.5, cut=True) | found_of("dragon", 0.05))
    assert cut[False, "slmrec", "vanilla"].conclusion == "not decided"
    assert cut[False, "slmrec", "vanilla"].why.startswith("cut off before early stopping: sgbd 5 of 5")
    pooled = cut[True, "dragon", "vanilla"]
    assert pooled.estimate < 0.1, "the training that was cut off has no part in the mean"
    assert pooled.why == "without slmrec on baby"


def test_claims_are_corrected_together():
    found = found_of("slmrec", 0.004) | found_of("dragon", 0.004) | found_of("dualgnn", 0.004)
    singles = [each for each in claims_of(plan_of(rows_in(found)), found) if not each.pooled]
    assert all(each.p_adjusted >= each.p for each in singles)
    assert max(each.p_adjusted / each.p for each in singles) == pytest.approx(len(singles))


def test_the_improvement_is_the_papers():
    """From its own printed values the printed improvement follows, where all cells are sound."""
    found = {}
    for kind in FEATURES:
        for strategy in STRATEGIES:
            for model in ("dualgnn", "dragon", "slmrec"):
                cells = paper().rows[RowKey(3, "sports", model, kind, strategy)]
                values = {name: cell.value or 0.001 for name, cell in cells.items()}
                own = [result(seed, values) for seed in range(3)]
                found["sports", kind, model, strategy] = {"early-stop": own}
    lines = {(each.model, each.metric): each for each in improvements_of(plan_of(rows_in(found)), found)}
    checked = 0
    for (model, metric), each in lines.items():
        cells = [own[metric] for key, own in paper().rows.items() if key[:3] == (3, "sports", model)]
        if cells and all(cell.sound for cell in cells) and not each.flags:
            checked += 1
            assert each.ours == pytest.approx(each.cells, abs=1e-9)
            assert each.printed == pytest.approx(each.cells, abs=0.4), "the paper computes from unrounded values"
    assert checked >= 4
    models = [lines[model, "recall@5"].ours for model in ("dualgnn", "dragon", "slmrec")]
    assert lines["average", "recall@5"].ours == pytest.approx(sum(models) / 3)
    assert {each.rows for each in lines.values()} == {8}


def test_what_choosing_the_best_adds_is_the_expected_maximum():
    draw = np.random.default_rng(5).normal(size=(50_000, 8))
    for n, known in enumerate(_LARGEST[2:], start=2):
        assert draw[:, :n].max(axis=1).mean() == pytest.approx(known, abs=0.02)


NOISY = RowKey(2, "baby", "dualgnn", "minilm+cnn", "vanilla")


def falls(at_inference, in_training, *, cut=False, inputs=None, spread=0.01):
    shifts = (-spread, 0.0, spread)
    clean = [
        result(s, {"ndcg@5": 0.0125}, noisy={"ndcg@5": 0.0125 * (1 - at_inference + shift)}, cut=cut)
        for s, shift in enumerate(shifts)
    ]
    trained = [result(s, {"ndcg@5": 0.0125 * (1 - in_training + shift)}) for s, shift in enumerate(shifts)]
    found = {("baby", "minilm+cnn", "dualgnn", "vanilla"): {"early-stop": clean, "noise": trained}}
    (one,) = (each for each in falls_of(plan_of([NOISY], inputs), found) if each.metric == "ndcg@5")
    return one


def test_the_reading_of_table_2_that_reproduces_the_fall_is_named():
    printed = 1 - 0.0107 / 0.0125
    assert falls(0.0, printed).printed == pytest.approx(printed)
    assert falls(0.0, printed).conclusion == "noise in training reproduces it"
    assert falls(printed, 0.0).conclusion == "noise at inference reproduces it"
    assert falls(printed, printed).conclusion == "both readings are compatible with it"
    assert falls(0.0, 0.0).conclusion == "neither reading reproduces it"
    by_chance = falls(0.9, 0.05, spread=0.1).conclusion
    assert by_chance == "noise in training reproduces it, and so does the spread over trainings without any noise"
    assert falls(0.0, printed, cut=True).conclusion.startswith("not usable")
    other = Inputs(None, "minilm", unlike=("features: minilm in place of minilm+cnn",))
    assert falls(0.0, printed, inputs=other).conclusion == "not usable: other features"


def test_a_printed_fall_is_only_as_exact_as_its_cells(monkeypatch):
    """0.0125 and 0.0124 are printed of 0.01246 and 0.01244 too: a fall of 0.2 % may be printed as one of 0.8 %."""
    fall = 1 - 0.0124 / 0.0125
    cells = {2: 0.0124, 3: 0.0125}
    keys = {NOISY._replace(table=table): value for table, value in cells.items()}
    rows = {key: {**paper().rows[key], "ndcg@5": Cell(value, {})} for key, value in keys.items()}
    changed = dataclasses.replace(paper(), rows={**paper().rows, **rows})
    monkeypatch.setattr("robustrec.reproduce.falls.paper", lambda: changed)
    assert falls(0.002, 0.05, spread=1e-5).printed == pytest.approx(fall)
    assert falls(0.002, 0.05, spread=1e-5).conclusion == "noise at inference reproduces it"
    assert falls(0.05, 0.0145, spread=1e-5).conclusion == "noise in training reproduces it"
    assert falls(0.05, 0.018, spread=1e-5).conclusion == "neither reading reproduces it"
    assert falls(-0.001, 0.05, spread=1e-5).conclusion == "neither reading reproduces it"


def test_settings_that_the_command_gives_stand_in_the_row_and_are_its_likely_reason():
    def row(given, strategy="mirror"):
        key = ROW._replace(strategy=strategy)
        plan = plan_of([key])
        settings = Settings(set=given)
        plan = dataclasses.replace(plan, groups=tuple(dataclasses.replace(g, settings=settings) for g in plan.groups))
        found = [result(seed, {name: 3 * value + 1e-4 * seed for name, value in PRINTED.items()}) for seed in range(3)]
        (one,) = rows_found(plan, {(*NAME[:3], strategy): {"early-stop": found}}, {}, {})
        return one

    defaults = "settings: the paper prints no learning-rate factors and no radius; the defaults are used"
    assert defaults in row({}).substitutes
    wide = row({"slmrec": {"latent_width": 4}, "dragon": {"latent_width": 8}})
    assert "settings: latent_width = 4, given by --set or the configuration file" in wide.substitutes
    assert wide.reason == "the settings that the command gives: latent_width = 4"
    alpha = row({"strategy": {"alpha2": 0.3}})
    assert "settings: alpha2 = 0.3, given by --set or the configuration file" in alpha.substitutes
    assert defaults not in alpha.substitutes
    assert defaults in row({"strategy": {"alpha2": 0.3}}, "sgbd").substitutes, "the radius is still the default"
    plain = row({"strategy": {"alpha2": 0.3}, "training": {"max_epochs": 50}}, "vanilla")
    assert not [each for each in plain.substitutes if each.startswith("settings:")]


def test_rows_are_chosen_by_table_data_set_features_and_pattern():
    baby = [Place("baby", "baby")]
    assert len(rows_of(baby, [3], [], Features(), ())) == 27
    assert len(rows_of(baby, [2, 3, 5], [], Features(), ())) == 18 + 27 + 27
    assert [key.strategy for key in rows_of(baby, [3], ["slmrec/blip/*"], Features(), ())] == list(STRATEGIES)
    assert {key.features for key in rows_of(baby, [3], [], parse_features(["blip"]), ())} == {"blip"}
    own = rows_of([Place("movielens", "movielens")], [3], [], parse_features(["minilm+lite0"]), ())
    assert {(key.table, key.features) for key in own} == {(0, "minilm+lite0")}
    assert len(own) == 9
    with pytest.raises(RobustrecError, match="no row matches"):
        rows_of(baby, [3], ["slmrec/clip/sgbd"], Features(), ())
    with pytest.raises(RobustrecError, match="no row matches"):
        rows_of(baby, [3], ["slmrec", "nothing"], Features(), ())


def test_a_substitute_stands_in_for_one_kind_only():
    found = parse_features(["minilm+cnn=minilm+shrink=.7", "blip=tiny-blip"])
    assert found.kinds == ()
    assert found.encoder_of("minilm+cnn") == "minilm+shrink=.7"
    assert found.encoder_of("blip2") == "blip2"
    assert parse_features(["basic+shrink=.7"]).kinds == ("basic+shrink=.7",)
    for wrong in (["clip=minilm"], ["blip=a", "blip=b"], ["blip="]):
        with pytest.raises(RobustrecError):
            parse_features(wrong)


def test_a_claim_on_kinds_of_features_says_nothing_of_what_stands_in_for_them():
    found = found_of("slmrec", 0.05)
    found |= {("baby", "minilm+cnn", *key[2:]): value for key, value in found_of("slmrec", 0.05).items()}
    kinds = {"minilm+cnn": "basic", "blip": "blip"}
    plan = plan_of(rows_in(found))
    for each in claims_of(plan, found):
        assert each.conclusion != "not decided" or each.p is None
    groups = tuple(
        Group(
            group.place,
            group.kind,
            Inputs(
                None, kinds[group.kind], unlike=("features: basic in place of minilm+cnn",) * (group.kind != "blip")
            ),
            group.rows,
            group.settings,
        )
        for group in plan.groups
    )
    claims = claims_of(ReproductionPlan(plan.settings, plan.asked, groups), found)
    of_features = [each for each in claims if each.better == "blip"]
    assert len(of_features) == 3
    assert {(each.conclusion, each.why) for each in of_features} == {
        ("not decided", "features: basic in place of minilm+cnn")
    }
    strategies = [each for each in claims if each.better == "sgbd"]
    assert {each.encoder for each in strategies} == {"basic", "blip"}
    assert {each.conclusion for each in strategies if not each.pooled} == {"holds"}


def test_printed_differences_stand_beside_trainings_like_the_papers_only():
    for budget, shown in (("early-stop", True), ("gradients", False)):
        found = found_of("slmrec", 0.05, budget=budget)
        single = next(each for each in claims_of(plan_of(rows_in(found)), found) if each.reference == "mirror")
        assert (single.printed is not None) == shown


def test_noise_that_cannot_be_measured_leaves_the_clean_row():
    one = dataclasses.replace(result(0, {}), fault="noise is lost by rounding (the noise audit)")
    rows = rows_found(
        plan_of([NOISY, NOISY._replace(table=3)], seeds=1),
        {("baby", "minilm+cnn", "dualgnn", "vanilla"): {"early-stop": [one], "noise": [one]}},
        {},
        {},
    )
    found = {(row.table, row.noise): row for row in rows}
    assert found[2, "inference"].verdict == "failed"
    assert "rounding" in found[2, "inference"].why
    assert found[3, ""].values


def test_pages_escape_what_they_show():
    nasty = "<script>alert(1)</script> | `x` [y](javascript:z)\u202e"
    inputs = Inputs(None, nasty, unlike=(f"features: {nasty}",))
    row = verdict(1.0, inputs=inputs)
    report = Reproduction(
        robustrec="0",
        command=("robustrec", f"{nasty}\n\n# heading"),
        datasets=(),
        warnings=(nasty,),
        seeds=(0, 1, 2),
        level=0.95,
        metric="ndcg@5",
        epochs=0,
        settings={},
        rows=(row,),
        left=(nasty,),
    )
    page, text = reproduction_page(report), reproduction_markdown(report)
    assert page.count("<script") == 1, "the script of all pages"
    assert "alert(1)" in page
    assert "<script" not in text.replace(next(line for line in text.splitlines() if line.startswith("    ")), "")
    assert "\n# heading" not in text
    assert "\u202e" not in page + text
    assert all(line.count(" | ") < 6 for line in text.splitlines() if not line.startswith("    "))
    assert Reproduction.model_validate_json(report.model_dump_json(), strict=True) == report


@pytest.mark.parametrize(("name", "title"), [("baby", "baby, with features that"), ("movielens", "movielens, which")])
def test_a_table_of_other_features_or_data_says_which_the_paper_lacks(name, title):
    """Of the stored results of the two; the paper has Baby, but not its text features alone."""
    path = ROOT / "benchmarks" / "results" / f"reproduce-{name}-slmrec-h200.json"
    report = Reproduction.model_validate_json(path.read_text(encoding="utf-8"))
    assert f"{title} the paper does not have" in [each.title for each in sections_of(report)]
    assert [each.conclusion for each in report.claims] == ["no significant difference"] * 2
