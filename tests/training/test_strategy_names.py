"""Names of composed strategies: one canonical name, unknown and contradictory parts refused, keys of old runs kept."""

from __future__ import annotations

import itertools

import pytest

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.results.gates import Gate
from robustrec.results.selection import Select
from robustrec.runs.plan import subject_specs
from robustrec.runs.specs import spec_json
from robustrec.training.strategy_config import OWN_SETTINGS, STRENGTHS, StrategyConfig, canonical_strategy
from robustrec.training.strategy_names import AVERAGING, STRATEGIES, SUMMARIES, TREATMENTS, parse_strategy

OLD_KEYS = {"name", "alpha1", "alpha2", "rho", "delta", "probe_features", "beta", "reading", "counter"}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("vanilla", "vanilla"),
        ("ema", "ema"),
        ("vanilla+ema", "ema"),
        ("ema+sgbd", "sgbd+ema"),
        (" sgbd + ema ", "sgbd+ema"),
    ],
)
def test_a_strategy_has_one_name_in_any_order_of_its_parts(written: str, name: str) -> None:
    assert parse_strategy(written).name == name
    assert StrategyConfig(name=written).name == name


def test_every_combination_of_parts_has_one_name_that_names_them() -> None:
    for step in STRATEGIES:
        for treatments in itertools.chain.from_iterable(itertools.combinations(TREATMENTS, n) for n in range(3)):
            for average in (None, *AVERAGING):
                parts = [step, *treatments, *([average] if average else [])]
                found = {parse_strategy("+".join(order)).name for order in itertools.permutations(parts)}
                (name,) = found
                again = parse_strategy(name)
                assert (again.step, set(again.treatments), again.averaging) == (step, set(treatments), average)


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("sgdb", "unknown strategy 'sgdb'", "did you mean 'sgbd'?"),
        ("sgbd+em", "unknown part 'em' of strategy 'sgbd+em'", "did you mean 'ema'?"),
        ("sgbd+", "unknown part ''", "step rules: vanilla, sam, mirror, sgbd, asam, gsam, looksam;"),
        ("", "unknown strategy ''", "robustrec list strategies"),
        ("sam+sgbd+ema", "has 2 step rules (sam, sgbd)", "--strategy sgbd+ema"),
        ("swa+mirror+ema", "has 2 averages (swa, ema)", "--strategy mirror+ema"),
        ("ema+sam+ema", "has 'ema' twice", "--strategy ema+sam"),
    ],
)
def test_unknown_and_contradictory_parts_are_refused_with_what_to_do(name: str, what: str, fix: str) -> None:
    with pytest.raises(RobustrecError) as caught:
        subject_specs(Settings(strategy=("vanilla", name)), "sample")
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.where == "--strategy"
    assert canonical_strategy(name) == name
    with pytest.raises(ValueError, match="strategy"):
        StrategyConfig(name=name)


def test_two_spellings_of_a_strategy_are_one_subject_with_one_name() -> None:
    specs = subject_specs(Settings(strategy=("ema+sgbd", "sgbd+ema", "vanilla+swa")), "sample")
    assert [spec.strategy_name for spec in specs] == ["sgbd+ema", "swa"]


def test_gates_and_suites_name_strategies_in_any_order() -> None:
    assert Select(metric="ndcg@20", strategy="ema+sgbd").strategy == "sgbd+ema"
    assert Select(metric="ndcg@20", strategy="sgbd*").strategy == "sgbd*"
    gate = {"name": "g", "quantity": "drift", "select": {"metric": "ndcg@20"}, "min": 0, "against": "ema+mirror"}
    assert Gate.model_validate(gate).reference == "mirror+ema"


@pytest.mark.parametrize("name", ["vanilla", "sam", "mirror", "sgbd"])
def test_the_record_of_a_strategy_of_before_has_the_keys_of_before(name: str) -> None:
    """Otherwise the keys of all stored runs would change."""
    (spec,) = subject_specs(Settings(strategy=(name,)), "sample")
    assert set(spec_json(spec)["strategy"]) == OLD_KEYS
    assert set(StrategyConfig(name=name, ema_decay=0.5).model_dump()) == OLD_KEYS


def test_settings_of_a_part_are_recorded_where_a_strategy_has_it_and_refused_where_none_has() -> None:
    asked = {"strategy": {"ema_decay": 0.5}}
    with_it, without = subject_specs(Settings(strategy=("sam+ema", "sam"), set=asked), "sample")
    assert spec_json(with_it)["strategy"]["ema_decay"] == 0.5
    assert set(spec_json(without)["strategy"]) == OLD_KEYS
    assert without.strategy == StrategyConfig(name="sam"), "two processes agree on the subject"
    with pytest.raises(RobustrecError, match="only strategies with ema read ema_decay") as caught:
        subject_specs(Settings(strategy=("sam", "swa"), set=asked), "sample")
    assert caught.value.fix.endswith("--strategy ema")


def test_a_part_without_strength_is_refused_and_is_equal_to_none() -> None:
    for part, key in STRENGTHS.items():
        assert key in OWN_SETTINGS[part]
        config = StrategyConfig(**{"name": f"sam+{part}", key: 0})
        assert config.effective == StrategyConfig(name="sam").effective
        with pytest.raises(RobustrecError, match=f"{key} = 0 is without {part}") as caught:
            subject_specs(Settings(strategy=(f"sam+{part}",), set={"strategy": {key: 0}}), "sample")
        assert caught.value.fix.endswith("or --strategy sam")


def test_an_average_costs_no_gradient_and_every_part_is_described() -> None:
    for average in AVERAGING:
        assert StrategyConfig(name=f"sgbd+{average}").evaluations_per_step == pytest.approx(5 / 3)
    assert set(SUMMARIES) == {*STRATEGIES, *TREATMENTS, *AVERAGING}
