"""Models and scorers that score from something else than the features at hand: each is planted, each must be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustrec.audits.noise.condition import NoiseCondition
from robustrec.audits.reach import check as reach
from robustrec.audits.reach.check import Ranked, ReachCheck
from robustrec.audits.reach.graphs import check_item_graphs
from robustrec.comparison.measure import Measure
from robustrec.comparison.measuring import Measures, measure_subject
from robustrec.errors import RobustrecError
from robustrec.models.contract import Features, Problem, Representation, Scored
from robustrec.models.da_mrs import DAMRS
from robustrec.models.dragon import DRAGON
from robustrec.models.freedom import FREEDOM
from robustrec.models.lattice import LATTICE
from robustrec.models.mentor import MENTOR
from robustrec.models.mgcn import MGCN
from robustrec.models.pgl import PGL
from robustrec.models.scorers import scored
from robustrec.models.smore import SMORE
from robustrec.models.vbpr import VBPR
from robustrec.runs.prepared import Prepared
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.trained import TrainedSubject
from robustrec.seeds import torch_generator
from robustrec.subject import Subject
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig

Arrays = Mapping[str, Any]


class Live:
    """Scores that follow the features: fixed tastes times all of an item's features."""

    def __init__(self, tiny: Prepared) -> None:
        random = np.random.default_rng(3)
        self.calls = 0
        self.kept: dict[Any, Any] = {}
        self.problem = tiny.problem
        self.tastes = {name: random.normal(size=(80, table.shape[1])) for name, table in tiny.tables.items()}
        self.own = random.normal(size=(80, 60))

    def live(self, features: Arrays, users: Any) -> Any:
        content = sum(self.tastes[name][users] @ np.asarray(features[name], np.float64).T for name in self.tastes)
        return (0.1 * content + self.own[users]).astype(np.float32)

    def __call__(self, features: Arrays, users: Any) -> Any:
        return self.live(features, users)


def _check(tiny: Prepared, scorer: Any, **options: Any) -> ReachCheck:
    def represent(features: Features) -> Representation | Scored:
        return scored("planted", scorer, features, tiny.problem)

    test = tiny.test
    represent(tiny.tables).score(test.users)  # type: ignore[union-attr]  # the clean lists are there before any check
    return ReachCheck(represent, tiny.tables, seed=0, ranked=Ranked(test.users, test.masked, 20), **options)


def _faults(tiny: Prepared, scorer: Any, between: int = 0) -> str:
    """Return what the check finds before and after some calls, "" where nothing."""
    try:
        check = _check(tiny, scorer)
        before = "; ".join(each.fault for each in check.before() if each.fault)
        for _ in range(between):
            scorer({name: table.numpy() for name, table in tiny.tables.items()}, tiny.test.users)
        return before or check.after()
    except RobustrecError as error:
        return error.what


def _cached(key: Callable[[Arrays, Any], Any]) -> type[Live]:
    class Cached(Live):
        def __call__(self, features: Arrays, users: Any) -> Any:
            name = key(features, users)
            if name not in self.kept:
                self.kept[name] = self.live(features, users)
            return self.kept[name]

    return Cached


class FirstCallsLive(Live):
    """Live for some calls, then from what the last of them held."""

    limit = 30

    def __call__(self, features: Arrays, users: Any) -> Any:
        self.calls += 1
        if self.calls <= self.limit:
            self.kept["features"] = {name: table.copy() for name, table in features.items()}
        return self.live(self.kept["features"], users)


class CopiedAtStart(Live):
    def __call__(self, features: Arrays, users: Any) -> Any:
        held = self.kept.setdefault("features", {name: table.copy() for name, table in features.items()})
        return self.live(held, users)


class Pooled(Live):
    """The mean over all items stands for each item's content."""

    def live(self, features: Arrays, users: Any) -> Any:
        return super().live(
            {name: np.broadcast_to(table.mean(axis=0), table.shape) for name, table in features.items()}, users
        )


class PooledByMax(Live):
    def live(self, features: Arrays, users: Any) -> Any:
        return super().live(
            {name: np.broadcast_to(table.max(axis=0), table.shape) for name, table in features.items()}, users
        )


class PooledByGroup(Live):
    """The mean over an item's group of six stands for its content."""

    def live(self, features: Arrays, users: Any) -> Any:
        groups = {name: np.asarray(table).reshape(10, 6, -1).mean(axis=1) for name, table in features.items()}
        return super().live({name: np.repeat(each, 6, axis=0) for name, each in groups.items()}, users)


class PooledWithWeights(Live):
    """A sum over all items with weights, times a number of each item's: an exchange moves it, and all items with it."""

    def live(self, features: Arrays, users: Any) -> Any:
        weights, sizes = np.linspace(0.5, 1.5, 60) / 6, np.cos(np.arange(60))
        pooled = {name: sizes[:, None] * (weights @ np.asarray(table)) for name, table in features.items()}
        return super().live(pooled, users)


class InTheUserOnly(Live):
    """Content of all items makes the user's taste; items have ids only."""

    def live(self, features: Arrays, users: Any) -> Any:
        random = np.random.default_rng(5)
        taste = 0.0
        for name in self.tastes:
            history = random.normal(size=(80, 60))[users] / 8
            taste = taste + history @ np.asarray(features[name]) @ random.normal(size=(features[name].shape[1], 60))
        return (0.1 * taste + self.own[users]).astype(np.float32)


class Vanishing(Live):
    def live(self, features: Arrays, users: Any) -> Any:
        small = {name: 1e-12 * np.asarray(table, np.float64) for name, table in features.items()}
        return super().live(small, users)


class ScaledBySummary(Live):
    """Lists change with the features' mean norm alone."""

    def live(self, features: Arrays, users: Any) -> Any:
        size = sum(float(np.abs(table).mean()) for table in features.values())
        return (self.own[users] + size * np.sin(np.arange(60))).astype(np.float32)


class AllTied(Live):
    def live(self, features: Arrays, users: Any) -> Any:
        total = sum(float(table.sum()) for table in features.values())
        return np.repeat((self.own[users, :1] + total).astype(np.float32), 60, axis=1)


class TiedAtTheTop(Live):
    """Two values of scores, the higher one for half of the catalogue."""

    def live(self, features: Arrays, users: Any) -> Any:
        return (super().live(features, users) > 0).astype(np.float32)


class OneModality(Live):
    def live(self, features: Arrays, users: Any) -> Any:
        return super().live({**features, "text": np.zeros_like(features["text"])}, users)


class BrokenOnNoise(Live):
    """NaN where features are out of the range of the first it was given."""

    def live(self, features: Arrays, users: Any) -> Any:
        scores = super().live(features, users)
        largest = np.abs(features["image"]).max(axis=1)
        scores[:, largest > self.kept.setdefault("largest", largest.max())] = np.nan
        return scores


PLANTED = {
    "keyed by users": _cached(lambda _, users: users.tobytes()),
    "keyed by the number of users": _cached(lambda _, users: len(users)),
    "keyed by shape": _cached(lambda features, users: (*(t.shape for t in features.values()), users.tobytes())),
    "keyed by first rows": _cached(
        lambda features, users: (*(t[:3].tobytes() for t in features.values()), users.tobytes())
    ),
    "keyed by mean": _cached(
        lambda features, users: (*(round(float(t.mean()), 5) for t in features.values()), users.tobytes())
    ),
    "keyed by norm": _cached(
        lambda features, users: (*(round(float(np.linalg.norm(t)), 3) for t in features.values()), users.tobytes())
    ),
    "live for 30 calls": FirstCallsLive,
    "copied at start": CopiedAtStart,
    "pooled": Pooled,
    "pooled by maximum": PooledByMax,
    "pooled by group": PooledByGroup,
    "pooled with weights": PooledWithWeights,
    "content in the user part only": InTheUserOnly,
    "scaled by 1e-12": Vanishing,
    "a summary of the features": ScaledBySummary,
    "all tied": AllTied,
    "tied at the top": TiedAtTheTop,
    "one modality of two": OneModality,
    "NaN on noise": BrokenOnNoise,
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_scorer_is_found(name: str, tiny: Prepared) -> None:
    assert _faults(tiny, PLANTED[name](tiny), between=30)


@pytest.mark.parametrize("kind", [PooledByGroup, PooledWithWeights, InTheUserOnly])
def test_content_that_is_not_an_items_own_is_named(kind: type[Live], tiny: Prepared) -> None:
    for found in _check(tiny, kind(tiny)).before():
        assert "is pooled over items" in found.fault, "noise and exchange move scores and lists"


class TailOnly(Live):
    """Features move the order of items far below every list, and nothing else."""

    def live(self, features: Arrays, users: Any) -> Any:
        scores = super().live(features, users)
        scores[:, :30] = self.own[users, :30]
        scores[:, 30:] -= 1000
        return scores


def test_scores_that_move_without_a_list_do_not_count(tiny: Prepared) -> None:
    for found in _check(tiny, TailOnly(tiny)).before():
        assert found.change > 1e-3
        assert (found.reached, found.users) == (False, 0.0)
        assert "changed scores but no list" in found.fault


def test_a_shift_of_all_items_of_a_user_is_no_change_of_a_score(tiny: Prepared) -> None:
    for found in _check(tiny, Pooled(tiny)).before():
        assert found.change < 1e-3
        assert "changed no score" in found.fault


class Quantised(Live):
    """Features in steps of a quarter, scores in steps of a hundredth: coarse, but of the features at hand."""

    def live(self, features: Arrays, users: Any) -> Any:
        coarse = {name: np.round(np.asarray(table) * 4) / 4 for name, table in features.items()}
        return np.round(super().live(coarse, users), 2)


class BySign(Live):
    def live(self, features: Arrays, users: Any) -> Any:
        return super().live({name: np.sign(table) for name, table in features.items()}, users)


class SlightContent(Live):
    """Content is a two-hundredth of the scores."""

    def live(self, features: Arrays, users: Any) -> Any:
        return super().live({name: 0.05 * np.asarray(table) for name, table in features.items()}, users)


@pytest.mark.parametrize("kind", [Live, Quantised, BySign, SlightContent])
def test_a_sound_scorer_raises_no_alarm(kind: type[Live], tiny: Prepared) -> None:
    assert not _faults(tiny, kind(tiny), between=30)


class SomeUsers(Live):
    """Features decide for one user in ten."""

    def live(self, features: Arrays, users: Any) -> Any:
        scores = self.own[users].astype(np.float32)
        follows = np.asarray(users) % 10 == 0
        scores[follows] = super().live(features, np.asarray(users)[follows])
        return scores


def test_how_many_users_follow_the_features_is_counted(tiny: Prepared) -> None:
    users = [found.users for found in _check(tiny, SomeUsers(tiny)).before()]
    assert all(0 < share <= 0.15 for share in users), users
    assert all(found.users > 0.9 for found in _check(tiny, Live(tiny)).before())


class CachedInLargeCalls(Live):
    """Calls for many users, as audits make them, are answered from the first of them."""

    def __call__(self, features: Arrays, users: Any) -> Any:
        if len(users) < 40:
            return self.live(features, users)
        held = self.kept.setdefault("features", {name: table.copy() for name, table in features.items()})
        return self.live(held, users)


def test_lists_are_looked_at_in_the_calls_of_the_audits(tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "SAMPLED_USERS", 8)
    assert _faults(tiny, CachedInLargeCalls(tiny))


def test_ties_at_the_end_of_lists_are_counted(tiny: Prepared) -> None:
    class Stepped(Live):
        def live(self, features: Arrays, users: Any) -> Any:
            return np.round(super().live(features, users))

    assert _check(tiny, Stepped(tiny)).ties.boundary > 0.5
    assert _check(tiny, Stepped(tiny)).ties.whole < 0.1
    assert _check(tiny, Live(tiny)).ties == (0.0, 0.0)


def test_equal_feature_rows_raise_no_alarm(tiny: Prepared) -> None:
    tables = {name: table[:1].expand_as(table).contiguous() for name, table in tiny.tables.items()}
    scorer = Live(tiny)
    check = ReachCheck(lambda features: scored("live", scorer, features, tiny.problem), tables, seed=0)
    assert [reach.fault for reach in check.before()] == ["", ""]
    assert check.after() == ""


def test_features_of_zeros_are_named_in_the_error(tiny: Prepared) -> None:
    tables = {**tiny.tables, "image": torch.zeros_like(tiny.tables["image"])}
    scorer = Live(tiny)
    with pytest.raises(RobustrecError, match="all 60 rows of the image features are zero"):
        ReachCheck(lambda features: scored("live", scorer, features, tiny.problem), tables, seed=0)


class KeyedByAddress:
    """Represents a table by what lay at its address when it was first seen."""

    def __init__(self, tiny: Prepared) -> None:
        self.scorer, self.kept = Live(tiny), {}  # type: ignore[var-annotated]

    def __call__(self, features: Features) -> Representation:
        held = []
        for name, table in features.items():
            key = (name, table.data_ptr())
            if key not in self.kept:
                self.kept[key] = (table, table.clone())  # held, so that no other table gets the address
            held.append(self.kept[key][1])
        items = torch.cat(held, dim=1)
        drawn = torch.randn(80, items.shape[1], generator=torch_generator(1, "users"))
        return Representation(drawn, items)


def test_a_cache_keyed_by_address_is_found(tiny: Prepared) -> None:
    check = ReachCheck(KeyedByAddress(tiny), tiny.tables, seed=0)
    assert [each.fault for each in check.before()] == ["", ""]
    assert "changed no score" in check.after()


def _subject(model: Any, tiny: Prepared) -> TrainedSubject:
    spec = SubjectSpec("dragon", {}, TrainingConfig(), StrategyConfig(), seed=0)
    subject = Subject(model="dragon", strategy="vanilla", features="imported", seed=0)
    graphs = model.item_graphs(tiny.tables)
    return TrainedSubject(subject, spec, "key", model, tiny.tables, {}, graphs)


def _frozen_by(base: type[Any], how: str) -> type[Any]:
    """Return a model whose item graphs are those of the first features it saw, in one of several ways."""

    class Frozen(base):  # type: ignore[misc]
        first: Any = None
        seen: Any = None

        def item_graphs(self, features: Features, *rest: Any) -> Any:
            if how == "cached graphs":
                self.first = self.first or super().item_graphs(features, *rest)
                return self.first
            if how == "frozen image graph":
                self.seen = self.seen if self.seen is not None else features["image"].clone()
                return super().item_graphs({**features, "image": self.seen}, *rest)
            return super().item_graphs(features, *rest)

        def represent(self, features: Features, graphs: Any = None) -> Any:
            if how == "graphs given are ignored":
                self.first = self.first or super().item_graphs(features)
                return super().represent(features, self.first)
            if how == "graphs not given are the first":
                self.first = self.first or super().item_graphs(features)
                return super().represent(features, self.first if graphs is None else graphs)
            return super().represent(features, graphs)

    return Frozen


def _built(kind: type[Any], tiny: Prepared, **options: Any) -> Any:
    model = kind(tiny.problem, kind.Config(**options), torch_generator(0, "parameters")).eval()
    with torch.no_grad():
        model.represent(tiny.tables)
    return model


HOW = ["cached graphs", "frozen image graph", "graphs given are ignored", "graphs not given are the first"]


@pytest.mark.parametrize("base", [DRAGON, FREEDOM, LATTICE, MENTOR, MGCN, PGL, SMORE, DAMRS])
@pytest.mark.parametrize("how", HOW)
def test_item_graphs_frozen_by_mistake_are_found(base: type[Any], how: str, tiny: Prepared) -> None:
    assert check_item_graphs(_subject(_built(_frozen_by(base, how), tiny), tiny), seed=0)


@pytest.mark.parametrize("base", [DRAGON, FREEDOM, LATTICE, MENTOR, MGCN, PGL, SMORE, DAMRS])
def test_graphs_of_two_derivations_are_found(base: type[Any], tiny: Prepared) -> None:
    """Both derivations follow the features, but the graphs that are measured are not those of `item_graphs`."""

    class TwoDerivations(base):  # type: ignore[misc]
        def represent(self, features: Features, graphs: Any = None) -> Any:
            if graphs is None:
                graphs = super().item_graphs({name: table.square() for name, table in features.items()})
            return super().represent(features, graphs)

    assert "uses other graphs" in check_item_graphs(_subject(_built(TwoDerivations, tiny), tiny), seed=0)


@pytest.mark.parametrize("base", [DRAGON, FREEDOM, LATTICE, MENTOR, MGCN, PGL, SMORE, DAMRS])
def test_item_graphs_that_follow_the_features_raise_no_alarm(base: type[Any], tiny: Prepared) -> None:
    assert not check_item_graphs(_subject(_built(base, tiny), tiny), seed=0)


@pytest.mark.parametrize("options", [{"item_layers": 0}, {"item_neighbours": 60}, {"image_weight": 0}])
def test_item_graphs_that_settings_switch_off_raise_no_alarm(options: dict[str, Any], tiny: Prepared) -> None:
    assert not check_item_graphs(_subject(_built(DRAGON, tiny, **options), tiny), seed=0)


def test_planted_tables_are_the_tables_of_the_check(tiny: Prepared) -> None:
    """The check leaves the features it is given as they are."""
    before: dict[str, Tensor] = {name: table.clone() for name, table in tiny.tables.items()}
    check = _check(tiny, Live(tiny))
    check.before()
    check.after()
    assert all(torch.equal(before[name], table) for name, table in tiny.tables.items())


def test_compare_measures_nothing_of_a_subject_that_is_not_reached(tiny: Prepared) -> None:
    """The comparison of strategies runs the same check, before and after."""
    measures = Measures("ndcg@20", (NoiseCondition(1e-2),), 2, lambda _: {})
    model = _built(VBPR, tiny)
    subject = replace(_subject(_built(DRAGON, tiny), tiny), model=model, graphs=None)
    assert Measure("quality", "ndcg@20") in measure_subject(subject, tiny, measures, seed=0)
    live, calls = model.represent, []
    with torch.no_grad():
        first = live(tiny.tables)

    def cached_after(limit: int) -> Any:
        def represent(features: Features) -> Representation:
            calls.append(1)
            return live(features) if len(calls) <= limit else first

        return represent

    for limit, when in ((0, "did not reach"), (13, "after the audits")):
        calls.clear()
        model.represent = cached_after(limit)
        with pytest.raises(RobustrecError, match=when):
            measure_subject(subject, tiny, measures, seed=0)


@pytest.mark.parametrize("seed", range(4))
def test_a_small_catalogue_of_neighbours_raises_no_alarm(seed: int) -> None:
    """Ten of twelve items are neighbours of each, so an item is not always the one that moves furthest."""
    generator = torch_generator(seed, "small")
    items = torch.cat([torch.randperm(12, generator=generator)[:5] for _ in range(30)])
    edges = torch.stack([torch.arange(30).repeat_interleave(5), items])
    tables = {"image": torch.randn(12, 8, generator=generator)}
    model = FREEDOM(Problem(30, 12, edges, {"image": 8}), FREEDOM.Config(), generator).eval()
    with torch.no_grad():
        assert [found.fault for found in ReachCheck(model.represent, tables, seed=seed).before()] == [""]
