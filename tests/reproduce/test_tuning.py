"""Settings chosen on validation: equal budgets, the defaults first, and an interrupted search that goes on."""

import dataclasses
import importlib.util

import numpy as np
import pytest
from filelock import FileLock, Timeout

from robustrec.cli.main import run
from robustrec.config import Settings
from robustrec.errors import RobustrecError
from robustrec.reproduce import tuning
from robustrec.reproduce.inputs import Inputs
from robustrec.reproduce.plan import Group
from robustrec.reproduce.rows import Place
from robustrec.reproduce.tuning import Search, order_of, require_optuna, space_of, tuned
from robustrec.training.trainer import NotFiniteError

TRAINING = {"learning_rate": 0.01, "batch_size": 128}


@pytest.fixture
def group(tiny, tmp_path):
    settings = Settings(home=tmp_path, set={"training": TRAINING})
    return Group(Place("tiny", "tiny"), "imported", Inputs(tiny.dataset, "imported"), (), settings)


def search_in(home, *, trials=4, allows=lambda spec: True):
    return Search(trials, 6, home, 0, allows)


def test_every_strategy_tries_its_defaults_first_and_no_setting_twice(group):
    for strategy, keys in (("vanilla", []), ("mirror", ["alpha2"]), ("sgbd", ["alpha2", "rho"])):
        spec = group.specs("vbpr", strategy)[0]
        assert list(space_of(spec, {})) == ["training.learning_rate", *(f"strategy.{key}" for key in keys)]
        order = order_of(space_of(spec, {}), spec, 0)
        assert order[0] == {
            "training.learning_rate": 0.01,
            **{f"strategy.{key}": getattr(spec.strategy, key) for key in keys},
        }
        assert len({tuple(each.items()) for each in order}) == len(order) == 8 ** (1 + len(keys))
        assert order == order_of(space_of(spec, {}), spec, 0)
    given = {"strategy": {"rho": 0.3}}
    assert "strategy.rho" not in space_of(spec, given), "what --set gives is not searched"


def test_an_interrupted_search_makes_the_same_choice(group, tiny, tmp_path, monkeypatch):
    group = Group(
        group.place,
        group.kind,
        group.inputs,
        (),
        group.settings.model_copy(update={"set": {"training": {"batch_size": 128}}}),
    )
    whole = tuned(group, "vbpr", "sgbd", tiny, search_in(tmp_path / "whole"), lambda *_: None)
    trained, calls = tuning.paused_subject, []

    def interrupted(*words, **named):
        calls.append(words)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return trained(*words, **named)

    monkeypatch.setattr(tuning, "paused_subject", interrupted)
    home = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        tuned(group, "vbpr", "sgbd", tiny, search_in(home), lambda *_: None)
    assert tuned(group, "vbpr", "sgbd", tiny, search_in(home), lambda *_: None) == whole
    chosen, record = whole
    assert record.trials == 4
    assert record.gradients <= 4 * record.most_gradients
    assert dict(chosen) == record.chosen
    before = len(calls)
    assert tuned(group, "vbpr", "sgbd", tiny, search_in(home), lambda *_: None) == whole
    assert len(calls) == before, "a finished search trains nothing"


def test_a_trial_that_diverges_ends_and_the_search_goes_on(group, tiny, tmp_path, monkeypatch):
    """Only the defaults, which are tried first, make a row fail."""
    group = dataclasses.replace(
        group, settings=group.settings.model_copy(update={"set": {"training": {"batch_size": 128}}})
    )
    default, trained = group.specs("vbpr", "vanilla")[0].training.learning_rate, tuning.paused_subject

    def diverging(fails):
        def either(spec, *words, **named):
            if fails(spec.training.learning_rate):
                raise NotFiniteError("training loss is nan in epoch 1", where="training", fix="lower the learning rate")
            return trained(spec, *words, **named)

        return either

    monkeypatch.setattr(tuning, "paused_subject", diverging(lambda rate: rate != default))
    chosen, record = tuned(group, "vbpr", "vanilla", tiny, search_in(tmp_path / "others"), lambda *_: None)
    assert dict(chosen) == {"training.learning_rate": default}
    assert (record.trials, record.pruned) == (4, 3)
    monkeypatch.setattr(tuning, "paused_subject", diverging(lambda rate: rate == default))
    with pytest.raises(NotFiniteError):
        tuned(group, "vbpr", "vanilla", tiny, search_in(tmp_path / "default"), lambda *_: None)


def test_a_second_command_waits_for_the_search_of_the_first(group, tiny, tmp_path, monkeypatch):
    """Otherwise both try the same settings, and each counts the trials of the other as its own."""
    held, trained = [], tuning.paused_subject

    def watched(*words, **named):
        for lock in (tmp_path / "reproduce" / "tune").glob("*.lock"):
            with pytest.raises(Timeout):
                FileLock(lock).acquire(blocking=False)
            held.append(lock)
        return trained(*words, **named)

    monkeypatch.setattr(tuning, "paused_subject", watched)
    assert tuned(group, "vbpr", "mirror", tiny, search_in(tmp_path, trials=2), lambda *_: None)
    assert held


def test_every_strategy_has_the_same_gradient_evaluations(group, tiny, tmp_path):
    most = []
    for strategy in ("vanilla", "sgbd"):
        spec = tuning._spec(group, "vbpr", strategy, {}, search_in(tmp_path))
        most.append(tuning.gradient_evaluations(spec, len(tiny.positives.users)))
        assert spec.seed not in range(100), "trials have another seed than the trainings that are measured"
    assert np.ptp(most) / max(most) < 0.2


def test_a_search_stops_when_its_time_is_over(group, tiny, tmp_path):
    search = search_in(tmp_path, allows=lambda spec: False)
    assert tuned(group, "vbpr", "mirror", tiny, search, lambda *_: None) is None
    assert not (tmp_path / "runs").exists()


def test_without_optuna_the_command_says_what_to_install(monkeypatch):
    require_optuna()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RobustrecError) as error:
        require_optuna()
    assert "pip install 'robustrec[tune]'" in error.value.fix
    assert "--no-tune" in error.value.fix


def test_a_dry_run_needs_no_optuna_and_names_it(monkeypatch, tmp_path, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "optuna" else real(name, *more)
    )
    words = ["reproduce", "sgbd", "--table", "4", "--row", "*/blip*", "--home", str(tmp_path), "--offline"]
    assert run([*words, "--dry-run"]) == 0
    assert "pip install 'robustrec[tune]'" in capsys.readouterr().err
    assert run(words) == 2
