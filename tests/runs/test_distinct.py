"""Subjects that claim to differ and do not: refused before training where the settings show it, an error after it."""

import pytest

from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.runs.distinct import Identity, check_distinct, indistinct
from robustrec.runs.plan import subject_specs


def _specs(tmp_path, strategies, **strategy):
    overrides = {"strategy": strategy} if strategy else {}
    return subject_specs(Settings(home=tmp_path, model=("vbpr",), strategy=strategies, set=overrides), "sample")


@pytest.mark.parametrize(
    ("strategies", "settings", "named"),
    [
        (("vanilla", "sgbd"), {"rho": 0, "alpha2": 0}, "'sgbd' with alpha2 = 0"),
        (("sgbd",), {"rho": 0, "alpha2": 0}, "'sgbd' with alpha2 = 0"),
        (("mirror",), {"alpha2": 0}, "'mirror' with alpha2 = 0"),
        (("sgbd",), {"alpha2": 0}, "'sgbd' with alpha2 = 0"),
        (("sam",), {"rho": 0}, "'sam' with rho = 0"),
        (("mirror", "sgbd"), {"rho": 0}, "'mirror' and 'sgbd' are equal"),
        (("sgbd", "mirror"), {"rho": 0, "beta": 1}, "'sgbd' and 'mirror' are equal"),
    ],
)
def test_a_strategy_of_which_the_settings_leave_nothing_is_refused_before_training(
    strategies, settings, named, tmp_path
):
    with pytest.raises(RobustrecError, match=named) as caught:
        _specs(tmp_path, strategies, **settings)
    assert "--set strategy" in caught.value.where
    assert "--strategy" in caught.value.fix or "strategy.rho=0.05" in caught.value.fix


def test_strategies_that_differ_are_let_through(tmp_path):
    assert len(_specs(tmp_path, ("vanilla", "sam", "mirror", "sgbd"))) == 4
    assert len(_specs(tmp_path, ("vanilla", "sgbd"), rho=0)) == 2
    assert len(_specs(tmp_path, ("sam", "sgbd"), beta=1)) == 2
    assert len(subject_specs(Settings(home=tmp_path, model=("vbpr",), strategy=("sgbd",), seeds=3), "sample")) == 3


def _identity(label, strategy="vanilla", parameters="p", mirrored=0, scores=None):
    return Identity(label, strategy, parameters, mirrored, scores)


def test_equal_parameters_are_reported_for_both_subjects():
    faults = indistinct([_identity("a"), _identity("b", "sgbd", mirrored=5), _identity("c", "sgbd", "q", 5)])
    assert set(faults) == {0, 1}
    assert "parameters are equal to those of b" in faults[0]
    assert "parameters are equal to those of a" in faults[1]
    assert "--set strategy" in faults[1]


def test_a_mirror_strategy_without_a_mirrored_step_is_reported():
    assert "no mirrored step" in indistinct([_identity("a", "mirror")])[0]
    assert indistinct([_identity("a", "external", mirrored=None), _identity("b", "sam", "q")]) == {}


def test_equal_scores_of_two_scorers_are_reported():
    scorers = [_identity(name, "external", None, None, scores="s") for name in "ab"]
    assert "scores are equal to those of b" in indistinct(scorers)[0]
    assert indistinct([scorers[0], scorers[1]._replace(scores="t")]) == {}


def test_the_error_has_both_names():
    with pytest.raises(RobustrecError, match="a: parameters are equal to those of b") as caught:
        check_distinct([_identity("a"), _identity("b")])
    assert "--set strategy" in caught.value.fix
    check_distinct([_identity("a"), _identity("b", parameters="q")])
