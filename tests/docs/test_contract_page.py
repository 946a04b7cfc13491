"""The contract's page: it has every line that a test cites, and its table of formats matches the code."""

import inspect
import re
from pathlib import Path

from lastgood import ModelCheckpoint
from lastgood._formats.registry import FORMATS

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs/en/reference/contract.md").read_text(encoding="utf-8")


def test_every_contract_line_that_a_test_cites_exists():
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", CONTRACT, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    cited = set(map(int, re.findall(r"def test_line_(\d+)", sources)))
    assert cited
    assert cited <= set(numbers)


def test_the_signature_shown_begins_with_the_nine_arguments_of_keras():
    shown = re.search(r"^ModelCheckpoint\(filepath, (.*?) \*, \.\.\., \*\*kwargs\)$", CONTRACT, re.M | re.S)[1]
    parameters = list(inspect.signature(ModelCheckpoint).parameters.values())[1:9]
    assert re.findall(r"(\w+)=([^,]+),", shown) == [(p.name, repr(p.default).replace("'", '"')) for p in parameters]


def test_the_table_of_formats_has_every_ending():
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|", CONTRACT, re.M)
    table = {row[0]: row[1:] for row in rows}
    for each in FORMATS:
        for generation, endings in each.endings.items():
            for ending in endings:
                no_ending = "anything else, tf_keras" if generation == "tf_keras" else "no ending, Keras 3"
                row = next((key for key in table if f"`*{ending}`" in key), None) if ending else no_ending
                weights, model = table[row]
                cell = weights if each.weights_only else model
                assert cell != "error", (each, generation, ending)
