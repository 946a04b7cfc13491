"""The page on the tested versions shows the results."""

from pathlib import Path

from . import table

PAGE = Path(__file__).parents[2] / "docs" / "en" / "project" / "versions.md"


def test_the_page_shows_the_results():
    shown = PAGE.read_text(encoding="utf-8").partition("<!-- the tables of tests/versions/table.py -->\n")[2]
    assert shown.partition("<!-- the end of the tables -->")[0] == "\n" + "\n".join(table.table()) + "\n\n"


def test_each_cell_was_run():
    assert len(table.results()) == 17
    assert all(cell["passed"] for cell in table.results().values())
