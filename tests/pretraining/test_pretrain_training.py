"""Training: what is shared, what is drawn when, and the same bytes whether or not it was killed."""

import math

import numpy as np
import pytest
import torch
from tiny_pairs import TRAINING, blip_and_data, pairs

from robustrec.errors import RobustrecError
from robustrec.pretraining import training as loop
from robustrec.pretraining.architecture import parameters
from robustrec.pretraining.batches import make_step, normalised
from robustrec.pretraining.checkpoint import TrainingProgress
from robustrec.pretraining.steps import losses, rate
from robustrec.pretraining.training import train
from robustrec.seeds import torch_generator

CPU = torch.device("cpu")


def weights(blip):
    return {name: value.detach().clone() for name, value in parameters(blip.itm, blip.caption)}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_both_heads_share_all_but_self_attention_and_output():
    blip, _ = blip_and_data()
    of_itm = {id(parameter) for parameter in blip.itm.parameters()}
    own = {name for name, parameter in blip.caption.named_parameters() if id(parameter) not in of_itm}
    assert own
    assert all(".attention." in name or ".cls.predictions." in name for name in own)
    head = blip.caption.text_decoder.cls.predictions
    assert head.decoder.weight is blip.itm.text_encoder.embeddings.word_embeddings.weight
    assert head.decoder.bias is head.bias


def test_seeds_give_weights():
    first, same, other = (weights(blip_and_data(seed=seed)[0]) for seed in (0, 0, 1))
    assert equal(first, same)
    assert not equal(first, other)


def test_steps_are_a_function_of_seed_and_number():
    blip, data = blip_and_data(pairs("toys"), pairs("games", 30))
    one, again = (make_step(data, TRAINING, blip.specials, 4) for _ in range(2))
    assert torch.equal(one.pixels, again.pixels)
    assert torch.equal(one.texts.ids, again.texts.ids)
    assert torch.equal(one.captions.ids, again.captions.ids)
    other = make_step(data, TRAINING.model_copy(update={"seed": 1}), blip.specials, 4)
    assert not torch.equal(one.pixels, other.pixels)


def test_steps_read_training_rows_only():
    source = pairs()
    source.pictures["shown"][source.held_out] = 255
    source.pictures["clean"][source.held_out] = 255
    blip, data = blip_and_data(source)
    white = normalised(np.full((1, 16, 16, 3), 255, np.uint8))
    for number in range(20):
        step = make_step(data, TRAINING, blip.specials, number)
        assert not (step.pixels == white).all(dim=(1, 2, 3)).any()
        assert (step.texts.ids[:, 0] == blip.specials.cls).all()
        assert (step.captions.ids[:, 0] == blip.specials.decode).all()
        assert (step.same == step.same.T).all()
        assert step.same.diagonal().all()


def test_the_caption_warmup_reads_captions_and_skips_matching():
    blip, data = blip_and_data()
    early, late = (make_step(data, TRAINING, blip.specials, number) for number in (0, 5))
    assert (early.hardness, late.hardness) == (None, 1.0)
    assert early.texts.ids.shape[1] <= 5  # "a red sock" between [CLS] and [SEP]


def test_pixels_are_those_of_the_processor_that_is_saved():
    from PIL import Image
    from transformers import BlipImageProcessorPil

    from robustrec.pretraining.sources import resized_picture

    random = np.random.default_rng(0)
    for side in (16, 40):
        picture = Image.fromarray(random.integers(0, 256, (side, side + 3, 3), dtype=np.uint8))
        theirs = BlipImageProcessorPil(size={"height": 16, "width": 16})(picture, return_tensors="pt")["pixel_values"]
        assert torch.allclose(normalised(resized_picture(picture, 16)[None]), theirs, atol=1e-5)


def test_half_precision_of_a_gpu_changes_the_losses_little():
    blip, data = blip_and_data()
    step = make_step(data, TRAINING, blip.specials, 5)
    temperature = torch.tensor(0.07)

    def found():
        return losses(blip, temperature, step, TRAINING, torch_generator(0, "test"))

    exact = found()
    with torch.autocast("cpu", torch.bfloat16):
        rough = found()
    assert [loss.item() for loss in rough] == pytest.approx([loss.item() for loss in exact], rel=0.03)


def test_without_words_there_are_blips_three_losses():
    blip, data = blip_and_data()
    step = make_step(data, TRAINING, blip.specials, 5)
    temperature = torch.tensor(0.07)
    with_words = losses(blip, temperature, step, TRAINING, torch_generator(0, "test"))
    without = losses(
        blip, temperature, step, TRAINING.model_copy(update={"word_weight": 0.0}), torch_generator(0, "test")
    )
    assert without.words.item() == 0.0
    assert with_words.words.item() > 0.0
    assert without.contrastive == with_words.contrastive
    assert without.captioning == with_words.captioning


def test_the_rate_rises_and_falls():
    settings = TRAINING.model_copy(update={"steps": 100, "warmup": 0.1, "learning_rate": 1.0})
    rates = [rate(settings, number) for number in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert rates[-1] < 0.001


def test_equal_settings_give_equal_bytes_and_learning_shows():
    ends, curves = [], []
    for _ in range(2):
        blip, data = blip_and_data()
        curves.append(train(blip, data, TRAINING.model_copy(update={"steps": 12}), CPU).done.curve)
        ends.append(weights(blip))
    assert equal(*ends)
    assert curves[0] == curves[1]
    blip, data = blip_and_data()
    longer = train(blip, data, TRAINING.model_copy(update={"steps": 50}), CPU).done.curve
    assert longer[-1][3] < longer[0][3] - 0.2, "the captioning loss falls"


@pytest.mark.parametrize("killed_after", [1, 4])
def test_a_killed_training_ends_with_the_same_bytes(killed_after, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    blip, data = blip_and_data()
    whole = train(blip, data, TRAINING, CPU)
    expected = weights(blip)

    def kill(_stage, done, _total, _note="", /):
        if done == killed_after + 1:  # the step is done, its checkpoint not yet written
            raise KeyboardInterrupt

    path = tmp_path / "state.safetensors"
    blip, data = blip_and_data()
    with pytest.raises(KeyboardInterrupt):
        train(blip, data, TRAINING, CPU, checkpoint=path, key="k", progress=kill)
    blip, data = blip_and_data()
    seen = []
    again = train(
        blip, data, TRAINING, CPU, checkpoint=path, key="k", progress=lambda _s, done, _t, _n="", /: seen.append(done)
    )
    assert seen[0] == killed_after + 1
    assert equal(weights(blip), expected)
    assert again.temperature == whole.temperature
    assert (again.done.pending, again.done.starts) == (whole.done.pending, 2)


def test_a_checkpoint_of_another_training_is_not_taken_up(tmp_path):
    path = tmp_path / "state.safetensors"
    blip, data = blip_and_data()
    train(blip, data, TRAINING, CPU, checkpoint=path, key="one")
    blip, data = blip_and_data()
    assert train(blip, data, TRAINING, CPU, checkpoint=path, key="other").done.starts == 1


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"half")
    blip, data = blip_and_data()
    with pytest.raises(RobustrecError, match="damaged"):
        train(blip, data, TRAINING, CPU, checkpoint=path, key="k")


def test_a_loss_that_is_no_number_stops_the_training():
    blip, data = blip_and_data()
    with torch.no_grad():
        blip.itm.vision_proj.weight.fill_(float("nan"))
    with pytest.raises(RobustrecError, match="NaN or infinite"):
        train(blip, data, TRAINING, CPU)


def test_progress_of_a_fresh_training_is_empty():
    assert TrainingProgress() == TrainingProgress(0, 0.0, 1, [], [])
