"""The documents and their contents."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
IN_ROOT = (*READMES, "CHANGELOG.md", "FORMAT.md", "GUARANTEES.md", "SECURITY.md")
TRANSLATED = ("start", "guides", "ideas")


def text_of(name):
    """Return the text of a document by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def site_pages(language):
    """Return the paths of a language's pages below `docs/`, without the language: `guides/resume.md`, …"""
    folder = ROOT / "docs" / language
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))


def all_pages():
    """Return the path of every document in the repository."""
    return [*IN_ROOT, *(f"docs/{language}/{page}" for language in ("en", "zh") for page in site_pages(language))]


def pairs():
    """Yield (English page, the same page in Chinese)."""
    yield READMES
    for page in site_pages("en"):
        if page == "index.md" or page.startswith(TRANSLATED):
            yield f"docs/en/{page}", f"docs/zh/{page}"


def blocks_of(name):
    """Return (language, code) of each code block of a document, including those in lists, without directives."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text_of(name), re.M | re.S)
    return [(language, textwrap.dedent(code)) for _, language, code in found]


def rows_of(name, start):
    """Return the cells of the table rows of a document whose first cell matches a pattern."""
    rows = re.findall(rf"^\| ({start}) \| (.*) \|$", text_of(name), re.M)
    return {first: cells.split(" | ") for first, *_, cells in rows}
