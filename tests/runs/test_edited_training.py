"""Training on edited content: closed forms, disjoint draws, resume, and what is refused."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustrec.config import Settings
from robustrec.datasets.registry import load_dataset
from robustrec.edits import EDITS, FAULTS
from robustrec.edits.content import text_of
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.models.contract import Batch, item_graphs, represent
from robustrec.models.propagated_features import FeatureConstants
from robustrec.runs import edit_pools
from robustrec.runs.edit_pools import edited_versions, make_pools, pool_of
from robustrec.runs.editable import check_edited_training, edited_encodings
from robustrec.runs.prepared import EditSource, Prepared, edit_source, prepare
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.store import run_key
from robustrec.runs.subjects import obtain_subject, validation_metric
from robustrec.runs.trained import build_model
from robustrec.runs.treatments import AUDITED, applier_of
from robustrec.training.config import TrainingConfig
from robustrec.training.content import Content
from robustrec.training.edit_settings import EditPool, edit_pool
from robustrec.training.edited_content import EditedContent, margins
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing, train
from robustrec.training.treatments import treatments_of

sys.path.insert(0, str(Path(__file__).parents[1] / "audits"))
from merchant_shop import make_shop

QUICK = TrainingConfig(max_epochs=3, patience=3, learning_rate=0.01, batch_size=128)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    return make_shop(tmp_path_factory.mktemp("edited") / "shop", tiny_folder / "tiny.inter", brands=True)


@pytest.fixture(scope="module")
def encoded(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the vectors of the shop, to be copied."""
    home = tmp_path_factory.mktemp("encoded")
    prepared_in(shop, home)
    return home


@pytest.fixture
def prepared(shop: Path, encoded: Path, tmp_path: Path) -> Prepared:
    shutil.copytree(encoded, tmp_path, dirs_exist_ok=True)
    return prepared_in(shop, tmp_path)


def prepared_in(shop: Path, home: Path) -> Prepared:
    dataset = load_dataset(str(shop), home=home)
    features = item_features(dataset, "basic", home=home)
    return prepare(dataset, features, torch.device("cpu"), edits=edit_source(settings_in(home, shop)))


def settings_in(home: Path, dataset: Path, **more: Any) -> Settings:
    return Settings(home=home, dataset=str(dataset), features="basic", device="cpu", **more)


def spec_of(strategy: str = "edit-aug", model: str = "vbpr", **settings: Any) -> SubjectSpec:
    return SubjectSpec(model, {}, QUICK, StrategyConfig(name=strategy, **settings), 0)


def trained(
    prepared: Prepared, strategy: str = "edit-aug", model: str = "vbpr", edited: Any = None, **settings: Any
) -> dict[str, torch.Tensor]:
    """Return the parameters after three epochs."""
    return outcome(prepared, spec_of(strategy, model, **settings), edited)


def outcome(prepared: Prepared, spec: SubjectSpec, edited: Any = None, **more: Any) -> dict[str, torch.Tensor]:
    model = build_model(spec, prepared)
    graphs = item_graphs(model, prepared.tables)
    metric = validation_metric(model, prepared.tables, prepared, "ndcg@20", graphs)
    known = {"config": spec.training, "strategy_config": spec.strategy, "seed": spec.seed, "graphs": graphs}
    train(model, prepared.tables, prepared.positives, metric, edited=edited, **{**known, **more})
    return {name: value.clone() for name, value in model.module().state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def clean_pool(prepared: Prepared, n: int = 2) -> dict[str, torch.Tensor]:
    return {name: table.expand(n, *table.shape) for name, table in prepared.tables.items()}


def vectors(prepared: Prepared, **settings: Any) -> dict[str, torch.Tensor]:
    pool = edit_pool(StrategyConfig(name="edit-aug", **settings))
    assert pool is not None
    return pool_of(pool, prepared)


@pytest.mark.parametrize("model", ["vbpr", "slmrec", "freedom", "mgcn"])
def test_share_0_and_a_pool_of_clean_content_train_as_vanilla_to_the_bit(prepared: Prepared, model: str) -> None:
    plain = trained(prepared, "vanilla", model)
    pool = clean_pool(prepared)
    assert equal(plain, trained(prepared, model=model, edited=pool, edit_share=0.0))
    assert equal(plain, trained(prepared, model=model, edited=pool, edit_share=0.7))
    assert equal(plain, trained(prepared, model=model, edited=pool, consistency=0.5)), "two equal views"
    assert not equal(plain, trained(prepared, model=model, edited={name: -table for name, table in pool.items()}))
    assert all(torch.isfinite(table).all() for table in prepared.tables.values())


@pytest.mark.parametrize("strategy", ["sam", "mirror", "sgbd"])
def test_a_step_rule_acts_on_edited_content_as_on_content(prepared: Prepared, strategy: str) -> None:
    """With all items edited in one version, training is that of the step rule on features with that content."""
    pool = vectors(prepared, edit_pools=1)
    found = trained(prepared, f"{strategy}+edit-aug", edited=pool, edit_share=1.0)
    features = {name: table[0] for name, table in pool.items()}
    model = build_model(spec_of(strategy), prepared)
    metric = validation_metric(model, prepared.tables, prepared, "ndcg@20")
    train(model, features, prepared.positives, metric, config=QUICK, strategy_config=spec_of(strategy).strategy, seed=0)
    assert equal(found, model.module().state_dict())


def test_an_epoch_has_the_share_of_items_each_from_one_of_the_versions() -> None:
    clean = torch.zeros(10, 3)
    pools = {"text": torch.arange(1.0, 4.0)[:, None, None].expand(3, 10, 3)}
    content = EditedContent(pools, 0.4, seed=5, device=torch.device("cpu"))
    seen = []
    for epoch in range(40):
        (table,) = content.of_epoch({"text": clean}, epoch).values()
        assert int((table[:, 0] > 0).sum()) == 4
        seen.append(table[:, 0].clone())
    every = torch.stack(seen)
    assert set(every.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}
    assert bool((every > 0).any(dim=0).all())
    assert torch.equal(content.of_epoch({"text": clean}, 7)["text"][:, 0], seen[7]), "a draw depends on the epoch only"
    assert bool((clean == 0).all())
    other = EditedContent(pools, 0.4, seed=6, device=torch.device("cpu"))
    assert not torch.equal(other.of_epoch({"text": clean}, 7)["text"][:, 0], seen[7])


@pytest.mark.parametrize("consistency", [0.0, 0.5])
def test_an_interrupted_training_resumes_to_the_bit(prepared: Prepared, tmp_path: Path, consistency: float) -> None:
    pool, spec = vectors(prepared), spec_of("sgbd+edit-aug", consistency=consistency)
    whole = outcome(prepared, spec, pool)
    state = Checkpointing(tmp_path / "one.checkpoint", "key", seconds=0)

    def killed(_stage: str, done: int, _total: int, _note: str = "", /) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(prepared, spec, pool, checkpointing=state, progress=killed)
    assert state.path.is_file()
    assert equal(whole, outcome(prepared, spec, pool, checkpointing=state))


def contents(prepared: Prepared, stream: str, edits: tuple[str, ...], seed: int = 0) -> set[str]:
    """Return the digests of the edited items of a pool with one edit each, drawn from a stream."""
    applier = applier_of(prepared.dataset, prepared.edits.home, seed, stream=stream)  # type: ignore[union-attr]
    pool = EditPool(3, edits, (3,), seed)
    return {row.key for _, _, row in edited_versions(pool, applier, ["text", "image"])}


def audited(prepared: Prepared, edits: tuple[str, ...]) -> set[str]:
    """Return the digests of what an audit of the same seed makes of the items."""
    from robustrec.runs.treatments import treatments_of

    applier = applier_of(prepared.dataset, prepared.edits.home, 0)  # type: ignore[union-attr]
    return {
        row.key
        for treatment in treatments_of(edits)
        for draw in range(3)
        for item in range(len(applier.rows))
        for _, row in applier.edited(treatment, item, (3,), draw)
    }


def test_edits_of_training_and_of_audits_share_no_draws(prepared: Prepared) -> None:
    edits = ("typos",)  # which letters is drawn
    assert edit_pools.STREAM != AUDITED
    of_audits = audited(prepared, edits)
    assert not contents(prepared, edit_pools.STREAM, edits) & of_audits
    # Planted: with the name of the audits' stream, training sees what is audited.
    assert contents(prepared, AUDITED, edits) & of_audits


def test_an_item_gets_one_edit_of_its_text_and_one_of_its_picture(prepared: Prepared) -> None:
    pool = EditPool(2, ("brand_first", "recolour", "truncation"), (3,), 0)
    applier = applier_of(prepared.dataset, prepared.edits.home, 0, stream=edit_pools.STREAM)  # type: ignore[union-attr]
    found = list(edited_versions(pool, applier, ["text", "image"]))
    assert [version for version, _, _ in found] == sorted(version for version, _, _ in found)
    for _, item, row in found:
        assert row.content.text != applier.rows[item].text
        assert row.content.picture is not applier.rows[item].picture
    texts = list(edited_versions(pool, applier, ["text"]))
    assert all(row.content.picture is applier.rows[item].picture for _, item, row in texts)
    assert not list(edited_versions(pool, applier, []))
    assert text_of(applier.before(edit_treatment("truncation"), 0)) == applier.rows[0].text


def edit_treatment(name: str) -> Any:
    from robustrec.runs.treatments import treatments_of

    return treatments_of([name])[0]


def test_the_edits_of_training_are_all_but_faults_without_those_left_out() -> None:
    pool = edit_pool(StrategyConfig(name="edit-aug"))
    assert pool is not None
    assert set(pool.edits) == set(EDITS) - set(FAULTS)
    left = edit_pool(StrategyConfig(name="edit-aug", edit_without=("promo_*", "crop")))
    assert left is not None
    assert set(pool.edits) - set(left.edits) == {"promo_phrase", "promo_badge", "crop"}
    assert edit_pool(StrategyConfig(name="vanilla")) is None
    for wrong in ({"edit_without": ("promo*tion",)}, {"edit_only": ("promo_phrase+crop",)}, {"edit_without": ("*",)}):
        with pytest.raises(RobustrecError):
            edit_pool(StrategyConfig(name="edit-aug", **wrong))


def test_a_pool_is_encoded_once_and_an_interrupted_one_goes_on(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepared_in(shop, tmp_path)
    encoded: list[int] = []
    monkeypatch.setattr("robustrec.runs.edited_rows.AT_ONCE", 20)
    encode = edit_pools.EditedRows._encoded

    def counted(self: Any, rows: Any) -> Any:
        if len(encoded) == 2:
            encoded.append(0)
            raise KeyboardInterrupt
        encoded.append(len(rows))
        return encode(self, rows)

    monkeypatch.setattr(edit_pools.EditedRows, "_encoded", counted)
    with pytest.raises(KeyboardInterrupt):
        vectors(prepared)
    assert not list((tmp_path / "pools").glob("[!.]*")), "nothing half-written is left"
    reports: list[tuple[int, int]] = []
    pool = edit_pool(StrategyConfig(name="edit-aug"))
    assert pool is not None
    first = pool_of(pool, prepared, lambda _s, done, total, _n="", /: reports.append((done, total)))
    assert sum(encoded) == 2 * 60, "no row is encoded twice"
    assert reports[0] == (0, 120)
    assert reports[-1] == (120, 120)
    assert reports == sorted(reports)
    again = vectors(prepared)
    assert sum(encoded) == 2 * 60
    assert equal(first, again)
    more = vectors(prepared, edit_pools=3)
    assert sum(encoded) == 3 * 60, "a larger pool begins with the versions of a smaller one"
    assert equal(first, {name: table[:2] for name, table in more.items()})
    for name, table in first.items():
        assert table.shape == (2, *prepared.tables[name].shape)
        assert float((table != prepared.tables[name]).any(dim=2).float().mean()) > 0.9


def test_a_damaged_pool_is_made_again(prepared: Prepared, tmp_path: Path) -> None:
    first = {name: table.clone() for name, table in vectors(prepared).items()}
    (file,) = (tmp_path / "pools").glob("*/text.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert equal(first, vectors(prepared))


def test_subjects_train_from_the_store_and_their_key_depends_on_the_edits(prepared: Prepared, tmp_path: Path) -> None:
    spec = spec_of("edit-aug")
    subject = obtain_subject(spec, prepared, home=tmp_path)
    assert subject.record["strategy"]["edit_without"] == []
    assert subject.record["strategy"]["edit_severities"] == [3]
    plain = obtain_subject(spec_of("vanilla"), prepared, home=tmp_path)
    assert not equal(subject.model.module().state_dict(), plain.model.module().state_dict())  # type: ignore[union-attr]
    keys = {
        run_key(spec_of("edit-aug", **settings), prepared)
        for settings in ({}, {"edit_without": ("crop",)}, {"edit_seed": 1}, {"edit_severities": (5,)})
    }
    assert len(keys) == 4
    source = prepared.edits
    assert isinstance(source, EditSource)
    other = replace(prepared, edits=replace(source, language="de"))
    assert run_key(spec, other) != run_key(spec, prepared), "other words, other content"
    assert run_key(spec_of("vanilla"), other) == run_key(spec_of("vanilla"), prepared)
    again = obtain_subject(spec, prepared, home=tmp_path)
    assert again.record["seconds"] == subject.record["seconds"]


def test_features_that_cannot_be_encoded_again_are_refused_before_work(tiny_folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(str(tiny_folder), home=tmp_path)
    settings = Settings(home=tmp_path, dataset=str(tiny_folder), model=("vbpr",), device="cpu")
    with pytest.raises(RobustrecError) as caught:
        check_edited_training([spec_of()], dataset, settings)
    assert "imported features" in caught.value.what
    check_edited_training([spec_of("vanilla")], dataset, settings)


def test_unknown_edits_are_refused_before_work(prepared: Prepared, shop: Path, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="bolder"):
        check_edited_training([spec_of(edit_only=("bolder",))], prepared.dataset, settings_in(tmp_path, shop))


def test_the_plan_counts_each_pool_once() -> None:
    specs = [spec_of("edit-aug"), spec_of("sgbd+edit-aug"), spec_of("vanilla"), spec_of("edit-aug", edit_pools=3)]
    assert edited_encodings(specs, 100) == 500
    assert edited_encodings([spec_of("edit-aug", model="bpr")], 100) == 0


def test_pools_are_made_ahead_for_other_processes(prepared: Prepared, tmp_path: Path) -> None:
    make_pools([spec_of("vanilla")], prepared)
    assert not (tmp_path / "pools").exists()
    make_pools([spec_of(), spec_of("sgbd+edit-aug")], prepared)
    assert len(list((tmp_path / "pools").glob("[!.]*"))) == 1


def test_edits_that_change_no_vector_are_no_training_on_edited_content(prepared: Prepared, tmp_path: Path) -> None:
    """No item of the shop has a further photo to swap with: it would be plain training by another name."""
    with pytest.raises(RobustrecError, match="no edit of hero_swap changes a vector that vbpr reads"):
        obtain_subject(spec_of(edit_only=("hero_swap",)), prepared, home=tmp_path)


def test_a_small_share_edits_an_item_all_the_same() -> None:
    content = EditedContent({"text": torch.zeros(2, 100, 3)}, 0.001, 0, torch.device("cpu"))
    assert len(content.drawn(0)[0]) == 1


def test_a_pool_may_be_larger_than_what_the_model_reads(prepared: Prepared) -> None:
    pool = vectors(prepared)
    content = EditedContent(pool, 0.5, 0, torch.device("cpu"))
    found = content.of_epoch({"text": prepared.tables["text"]}, 0)
    assert list(found) == ["text"]
    assert np.isfinite(found["text"].numpy()).all()


@pytest.mark.parametrize("model", ["vbpr", "slmrec", "dragon", "lattice"])
def test_consistency_adds_the_squared_difference_of_margins_with_the_gradient_through_both(
    prepared: Prepared, model: str
) -> None:
    pool, settings = vectors(prepared), {"edit_share": 0.5, "noise_sigma": 0.5}
    built = build_model(spec_of(model=model), prepared)
    graphs, parts = item_graphs(built, prepared.tables), {}
    generator = torch.Generator().manual_seed(3)
    triples = [torch.randint(60, (8,), generator=generator) % n for n in (prepared.problem.n_users, 60, 60)]
    batch = Batch(*triples)
    for weight in (0.0, 2.0):
        config = StrategyConfig(name="edit-aug+noise-aug", consistency=weight, **settings)  # type: ignore[arg-type]
        treatments = treatments_of(config, built, prepared.tables, graphs, seed=0, edited=pool)
        content = Content(built, prepared.tables, graphs, treatments)
        content.start_epoch(4)
        content.start_step(9)
        built.module().zero_grad()
        loss = content.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {n: p.grad.clone() for n, p in built.module().named_parameters() if p.grad is not None}
        parts[weight] = loss.detach(), gradients
    # By hand, of the edits alone: the noise that acts after them is in neither view.
    edited = EditedContent(pool, 0.5, 0, torch.device("cpu")).of_epoch(prepared.tables, 4)
    each = []
    for view in (prepared.tables, edited):
        users, items = represent(built, view, graphs)
        scores = users @ items.T
        each.append(scores[batch.users, batch.positives] - scores[batch.users, batch.negatives])
    expected = 2.0 * ((each[0] - each[1]) ** 2).sum() / 8
    assert float(expected.detach()) > 1e-6
    torch.testing.assert_close(parts[2.0][0] - parts[0.0][0], expected.detach(), rtol=1e-3, atol=1e-6)
    built.module().zero_grad()
    expected.backward()
    for name, parameter in built.module().named_parameters():
        if parameter.grad is not None:
            found = parts[2.0][1][name] - parts[0.0][1].get(name, torch.zeros_like(parameter))
            torch.testing.assert_close(found, parameter.grad, rtol=1e-2, atol=1e-5, msg=name)


def test_without_consistency_the_key_and_the_record_of_a_run_stay_as_they_were(prepared: Prepared) -> None:
    plain = spec_of("edit-aug")
    assert "consistency" not in plain.strategy.model_dump(mode="json")
    assert plain.strategy.effective == StrategyConfig(name="edit-aug", consistency=0.0).effective
    assert run_key(spec_of("edit-aug", consistency=0.0), prepared) == run_key(plain, prepared)
    other = spec_of("edit-aug", consistency=0.5)
    assert run_key(other, prepared) != run_key(plain, prepared)
    assert other.strategy.model_dump(mode="json")["consistency"] == 0.5
    assert other.strategy.effective != plain.strategy.effective


@pytest.mark.parametrize(
    ("strategy", "settings", "count"),
    [
        ("edit-aug", {}, 1),
        ("edit-aug", {"consistency": 0.5}, 3),
        ("edit-aug", {"consistency": 0.5, "edit_share": 0.0}, 1),
        ("sam+edit-aug", {"consistency": 0.5}, 6),
        ("amr+edit-aug", {"consistency": 0.5}, 5),
        ("amr", {}, 3),
    ],
)
def test_gradient_evaluations_include_those_of_the_views(strategy: str, settings: Any, count: int) -> None:
    assert StrategyConfig(name=strategy, **settings).evaluations_per_step == count


def test_consistency_keeps_margins_of_edited_content_nearer_to_those_of_clean_content(prepared: Prepared) -> None:
    pool, apart = vectors(prepared), []
    for weight in (0.0, 100.0):
        spec = spec_of("edit-aug", consistency=weight)
        parameters = outcome(prepared, spec, pool)
        model = build_model(spec, prepared)
        model.module().load_state_dict(parameters)
        batch = Batch(*(torch.arange(60) % n for n in (prepared.problem.n_users, 60)), (torch.arange(60) + 7) % 60)
        views = prepared.tables, {name: table[0] for name, table in pool.items()}
        clean, edited = (margins(model, view, None, batch) for view in views)
        apart.append(float((clean - edited).detach().square().mean()))
    assert apart[1] < 0.8 * apart[0]


@pytest.mark.parametrize(
    ("strategy", "settings", "made"),
    [("edit-aug", {}, 3), ("sgbd+edit-aug+noise-aug", {}, 3), ("edit-aug+noise-aug", {"redraw": "step"}, 0)],
)
def test_constants_are_made_once_an_epoch_and_train_alike(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, strategy: str, settings: Any, made: int
) -> None:
    # Fewer rows in a step than items, so that features are propagated; Adam would scale rounding up.
    training = QUICK.model_copy(update={"batch_size": 16, "optimizer": "sgd"})
    spec, pool = SubjectSpec("slmrec", {}, training, StrategyConfig(name=strategy, **settings), 0), vectors(prepared)
    seen: list[Any] = []
    constants = Content.constants

    def recorded(self: Content, batch_size: int, **more: Any) -> Any:
        found = constants(self, batch_size, **more)
        if found is not None:
            assert all(found.are_of(name, table) for name, table in self.of_epoch.items())
            assert found.propagated
            seen.append(found)
        return found

    monkeypatch.setattr(Content, "constants", recorded)
    used: list[bool] = []
    of = FeatureConstants.project
    monkeypatch.setattr(FeatureConstants, "project", lambda self, *a: (used.append(self is seen[-1]), of(self, *a))[1])
    found = outcome(prepared, spec, pool)
    assert len(seen) == made
    assert all(used)
    assert bool(used) == (made > 0)
    monkeypatch.setattr(Content, "constants", lambda *_, **__: None)
    plain = outcome(prepared, spec, pool)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
