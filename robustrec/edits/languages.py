"""The language of a text, and the language pack that its edits take words from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustrec.edits.shipped import SHIPPED
from robustrec.edits.texts.markup import without_markup
from robustrec.edits.texts.wording import is_han, is_kana_or_hangul
from robustrec.errors import RobustrecError, unknown_name
from robustrec.files import digest_json

if TYPE_CHECKING:
    from robustrec.edits.content import Content
    from robustrec.edits.vocabulary import Vocabulary

DEFAULT = "en"
UNKNOWN = "unknown"

# With these, no English title or description of the sample editions, of Fashion or of MovieLens is taken for another
# language, except titles that contain a foreign one.
LEAST_LETTERS = 12
SURE = 0.9  # least probability of a language among those that have a pack
OTHER = 0.5  # probability from which a language without a pack is the language of a text
HAN_SHARE = 0.3  # of the letters, from which a text without kana and Hangul is Chinese
_READ = 2000  # characters of a text that are looked at
_LATIN_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Languages:
    """The language packs of a run.

    Attributes:
        default: language of texts of unknown language.
        own: packs that replace shipped ones, or add languages.
    """

    default: str = DEFAULT
    own: tuple[Vocabulary, ...] = ()
    _able: dict[str, bool] = field(default_factory=dict, init=False)

    @cached_property
    def known(self) -> tuple[str, ...]:
        """Languages with a pack, sorted."""
        return tuple(sorted({*SHIPPED, *(pack.language for pack in self.own)}))

    def pack(self, language: str) -> Vocabulary:
        """Return the pack of a language in `known`."""
        from robustrec.edits.vocabulary import vocabulary

        return next((pack for pack in self.own if pack.language == language), None) or vocabulary(language)

    def language_of(self, content: Content) -> str | None:
        """Return the language of an item's title and description; None if it is unknown or has no pack."""
        return detected(f"{content.title} {content.description}"[:_READ], self.known)

    def words(self, content: Content) -> Vocabulary:
        """Return the pack for an item."""
        return self.pack(self.language_of(content) or self.default)

    def lettering(self, content: Content) -> Vocabulary:
        """Return the pack for texts on an item's picture: English where no font has the letters of its language."""
        pack = self.words(content)
        return pack if self._writable(pack) else self.pack("en")

    def _writable(self, pack: Vocabulary) -> bool:
        from robustrec.edits.pictures.lettering import writable

        known = self._able.get(pack.language)
        if known is None:
            known = self._able[pack.language] = writable(pack.on_pictures, pack.face)
        return known

    def counted(self, contents: Iterable[Content]) -> str:
        """Return how many texts are edited with which pack: "texts edited as: en 3,020, de 55, unknown 12".

        It is empty if all are in the default language.
        """
        counts = Counter(self.language_of(each) or UNKNOWN for each in contents)
        if not counts.keys() - {self.default}:
            return ""
        parts = [f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
        said = [f"texts edited as: {', '.join(parts)}"]
        if counts[UNKNOWN]:
            said.append(f"unknown languages as {self.default}")
        english = [name for name in counts if not self._writable(self.pack(self.default if name == UNKNOWN else name))]
        if english:
            said.append(f"texts on pictures of {', '.join(sorted(english))} in en: no font has their letters")
        return "; ".join(said)

    @property
    def digest(self) -> str:
        """Digest of all that decides which words an edit takes."""
        packs = {name: self.pack(name).digest for name in self.known}
        return digest_json({"default": self.default, "packs": packs, "py3langid": version("py3langid")})


def languages_of(default: str, files: Sequence[str | Path]) -> Languages:
    """Return the language packs of settings.

    Args:
        default: language of texts of unknown language.
        files: TOML files with packs.

    Raises:
        RobustrecError: a file is invalid, two files have one language, or the default has no pack.
    """
    own: dict[str, Vocabulary] = {}
    for path in map(Path, files):
        from robustrec.edits.vocabulary import read_pack

        pack = read_pack(path.expanduser())
        if pack.language in own:
            raise RobustrecError(
                f"two vocabularies of the language {pack.language!r}",
                where=f"--vocabulary {path}",
                fix="give one file for each language",
            )
        own[pack.language] = pack
    found = Languages(default, tuple(own.values()))
    if default not in found.known:
        raise unknown_name("language", default, found.known, where="--language, or key language of the configuration")
    return found


@lru_cache(maxsize=8192)
def detected(text: str, languages: tuple[str, ...]) -> str | None:
    """Return the language of a text, one of `languages`; None if it is short, ambiguous or of another language.

    Chinese is told by its characters, other languages by py3langid. The same text gives the same answer always.
    """
    letters = [letter for letter in without_markup(text) if letter.isalpha()]
    han = sum(map(is_han, letters))
    if han >= 2 and han >= HAN_SHARE * len(letters) and not any(map(is_kana_or_hangul, letters)):
        return "zh" if "zh" in languages else None
    if len(letters) < LEAST_LETTERS:
        return None
    every, ours = _identifiers(languages)
    if ours is None:
        return None
    plain = without_markup(text)
    (best, how_sure), (own, sure) = every.classify(plain), ours.classify(plain)
    latin = sum(letter < "\u0250" for letter in letters) >= _LATIN_SHARE * len(letters)
    agreed = best == own or (latin and how_sure < OTHER)
    return str(own) if sure >= SURE and agreed else None


@lru_cache(maxsize=8)
def _identifiers(languages: tuple[str, ...]) -> tuple[Any, Any]:
    """Return classifiers of all languages, and of the given ones (None if it knows none of them)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    every = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    ours = deepcopy(every)  # reading the file takes ten times as long
    able = [name for name in languages if name in every.labels]
    if not able:
        return every, None
    ours.set_languages(able)
    return every, ours
