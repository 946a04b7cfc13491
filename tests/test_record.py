import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood._bytes import directory_record
from lastgood._record import Record, RecordText

RECORD = Record(
    step=12, epoch=3, batch=None, metrics={"loss": 0.5}, format="keras", created=1.5, versions={"keras": "3.15.1"}
)


@given(
    step=st.integers(0, 2**60),
    epoch=st.integers(1, 10**6),
    batch=st.none() | st.integers(1, 10**6),
    metrics=st.dictionaries(st.text(), st.floats()),
)
def test_a_record_round_trips_through_json(step, epoch, batch, metrics):
    record = Record(step=step, epoch=epoch, batch=batch, metrics=metrics, format="keras", created=0.0)
    copy = Record.from_text(record.to_text())
    assert copy is not None
    assert copy.metrics.keys() == metrics.keys()
    assert all(copy.metrics[k] == v or (math.isnan(v) and math.isnan(copy.metrics[k])) for k, v in metrics.items())
    assert (copy.step, copy.epoch, copy.batch) == (step, epoch, batch)


def test_the_json_of_a_record_is_strict_and_has_a_version():
    text = Record(step=1, epoch=1, batch=2, metrics={"loss": math.nan}, format="keras", created=0.0).to_text().text
    assert json.loads(text, parse_constant=pytest.fail)["lastgood"] == 1
    assert json.loads(text)["metrics"] == {"loss": "NaN"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"lastgood": 1}',
        RECORD.to_text().text.replace('"lastgood": 1', '"lastgood": 2'),
        RECORD.to_text().text.replace("0.5", "NaN"),
        RECORD.to_text().text.replace("0.5", '"bad"'),
        RECORD.to_text().text.replace('"step": 12', '"step": "12"'),
        RECORD.to_text().text[:-5],
    ],
)
def test_text_that_is_not_a_record_of_a_known_version_reads_as_none(text):
    assert Record.from_text(RECORD.to_text()) == RECORD
    assert Record.from_text(RecordText(text)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"crc32": 5}', '{"crc32": "xyz"}', "[" * 100_000])
def test_a_damaged_text_has_no_digest(text):
    assert RecordText(text).digest is None
    assert RecordText(text).table is None


def test_the_text_of_a_record_locates_its_digest_and_the_table():
    record = replace(RECORD, metrics={"模型": 0.5, "crc32": math.nan})
    text = record.to_text((1000, 48))
    encoded = text.text.encode()
    assert encoded[text.digest_at :][:8] == b"00000000"
    assert text.digest == "00000000"
    assert text.table == (1000, 48)
    assert Record.from_text(text).metrics["模型"] == 0.5


def test_a_record_too_long_for_readers_drops_its_metrics_or_is_an_error():
    some = {f"part-{number}": (1, 2) for number in range(100)}
    assert replace(RECORD, metrics={"m" * (17 << 20): 1.0}).to_text(files=some).values["metrics"] == {}
    many = {f"part-{number}": (1, 2) for number in range(300_000)}
    with pytest.raises(ValueError, match="of 300000 files, would be too long"):
        RECORD.to_text(files=many)


def test_a_record_that_can_list_files_is_one_that_readers_accept():
    names = [f"pytree/trainable_variables.model.layer{number}.kernel/c.0.{number}" for number in range(120_000)]
    assert directory_record.can_list(names)
    text = replace(RECORD, metrics={"m" * 500_000: 1.0}).to_text(files=dict.fromkeys(names, (1 << 40, 1 << 32)))
    assert text.values["metrics"]
    assert len(text.files) == len(names)
    assert not directory_record.can_list(f"c.{number}" for number in range(170_000))
