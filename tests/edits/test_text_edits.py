"""What each edit of a text does, on texts where the answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from edit_cases import applied, shirt

from robustrec.edits.content import Content, text_of
from robustrec.edits.contract import SEVERITIES, touched
from robustrec.edits.texts.branding import without_brand
from robustrec.edits.texts.typos import neighbours
from robustrec.edits.texts.wording import WORD, in_case_of
from robustrec.edits.view import CatalogueView
from robustrec.edits.vocabulary import vocabulary

SHIRT = shirt()
BY = vocabulary().brand_prepositions


def test_promotions_stand_around_a_title_that_stays():
    for severity, phrases in zip(SEVERITIES, (1, 2, 3, 4, 6), strict=True):
        after = applied("promo_phrase", SHIRT, severity)
        assert SHIRT.title in after.title
        assert sum(phrase in after.title for phrase in vocabulary().promotions) == phrases
        assert after.description.endswith(SHIRT.description)
    assert applied("promo_phrase", SHIRT, 1).title.startswith(SHIRT.title)
    assert applied("promo_phrase", SHIRT, 2).description == SHIRT.description


def test_keywords_are_trending_words_that_the_title_lacks():
    view = CatalogueView(trending=("red", "boot", "gift", "summer", "acme"))
    after = applied("keyword_stuffing", SHIRT, 2, view=view)
    added = after.title.removeprefix(SHIRT.title).split()
    assert len(added) == 4
    assert set(added) <= {"boot", "gift", "summer", *vocabulary().stuffing}
    assert not {"red", "acme"} & set(added)
    assert after.description == SHIRT.description
    worst = applied("keyword_stuffing", SHIRT, 5, view=view)
    assert len(worst.title.split()) == len(SHIRT.title.split()) + 16
    assert worst.description.startswith(SHIRT.description + " Related searches: ")


@pytest.mark.parametrize(
    ("title", "severity", "expected"),
    [
        ("Red shirt by Acme", 1, "Acme Red shirt"),
        ("Acme red shirt", 1, "ACME red shirt"),  # it is first already: the next step
        ("Red shirt", 2, "ACME Red shirt"),
        ("Red ACME shirt", 3, "ACME Official Red shirt"),
        ("Red shirt", 5, "ACME Official Red shirt | ACME"),
        ("", 1, "Acme"),
    ],
)
def test_brand_first(title, severity, expected):
    assert applied("brand_first", replace(SHIRT, title=title), severity).title == expected


def test_brand_last_ends_with_no_brand_at_all():
    first = applied("brand_last", SHIRT, 1)
    assert (first.title, first.brand) == ("red striped shirt, cotton - Acme", "Acme")
    assert first.description == SHIRT.description
    second = applied("brand_last", SHIRT, 2)
    assert (second.title, second.brand) == ("red striped shirt, cotton - Acme", "Unbranded")
    assert applied("brand_last", SHIRT, 3).description.endswith("Made for men. (Acme)")
    assert "(A.)" in applied("brand_last", SHIRT, 4).description
    for severity, mentions in ((3, 1), (4, 0), (5, 0)):
        assert text_of(applied("brand_last", SHIRT, severity)).lower().count("acme") == mentions


def test_a_brand_is_taken_out_with_what_led_to_it():
    told = {
        "Skirt in wool, checked, Oakhurst": "Skirt in wool, checked",
        "Oakhurst's skirt by Oakhurst, blue": "skirt, blue",
        "neck. From Oakhurst. Made": "neck. Made",
        "OAKHURST: big skirt": "big skirt",
        "Oakhurst": "",
        "Oakhurstian  skirt": "Oakhurstian  skirt",
    }
    assert {text: without_brand(text, "Oakhurst", BY) for text in told} == told
    assert without_brand("Put it on. On shoes", "On", BY) == "Put it on. shoes"
    assert without_brand("A (c) + Co. bag", "(c) + Co.", BY) == "A bag"


@pytest.mark.parametrize("name", ["brand_first", "brand_last"])
def test_without_a_brand_there_is_nothing_to_move(name):
    plain = replace(SHIRT, brand=" ")
    assert not touched(plain, applied(name, plain, 5))


def test_truncation_keeps_a_beginning():
    for severity, percent in zip(SEVERITIES, (80, 60, 45, 30, 15), strict=True):
        after = applied("truncation", SHIRT, severity)
        for before, cut in ((SHIRT.title, after.title), (SHIRT.description, after.description)):
            assert before.startswith(cut)
            assert abs(len(cut) - len(before) * percent / 100) <= 2  # a space at the end goes too
    two = Content("ab", "", (), "", None)
    assert applied("truncation", two, 1).title == "a"
    one = replace(two, title="a")
    assert applied("truncation", one, 5) is one


def test_typos_are_as_many_as_said_and_no_more():
    text = "abcdefghij" * 20
    content = Content(text, "", (), "", None)
    for severity, percent in zip(SEVERITIES, (2, 5, 10, 18, 30), strict=True):
        for seed in range(5):
            after = applied("typos", content, severity, seed=seed).title
            changed = abs(len(after) - len(text))
            assert changed <= 2 * percent
            assert 0.6 * 2 * percent <= _moved(text, after) <= 2 * 2 * percent
    assert touched(SHIRT, applied("typos", SHIRT, 1))
    numbers = Content("12345 !?", "", (), "67", None)
    assert applied("typos", numbers, 5) is numbers


def _moved(a, b):
    from edit_cases import edit_distance

    return edit_distance(a, b)


def test_neighbours_lie_side_by_side_on_a_keyboard():
    near = neighbours(vocabulary().keyboard)
    assert near["a"] == "qswz"
    assert near["g"] == "bfhtvy"
    assert near["p"] == "lo"
    assert all(letter in near[other] for letter, others in near.items() for other in others)


def test_synonyms_mean_the_same_and_keep_their_case():
    content = Content("SNEAKER Red", "", ("Sneaker",), "a bag", None)
    after = applied("synonym_swap", content, 5)
    assert after.title == "TRAINER Scarlet"
    assert after.description == "a carrier"
    assert after.categories == content.categories, "merchants choose words, not the shop's categories"
    synonyms = vocabulary().synonyms
    assert all(other != word for word, others in synonyms.items() for other in others)
    assert all(word == word.lower() for word in synonyms)


def test_seasons_take_each_others_place():
    content = Content("Summer dress", "", ("Beach", "Dresses"), "A dress for summer.", None)
    seen, seasons = set(), {name.lower(): words for name, words in vocabulary().seasons.items()}
    for seed in range(20):
        after = applied("season_swap", content, 1, seed=seed)
        season = after.title.split()[-1].lower()
        seen.add(season)
        assert season != "summer"
        assert after.title == f"{season.capitalize()} dress {season.capitalize()}"
        assert after.categories[0].lower() == seasons[season][1]
        assert after.description == f"A dress for {season}."
    assert seen == set(seasons) - {"summer"}
    unseasonal = applied("season_swap", SHIRT, 5, seed=1)
    assert len(unseasonal.description) > len(SHIRT.description)


def test_the_colour_is_said_wrong_first_and_in_the_same_way_throughout():
    content = Content("Red wool cap", "", ("Caps",), "A red cap. Made of wool.", None)
    first = applied("attribute_contradiction", content, 1)
    wrong = first.title.split()[0]
    assert wrong != "Red"
    assert first == replace(content, title=f"{wrong} wool cap") or first.description == content.description
    third = applied("attribute_contradiction", content, 3)
    assert third.description.startswith(f"A {wrong.lower()} cap")
    last = applied("attribute_contradiction", content, 5)
    assert "wool" not in text_of(last)
    assert last.title.split()[1] in last.description
    film = Content("Old Film", "", ("Comedy", "War"), "", None)
    assert not {"Comedy", "War"} & set(applied("attribute_contradiction", film, 5).categories)
    silent = Content("Thing", "", (), "It is one.", None)
    assert applied("attribute_contradiction", silent, 5) is silent


def test_no_contradiction_says_the_same():
    for table in vocabulary().contradictions.values():
        for word, others in table.items():
            assert others
            assert word not in others
    synonyms = vocabulary().synonyms
    colours = vocabulary().contradictions["colour"]
    assert not [word for word, others in colours.items() for other in others if other in synonyms.get(word, ())]


def test_shouting_grows_to_capitals_throughout():
    first = applied("emoji_capitals", SHIRT, 1)
    assert first.title.startswith(SHIRT.title + " ")
    assert first.title[len(SHIRT.title) + 1 :] in vocabulary().emoji
    fourth = applied("emoji_capitals", SHIRT, 4)
    assert SHIRT.title.upper() in fourth.title
    assert fourth.description == SHIRT.description
    assert SHIRT.description.upper().rstrip(".") in applied("emoji_capitals", SHIRT, 5).description


def test_a_language_is_mixed_in_and_it_is_one():
    for seed in range(6):
        after = applied("language_mix", Content("Red shirt", "", (), "", None), 5, seed=seed)
        spoken = [name for name, each in vocabulary().languages.items() if each.phrases[0] in after.title]
        assert len(spoken) <= 1
        language = next(
            each for each in vocabulary().languages.values() if each.words["red"].capitalize() in after.title
        )
        assert after.title.startswith(f"{language.words['red'].capitalize()} {language.words['shirt'].lower()}") or (
            after.title.startswith(f"{language.words['red'].capitalize()} {language.words['shirt']}")
        )
        assert all(sentence in after.description for sentence in language.sentences)


def test_languages_know_the_same_words():
    tables = [set(each.words) for each in vocabulary().languages.values()]
    assert all(table == tables[0] for table in tables)
    assert all(len(each.phrases) == 4 and len(each.sentences) == 3 for each in vocabulary().languages.values())


def test_descriptions_run_out():
    lengths = [len(applied("empty_description", SHIRT, severity).description.split()) for severity in SEVERITIES]
    n = len(SHIRT.description.split())
    assert lengths == [n * percent // 100 for percent in (50, 25, 10, 5, 0)]
    assert applied("empty_description", replace(SHIRT, description="one"), 1).description == ""


def test_words_and_case():
    assert [match[0] for match in WORD.finditer("T-shirt, men's 2XL für Mädchen_x חולצה")] == [
        "T-shirt",
        "men's",
        "XL",
        "für",
        "Mädchen",
        "x",
        "חולצה",
    ]
    assert [in_case_of(model, "boot") for model in ("RED", "Red", "red", "R")] == ["BOOT", "Boot", "boot", "Boot"]


def test_draws_do_not_depend_on_the_severity():
    """A phrase, a wrong colour or a language of severity 1 is there at severity 5 too."""
    for seed in range(5):
        mild, worst = (applied("promo_phrase", SHIRT, severity, seed=seed) for severity in (1, 5))
        assert mild.title.removeprefix(SHIRT.title) in worst.title
        few, many = (applied("keyword_stuffing", SHIRT, severity, seed=seed).title for severity in (1, 5))
        assert many.startswith(few)
        state = np.random.default_rng(seed)
        assert state.integers(10) == np.random.default_rng(seed).integers(10)
