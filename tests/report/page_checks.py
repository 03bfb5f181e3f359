"""What every page of the project must be, as a parser sees it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Seen(HTMLParser):
    """What a page consists of, and that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.elements, self.text, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)
        self.elements.append((tag, dict(attrs)))
        self.ids += [text for name, text in attrs if name == "id"]

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [text for name, text in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def digest(text):
    """The hash of an inline style or script as a policy has it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def seen(page):
    parser = Seen()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


HARMLESS = ("#", "data:image/jpeg;base64,", "data:image/webp;base64,", "data:,")


def is_harmless(page):
    """Check that a page runs its own script alone, and refers to nothing outside."""
    parser = seen(page)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert [attributes for tag, attributes in parser.elements if tag == "script"] == [{}]
    (policy,) = [attributes["content"] for tag, attributes in parser.elements if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src '{digest(scripts[0])}'" in policy
    for tag, attributes in parser.elements:
        assert tag not in {"iframe", "object", "embed", "form", "base"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "xlink:href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith(HARMLESS), (tag, name)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    return parser
