"""The sections on one user and on one item under each edit."""

from __future__ import annotations

import base64
import io
import re

import pytest
from made_up_exhibits import MANY, fragile, full_report
from made_up_report import SGBD, made_up_report
from page_checks import is_harmless
from PIL import Image

from robustrec.reading.summary import summary_of
from robustrec.report.html import html_page
from robustrec.report.html.edited_items import MOST_OPEN, edited_items
from robustrec.report.html.example_user import title_words, user_lists
from robustrec.report.html.heatmap import heatmaps
from robustrec.report.html.pictures import PictureSheet, checked_picture
from robustrec.results.conditions import Condition
from robustrec.results.exhibits import EditedItem, EditedLook, ExampleUser, ListedItem, Look

HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}\x1b\u202e"
EDIT = Condition(kind="edit", edit="wrong_picture", severity=3, share=0.1, graphs="rebuilt")


def webp(colour="#3377aa"):
    buffer = io.BytesIO()
    Image.new("RGB", (96, 96), colour).save(buffer, "WEBP")
    return base64.b64encode(buffer.getvalue()).decode()


def listed(item, before, after, **changes):
    fields = {"item": str(item), "own_id": f"B{item}", "title": f"Item {item}", "edited": False, "wanted": False}
    return ListedItem(rank_before=before, rank_after=after, **{**fields, **changes})


def example(**changes):
    """Item 1 is edited and falls from rank 1 beyond the list; item 9 enters from rank 12."""
    before = (listed(1, 1, None, edited=True, wanted=True), listed(2, 2, 1), listed(3, 3, 3))
    after = (before[1], listed(9, 12, 2), before[2])
    fields = {
        "subject": SGBD,
        "audit": "merchant",
        "condition": EDIT,
        "user": "796",
        "rule": "the largest loss",
        "item": "1",
        "metric": "ndcg@20",
        "before_value": 0.63,
        "after_value": 0.24,
        "known": 20,
        "order_kept": True,
        "before": before,
        "after": after,
    }
    return ExampleUser(**{**fields, **changes})


def lists_of(exhibit):
    return user_lists(summary_of(made_up_report(exhibits=(exhibit,))))


def test_the_lists_say_how_each_item_moves():
    found = lists_of(example())
    assert [line.move for line in found.before] == ["out, now beyond 20", "", ""]
    assert [line.move for line in found.after] == ["up 1, was 2", "up 10, was 12", "same rank"]
    assert [line.item for line in found.before] == ["B1", "B2", "B3"], "your own ids"
    assert "moves from rank 1 to a rank beyond 20" in found.sentences[1]
    assert "1 of the first 3 items leave the first 3" in found.sentences[1]
    assert "0.6300 → 0.2400" in found.sentences[1]
    assert "an example and no average" in found.notes[0]


def test_lines_connect_the_places_before_and_after():
    lines = re.findall(
        r'<line class="([a-z ]+)" x1="(\d+)" y1="(\d+)" x2="(\d+)" y2="([\d.]+)"', lists_of(example()).slopes
    )
    assert lines == [
        ("edited out", "0", "26", "55", "67.6"),
        ("plain", "0", "78", "100", "26"),
        ("plain", "0", "130", "100", "130"),
        ("plain out", "100", "78", "45", "119.6"),
    ]


def test_the_reason_why_others_move_follows_from_the_lists():
    assert "only because edited items leave or enter" in lists_of(example()).notes[2]
    assert "depend on the features of other items" in lists_of(example(order_kept=False)).notes[2]


@pytest.mark.parametrize("before", [(), (listed(1, 1, None, title=HOSTILE, own_id=HOSTILE, picture="x"),)])
def test_short_hostile_and_empty_lists_are_sound(before):
    page = html_page(made_up_report(exhibits=(example(before=before, after=(), user=HOSTILE, rule=HOSTILE),)))
    is_harmless(page)
    assert 'id="user"' in page


def test_titles_are_cut_between_words():
    assert title_words("one two three", 9) == "one two …"
    assert title_words("short") == "short"
    assert title_words("x" * 200, 20).endswith("…")
    assert len(title_words("x" * 200, 20)) <= 21


def item(edit, looks, **changes):
    fields = {"item": "7", "own_id": "B7", "title": "Red cup", "text": "Red cup for tea", "picture": webp()}
    return EditedItem(audit="merchant", edit=edit, looks=looks, **{**fields, **changes})


def edited_of(*exhibits):
    summary = summary_of(full_report(MANY[:2], exhibits=exhibits))
    return edited_items(summary, heatmaps(summary))


def test_pictures_stand_beside_what_the_edit_costs():
    looks = tuple(EditedLook(severity=each, picture=webp(f"#0000{each}0")) for each in (1, 3, 5))
    found = edited_of(item("promo_badge", looks), item("truncation", (EditedLook(severity=3, text="Red"),)))
    first, second = found.cards
    assert first.words == "truncation", "the edit with the largest loss comes first"
    assert str(first.text).split() == ["Red", "<del>cup", "for", "tea</del>"]
    assert not first.steps
    assert [step.caption for step in second.steps] == ["before", "severity 1", "severity 3", "severity 5"]
    assert [name for _, name, _, _ in second.costs] == ["vanilla", "sgbd"]
    assert found.item == "B7"
    page = html_page(full_report(MANY[:2], exhibits=(item("promo_badge", looks),)))
    is_harmless(page)
    assert '<a href="#edit-promo-badge">promo badge</a>' in page
    assert page.count('id="edit-promo-badge"') == 1


def test_an_edit_without_effect_on_the_item_says_so():
    (card,) = edited_of(item("brand_first", ())).cards
    assert card.nothing
    assert not card.steps
    assert "leaves this item as it is" in html_page(full_report(MANY[:1], exhibits=(item("brand_first", ()),)))


def test_a_long_text_shows_its_changes_only():
    words = [f"w{at}" for at in range(500)]
    changed = [*words[:250], "NEW", *words[250:]]
    look = EditedLook(severity=1, text=" ".join(changed))
    (card,) = edited_of(item("typos", (look,), text=" ".join(words))).cards
    assert "<ins>NEW</ins>" in card.text
    assert len(str(card.text).split()) < 30
    (hostile,) = edited_of(item("typos", (EditedLook(severity=1, text=HOSTILE),), text="a")).cards
    assert "<script" not in hostile.text


def test_more_edits_are_in_a_fold_and_each_picture_is_there_once():
    looks = (EditedLook(severity=1, picture=webp("#ff0000")),)
    exhibits = [item(f"edit_{at}", looks) for at in range(30)]
    found = edited_of(*exhibits)
    assert (len(found.cards), len(found.more)) == (MOST_OPEN, 30 - MOST_OPEN)
    assert found.pictures.count("data:image/webp") == 2
    assert sum(len(card.steps) for card in (*found.cards, *found.more)) == 60


def test_pictures_stay_within_their_budget_and_only_valid_ones_are_shown():
    text = webp()
    sheet = PictureSheet("s", len(text))
    assert 'href="#s-0"' in sheet.shown(text, "words")
    assert sheet.shown(webp("#123456")) == ""
    assert sheet.shown("not a picture") == sheet.shown(None) == ""
    assert sheet.sheet.count("<symbol") == 1
    assert checked_picture(text, "WEBP") == text
    assert checked_picture(text, "JPEG") is None


def test_a_report_without_examples_has_no_such_section():
    page = html_page(made_up_report(exhibits=(fragile(SGBD),)))
    assert 'id="user"' not in page
    assert 'id="pictures"' not in page


def test_fragile_items_have_your_own_id_and_their_changes_marked():
    looks = {"before": Look(text="Red cup\nfor tea"), "after": Look(text="Red cup SALE\nfor tea")}
    page = html_page(made_up_report(exhibits=(fragile(SGBD, own_id="B-77", **looks),)))
    part = page.partition('id="fragile"')[2]
    assert "<ins>SALE</ins>" in part
    assert "id <bdi>B-77</bdi>" in part
    assert "mean rank 4.3 → 61.5" in part
    is_harmless(page)
