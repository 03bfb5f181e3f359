"""The losses against closed forms, hand computation and transformers' own."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from robustrec.pretraining.losses import (
    caption_loss,
    contrastive_loss,
    hard_negatives,
    matched_pairs,
    matching_loss,
    same_pairs,
    words_loss,
)
from robustrec.pretraining.steps import MAX_HIDDEN, hide_words
from robustrec.seeds import torch_generator


def test_contrastive_loss_of_perfect_towers_has_a_closed_form():
    for B in (2, 5, 9):
        vectors = torch.eye(B, dtype=torch.float64)
        loss = contrastive_loss(vectors, vectors, torch.eye(B, dtype=torch.bool), torch.tensor(0.5))
        assert loss.item() == pytest.approx(math.log(1 + (B - 1) * math.exp(-1 / 0.5)), rel=1e-12)


def test_contrastive_loss_of_blind_towers_is_the_log_of_the_batch():
    same = torch.ones(7, 3, dtype=torch.float64) / math.sqrt(3)
    loss = contrastive_loss(same, same, torch.eye(7, dtype=torch.bool), torch.tensor(0.07))
    assert loss.item() == pytest.approx(math.log(7), rel=1e-12)


def test_contrastive_loss_by_hand_both_directions():
    logits = torch.tensor([[2.0, 1.0], [0.5, 3.0]], dtype=torch.float64)
    loss = contrastive_loss(
        logits, torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.bool), torch.tensor(1.0)
    )
    forth = [math.log(1 + math.exp(-1.0)), math.log(1 + math.exp(-2.5))]
    back = [math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(-2.0))]
    assert loss.item() == pytest.approx((sum(forth) / 2 + sum(back) / 2) / 2, rel=1e-12)


def test_items_of_a_group_share_the_target_and_are_no_negatives():
    same = same_pairs(torch.tensor([0, 0, 1]))
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    loss = contrastive_loss(vectors, vectors, same, torch.tensor(0.01))
    # Two rows are right with probability 1/2 each on two equal candidates: cross entropy log 2; the third is certain.
    assert loss.item() == pytest.approx(2 * math.log(2) / 3, rel=1e-9)


def test_any_numbering_makes_a_pair_the_same():
    same = same_pairs(torch.tensor([0, 1, 2, 3]), torch.tensor([5, 6, 5, 7]))
    assert same.tolist() == [[i == j or {i, j} == {0, 2} for j in range(4)] for i in range(4)]


@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_mined_negatives_are_never_the_pair_itself_nor_a_duplicate(B, n_texts, seed):
    generator = torch_generator(seed, "test")
    texts = torch.randint(n_texts, (B,), generator=generator)
    same = same_pairs(torch.arange(B), texts)
    # Duplicates are as alike as can be: only the mask can keep them out.
    similarities = torch.where(same, 100.0, torch.randn(B, B, generator=generator))
    found = hard_negatives(similarities, same, generator)
    assert not same[found.rows, found.texts].any()
    assert not same[found.rows, found.pictures].any()
    assert found.rows.tolist() == [row for row in range(B) if not same[row].all()]


def test_hard_negatives_follow_the_similarities():
    B = 4
    similarities = torch.tensor([[9.0, 5.0, 0.0, 0.0]] * B)
    similarities[:, 2] += 3.0
    same = torch.eye(B, dtype=torch.bool)
    drawn = [hard_negatives(similarities, same, torch_generator(seed, "test")) for seed in range(400)]
    wrong_texts = torch.stack([found.texts for found in drawn])
    share = (wrong_texts[:, 0] == 1).double().mean().item()
    expected = math.exp(5) / (math.exp(5) + math.exp(3) + 1)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 400))
    wrong_pictures = torch.stack([found.pictures for found in drawn])[:, 0]
    assert {*wrong_pictures.tolist()} == {1, 2, 3}, "in a column of equal similarities every other picture comes up"


def test_matched_pairs_are_right_then_wrong_text_then_wrong_picture():
    similarities = torch.zeros(3, 3)
    found = hard_negatives(similarities, torch.eye(3, dtype=torch.bool), torch_generator(0, "test"))
    pictures, texts, labels = matched_pairs(found, 2)
    assert labels.tolist() == [1, 1, 0, 0, 0, 0]
    assert pictures.tolist() == [0, 1, 0, 1, *found.pictures[:2].tolist()]
    assert texts.tolist() == [0, 1, *found.texts[:2].tolist(), 0, 1]


def test_matching_loss_of_a_blind_head_is_log_two():
    assert matching_loss(torch.zeros(6, 2), torch.tensor([1, 1, 0, 0, 0, 0])).item() == pytest.approx(math.log(2))


def test_caption_loss_wants_the_next_token():
    tokens, mask = torch.tensor([[7, 1, 2, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    ahead = torch.nn.functional.one_hot(torch.tensor([[1, 2, 3, 9, 9, 9]]), 10) * 50.0
    assert caption_loss(ahead, tokens, mask, 0.0).item() == pytest.approx(0.0, abs=1e-9)
    unshifted = torch.nn.functional.one_hot(tokens, 10) * 50.0
    assert caption_loss(unshifted, tokens, mask, 0.0).item() == pytest.approx(50.0)


def test_caption_loss_of_a_blind_decoder_is_the_log_of_the_vocabulary_whatever_the_padding():
    tokens = torch.tensor([[7, 1, 2, 3], [7, 1, 0, 0]])
    mask = (tokens > 0).long()
    for smoothing in (0.0, 0.1):
        assert caption_loss(torch.zeros(2, 4, 10), tokens, mask, smoothing).item() == pytest.approx(math.log(10))
    logits = torch.randn(2, 4, 10)
    other = logits.clone()
    other[1, 1:] = 99.0  # predictions of padding, and of what follows the last token
    assert caption_loss(logits, tokens, mask, 0.1) == caption_loss(other, tokens, mask, 0.1)


def test_caption_loss_is_the_one_of_transformers():
    from tiny_pairs import blip_and_data

    blip, data = blip_and_data()
    from robustrec.pretraining.architecture import caption_logits
    from robustrec.pretraining.tokens import padded

    batch = padded(data[0].captions[0][:5], blip.specials.pad, first=blip.specials.decode)
    pictures = normalize(torch.randn(5, 5, 32), dim=-1)
    decoder = blip.caption.text_decoder
    decoder.label_smoothing = 0.1
    labels = batch.ids.masked_fill(batch.mask == 0, -100)
    theirs = decoder(input_ids=batch.ids, attention_mask=batch.mask, encoder_hidden_states=pictures, labels=labels).loss
    ours = caption_loss(caption_logits(blip.caption, *batch, pictures), *batch, 0.1)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_words_loss_by_hand_whatever_the_order_repetition_and_padding():
    tokens, mask = torch.tensor([[9, 1, 2, 8, 0, 0], [9, 2, 2, 8, 1, 8]]), torch.ones(2, 6, dtype=torch.long)
    mask[0, 4:] = 0
    logits = torch.zeros(2, 10, dtype=torch.float64)
    # The captions say 1 and 2, and 2 and 1: twenty judgements of log 2 each over four words.
    assert words_loss(logits, tokens, mask, (0, 8, 9)).item() == pytest.approx(20 * math.log(2) / 4)
    known = torch.full((2, 10), -40.0, dtype=torch.float64)
    known[:, 1:3] = 40.0
    assert words_loss(known, tokens, mask, (0, 8, 9)).item() == pytest.approx(0.0, abs=1e-12)
    known[0, 1] = -40.0
    assert words_loss(known, tokens, mask, (0, 8, 9)).item() == pytest.approx(40.0 / 4)


def test_words_are_hidden_by_a_share_of_each_text_and_never_the_first():
    mask = torch.ones(400, 51, dtype=torch.long)
    mask[:, 40:] = 0
    hidden = hide_words(mask, torch_generator(0, "test"))
    assert bool((hidden[:, 0] == 1).all())
    assert int(hidden[:, 40:].sum()) == 0
    shares = 1 - hidden[:, 1:40].double().mean(dim=1)
    assert shares.mean().item() == pytest.approx(MAX_HIDDEN / 2, abs=0.05)
    assert shares.max().item() > 0.6
    assert shares.min().item() < 0.1
