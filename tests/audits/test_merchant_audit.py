"""The merchant audit on a tiny shop: A/A finds nothing, only edited rows are encoded, planted caches end in ERROR."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from merchant_shop import N_ITEMS, SUITE, make_shop, measured, rows, shop_plan, status_of

from robustrec.audits import run as runner
from robustrec.audits.merchant import encoding as merchant_encoding
from robustrec.audits.merchant import shared as merchant_run
from robustrec.audits.merchant.audit import choices_of
from robustrec.audits.outcome import make_report
from robustrec.audits.plan import cost_of, cost_words
from robustrec.edits.content import Content
from robustrec.edits.languages import Languages
from robustrec.edits.view import view_of
from robustrec.encoders.features import row_encoder
from robustrec.encoders.fitted import BasicEncoder
from robustrec.encoders.rows import EncodedRows, catalog_rows
from robustrec.engine.local import Local
from robustrec.errors import RobustrecError
from robustrec.reading.advice import harm
from robustrec.results.exhibits import EditedItem, ExampleUser, FragileItem
from robustrec.runs.treatments import EditApplier, treatments_of

EDITED = 12  # 20 % of 60 items


@pytest.fixture(scope="module")
def shop(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shop(tmp_path_factory.mktemp("shops") / "shop", tiny_folder / "tiny.inter")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(shop: Path, home: Path) -> runner.Measurements:
    return measured(shop, home, "vbpr", strategy=("vanilla", "sgbd"))


def test_two_processes_measure_the_same(run: runner.Measurements, shop: Path, tmp_path: Path) -> None:
    plan = shop_plan(shop, tmp_path / "home", "vbpr", strategy=("vanilla", "sgbd"))
    with Local(2) as engine:
        other = runner.measure(plan, engine=engine)
    assert len(engine._encoded) == 3, "each edit is measured in another process"
    for field in ("findings", "statuses", "exhibits", "warnings"):
        assert getattr(other.results, field) == getattr(run.results, field), field
    assert all((other.results.arrays[name] == values).all() for name, values in run.results.arrays.items())
    assert other.context.costs == run.context.costs


def test_severity_0_finds_exactly_nothing(run: runner.Measurements) -> None:
    found = [row for row in rows(run) if "severity=0" in row.condition.label and row.quantity == "drift"]
    assert {row.metric for row in found} >= {"ndcg@20", "recall@20", "rbo@20", "ndcg@20_untouched", "rank_untouched"}
    for row in found:
        assert (row.drift, row.ci_low, row.ci_high) == (0.0, 0.0, 0.0), (row.condition.label, row.metric)
    for row in rows(run, metric="touched"):
        if "severity=0" in row.condition.label:
            assert row.clean == 0.0


def test_a_wrong_picture_costs_the_items_that_have_it(run: runner.Measurements) -> None:
    worst = "edit=wrong_picture severity=5 share=0.2"
    for row in rows(run, condition=worst, metric="rank_edited"):
        assert row.drift > 0
        assert row.unit == "places"
    (touched, _) = rows(run, condition=worst, metric="touched")
    assert touched.clean == 1.0
    assert touched.note == "image"
    for metric in ("exposure@20_edited", "exposure@20_all", "ndcg@20_edited", "ndcg@20_untouched", "rank_head"):
        assert len(rows(run, condition=worst, metric=metric)) == 2, metric
    assert len(rows(run, condition=worst, metric="median_rank_shift_edited", quantity="value")) == 2


def test_an_edit_that_touches_nothing_is_not_applicable_and_has_no_drift(run: runner.Measurements) -> None:
    brands = [row for row in rows(run) if "brand_first severity=5" in row.condition.label]
    assert [(row.metric, row.clean) for row in brands] == [("touched", 0.0)] * 2
    statuses = [status for status in run.results.statuses if status.audit == "merchant"]
    assert [status.status for status in statuses] == ["ok", "ok"]
    assert all("brand_first changes no item" in status.message for status in statuses)


def test_where_every_edit_touches_nothing_no_drift_is_reported(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace('"wrong_picture", "empty_description", "brand_first"', '"brand_first"').replace(
        "0, 1, 5", "1"
    )
    found = measured(shop, tmp_path, suite=suite)
    assert {row.metric for row in rows(found)} == {"touched"}
    assert status_of(found).status == "not_applicable"
    report, _ = make_report(shop_plan(shop, tmp_path, suite=suite), found, command=["robustrec"])
    assert report.verdict != "pass"


def test_an_edit_that_the_encoder_hardly_sees_is_a_warning(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all edited items only the first gets another vector."""
    suite = SUITE.replace('"wrong_picture", "empty_description", "brand_first"', '"wrong_picture"')
    whole = merchant_run.moved

    def only_the_first(features: Any, items: Any, tables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        for name, table in tables.items():
            table[1:] = features.tables[name][list(items)[1:]]
        return whole(features, items, tables)

    monkeypatch.setattr(merchant_run, "moved", only_the_first)
    found = measured(shop, tmp_path, "vbpr", strategy=("vanilla",), suite=suite.replace("0, 1, 5", "5"))
    assert any("the encoder mostly ignores this edit" in each for each in found.results.warnings)
    assert rows(found, metric="ndcg@20")


def test_the_mean_over_all_edits_is_the_mean_of_their_rows_without_upload_faults(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace('"brand_first"', '"crop", "wrong_picture+truncation"')
    found = measured(shop, tmp_path, "vbpr", "slmrec", suite=suite)
    for severity in (1, 5):
        for metric in ("ndcg@20", "rbo@20"):
            own = rows(found, condition=f"edit=all severity={severity} share=0.2", metric=metric)
            parts = [
                rows(found, condition=f"edit={name} severity={severity} share=0.2", metric=metric)
                for name in ("crop", "empty_description")
            ]
            for place, row in enumerate(own):
                assert row.drift == pytest.approx(np.mean([part[place].drift for part in parts]), abs=1e-12)
            assert len(own) == 2
    assert rows(found, condition="edit=wrong_picture severity=5 share=0.2", metric="ndcg@20"), "measured all the same"


def test_the_report_counts_the_languages_of_texts(run: runner.Measurements, shop: Path, tmp_path: Path) -> None:
    assert run.results.notes == [], "all are English"
    plan = shop_plan(shop, tmp_path, "vbpr", "slmrec")
    note = Languages("de").counted([Content("A red cotton dress with short sleeves", "", (), "", None)])
    assert note == "texts edited as: en 1"
    said = replace(run, results=replace(run.results, notes=[note]))
    assert all(note in subject.notes for subject in make_report(plan, said, command=["robustrec"])[0].subjects)


def test_a_broken_vocabulary_is_refused_before_any_work(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('language = "de"\n')
    with pytest.raises(RobustrecError, match="missing") as caught:
        shop_plan(shop, tmp_path, vocabulary=(str(tmp_path / "own.toml"),))
    assert "own.toml" in caught.value.where


def test_an_upload_fault_alone_is_measured_and_has_no_mean(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace('"wrong_picture", "empty_description", "brand_first"', '"wrong_picture"')
    found = measured(shop, tmp_path, "vbpr", suite=suite.replace("0, 1, 5", "5"))
    assert status_of(found).status == "ok"
    assert {row.condition.edit for row in rows(found)} == {"wrong_picture"}


def test_strategies_are_compared_on_the_headline_metric(run: runner.Measurements) -> None:
    compared = [row for row in run.results.findings if row.audit == "merchant" and row.reference == "vanilla"]
    assert {row.metric for row in compared} == {"ndcg@20"}
    expected = {"edit=wrong_picture severity=5 share=0.2", "edit=all severity=0 share=0.2"}
    assert expected <= {row.condition.label for row in compared}
    for row in compared:
        theirs, own = rows(run, condition=row.condition.label, metric="ndcg@20")
        assert row.drift == pytest.approx(own.drift - theirs.drift, abs=1e-12)


def test_only_edited_rows_are_encoded_and_each_content_once(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Any] = []
    honest = BasicEncoder.encode

    def counting(self: BasicEncoder, given: Any, progress: Any = None) -> EncodedRows:
        encoded.extend(given)
        return honest(self, given, progress)

    monkeypatch.setattr(BasicEncoder, "encode", counting)
    plan = shop_plan(shop, tmp_path, "vbpr", "freedom")
    found = runner.measure(plan)
    probes = 2 * merchant_encoding.PROBED
    # Two edits touch anything, at two severities that are not 0, in two draws; the subjects share what is encoded.
    assert probes < len(encoded) <= probes + 2 * 2 * 2 * EDITED
    assert found.context.costs.encodings == len(encoded)
    assert found.context.costs.encodings <= cost_of(plan).encodings
    assert found.context.costs.rankings <= cost_of(plan).rankings
    assert "encodings of edited items" in cost_words(cost_of(plan))

    again = runner.measure(plan)
    assert again.context.costs.encodings == 0, "everything lies in the row store"
    assert len(encoded) == found.context.costs.encodings
    assert again.results.findings == found.results.findings
    assert again.results.exhibits == found.results.exhibits


def test_an_encoding_that_is_killed_goes_on_where_it_was(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop_plan(shop, tmp_path)
    honest, calls = BasicEncoder.encode, 0

    def killed(self: BasicEncoder, given: Any, progress: Any = None) -> EncodedRows:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return honest(self, given, progress)

    with monkeypatch.context() as patch:
        patch.setattr(BasicEncoder, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            runner.measure(plan)
    resumed = runner.measure(plan)
    whole = runner.measure(shop_plan(shop, tmp_path / "other"))
    assert 0 < resumed.context.costs.encodings < whole.context.costs.encodings
    assert [row.drift for row in resumed.results.findings] == [row.drift for row in whole.results.findings]


@pytest.mark.parametrize("without_effect", ["image", "text", "both"])
def test_a_planted_encoder_that_ignores_edits_ends_in_error(
    without_effect: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop_plan(shop, tmp_path)
    known = {row.text: item for item, row in enumerate(catalog_rows(plan.dataset.catalog, tmp_path / "digests"))}
    honest = BasicEncoder.encode

    def from_cache(self: BasicEncoder, given: Any, progress: Any = None) -> EncodedRows:
        tables = dict(honest(self, given, progress).tables)
        clean = self.catalog_features(None).tables
        for place, row in enumerate(given):
            digest = getattr(row.picture, "item", None)
            item = digest if digest is not None else known.get(row.text, 0)
            for modality in ("image", "text") if without_effect == "both" else (without_effect,):
                tables[modality][place] = clean[modality][item]
        return EncodedRows(tables, ())

    monkeypatch.setattr(BasicEncoder, "encode", from_cache)
    found = runner.measure(plan)
    assert status_of(found).status == "error"
    assert "edits do not reach the features" in status_of(found).message
    assert not rows(found), "no drift is reported that could not be measured"
    report, _ = make_report(plan, found, command=["robustrec"])
    assert report.verdict == "error"


def test_what_the_store_holds_cannot_stand_in_for_an_edit(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = shop_plan(shop, tmp_path)
    monkeypatch.setattr(
        merchant_run.EditedRows,
        "encode",
        lambda self, given: {name: table[: len(given)].clone() for name, table in self.features.tables.items()},
    )
    assert status_of(runner.measure(plan)).status == "error"


def test_untouched_rows_of_the_features_stay_to_the_bit(
    shop: Path, home: Path, run: runner.Measurements, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    honest = runner.TrainedSubject.represent

    def spying(self: Any, features: Any = None, **options: Any) -> Any:
        if features is not None:
            seen.append(features)
        return honest(self, features, **options)

    monkeypatch.setattr(runner.TrainedSubject, "represent", spying)
    plan = shop_plan(shop, home, "vbpr")
    again = runner.measure(plan)
    chosen = choices_of(plan.suite.audits[0], plan.dataset, seed=plan.settings.seed)
    tables = again.context.prepared.tables
    edits = seen[-2 * (3 + 3 + 1) :]  # draws x (two edits at three severities, brand_first at severity 0)
    assert edits
    unedited = [sorted(set(range(N_ITEMS)) - set(items.tolist())) for items in chosen.values()]
    moved = 0
    for features in edits:
        fits = [all(torch.equal(features[name][kept], tables[name][kept]) for name in tables) for kept in unedited]
        assert any(fits)
        moved += any(not torch.equal(features[name], tables[name]) for name in tables)
    assert moved > 0


def test_fragile_items_show_their_before_and_after(run: runner.Measurements) -> None:
    items = [each for each in run.results.exhibits if isinstance(each, FragileItem)]
    assert items
    for subject in {item.subject.label for item in items}:
        own = [item for item in items if item.subject.label == subject]
        assert len({item.item for item in own}) == len(own) <= 5
    for item in items:
        assert item.n_users > 0
        assert item.own_id == item.item  # the numbers of this data set are its ids
        assert item.before.picture
        assert len(item.after.picture or "") < 60_000
        if "wrong_picture" in item.condition.label:
            assert item.before.picture != item.after.picture
            assert item.before.text == item.after.text


def test_one_user_and_one_item_under_each_edit_are_examples(run: runner.Measurements) -> None:
    (example,) = [each for each in run.results.exhibits if isinstance(each, ExampleUser)]
    fragile = [each for each in run.results.exhibits if isinstance(each, FragileItem)]
    worst = max(fragile, key=harm)
    assert (example.item, example.subject, example.condition) == (worst.item, worst.subject, worst.condition)
    assert len(example.before) == len(example.after) == 10
    assert [each.rank_before for each in example.before] == [*range(1, 11)]
    assert [each.rank_after for each in example.after] == [*range(1, 11)]
    fallen = [each for each in (*example.before, *example.after) if each.item == example.item]
    assert all(each.wanted and each.edited for each in fallen)
    assert example.before_value >= example.after_value
    items = {each.edit: each for each in run.results.exhibits if isinstance(each, EditedItem)}
    assert set(items) == {"wrong_picture", "empty_description", "brand_first"}
    assert {each.item for each in items.values()} == {example.item}
    assert [look.severity for look in items["wrong_picture"].looks] == [1, 5]
    assert all(look.picture and look.text is None for look in items["wrong_picture"].looks)
    assert all(look.text and not look.picture for look in items["empty_description"].looks)
    assert items["brand_first"].looks == ()


def test_features_that_cannot_be_made_again_are_not_applicable_beside_noise(tiny_folder: Path, tmp_path: Path) -> None:
    suite = SUITE + '[[audits]]\nkind = "noise"\ndraws = 1\n'
    plan = shop_plan(tiny_folder, tmp_path, suite=suite, features="imported")
    found = runner.measure(plan)
    assert status_of(found).status == "not_applicable"
    assert "--features basic" in status_of(found).message
    assert cost_of(plan).encodings == 0
    with pytest.raises(RobustrecError, match="imported features cannot be computed again"):
        shop_plan(tiny_folder, tmp_path, features="imported")


def test_without_pictures_edits_of_pictures_are_not_applicable(tiny_folder: Path, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "texts", tiny_folder / "tiny.inter", pictures=False)
    found = measured(shop, tmp_path / "home")
    assert status_of(found).status == "ok"
    assert "wrong_picture changes no item" in status_of(found).message
    assert {row.condition.label for row in rows(found, quantity="drift") if "wrong_picture" in row.condition.label} == {
        "edit=wrong_picture severity=0 share=0.2"
    }


def test_pictures_that_cannot_be_read_and_empty_texts_are_no_crash(tiny_folder: Path, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "broken", tiny_folder / "tiny.inter")
    for item in range(0, N_ITEMS, 2):
        (shop / "pictures" / f"{item}.png").write_bytes(b"<html>not found</html>")
    lines = (shop / "items.jsonl").read_text().splitlines()
    lines[3] = '{"itemID": 3, "title": "", "description": ""}'
    (shop / "items.jsonl").write_text("\n".join(lines) + "\n")
    found = measured(shop, tmp_path / "home")
    assert status_of(found).status == "ok"
    (touched,) = rows(found, condition="edit=wrong_picture severity=5 share=0.2", metric="touched")
    assert 0.2 < touched.clean < 0.8


@pytest.mark.parametrize("name", ["wrong_pictur", "promo_phrase+nothing", "nowhere.module:edit"])
def test_unknown_edits_are_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="edit"):
        shop_plan(tmp_path / "no such folder", tmp_path / "home", suite=SUITE.replace("brand_first", name))


def test_an_option_of_the_encoder_is_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(RobustrecError, match="encoder"):
        shop_plan(tmp_path / "no such folder", tmp_path / "home", set={"encoder": {"thresold": 0.5}})


def test_graphs_rebuilt_and_frozen_are_two_conditions(shop: Path, tmp_path: Path) -> None:
    suite = SUITE.replace("draws = 2", 'draws = 2\ngraphs = ["rebuilt", "frozen"]').replace("0, 1, 5", "5")
    found = measured(shop, tmp_path, "freedom", suite=suite)
    name = "edit=wrong_picture severity=5 share=0.2"
    (rebuilt,), (frozen,) = (rows(found, condition=name + world, metric="rbo@20") for world in ("", " frozen graphs"))
    assert rebuilt.drift < 0
    assert frozen.drift == 0, "features reach FREEDOM's scores through its graph alone"


def test_frozen_graphs_alone_measure_nothing_of_a_model_that_reads_features_by_them_only(
    shop: Path, tmp_path: Path
) -> None:
    """A drift that is 0 whatever merchants edit passes no gate."""
    suite = SUITE.replace("shares = [0.2]", 'shares = [0.2]\ngraphs = ["frozen"]').replace("[0, 1, 5]", "[5]")
    suite = suite.replace('"wrong_picture", "empty_description", "brand_first"', '"wrong_picture"')
    found = measured(shop, tmp_path / "home", "freedom", suite=suite)
    (status,) = [each for each in found.results.statuses if each.audit == "merchant"]
    assert status.status == "not_applicable"
    assert 'graphs = ["rebuilt"]' in status.message
    assert not [row for row in found.results.findings if row.audit == "merchant"]


def test_a_combination_edits_text_and_picture_as_each_part_does(shop: Path, tmp_path: Path) -> None:
    plan = shop_plan(shop, tmp_path)
    catalog = plan.dataset.catalog
    applier = EditApplier(catalog, catalog_rows(catalog, tmp_path / "digests"), view_of(plan.dataset), seed=3)
    config = plan.suite.audits[0].model_copy(
        update={"edits": ("promo_phrase+promo_badge", "promo_phrase", "promo_badge")}
    )
    both, phrase, badge = treatments_of(config.edits)
    assert [each.modality for each in (both, phrase, badge)] == ["both", "text", "image"]
    ours, text, picture = (dict(applier.edited(each, 7, (3,), 0))[3] for each in (both, phrase, badge))
    assert ours.content.text == text.content.text
    shown, alone = ours.content.picture(), picture.content.picture()
    assert shown is not None
    assert alone is not None
    assert shown.tobytes() == alone.tobytes()
    assert len({ours.key, text.key, picture.key}) == 3


def test_rows_encoded_alone_equal_the_catalogue(shop: Path, tmp_path: Path) -> None:
    plan = shop_plan(shop, tmp_path)
    encoder = row_encoder(plan.dataset, "basic", home=tmp_path)
    catalogue = encoder.catalog_features(None).tables  # type: ignore[attr-defined]
    given = catalog_rows(plan.dataset.catalog, tmp_path / "digests")[:5]
    for name, table in encoder.encode(given).tables.items():
        assert torch.equal(table, catalogue[name][:5])
