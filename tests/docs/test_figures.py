"""Measured figures in the documents match results that are kept in the repository."""

import json
import re
import subprocess
import sys
from functools import cache

import pytest

from docs.pages import READMES, ROOT, all_pages, rows_of, text_of

pytestmark = pytest.mark.all_parameters

RESULTS = ROOT / "benchmarks" / "results"
FORMS = ("TensorFlow checkpoint", "SavedModel", ".h5 model", ".keras", ".weights.h5")  # of tf_keras, in its table
COLUMNS = ("stock .keras", "lastgood .keras", "stock .weights.h5", "lastgood .weights.h5", "OrbaxCheckpoint")
FAULTS = {"SIGKILL": "SIGKILL", "power cut": "power cut|断电", "full disk": "full disk|磁盘写满"}
WITH_COMMENT = re.compile(r"([\d.]+)<!-- (\S+\.json): (.+?)( \* 1000)? -->")
DECIMAL_TIME = re.compile(r"\d\.\d+ ?(?:[µm]?s|min|minutes?|seconds?|hours?|h|毫?秒|分钟|小时)(?![A-Za-z])")
NOT_KEPT = {"docs/en/contributing/measurements.md": "## Noted while building"}
LANGUAGES = ("en", "zh")


@cache
def _results(name):
    return json.loads((RESULTS / name).read_text())


def _look_up(found, path):
    """Return the number at a path of keys that are joined by slashes and may contain slashes."""
    if not path:
        return found
    if isinstance(found, list):
        index, _, rest = path.partition("/")
        return _look_up(found[int(index)], rest)
    keys = [key for key in found if f"{path}/".startswith(f"{key}/")]
    return _look_up(found[max(keys, key=len)], path[len(max(keys, key=len)) + 1 :])


@pytest.mark.parametrize("page", all_pages())
def test_each_figure_with_a_comment_matches_its_result(page):
    for shown, name, path, thousand in WITH_COMMENT.findall(text_of(page)):
        value = _look_up(_results(name), path) * (1000 if thousand else 1)
        assert f"{value:.{len(shown.partition('.')[2])}f}" == shown, (name, path)


def test_there_are_figures_with_comments():
    pages = {page for page in all_pages() if WITH_COMMENT.search(text_of(page))}
    assert {"docs/en/ideas/cost.md", "docs/zh/ideas/cost.md", "docs/en/contributing/measurements.md"} <= pages


@pytest.mark.parametrize("page", [page for page in all_pages() if page != "CHANGELOG.md"])
def test_every_time_with_a_decimal_point_in_a_sentence_has_a_comment(page):
    """Such a time was measured; whole ones are limits that the code sets. Tables are compared as a whole."""
    text = text_of(page).partition(NOT_KEPT.get(page, "\0"))[0]
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
    text = re.sub(r"```.*?```", "", "\n".join(lines), flags=re.S)
    assert not DECIMAL_TIME.findall(text)


@pytest.mark.parametrize("time", ["0.5 s", "1.25 ms.", "0.5 seconds", "1.5 min", "0.5 秒内", "0.5毫秒，", "2.5 小时"])
def test_a_time_with_a_decimal_point_is_seen(time):
    assert DECIMAL_TIME.search(time)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_saves_matches_the_benchmark(language):
    results = _results("saves.json")["backends"]
    expected = {
        backend: [f"{result['fit'][column]['median']:.2f} s" for column in COLUMNS]
        for backend, result in results.items()
    }
    assert rows_of(f"docs/{language}/ideas/cost.md", "jax|torch|tensorflow") == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_tf_keras_matches_its_benchmark(language):
    fit = _results("tf_keras.json")["fit"]
    expected = [tuple(f"{fit[f'{who} {form}']['median']:.2f}" for who in ("stock", "lastgood")) for form in FORMS]
    text = text_of(f"docs/{language}/guides/tf-keras.md")
    assert re.findall(r"^\| [^|]+ \| ([\d.]+) s \| ([\d.]+) s \|$", text, re.M) == expected


@pytest.fixture(scope="module")
def crashes():
    """The table of what `make crash` found, made from its results."""
    command = [sys.executable, "-c", "from scenarios.crash import table; print(*table.table(), sep='\\n')"]
    return subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True).stdout


def test_the_table_of_faults_matches_the_results(crashes):
    assert crashes in text_of("GUARANTEES.md")


def test_the_table_of_failing_stores_matches_the_results():
    command = [sys.executable, "-c", "from scenarios.buckets import table; print(*table.table(), sep='\\n')"]
    found = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True).stdout
    assert found in text_of("GUARANTEES.md")


def test_the_table_of_blows_matches_the_results():
    command = [sys.executable, "-c", "from scenarios.hosts import table; print(*table.table(), sep='\\n')"]
    found = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=True).stdout
    assert found in text_of("GUARANTEES.md")


@pytest.mark.parametrize("page", READMES)
def test_the_readme_matches_the_table_of_faults(page, crashes):
    found = {row.split(" | ")[0].strip("| "): row.strip("|").split(" | ")[1:] for row in crashes.splitlines()}
    for fault, names in FAULTS.items():
        (cells,) = rows_of(page, names).values()
        counts = [re.match(r"(\d+) of (\d+)", cell).groups() for cell in found[fault]]
        assert [tuple(re.findall(r"\d+", cell)) for cell in cells] == counts
