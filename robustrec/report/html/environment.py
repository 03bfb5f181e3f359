"""Templates of the pages, with their style, their script and the content security policy."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shlex
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from robustrec.files import digest_json
from robustrec.reading.conditions import condition_words
from robustrec.reading.texts import shortened, visible

_LONGEST = 4000
_TEMPLATES = "robustrec.report.html"
_NEGATIVE = re.compile(r"(?:(?<=^)|(?<=[\s(\[“]))-(?=[\d<])")
_UNIT = re.compile(r"(?<=\d) (?=%)")


class Part(NamedTuple):
    """A section of the page: id, heading, entry in the contents, and its content."""

    key: str
    title: str
    short: str
    body: Markup


@functools.cache
def page_environment() -> Environment:
    """Return the template environment, with escaping and errors for unknown names.

    Style and script of the page are globals, and the policy that allows no others by their hashes.
    """
    environment = Environment(
        loader=PackageLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalized,
    )
    environment.filters["figures"] = lambda figures: bool(figures.plots)
    environment.filters["words"] = condition_words
    environment.filters["num"] = with_signs
    environment.filters["slug"] = slug
    environment.filters["shell"] = shlex.join
    style, script = f"{_asset('style.css')}\n{_asset('charts.css')}", _asset("script.js")
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
    environment.globals["policy"] = f"{policy}base-uri 'none'; form-action 'none'"
    environment.globals["style"] = Markup(style)  # noqa: S704 files of the package
    environment.globals["script"] = Markup(script)  # noqa: S704
    return environment


def _finalized(value: Any) -> Any:
    return shortened(visible(value), _LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def with_signs(text: str) -> str:
    """Return a text with a minus sign (U+2212) in negative numbers and a no-break space before "%"."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", _NEGATIVE.sub("\N{MINUS SIGN}", text))


def slug(word: str) -> str:
    """Return the part of an id that stands for a term of the glossary."""
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") or digest_json(word)[:8]


def render(template: str, **context: Any) -> Markup:
    """Return a template of the page with its context."""
    return Markup(page_environment().get_template(template).render(context))  # noqa: S704 the templates escape


def section(name: str, **context: Any) -> Markup:
    """Return the content of a section from its template."""
    return render(f"sections/{name}.html.j2", **context)


def _asset(name: str) -> str:
    text = resources.files(_TEMPLATES).joinpath("templates", name).read_text(encoding="utf-8")
    return "\n".join(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("//"))


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
