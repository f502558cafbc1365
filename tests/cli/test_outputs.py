"""What commands write has its name only when it is complete."""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import pytest

from pixel_rnn_jax import plots
from pixel_rnn_jax.cli import outputs, pictures
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import write_whole

IMAGES = np.zeros((1, 2, 2, 3), np.uint8)
NONE_KNOWN, ORDER = np.zeros((2, 2), bool), np.arange(4).reshape(2, 2)
NOT_UTF8 = os.fsdecode(b"$caf\xe9$_^.png")
SCORES = np.array([1.0, 2.0])
WRITERS = {
    "a.npz": lambda path: outputs.write_arrays(path, images=IMAGES),
    "a.csv": lambda path: outputs.write_csv(path, [("image", "nats"), (0, 1.5)]),
    "a.json": lambda path: outputs.write_json(path, {"nats": 1.5}),
    "sheet.png": lambda path: plots.save_sheet(path, IMAGES, columns=1),
    "a.gif": lambda path: plots.save_animation(path, IMAGES, NONE_KNOWN, ORDER, columns=1),
    "a.webp": lambda path: plots.save_animation(path, IMAGES, NONE_KNOWN, ORDER, columns=1),
    "curves.png": lambda path: plots.save_curves(path, {"": [{"step": 5, "validation_bits_per_dim": 2.0}]}),
    "histogram.png": lambda path: plots.save_histogram(path, {"test": SCORES}, title=""),
    "map.png": lambda path: plots.save_map(path, IMAGES[0], np.ones((2, 2)), most=2.0, title=NOT_UTF8),
    "table.png": lambda path: plots.save_comparison(path, ["a", "b"], measured=SCORES, published=SCORES, title=""),
    "scaling.png": lambda path: plots.save_scaling(path, {"batch": {"row_lstm": [(1.0, 0.1), (2.0, 0.2)]}}, title=""),
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_could_not_be_completed_leaves_what_was_there(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path)
    before = path.read_bytes()
    write_bytes = Path.write_bytes

    def fill_the_disk(file, content):
        write_bytes(file, content[: len(content) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[name](path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == before


def test_names_of_pictures():
    assert pictures.picture_names(2) == ["000000", "000001"]
    labels = np.array([1, 0], np.int32)
    assert pictures.picture_names(2, labels, ("0", "1")) == ["000000_1", "000001_0"]
    assert pictures.picture_names(2, labels, ("cat", "dog/wolf")) == ["000000_dog-wolf", "000001_cat"]


def test_pictures_have_one_or_three_channels():
    pictures.check_channels(1, "--pictures")
    pictures.check_channels(3, "--pictures")
    with pytest.raises(InputError, match="--pictures: pictures must have 1 or 3.* channels; these have 2"):
        pictures.check_channels(2, "--pictures")


def test_an_interrupted_folder_has_not_its_name(tmp_path):
    (tmp_path / "x.unfinished").mkdir()
    (tmp_path / "x.unfinished" / "old").touch()
    with pytest.raises(OSError, match="No space left"), pictures.whole_folder(tmp_path / "x") as folder:
        assert not any(folder.iterdir())
        raise OSError("No space left on device")
    assert not (tmp_path / "x").exists()


def test_what_a_link_leads_to_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for content in (b"first", b"second"):
        write_whole(tmp_path / "link", content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()


def test_where_a_link_leads_is_looked_at(tmp_path):
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "missing" / "file.csv")
    (tmp_path / "folder.csv").symlink_to(tmp_path)
    for name in ("nowhere.csv", "folder.csv"):
        with pytest.raises(argparse.ArgumentTypeError, match="must be a file"):
            outputs.output_file(".csv")(str(tmp_path / name))


def test_what_is_no_regular_file_stays_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", b"content")
    assert os.read(reader, 100) == b"content"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)


def test_names_of_any_encoding_are_written_as_they_are(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    outputs.write_csv(tmp_path / "a.csv", [("image",), (name,)])
    with (tmp_path / "a.csv").open(errors="surrogateescape", newline="") as file:
        assert list(csv.reader(file)) == [["image"], [name]]
