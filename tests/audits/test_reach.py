"""The reach check must catch a model that scores from a cache, for each modality, and let sound models pass."""

import pytest
import torch

from robustrec.audits.reach.check import check_reach
from robustrec.errors import RobustrecError
from robustrec.models import MODELS, model_class
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import build_model
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

READING = [name for name in MODELS if getattr(model_class(name), "modalities_in_scores", model_class(name).modalities)]


def _represent(name, prepared):
    spec = SubjectSpec(name, {}, TrainingConfig(), StrategyConfig(), seed=0)
    model = build_model(spec, prepared)
    return model.represent


@pytest.mark.parametrize("name", READING)
def test_every_modality_of_every_model_is_reached(name, tiny):
    reaches = check_reach(_represent(name, tiny), tiny.tables, seed=0)
    assert [reach.modality for reach in reaches] == ["image", "text"]
    assert all(reach.reached for reach in reaches)


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("cached", ["image", "text"])
def test_a_planted_cache_of_one_modality_is_caught(name, cached, tiny):
    represent, frozen = _represent(name, tiny), tiny.tables[cached].clone()
    reaches = check_reach(lambda features: represent({**features, cached: frozen}), tiny.tables, seed=0)
    assert {reach.modality: reach.reached for reach in reaches} == {
        "image": cached != "image",
        "text": cached != "text",
    }


@pytest.mark.parametrize("name", READING)
def test_planted_cached_scores_are_caught(name, tiny):
    cached = _represent(name, tiny)(tiny.tables)
    assert not any(reach.reached for reach in check_reach(lambda _: cached, tiny.tables, seed=0))


def test_a_model_whose_scores_follow_no_features_says_so_and_is_believed_only_after_a_look(tiny):
    declared = check_reach(_represent("bm3", tiny), tiny.tables, seed=0, claimed=())
    assert all(not reach.reached and not reach.claimed for reach in declared)
    false = check_reach(_represent("vbpr", tiny), tiny.tables, seed=0, claimed=("text",))
    assert {reach.modality: (reach.reached, reach.claimed) for reach in false} == {
        "image": (True, False),
        "text": (True, True),
    }


def test_a_model_that_draws_fresh_noise_is_refused(tiny):
    represent, generator = _represent("vbpr", tiny), torch.Generator().manual_seed(0)

    def noisy(features):
        users, items = represent(features)
        return type(represent(features))(users, items + 0.01 * torch.randn(items.shape, generator=generator))

    with pytest.raises(RobustrecError, match="two calls with the same features"):
        check_reach(noisy, tiny.tables, seed=0)


def test_scores_that_are_nan_or_all_equal_are_refused(tiny):
    represent = _represent("vbpr", tiny)
    for factor in (float("nan"), 0.0):
        with pytest.raises(RobustrecError, match="scores"):
            check_reach(
                lambda features, f=factor: type(represent(features))(
                    represent(features).users * f, represent(features).items
                ),
                tiny.tables,
                seed=0,
            )
