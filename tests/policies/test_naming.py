import re
import string
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastgood import ArgumentError, PlaceholderError
from lastgood._policies.naming import Template


@pytest.mark.parametrize(
    ("template", "epoch", "batch", "logs", "wanted"),
    [
        ("m.keras", 1, None, {}, "m.keras"),
        ("{epoch:02d}.keras", 3, None, {}, "03.keras"),
        ("{epoch}-{batch}.keras", 3, 7, {}, "3-7.keras"),
        ("{epoch}-{batch}.keras", 3, 7, {"batch": 99}, "3-99.keras"),  # a batch in the logs wins
        ("{epoch}-{batch}.keras", 3, None, {"batch": 99}, "3-99.keras"),
        ("{epoch:02d}-{val_loss:.2f}.h5", 3, None, {"val_loss": 0.456}, "03-0.46.h5"),
        ("{val_loss:.2f}.h5", 3, None, {"val_loss": np.float32(0.456)}, "0.46.h5"),
        ("{val_loss:.2f}.h5", 3, None, {"val_loss": np.array([0.456])}, "0.46.h5"),
        ("{seen:04d}.h5", 3, None, {"seen": np.int64(12)}, "0012.h5"),
        ("{top/acc:.1f}.h5", 3, None, {"top/acc": 0.5}, "0.5.h5"),
        ("{{literal}}-{epoch}.h5", 3, None, {}, "{literal}-3.h5"),
    ],
)
def test_a_template_formats_epoch_batch_and_logs(template, epoch, batch, logs, wanted):
    assert Template(template).path(epoch=epoch, batch=batch, logs=logs) == wanted


def test_a_placeholder_missing_from_the_logs_lists_the_available_names():
    with pytest.raises(KeyError) as caught:
        Template("{epoch}-{val_loss:.2f}.keras").path(epoch=1, batch=None, logs={"loss": 1.0})
    assert isinstance(caught.value, PlaceholderError)
    assert str(caught.value) == (
        "Failed to format this callback filepath: \"{epoch}-{val_loss:.2f}.keras\". Reason: 'val_loss'. "
        "Available: epoch, loss. Validation metrics need validation data."
    )


@pytest.mark.parametrize(
    ("template", "remedy"),
    [
        ("{epoch}-{val_loss}.keras", "use {epoch} and {batch}, or save by epoch."),
        ("{epohc}.keras", "Did you mean 'epoch'?"),
        ("{mine}.keras", "Available: batch, epoch, loss."),
    ],
)
def test_a_missing_placeholder_says_what_to_do(template, remedy):
    with pytest.raises(PlaceholderError) as caught:
        Template(template).path(epoch=1, batch=100, logs={"loss": 1.0})
    assert str(caught.value).endswith(remedy)


def test_a_value_that_does_not_fit_its_format_raises_an_error():
    with pytest.raises(ArgumentError, match="Failed to format this callback filepath"):
        Template("{loss:d}.keras").path(epoch=1, batch=None, logs={"loss": 1.5})


@pytest.mark.parametrize("text", ["", "{}.keras", "{0}.keras", "{epoch.keras", "epoch}.keras"])
def test_an_invalid_template_is_refused_at_construction(text):
    with pytest.raises(ValueError, match="filepath"):
        Template(text)


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("a/b.keras", ".keras"),
        ("w.{epoch:02d}-{val_loss:.2f}.hdf5", ".hdf5"),
        ("w.{epoch:02d}-{val_loss:.2f}", ""),
        ("cp-{epoch:04d}.ckpt", ".ckpt"),
        ("/tmp/checkpoint", ""),
        ("runs.d/checkpoint", ""),
        ("version-1.5", ""),
        ("{epoch}.weights.h5", ".h5"),
    ],
)
def test_suffix_is_the_literal_ending(text, suffix):
    assert Template(text).suffix == suffix


@pytest.mark.parametrize(
    ("text", "directory", "matches", "others"),
    [
        ("m.keras", ".", [["m.keras"]], [["mxkeras"], ["m.keras2"]]),
        ("/m.keras", "/", [["m.keras"]], []),
        ("/a/b/{epoch:02d}.keras", "/a/b", [["07.keras"], ["123.keras"]], [["x.keras"], [".keras"]]),
        ("a/{epoch}/m-{loss:.2f}.h5", "a", [["3", "m-0.25.h5"]], [["x", "m-0.25.h5"]]),
        ("{epoch}/m.h5", ".", [["3", "m.h5"]], []),
        ("best-{epoch}.keras", ".", [["best-1.keras"]], [["last-1.keras"], ["best-1.keras.corrupt"]]),
    ],
)
def test_components_match_only_paths_of_the_template(text, directory, matches, others):
    where, patterns = Template(text).components()
    assert where == directory

    def found(names):
        return len(names) == len(patterns) and all(p.fullmatch(n) for p, n in zip(patterns, names, strict=True))

    assert all(found(names) for names in matches)
    assert not any(found(names) for names in others)


_literals = st.text(string.ascii_letters + string.digits + "._- ()[]+*?", max_size=8)
_placeholders = st.sampled_from(["{epoch}", "{epoch:03d}", "{batch:>5}", "{loss:.3f}", "{loss}", "{val_acc:6.1%}"])


@given(
    pieces=st.lists(st.one_of(_literals, _placeholders, st.just("/")), min_size=1, max_size=8),
    epoch=st.integers(1, 10**6),
    batch=st.integers(1, 10**6),
    loss=st.floats(),
)
def test_every_path_of_a_template_matches_it(pieces, epoch, batch, loss):
    text = re.sub("/+", "/", "d/" + "".join(pieces) + "x")
    template = Template(text)
    path = template.path(epoch=epoch, batch=batch, logs={"loss": loss, "val_acc": loss})
    where, patterns = template.components()
    assert path.startswith(where + "/")
    names = path.removeprefix(where + "/").split("/")
    assert len(names) == len(patterns)
    assert all(pattern.fullmatch(name) for pattern, name in zip(patterns, names, strict=True))


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("runs/{tag}.keras", "../../x"),
        ("runs/{tag}.keras", "/etc/x"),
        ("runs/{tag}.keras", "a/b"),
        ("runs/{tag}.keras", "a\0b"),
        ("runs/{tag}/m.keras", ".."),
        ("runs/{tag}/m.keras", "."),
        ("runs/{tag}", ""),
        ("runs/{tag}{tag}/m.keras", "."),
        ("runs/{tag!r}/m.keras", "/"),
        ("runs/{tag:/>9}", "a"),
    ],
)
def test_a_value_that_leads_to_another_directory_is_an_error(template, value):
    with pytest.raises(ArgumentError, match="leads elsewhere"):
        Template(template).path(epoch=1, batch=None, logs={"tag": value})


def test_dots_written_in_the_template_itself_are_allowed():
    assert Template("../{tag}.keras").path(epoch=1, batch=None, logs={"tag": ".."}) == "../...keras"


@pytest.mark.parametrize("template", ["{a}" * 40 + "x", "{epoch}" * 40 + "x", "{a}b" * 10_000, "{a}-" * 60 + "x"])
@pytest.mark.parametrize("name", ["a" * 255, "1" * 255, "-" * 255, "b" * 255, "1 " * 127])
def test_no_template_takes_long_to_match(template, name):
    begun = time.process_time()
    assert not Template(template).matches(name)
    assert time.process_time() - begun < 1


@given(
    pieces=st.lists(
        st.sampled_from(["{epoch}", "{epoch:03d}", "{loss}", "1", "a", "-", "/", " "]), min_size=1, max_size=5
    ),
    name=st.text("1a-/ +", max_size=8),
)
def test_matches_agrees_with_a_regular_expression(pieces, name):
    patterns = {"{epoch}": r"[ +]*\d+ *", "{epoch:03d}": r"[ +]*\d+ *", "{loss}": r"[^/]+"}
    pattern = "".join(patterns.get(piece) or re.escape(piece) for piece in pieces)
    assert Template("".join(pieces)).matches(name) == bool(re.fullmatch(pattern, name))


@pytest.mark.parametrize("letter", ["a", "é", "模", "🦜"])
@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ""])
@pytest.mark.parametrize("prefix", ["interrupted", "last"])
def test_beside_shortens_a_long_name_and_keeps_its_ending(letter, ending, prefix):
    name = letter * (240 // len(letter.encode())) + ending
    beside = Template(f"runs/{name}").beside(prefix)
    assert beside.startswith(f"runs/{prefix}-{letter}")
    assert beside.endswith(ending or "")
    assert len(beside.removeprefix("runs/").encode()) <= 255 - len(".data-00000-of-00001")
    assert beside == Template(f"runs/{name}").beside(prefix)


def test_beside_distinguishes_long_names_that_differ_only_at_the_end():
    names = ["a" * 240 + "1.keras", "a" * 240 + "2.keras", "a" * 240 + "{epoch}.keras", "{epoch}/" + "a" * 240]
    beside = [Template(f"runs/{name}").beside(prefix) for name in names for prefix in ("last", "interrupted")]
    assert len(set(beside)) == len(beside)


def test_beside_does_not_shorten_a_short_name():
    assert Template("runs/{epoch:02d}/m-{loss:.2f}.weights.h5").beside("last") == "runs/last-epoch-m-loss.weights.h5"


def test_beside_also_shortens_a_very_long_text_after_the_last_dot():
    assert len(Template("m." + "a" * 250).beside("interrupted").removeprefix("./")) <= 255
