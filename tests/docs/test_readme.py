"""The READMEs are short, and what the documents name exists."""

import inspect
import re

import pytest

from docs.pages import READMES, ROOT, text_of
from lastgood import ModelCheckpoint

pytestmark = pytest.mark.all_parameters


@pytest.mark.parametrize("name", READMES)
def test_a_readme_can_be_read_in_five_minutes(name):
    text = text_of(name)
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 900


@pytest.mark.parametrize("name", READMES)
def test_every_relative_link_of_a_readme_has_a_target(name):
    targets = re.findall(r"\]\(([^)#]+)", text_of(name))
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_argument_table_names_every_argument(language):
    parameters = inspect.signature(ModelCheckpoint).parameters.values()
    arguments = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    text = text_of(f"docs/{language}/guides/arguments.md")
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\|", text, re.M)
    assert rows == [(p.name, "" if p.default is p.empty else repr(p.default).replace("'", '"')) for p in arguments]


def test_every_test_that_the_guarantees_name_exists():
    named = set(re.findall(r"`(test_\w+)[`[]", text_of("GUARANTEES.md")))
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "src/lastgood/testing/conformance").glob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in files]
    there = {name for source in sources for name in re.findall(r"^(?:    )?def (test_\w+)", source, re.M)}
    assert named
    assert named <= there
