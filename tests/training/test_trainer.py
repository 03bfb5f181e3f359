"""Training: it learns, stops early on validation, restores the best, and a killed one ends with the same numbers."""

from pathlib import Path

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from robustrec.checkpoint_files import read_checkpoint_file, write_checkpoint_file
from robustrec.datasets.registry import load_dataset
from robustrec.encoders.features import item_features
from robustrec.errors import RobustrecError
from robustrec.runs.prepared import prepare
from robustrec.runs.specs import SubjectSpec
from robustrec.runs.subjects import validation_metric
from robustrec.runs.trained import build_model
from robustrec.training.checkpoints import load_checkpoint
from robustrec.training.config import TrainingConfig
from robustrec.training.strategy_config import StrategyConfig
from robustrec.training.trainer import Checkpointing, make_optimizer, train

QUICK = TrainingConfig(learning_rate=0.01, batch_size=64, max_epochs=12, patience=4)


def _run(prepared, *, strategy="vanilla", model="vbpr", config=QUICK, checkpointing=None, progress=None, **options):
    spec = SubjectSpec(model, {}, config, StrategyConfig(name=strategy, **options), seed=3)
    built = build_model(spec, prepared)
    validate = validation_metric(built, prepared.tables, prepared, config.validation_metric)
    outcome = train(
        built,
        prepared.tables,
        prepared.positives,
        validate,
        config=config,
        strategy_config=spec.strategy,
        seed=3,
        checkpointing=checkpointing,
        **({"progress": progress} if progress else {}),
    )
    return built, outcome, validate


def test_training_learns_and_leaves_the_best_parameters(tiny):
    _, outcome, validate = _run(tiny)
    counters = outcome.counters
    assert counters.losses[-1] < counters.losses[0]
    assert counters.best_metric == max(counters.metrics) > 2 * 20 / 60 * 0.3
    assert validate() == counters.best_metric, "the parameters left behind are those of the best validation"


def test_training_stops_after_patience_evaluations_without_improvement(tiny):
    config = QUICK.model_copy(update={"max_epochs": 500, "patience": 3})
    counters = _run(tiny, config=config)[1].counters
    assert counters.epoch == counters.best_epoch + 3
    assert counters.waited == 3
    assert all(metric <= counters.best_metric for metric in counters.metrics[counters.best_epoch :])


class _Killed(Exception):
    pass


def _killed_in(prepared, kept, epoch, **options):
    """Train, and be killed when an epoch has ended, before its state is kept."""

    def kill(stage, done, total, note=""):
        if done == epoch:
            raise _Killed

    with pytest.raises(_Killed):
        _run(prepared, checkpointing=kept, progress=kill, **options)


def test_a_checkpoint_with_the_old_name_of_a_counter_is_read(tiny, tmp_path):
    kept = Checkpointing(tmp_path / "state.checkpoint", "key", seconds=0.0)
    _killed_in(tiny, kept, 2, strategy="vanilla")
    header, tensors = read_checkpoint_file(kept.path)
    header["counters"]["sittings"] = header["counters"].pop("starts")
    write_checkpoint_file(kept.path, tensors, header)
    _, outcome, _ = _run(tiny, strategy="vanilla", checkpointing=kept)
    assert outcome.resumed
    assert outcome.counters.starts == 2


@pytest.mark.parametrize("strategy", ["vanilla", "sam", "mirror", "sgbd"])
@pytest.mark.parametrize("counter", ["global", "per_epoch"])
def test_a_killed_training_resumes_and_ends_with_the_same_parameters(tiny, tmp_path, strategy, counter):
    whole, outcome, _ = _run(tiny, strategy=strategy, counter=counter)
    kept = Checkpointing(tmp_path / "state.checkpoint", "key", seconds=0.0)
    for epoch in (1, 2, 5, 6):  # the first leaves no state, the others go on from the epoch before
        _killed_in(tiny, kept, epoch, strategy=strategy, counter=counter)
    resumed, again, _ = _run(tiny, strategy=strategy, counter=counter, checkpointing=kept)
    assert again.resumed
    assert again.counters.starts == 4
    assert (again.counters.metrics, again.counters.losses) == (outcome.counters.metrics, outcome.counters.losses)
    assert again.mirror == outcome.mirror
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_of_another_run_is_not_taken_up(tiny, tmp_path):
    path = tmp_path / "state.checkpoint"
    model, _, _ = _run(tiny, checkpointing=Checkpointing(path, "mine", seconds=0.0))
    optimizer, generator = make_optimizer(model, QUICK), torch.Generator()
    assert load_checkpoint(path, run_key="other", model=model, optimizer=optimizer, generator=generator) is None
    assert load_checkpoint(path, run_key="mine", model=model, optimizer=optimizer, generator=generator) is not None


@pytest.fixture(scope="module")
def interrupted(tiny_folder, tmp_path_factory):
    """A data set, the checkpoint of a training killed in its fourth epoch, and how the whole training ends."""
    folder = tmp_path_factory.mktemp("interrupted")
    dataset = load_dataset(str(tiny_folder), home=folder)
    prepared = prepare(dataset, item_features(dataset, "imported", home=folder), torch.device("cpu"))
    config = QUICK.model_copy(update={"max_epochs": 5, "batch_size": 200})
    kept = Checkpointing(folder / "state.checkpoint", "key", seconds=0.0)
    _killed_in(prepared, kept, 4, strategy="sgbd", config=config)
    return prepared, config, kept.path.read_bytes(), _run(prepared, strategy="sgbd", config=config)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=25)
def test_a_damaged_checkpoint_is_never_resumed_from(interrupted, tmp_path_factory, data):
    prepared, config, content, (whole, outcome, _) = interrupted
    path = tmp_path_factory.mktemp("damaged") / "state.checkpoint"
    damaged = bytearray(content)
    place = data.draw(st.integers(0, len(content) - 1), label="byte")
    bit = data.draw(st.integers(-1, 7), label="bit; -1 cuts the file off")
    if bit < 0:
        del damaged[place:]
    else:
        damaged[place] ^= 1 << bit
    path.write_bytes(damaged)
    model, again, _ = _run(
        prepared, strategy="sgbd", config=config, checkpointing=Checkpointing(path, "key", seconds=1e9)
    )
    assert not again.resumed
    assert (again.counters.metrics, again.counters.losses) == (outcome.counters.metrics, outcome.counters.losses)
    assert again.mirror == outcome.mirror
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_training_that_starts_again_says_why(interrupted, tmp_path, caplog):
    prepared, config, content, _ = interrupted
    path = tmp_path / "state.checkpoint"
    path.write_bytes(content)
    assert _run(prepared, strategy="sgbd", config=config, checkpointing=Checkpointing(path, "key"))[1].resumed
    assert not caplog.records
    for damaged in (content[:-1], b"", content[::-1]):
        path.write_bytes(damaged)
        _run(prepared, strategy="sgbd", config=config, checkpointing=Checkpointing(path, "key"))
        assert "is damaged" in caplog.text
        assert "restarts from the beginning" in caplog.text
        caplog.clear()


def test_the_same_seed_gives_the_same_parameters_and_the_global_generator_is_left_alone(tiny):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = _run(tiny, strategy="sgbd")[0].state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    second = _run(tiny, strategy="sgbd")[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_diverging_training_is_an_error_that_names_the_learning_rate(tiny):
    config = QUICK.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(RobustrecError, match=r"training loss is (nan|inf)") as error:
        _run(tiny, config=config)
    assert "training.learning_rate" in error.value.fix


def test_the_record_tells_what_mirrored_steps_did(tiny):
    outcome = _run(tiny, strategy="sgbd")[1]
    mirror = outcome.mirror
    assert mirror.mirrored_steps == -(-outcome.counters.steps // 3)
    assert 0 < mirror.probed_steps < mirror.mirrored_steps
    assert -1 <= mirror.mean_cosine <= 1
    assert _run(tiny)[1].mirror.mirrored_steps == 0


def test_checkpoints_are_kept_no_more_often_than_asked(tiny, tmp_path: Path):
    never = tmp_path / "never.safetensors"
    _run(tiny, checkpointing=Checkpointing(never, "key", seconds=1e9))
    assert not never.exists()
