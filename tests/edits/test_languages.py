"""Language packs: which one edits take words from, their files, and texts of many scripts and of HTML."""

import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import tomli_w
from edit_cases import OURS, applied, edit_distance
from hypothesis import given
from hypothesis import strategies as st

from robustrec.edits import TEXT_EDITS
from robustrec.edits.content import Content, text_of
from robustrec.edits.contract import SEVERITIES, apply_edit, touched
from robustrec.edits.languages import Languages, detected, languages_of
from robustrec.edits.pictures.lettering import face_for, letters, plain, writable
from robustrec.edits.shipped import PACKS, SHIPPED
from robustrec.edits.texts.clusters import clusters, cut
from robustrec.edits.texts.markup import spans
from robustrec.edits.view import CatalogueView
from robustrec.edits.vocabulary import read_pack, vocabulary
from robustrec.errors import RobustrecError


def item(title, description="", brand=""):
    return Content(title, brand, (), description, None)


ITEMS = {
    "de": Content(
        "Rotes Sommerkleid mit Blumen von Lumora, Baumwolle", "Lumora", ("Damen", "Kleider"),
        "Ein schönes rotes Kleid für den Sommer. Die Baumwolle ist weich und leicht. Für Damen.", None,
    ),
    "es": Content(
        "Vestido rojo de flores para mujer, algodón, Lumora", "Lumora", ("Mujer", "Vestidos"),
        "Un bonito vestido rojo para el verano. El algodón es suave y ligero. Para mujer.", None,
    ),
    "fr": Content(
        "Robe rouge à fleurs en coton pour femme, Lumora", "Lumora", ("Femme", "Robes"),
        "Une jolie robe rouge pour l'été. Le coton est doux et léger. Pour femme.", None,
    ),
    "zh": Content(
        "露摩拉红色连衣裙 女士夏季新款纯棉", "露摩拉", ("女装", "连衣裙"),
        "这款红色连衣裙采用纯棉面料，柔软舒适，适合夏季穿着。女士必备。", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", ITEMS)
@pytest.mark.parametrize("name", [name for name in TEXT_EDITS if name != "category_mistag"])
def test_items_of_every_shipped_language_are_edited_in_it_with_growing_strength(name, language):
    content = ITEMS[language]
    distances = []
    for seed in range(8):
        after = [applied(name, content, severity, seed=seed) for severity in SEVERITIES]
        assert all(touched(content, each) for each in after), seed
        distances.append([edit_distance(text_of(content), text_of(each)) for each in after])
    mean = np.mean(distances, axis=0)
    assert (np.diff(mean) >= 0).all(), mean
    assert mean[-1] > mean[0]
    english = {*vocabulary().promotion_sentences, *vocabulary().season_sentences, "Related searches"}
    if name != "language_mix":
        assert not any(each in text_of(applied(name, content, 5)) for each in english)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red cotton shirt for men, striped, with a soft collar and long sleeves", "en"),
        ("Schwarzer Rock aus Leder für Damen", "de"),
        ("Vestido rojo de flores para mujer", "es"),
        ("Robe rouge à fleurs en coton pour femme", "fr"),
        ("Nike Air Max 运动鞋 男 新款 透气 跑步鞋", "zh"),
        ("<p class='für Damen und Herren'>Red cotton shirt for men with a soft collar and long sleeves</p>", "en"),
        ("Baby Alive", None),
        ("Philips Avent", None),
        ("iPhone 12", None),
        ("", None),
        ("ワンピース 赤 レディース 長袖", None),
        ("원피스 빨간색 여성 여름 신상", None),
        ("Vestito rosso a fiori in cotone per donna, con maniche lunghe e colletto", None),
        ("लाल सूती कमीज पुरुषों के लिए", None),
        ("قميص قطن أحمر للرجال", None),
        ("👗❤️🔥", None),
    ],
)
def test_the_language_is_told_only_where_it_is_plain(text, expected):
    assert detected(text, SHIPPED) == expected


def test_texts_of_unknown_language_get_the_default_pack_and_are_counted():
    contents = [*ITEMS.values(), item("Baby Alive"), item("قميص أحمر للرجال"), item("Robe rouge à fleurs en coton")]
    assert Languages().counted(contents) == (
        "texts edited as: fr 2, unknown 2, de 1, es 1, zh 1; unknown languages as en; "
        "texts on pictures of zh in en: no font has their letters"
    )
    german = CatalogueView(languages=Languages("de"))
    assert german.words(item("Baby Alive")).language == "de"
    assert CatalogueView().words(item("Baby Alive")).language == "en"


def test_english_samples_are_edited_in_english(clothing):
    counted = Languages().counted(
        item(each.title, each.description) for each in clothing.catalog.items if each is not None
    )
    assert counted == "", "no other language, none unknown"


def test_trending_words_go_into_texts_of_the_default_language_only():
    view = CatalogueView(trending=("boot", "gift"))
    german = apply_edit(OURS["keyword_stuffing"], ITEMS["de"], 5, np.random.default_rng(0), view)
    assert not {"boot", "gift"} & set(german.title.split())
    view = CatalogueView(trending=("stiefel", "mantel"), languages=Languages("de"))
    german = apply_edit(OURS["keyword_stuffing"], ITEMS["de"], 5, np.random.default_rng(0), view)
    assert {"stiefel", "mantel"} & set(german.title.split())


@pytest.mark.parametrize("language", SHIPPED)
def test_a_shipped_pack_can_be_given_as_a_file_and_changes_nothing(language, tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes((PACKS / f"{language}.toml").read_bytes())
    own = languages_of("en", [str(path)])
    assert own.digest == Languages().digest
    assert own.pack(language).digest == vocabulary(language).digest


def test_a_pack_of_a_further_language_is_used_for_its_texts(tmp_path):
    table = tomllib.loads((PACKS / "en.toml").read_text())
    table |= {"language": "it", "promotions": [f"Offerta {number}" for number in range(6)]}
    path = tmp_path / "it.toml"
    path.write_text(tomli_w.dumps(table))
    languages = languages_of("en", [path])
    assert languages.digest != Languages().digest
    italian = item("Vestito rosso a fiori in cotone per donna, con maniche lunghe e colletto")
    after = apply_edit(OURS["promo_phrase"], italian, 1, np.random.default_rng(0), CatalogueView(languages=languages))
    assert " - Offerta " in after.title


BROKEN = {
    "unknown key": (lambda table: table | {"promotion": ["x"]}, "promotion", "did you mean 'promotions'"),
    "missing key": (lambda table: {k: v for k, v in table.items() if k != "badges"}, "badges", "add"),
    "too few": (lambda table: table | {"promotions": ["one"]}, "promotions", ""),
    "empty word": (lambda table: table | {"stuffing": ["", *table["stuffing"]]}, "stuffing[0]", ""),
    "long phrase": (lambda table: table | {"banners": ["x" * 201]}, "banners[0]", ""),
    "too many": (lambda table: table | {"badges": ["x"] * 1001}, "badges", ""),
    "language": (lambda table: table | {"language": "English"}, "language", ""),
    "no place": (lambda table: table | {"title_frames": ["For Every Day"]}, "title_frames[0]", ""),
    "other place": (lambda table: table | {"title_frames": ["{title} {price}"]}, "title_frames[0]", ""),
    "attribute of the place": (lambda table: table | {"title_frames": ["{title.__class__}"]}, "title_frames[0]", ""),
    "lone brace": (lambda table: table | {"title_frames": ["{title} {"]}, "title_frames[0]", ""),
    "seasons": (lambda table: table | {"seasons": {"a": ["x"], "b": ["y", "z"]}}, "", "equally many"),
    "capitals": (lambda table: table | {"synonyms": [["Shirt", "tee"]]}, "", "lower case"),
    "font": (lambda table: table | {"font": "missing.ttf"}, "font", "missing.ttf"),
    "wrong type": (lambda table: table | {"badges": "SALE"}, "badges", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pack_is_refused_with_file_and_key(name, tmp_path):
    change, key, said = BROKEN[name]
    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps(change(tomllib.loads((PACKS / "en.toml").read_text()))))
    with pytest.raises(RobustrecError) as caught:
        read_pack(path)
    assert str(path) in caught.value.where
    assert key in f"{caught.value.where} {caught.value.what}"
    assert said in f"{caught.value.what} {caught.value.fix}"


def test_packs_that_cannot_be_read_or_contradict_are_refused(tmp_path):
    large = tmp_path / "large.toml"
    large.write_text(f'language = "en" # {"x" * 2**20}\n')
    for path in (large, tmp_path / "none.toml", tmp_path):
        with pytest.raises(RobustrecError, match="cannot read the vocabulary") as caught:
            read_pack(path)
        assert str(path) in caught.value.where
    with pytest.raises(RobustrecError, match="two vocabularies of the language 'de'"):
        languages_of("en", [PACKS / "de.toml", PACKS / "de.toml"])
    with pytest.raises(RobustrecError, match="language 'xx'"):
        languages_of("xx", [])


# HTML


class Parsed(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.tags, self.references, self.broken = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(attrs)))

    def handle_endtag(self, tag):
        self.tags.append((tag, None))

    def handle_entityref(self, name):
        self.references.append(name)

    def handle_charref(self, name):
        self.references.append(name)


def parsed(text):
    parser = Parsed()
    parser.feed(text)
    parser.close()
    return parser


HTML = (
    '<p class="red shirt">A red &amp; blue <b title="cotton">shirt</b> of cotton by Black &amp; Decker &#8211; for men.'
    '</p><ul><li>soft</li><li>red</li></ul><img src="red.jpg" alt="shirt"/> Made for summer &lt;3.'
)


@pytest.mark.parametrize("name", TEXT_EDITS)
def test_tags_and_references_stay_whole(name):
    content = Content("Mom &amp; Baby red shirt", "Black & Decker", ("Clothing",), HTML, None)
    tags, references = parsed(HTML).tags, parsed(HTML).references
    for severity in SEVERITIES:
        for seed in range(10):
            after = applied(name, content, severity, seed=seed)
            found = parsed(after.description)
            assert found.tags == tags[: len(found.tags)], "tags are kept, or cut off at the end"
            if name not in ("truncation", "empty_description"):
                assert found.tags == tags
                kept = [each for each in found.references if each in references]
                assert len(kept) >= len(references) - (name in ("brand_last",))
            assert "&" not in re.sub(r"&(?:[a-z]+|#\d+);", "", after.title + after.description), "escaped"
            assert not re.search(r"<[^>]*$", after.description), "no half a tag"


def test_what_is_added_to_html_is_escaped_and_to_other_texts_is_not():
    html_item = replace(item("Mixer", "A <b>mixer</b>."), brand="Black & Decker <3")
    plain_item = replace(html_item, description="A mixer.")
    assert "BLACK &amp; DECKER &lt;3 - the original." in applied("brand_first", html_item, 4).description
    assert "BLACK & DECKER <3 - the original." in applied("brand_first", plain_item, 4).description
    gone = applied("brand_last", replace(html_item, description="A <b>mixer</b> by Black &amp; Decker &lt;3."), 5)
    assert "Decker" not in gone.description


def test_spans_of_hostile_markup_take_linear_time():
    for text in ("<a" * 50_000, "<!--" * 25_000, "&" * 100_000, "<a " * 30_000 + ">", "&#" * 50_000):
        assert len(spans(text)) <= 1


# Scripts


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("shirt", 5),
        ("e\u0301te\u0301", 3),
        ("नमस्ते", 3),
        ("कमीज", 3),
        ("क्षत्रिय", 3),
        ("👩‍👩‍👧‍👦", 1),
        ("🇩🇪🇫🇷", 2),
        ("👍🏽", 1),
        ("❤️", 1),
        ("한국", 2),
        ("\u1112\u1161\u11ab", 1),
        ("กำ", 1),
        ("红色", 2),
        ("a\n\u0301", 3),
    ],
)
def test_characters_are_those_that_readers_see(text, n):
    assert len(clusters(text)) == n
    assert "".join(clusters(text)) == text


def test_characters_agree_with_the_regex_library():
    regex = pytest.importorskip("regex")
    for text in (
        "नमस्ते दुनिया",
        "👩‍👩‍👧‍👦 👍🏽 🇩🇪",
        "ภาษาไทยกำ",
        "한국어 \u1112\u1161\u11ab",
        "tiếng Việt e\u0301",
        "தமிழ்",
        "עִבְרִית",
    ):
        assert clusters(text) == regex.findall(r"\X", text), text
    assert clusters("க்ஷ") == ["க்ஷ"], "drawn as one letter, which Unicode counts as two"


SCRIPTS = {
    "Chinese": ("红色纯棉连衣裙女士夏季新款", "这款红色连衣裙采用纯棉面料。"),
    "Arabic": ("قميص قُطن أحمر للرجال", "قميص مريح للصيف بأكمام طويلة"),
    "Hebrew": ("חוּלְצָה אדומה לגברים", "חולצה נוחה לקיץ"),
    "Hindi": ("लाल सूती कमीज पुरुषों के लिए क्षत्रिय", "यह एक आरामदायक लाल कमीज है। गर्मियों के लिए।"),
    "Thai": ("เสื้อเชิ้ตสีแดงสำหรับผู้ชาย", "เสื้อผ้าฝ้ายสวมใส่สบาย"),
    "emoji": ("👩‍👩‍👧‍👦 family 👍🏽 shirt 🇩🇪 ❤️", "For the 👨‍👩‍👦 and the 🏴󠁧󠁢󠁥󠁮󠁧󠁿 fan"),
    "decomposed": ("Cafe\u0301 cre\u0300me a\u0308ra", "U\u0308ber de\u0301sir"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_typing_errors_and_cuts_never_divide_a_character(script):
    title, description = SCRIPTS[script]
    whole = {*clusters(title), *clusters(description)}
    for seed in range(20):
        for severity in SEVERITIES:
            for name in ("typos", "truncation", "empty_description"):
                after = applied(name, item(title, description), severity, seed=seed)
                for text in (after.title, after.description):
                    assert {*clusters(text)} <= whole | {*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}
                    text.encode()


@given(text=st.text(max_size=60), length=st.integers(0, 80))
def test_characters_make_up_the_text_and_cuts_end_between_them(text, length):
    assert "".join(clusters(text)) == text
    kept = cut(text, length)
    assert text.startswith(kept)
    assert len(kept) <= max(length, 0) or len(text) <= length


SCRIPT_TEXT = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("कमीजक्षि्े\u200dقميصأحمر红色连衣裙👩👧‍🏽🇩🇪<>&;/=\"'b e\u0301"),
    ),
    max_size=50,
)


@given(
    name=st.sampled_from(TEXT_EDITS), title=SCRIPT_TEXT, description=SCRIPT_TEXT, brand=SCRIPT_TEXT,
    severity=st.sampled_from(SEVERITIES),
)  # fmt: skip
def test_texts_of_any_script_are_edited_the_same_way_twice(name, title, description, brand, severity):
    content = Content(title, brand, (brand,), description, None)
    first, second = (applied(name, content, severity, seed=3) for _ in range(2))
    assert text_of(first) == text_of(second)
    text_of(first).encode("utf-8", "surrogatepass")


# Texts on pictures


def test_texts_on_pictures_are_drawn_only_in_fonts_that_have_their_letters():
    for language in ("en", "de", "es", "fr"):
        assert writable(vocabulary(language).on_pictures), language
    assert not writable(vocabulary("zh").on_pictures)
    assert face_for("SALE -50%").path is None, "the built-in font of Pillow first"
    assert face_for("GRÖSSENTABELLE").path is not None
    assert face_for("红色") is None
    view = CatalogueView()
    assert view.languages.lettering(ITEMS["de"]).language == "de"
    assert view.languages.lettering(ITEMS["zh"]).language == "en"


def test_a_letter_that_no_font_has_is_left_out_and_never_a_box():
    box = letters("\uffff", 40, 40)
    assert box.tobytes() == letters(".", 40, 40).tobytes() or box.size == (1, 1) or not plain("\uffff")
    assert letters("红 SALE", 80, 30).tobytes() == letters("SALE", 80, 30).tobytes()
    umlaut, ascii_only = letters("ÜBER", 80, 30), letters("UBER", 80, 30)
    assert umlaut.tobytes() != ascii_only.tobytes()


def test_a_pack_brings_a_font_of_its_own(tmp_path):
    from robustrec.edits.pictures.lettering import WIDE_FACE

    (tmp_path / "own.ttf").write_bytes(WIDE_FACE.read_bytes())
    table = tomllib.loads((PACKS / "en.toml").read_text()) | {"font": "own.ttf", "badges": ["Ελλάδα"]}
    (tmp_path / "own.toml").write_text(tomli_w.dumps(table))
    pack = read_pack(tmp_path / "own.toml")
    assert pack.face == tmp_path / "own.ttf"
    assert face_for("Ελλάδα", pack.face).path == pack.face
    assert pack.digest != vocabulary("en").digest
