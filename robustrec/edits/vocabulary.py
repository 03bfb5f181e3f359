"""Language packs: the words and phrases that edits put in, one TOML file for each language."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from robustrec.edits.shipped import PACKS
from robustrec.errors import RobustrecError
from robustrec.files import digest_bytes
from robustrec.invalid import invalid
from robustrec.subject import Record
from robustrec.untrusted import UnreadableError, read_bytes, read_toml

MOST_BYTES = 2**20
FONT_BYTES = 64 * 2**20
_FIX = "compare with a shipped pack: robustrec/edits/packs/en.toml; the keys are described in docs/edits.md"


def _template(*names: str) -> AfterValidator:
    """Return the check of a text with places to fill in, for example "{title} for Every Day"."""

    def check(text: str) -> str:
        try:
            found = [part[1:] for part in string.Formatter().parse(text) if isinstance(part[1], str)]
        except ValueError as error:
            raise ValueError(f"{error}; write {{{{ and }}}} for braces") from error
        plain = [str(name) for name, form, turn in found if not form and not turn]
        if sorted(set(plain)) != sorted(names) or len(plain) != len(found):
            raise ValueError(f"must contain {' and '.join(f'{{{name}}}' for name in names) or 'no braces'}")
        return text

    return AfterValidator(check)


Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Words = tuple[Phrase, ...]
Group = Annotated[Words, Field(min_length=1, max_length=100)]
Groups = Annotated[tuple[Group, ...], Field(max_length=5000)]


def _words(least: int) -> Any:
    return Field(min_length=least, max_length=1000)


class Phrases(Record):
    """How words are put into a text."""

    before: Annotated[Phrase, _template("phrase")] = Field(description="a promotion before the title")
    after: Annotated[Phrase, _template("phrase")] = Field(description="a promotion, brand or phrase after the title")
    exclamation: Phrase = Field(description="exclamation mark")
    related: Annotated[Phrase, _template("words")] = Field(description="sentence with search words")
    list_separator: Phrase = Field(description="between the words of a list")
    official: Phrase = Field(description='the word "official" after a brand')
    original: Annotated[Phrase, _template("brand")] = Field(description="sentence: the original of a brand")
    only_from: Annotated[Phrase, _template("brand")] = Field(description="sentence: only of a brand")
    unbranded: Phrase = Field(description="brand of an item without a brand")
    no_name: Phrase = Field(description="sentence: sold without a brand")
    no_name_initials: Annotated[Phrase, _template("initials")] = Field(description="sentence: initials of the brand")
    season_before: Annotated[Phrase, _template("season")] = Field(description="a season before the title")
    season_after: Annotated[Phrase, _template("season")] = Field(description="a season after the title")


class Language(Record):
    """Words and phrases of another language, mixed into a text."""

    words: dict[Phrase, Phrase] = Field(max_length=5000, description="word -> translation")
    phrases: Words = Field(min_length=3, max_length=1000, description="selling phrases for the title")
    sentences: Words = Field(min_length=3, max_length=1000, description="sentences for the description")


class Chart(Record):
    """Texts of a size chart."""

    title: Phrase
    columns: Words = Field(min_length=2, max_length=6)
    sizes: Words = Field(min_length=2, max_length=10)


class Vocabulary(Record):
    """A language pack. Words that replace words of a text are in lower case."""

    schema_version: Literal[1]
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")] = Field(description="ISO 639 code")
    spaces: bool = Field(default=True, description="whether spaces separate words")
    keyboard: Words = Field(default=(), max_length=6, description="rows of letters of a keyboard, for typing errors")
    font: Phrase | None = Field(
        default=None, description="font file for texts on pictures, relative to this file; default: fonts of Latin text"
    )
    brand_prepositions: Words = Field(default=(), max_length=20, description='words before a brand, such as "by"')
    promotions: Words = _words(6)
    promotion_sentences: Words = _words(4)
    stuffing: Words = _words(16)
    emoji: Words = _words(8)
    badges: Words = _words(1)
    banners: Words = _words(1)
    watermarks: Words = _words(1)
    season_sentences: tuple[Annotated[Phrase, _template("season")], ...] = _words(3)
    bullets: Words = _words(8)
    title_frames: tuple[Annotated[Phrase, _template("title")], ...] = _words(1)
    openings: tuple[Annotated[Phrase, _template("title")], ...] = _words(1)
    closings: Words = _words(1)
    multipacks: tuple[Annotated[Phrase, _template("n", "title")], ...] = _words(1)
    callouts: Words = _words(8)
    chart: Chart
    phrases: Phrases
    synonym_groups: Groups = Field(alias="synonyms", description="each word stands for any other of its list")
    seasons: dict[Phrase, Group] = Field(min_length=2, max_length=100, description="words at one place replace another")
    attributes: dict[Phrase, Annotated[Groups, Field(min_length=2)]] = Field(
        max_length=100, description="attribute -> lists of words; a word of another list contradicts"
    )
    languages: dict[Phrase, Language] = Field(min_length=1, max_length=50, description="languages that are mixed in")

    _synonyms: dict[str, tuple[str, ...]] = PrivateAttr()
    _contradictions: dict[str, dict[str, tuple[str, ...]]] = PrivateAttr()
    _face: Path | None = PrivateAttr(default=None)
    _digest: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _tables(self) -> Vocabulary:
        if len({len(words) for words in self.seasons.values()}) > 1:
            raise ValueError("seasons must have equally many words: words at the same place replace each other")
        lower = [*_flat(self.synonym_groups), *(word for each in self.attributes.values() for word in _flat(each))]
        lower += [*_flat(self.seasons.values()), *(word for each in self.languages.values() for word in each.words)]
        wrong = next((word for word in lower if word != word.lower()), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} must be in lower case, as edits look for it in texts of any case")
        groups = self.synonym_groups
        self._synonyms = {word: tuple(other for other in group if other != word) for group in groups for word in group}
        self._contradictions = {name: _contradictions(each) for name, each in self.attributes.items()}
        return self

    @property
    def synonyms(self) -> dict[str, tuple[str, ...]]:
        """Word -> synonyms."""
        return self._synonyms

    @property
    def contradictions(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Attribute -> word -> contradicting words."""
        return self._contradictions

    @property
    def on_pictures(self) -> tuple[str, ...]:
        """All texts that edits draw on pictures."""
        chart = (self.chart.title, *self.chart.columns, *self.chart.sizes)
        return (*self.badges, *self.banners, *self.watermarks, *self.callouts, *chart)

    @property
    def face(self) -> Path | None:
        """Font file for texts on pictures; None for those of Latin text."""
        return self._face

    @property
    def digest(self) -> str:
        """Digest of the pack and its font."""
        return self._digest


def _flat(groups: Iterable[Iterable[str]]) -> Iterator[str]:
    return (word for group in groups for word in group)


def _contradictions(groups: Groups) -> dict[str, tuple[str, ...]]:
    """Return for each word one word of each other group, that at the same place where there is one."""
    table: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for place, word in enumerate(group):
            table.setdefault(
                word, tuple(other[place] if place < len(other) else other[0] for other in groups if other != group)
            )
    return table


@cache
def vocabulary(language: str = "en") -> Vocabulary:
    """Return a shipped pack; read once in a process."""
    return read_pack(PACKS / f"{language}.toml")


def read_pack(path: Path) -> Vocabulary:
    """Read a language pack.

    Raises:
        RobustrecError: the file cannot be read, is too large, or has an unknown, missing or invalid key; or its font
            cannot be read.
    """
    try:
        pack = Vocabulary.model_validate(read_toml(path, most=MOST_BYTES))
    except UnreadableError as error:
        raise RobustrecError(f"cannot read the vocabulary: {error}", where=str(path), fix=_FIX) from error
    except ValidationError as error:
        raise invalid(error, Vocabulary, source=str(path), fix=_FIX) from error
    parts = [pack.model_dump_json(by_alias=True).encode()]
    if pack.font is not None:
        pack._face = path.parent / pack.font
        parts.append(_checked_font(pack._face, path))
    pack._digest = digest_bytes(parts)
    return pack


def _checked_font(face: Path, path: Path) -> bytes:
    from robustrec.edits.pictures.lettering import font

    try:
        content = read_bytes(face, most=FONT_BYTES)
        font(12, face)
    except (UnreadableError, OSError, ValueError) as error:
        raise RobustrecError(
            f"cannot read the font {face.name!r}: {error}",
            where=f"{path}, key font",
            fix="name a .ttf or .otf file, by its path relative to the vocabulary",
        ) from error
    return content
