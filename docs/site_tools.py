"""What the site has beyond Sphinx: links between the languages, search in Chinese, pictures that follow the theme."""

import re
from pathlib import Path

import click
import typer
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.search import SearchLanguage

from lastgood._cli.app import app as command

HERE = Path(__file__).parent
# Where pages of the repository's root are in the site, for links between them.
ROOT_PAGES = {
    "CHANGELOG.md": "/project/changelog.md",
    "FORMAT.md": "/project/format.md",
    "GUARANTEES.md": "/project/tested.md",
    "SECURITY.md": "/project/security.md",
}
CHINESE_LETTERS = r"\u3400-\u9fff\uf900-\ufaff"
WORDS = re.compile(rf"[{CHINESE_LETTERS}]+|[^\W{CHINESE_LETTERS}]+")

SPLIT_IN_BROWSER = (
    r"""
function splitQuery(query) {
  const words = query.match(/[LETTERS]+|[\p{Letter}\p{Number}_]+/gu) || [];
  return words.flatMap((word) => {
    if (!/[LETTERS]/.test(word) || word.length < 3) return [word];
    return Array.from({length: word.length - 1}, (_, i) => word.slice(i, i + 2));
  });
}
"""
).replace("LETTERS", CHINESE_LETTERS)


class ChineseSearch(SearchLanguage):
    """Search in Chinese by pairs of characters, as search engines do that have no dictionary.

    Any word of two characters or more is found, whether or not a dictionary knows it. Latin words are as they are.
    """

    lang = "zh"
    language_name = "Chinese"
    js_splitter_code = SPLIT_IN_BROWSER

    def split(self, text):
        """Return the terms of a text: pairs of neighbouring Chinese characters, single ones, and Latin words."""
        terms = []
        for word in WORDS.findall(text):
            if re.match(rf"[{CHINESE_LETTERS}]", word):
                terms += [*word, *(word[i : i + 2] for i in range(len(word) - 1))]
            else:
                terms.append(word)
        return terms

    def word_filter(self, word):
        """Return whether a term is worth a place in the index."""
        return bool(word)


class CommandHelp(Directive):
    """What each command of the command line says with ``--help``, a section each."""

    def run(self):
        """Return the sections."""
        group = typer.main.get_command(command)
        context = click.Context(group, info_name="lastgood")
        return [self._section(name, each, context) for name, each in group.commands.items()]

    def _section(self, name, each, context):
        section = nodes.section(ids=[f"lastgood-{name}"], names=[name])
        with click.Context(each, info_name=name, parent=context, terminal_width=72) as inner:
            text = each.get_help(inner)
        section += [nodes.title("", f"lastgood {name}"), nodes.literal_block(text, text, language="none")]
        return section


def link_root_pages(app, relative_path, docname, content):
    """Let links of an included page of the root lead to the site's pages."""
    for name, page in ROOT_PAGES.items():
        content[0] = content[0].replace(f"]({name}", f"]({page}")
    content[0] = re.sub(r"\]\(docs/en/", "](/", content[0])


def follow_theme(app, doctree, docname):
    """Put drawings into the page itself, where they take the theme's colors."""
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix == ".svg":
            drawing = re.sub(r"<\?xml.*?\?>", "", path.read_text(encoding="utf-8"))
            text = f'<div class="drawing">{drawing}</div>'
            image.replace_self(nodes.raw("", text, format="html"))


def link_languages(app, pagename, templatename, context, doctree):
    """Tell the template where the page is in the other language, or that language's first page."""
    chinese = app.config.language == "zh_CN"
    other = HERE / ("en" if chinese else "zh")
    page = pagename if (other / f"{pagename}.md").exists() else "index"
    up = "../" * pagename.count("/")
    context["other_language"] = "English" if chinese else "中文"
    context["other_code"] = "en" if chinese else "zh-CN"
    context["other_page"] = f"{up}{'../' if chinese else 'zh/'}{page}.html"


def setup(app):
    """Connect all of it."""
    app.add_directive("command-help", CommandHelp)
    app.add_search_language(ChineseSearch)
    app.connect("include-read", link_root_pages)
    app.connect("doctree-resolved", follow_theme)
    app.connect("html-page-context", link_languages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
