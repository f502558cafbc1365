"""Images that a command is given by path."""

import dataclasses
from argparse import Namespace

import numpy as np
import pytest
from conftest import takes
from PIL import Image

from pixel_rnn_jax.cli.inputs import open_input
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.data.user_files import ImageForm, holds_images, read_conditions, read_images, read_mask
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import from_picture, to_picture
from pixel_rnn_jax.storage.run_record import RunRecord


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_pictures_hold_all_levels(levels):
    values = np.arange(levels, dtype=np.uint8)
    np.testing.assert_array_equal(from_picture(to_picture(values, levels), levels), values)


def test_a_picture_and_a_folder(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (3, 4, 5)).astype(np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(to_picture(image, 17)).save(tmp_path / f"{number}.png")
    (tmp_path / ".hidden").write_text("no picture")
    for lossless in (False, True):
        one = read_images(tmp_path / "1.png", ImageForm(17, 1, lossless=lossless)).images
        np.testing.assert_array_equal(one[..., 0], images[1:2])
        many = read_images(tmp_path, ImageForm(17, 1, lossless=lossless)).images
        np.testing.assert_array_equal(many[..., 0], images)


def test_arrays(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (3, 4, 5))
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", images=images[..., None], others=0)
    for name in ("x.npy", "x.npz"):
        read = read_images(tmp_path / name, ImageForm(17, 1)).images
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read[..., 0], images)


def test_endings_may_be_capital(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (3, 4, 5, 1))
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(3))
    (tmp_path / "x.npz").rename(tmp_path / "X.NPZ")
    np.testing.assert_array_equal(read_images(tmp_path / "X.NPZ", ImageForm(17, 1)).images, images)
    assert holds_images(tmp_path / "X.NPZ")
    np.testing.assert_array_equal(read_conditions(tmp_path / "X.NPZ").labels, np.arange(3))


def test_a_named_source_is_where_the_user_is(tmp_path, monkeypatch):
    """Not where the data of the training was."""
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", train=np.zeros((4, 8, 8), np.uint8))
    config = takes(2, 1)
    data = DataConfig(source="npz:train.npz", data_dir="/elsewhere")
    run = RunRecord({"data": dataclasses.asdict(data), "model": dataclasses.asdict(config)}, (8, 8, 1))
    args = Namespace(
        input="npz:x.npz",
        split="train",
        data_dir=None,
        binarization=None,
        label=None,
        num=None,
        seed=0,
        size=None,
        skip_bad=False,
    )
    assert open_input(args.input, args, run).images.shape == (3, 8, 8, 1)


def test_what_cannot_be_used(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (4, 5, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "colour.png")
    Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
    (tmp_path / "text.png").write_text("no picture")
    np.save(tmp_path / "large.npy", np.full((1, 2, 2), 17))
    np.save(tmp_path / "rank.npy", np.zeros((2, 2), int))
    np.savez(tmp_path / "other.npz", train=np.zeros((1, 2, 2), int))
    (tmp_path / "damaged.npz").write_bytes(b"PK no zip")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    Image.fromarray(rgb).save(tmp_path / "two" / "a.png")
    Image.fromarray(rgb[:2]).save(tmp_path / "two" / "b.png")
    for name, channels, message in (
        ("colour.png", 1, "is in colour, but the model is of grey images"),
        ("grey.png", 1, "has values between the model's 17 levels"),
        ("grey.png", 2, r"pictures have 1 \(grey\) or 3 channels; the model has 2"),
        ("text.png", 1, "text.png is no PNG, JPEG or WebP image"),
        ("large.npy", 1, r"large.npy: images must lie in \[0, 17\); got values from 17 to 17"),
        ("rank.npy", 1, "4 axes"),
        ("other.npz", 1, "must hold an array named images; got train"),
        ("damaged.npz", 1, "is damaged or no npz file of plain arrays"),
        ("empty", 1, "must hold pictures that can be used; there are no files in it"),
        ("nowhere", 1, "there is no file or folder .*nowhere"),
    ):
        with pytest.raises(ValueError, match=message):
            read_images(tmp_path / name, ImageForm(17, channels, lossless=True))
    with pytest.raises(ValueError, match="must be of one size; got 2x5, 4x5 pixels"):
        read_images(tmp_path / "two", ImageForm(256, 3))


def test_masks(tmp_path):
    known = np.random.default_rng(0).random((4, 5)) < 0.5
    np.save(tmp_path / "m.npy", known)
    Image.fromarray(known).save(tmp_path / "m.png")
    for name in ("m.npy", "m.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, (4, 5)), known)
    with pytest.raises(ValueError, match=r"must be a mask of 5x4 pixels; got bool of shape \(4, 5\)"):
        read_mask(tmp_path / "m.npy", (5, 4))


def test_pictures_are_treated_like_those_of_the_training_whose_size_was_one_number(tmp_path):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "x.png")
    data = dataclasses.asdict(DataConfig(source="folder:pictures")) | {"size": [4]}
    model = dataclasses.asdict(takes(256, 3))
    args = Namespace(
        input="x.png", split=None, binarization=None, num=None, seed=0, data_dir=None, label=None, size=None, skip_bad=False
    )
    given = open_input(str(tmp_path / "x.png"), args, RunRecord({"data": data, "model": model}, (4, 4, 3)))
    assert given.images.shape == (1, 4, 4, 3)


@pytest.mark.parametrize("name", ["x.png", "x.npy", "x.npz", "tdfs:mnist"])
def test_a_missing_file_is_not_called_damaged(tmp_path, name):
    for read in (lambda path: read_images(path, ImageForm(2, 1)), lambda path: read_mask(path, (2, 2)), read_conditions):
        with pytest.raises(InputError, match=f"there is no file or folder .*{name}"):
            read(tmp_path / name)
