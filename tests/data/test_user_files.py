"""Images that a command is given by path."""

import dataclasses
from argparse import Namespace

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import takes
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli.inputs import open_contexts, open_input
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.data.user_files import ImageForm, holds_images, read_conditions, read_images, read_mask
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.images import from_picture, to_picture
from pixel_rnn_jax.storage.run_record import RunRecord


def arguments(**changed):
    """The flags of a command that takes --input."""
    flags = {"split": None, "binarization": None, "label": None, "num": None, "seed": 0, "data_dir": None, "size": None}
    return Namespace(input=None, **{**flags, "skip_bad": False, "alpha": None, **changed})


def run_of(model, size, **data):
    config = {"data": {"source": "digits", **data}, "model": dataclasses.asdict(model), "batch_size": 16}
    return RunRecord(config, (*size, model.channels))


def write_pictures(folder, **pictures):
    """Writes grey pictures of these sizes, all of one value; a double underscore separates folders."""
    for number, (name, size) in enumerate(pictures.items()):
        path = folder / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(size, 10 * number, np.uint8)).save(path)


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


def test_a_model_of_four_channels_takes_transparency(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 4)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "x.png")
    for lossless in (False, True):
        np.testing.assert_array_equal(
            read_images(tmp_path / "x.png", ImageForm(256, 4, lossless=lossless)).images, image[None]
        )


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
    args = arguments(split="train")
    assert open_input("npz:x.npz", args, run).images.shape == (3, 8, 8, 1)


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
    (tmp_path / "gone.npz").symlink_to("nowhere")
    (tmp_path / "two").mkdir()
    Image.fromarray(rgb).save(tmp_path / "two" / "a.png")
    Image.fromarray(rgb[:2]).save(tmp_path / "two" / "b.png")
    for name, channels, message in (
        ("colour.png", 1, "is in colour, but the model is of grey images"),
        ("grey.png", 1, "has values between the model's 17 levels"),
        ("grey.png", 2, r"pictures have 1 \(grey\), 3 or 4 channels; the model has 2"),
        ("text.png", 1, "text.png is no PNG, JPEG, WebP or TIFF image"),
        ("large.npy", 1, r"large.npy: images must lie in \[0, 17\); got values from 17 to 17"),
        ("rank.npy", 1, "4 axes"),
        ("other.npz", 1, "must hold an array named images; got train"),
        ("damaged.npz", 1, "is damaged or no npz file of plain arrays"),
        ("empty", 1, "must hold pictures; there are no files in it"),
        ("nowhere", 1, "there is no file or folder .*nowhere"),
        ("gone.npz", 1, "gone.npz is a link to 'nowhere', which leads to nothing"),
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
    painted = np.stack([np.full((4, 5), 255, np.uint8), 255 * known.astype(np.uint8)], -1)  # white, elsewhere transparent
    Image.fromarray(painted).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (4, 5)), known)
    with pytest.raises(ValueError, match=r"must be a mask of 5x4 pixels, bool; got bool of shape \(4, 5\)"):
        read_mask(tmp_path / "m.npy", (5, 4))


def test_pictures_are_treated_like_those_of_the_training_whose_size_was_one_number(tmp_path):
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "x.png")
    data = dataclasses.asdict(DataConfig(source="folder:pictures")) | {"size": [4]}
    model = dataclasses.asdict(takes(256, 3))
    given = open_input(str(tmp_path / "x.png"), arguments(), RunRecord({"data": data, "model": model}, (4, 4, 3)))
    assert given.images.shape == (1, 4, 4, 3)


@pytest.mark.parametrize("name", ["x.png", "x.npy", "x.npz", "tdfs:mnist"])
def test_a_missing_file_is_not_called_damaged(tmp_path, name):
    for read in (lambda path: read_images(path, ImageForm(2, 1)), lambda path: read_mask(path, (2, 2)), read_conditions):
        with pytest.raises(InputError, match=f"there is no file or folder .*{name}"):
            read(tmp_path / name)


def test_pictures_are_brought_to_the_size_of_the_training_and_a_line_says_so(tmp_path, capsys):
    write_pictures(tmp_path / "a", x=(8, 12), y=(16, 16))
    write_pictures(tmp_path, one=(24, 16), small=(3, 9))
    run = run_of(takes(256, 1), (4, 6))
    assert open_input(str(tmp_path / "one.png"), arguments(), run).images.shape == (1, 4, 6, 1)
    assert "one.png: cut and reduced from 24x16 to 4x6 pixels; --size" in capsys.readouterr().err
    assert open_input(str(tmp_path / "a"), arguments(), run).images[:, 0, 0, 0].tolist() == [0, 10]
    assert "cut and reduced from 2 sizes to 4x6 pixels" in capsys.readouterr().err
    assert open_input(str(tmp_path / "a"), arguments(size=(8, 8)), run).images.shape == (2, 8, 8, 1)
    assert "images of 8x8 pixels; the model was trained on 4x6" in capsys.readouterr().err
    assert open_input(str(tmp_path / "one.png"), arguments(size="as-is"), run).images.shape == (1, 24, 16, 1)
    assert open_input(str(tmp_path / "one.png"), arguments(), run, lossless=True).images.shape == (1, 24, 16, 1)
    assert "images of 24x16 pixels; the model was trained on 4x6" in capsys.readouterr().err
    with pytest.raises(InputError, match="must be of one size; got 8x12, 16x16 pixels. --size=H,W"):
        open_input(str(tmp_path / "a"), arguments(size="as-is"), run)
    with pytest.raises(InputError, match="small.png is 3x9 pixels, smaller than 4x6, and never enlarged; .*--size=as-is"):
        open_input(str(tmp_path / "small.png"), arguments(), run)
    assert open_input(str(tmp_path / "small.png"), arguments(size="as-is"), run).images.shape == (1, 3, 9, 1)


def test_context_pictures_are_brought_to_the_size_that_the_model_draws(tmp_path):
    write_pictures(tmp_path, x=(12, 12))
    run = run_of(takes(256, 3, context_channels=1, context_scale=2), (8, 8))
    for size, side in ((None, 4), ((4, 4), 2), ("as-is", 12)):
        args = arguments(size=size)
        args.input = str(tmp_path / "x.png")
        conditions, truth = open_contexts(args, run, default_num=8)
        assert conditions.context.shape == (1, side, side, 1)
        assert truth is None


def test_another_source_is_brought_to_the_size_of_the_training(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", train=np.zeros((4, 16, 16), np.uint8))
    write_pictures(tmp_path / "mine", a=(8, 8), b=(12, 16))
    run = run_of(takes(256, 1), (4, 4))
    for source, shape in ((f"npz:{tmp_path}/x.npz", (4, 4, 4, 1)), (f"folder:{tmp_path}/mine", (2, 4, 4, 1))):
        assert open_input(source, arguments(), run).images.shape == shape
        assert "larger images are cut and reduced to 4x4 pixels; --size" in capsys.readouterr().err
    assert open_input(f"npz:{tmp_path}/x.npz", arguments(size="as-is"), run).images.shape == (4, 16, 16, 1)
    assert open_input(f"npz:{tmp_path}/x.npz", arguments(size=(8, 8)), run).images.shape == (4, 8, 8, 1)


def test_what_is_compressed_is_taken_at_its_size(tmp_path):
    write_pictures(tmp_path, a=(8, 12), b=(8, 12))
    run = run_of(takes(256, 1), (4, 4))
    run.config["data"]["size"] = (4, 4)
    for path in (str(tmp_path), f"folder:{tmp_path}"):
        assert open_input(path, arguments(), run, lossless=True).images.shape == (2, 8, 12, 1)
        assert open_input(path, arguments(), run).images.shape == (2, 4, 4, 1)


def test_an_empty_path_is_not_the_current_folder():
    with pytest.raises(InputError, match="a path must name a file or a folder; got ''"):
        open_input("", arguments(), run_of(takes(256, 1), (4, 4)))


def test_arrays_are_taken_as_they_are(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((2, 6, 6), np.uint8))
    run = run_of(takes(256, 1), (4, 4))
    assert open_input(str(tmp_path / "x.npy"), arguments(), run).images.shape == (2, 6, 6, 1)
    assert "images of 6x6 pixels; the model was trained on 4x4" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"--size is for pictures; got \(4, 4\) with the arrays of .*x.npy"):
        args = arguments(size=(4, 4))
        args.input = str(tmp_path / "x.npy")
        open_input(args.input, args, run)


def test_a_folder_is_read_with_its_subfolders_and_other_files_are_counted(tmp_path, capsys):
    write_pictures(tmp_path, a=(4, 4), b__c=(4, 4), b__d__e=(4, 4))
    for name in ("Thumbs.db", "b/list.csv", ".hidden", "LICENSE"):
        (tmp_path / name).write_text("no picture")
    found = open_input(str(tmp_path), arguments(), run_of(takes(256, 1), (4, 4)))
    assert found.names == ["a.png", "b/c.png", "b/d/e.png"]
    assert found.images[:, 0, 0, 0].tolist() == [0, 10, 20]
    told = capsys.readouterr().err
    assert "passed over 3 files that are no pictures by their names: LICENSE; Thumbs.db; b/list.csv" in told


@pytest.mark.parametrize("trained", [False, True])
def test_bad_pictures_stop_it_unless_they_are_to_be_left_out(trained, tmp_path, capsys):
    write_pictures(tmp_path, a=(4, 4), b=(4, 4), c=(3, 3))
    (tmp_path / "bad.gif").write_text("a picture by its name")
    run = run_of(takes(256, 1), (4, 4), skip_bad=trained)
    if not trained:
        with pytest.raises(InputError, match="bad.gif is no PNG, JPEG, WebP or TIFF image. --skip_bad leaves"):
            open_input(str(tmp_path), arguments(), run)
    assert open_input(str(tmp_path), arguments(skip_bad=not trained), run).names == ["a.png", "b.png"]
    assert "left out 2 of 4 pictures: bad.gif is no PNG, JPEG, WebP or TIFF image; c.png is 3x3" in capsys.readouterr().err
    write_pictures(tmp_path / "none", c=(3, 3))
    with pytest.raises(InputError, match="at least 1 picture that can be used; .* left out 1 of 1 pictures: c.png is 3x3"):
        open_input(str(tmp_path / "none"), arguments(skip_bad=True), run)


@pytest.mark.parametrize("memory_gib", [4.0, 0.0])
def test_another_source_is_taken_whole_unless_a_split_is_named(memory_gib, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "mine", **{f"{name}__{number}": (4, 4) for name in "abc" for number in range(4)})
    write_pictures(tmp_path / "one", x=(4, 4))
    train, test = np.full((10, 4, 4), 1, np.uint8), np.full((2, 4, 4), 2, np.uint8)
    np.savez("x.npz", train=train, test=test, train_labels=np.arange(10) % 3, test_labels=np.full(2, 2))
    run = run_of(takes(256, 1), (4, 4), memory_gib=memory_gib)
    mine = open_input("folder:mine", arguments(), run)
    assert sorted(mine.images[:, 0, 0, 0].tolist()) == list(range(0, 120, 10))
    assert dict(zip(mine.names, mine.images[:, 0, 0, 0].tolist(), strict=True))["b/2.png"] == 60
    assert len(open_input("folder:mine", arguments(split="validation"), run).images) == 2
    assert open_input("folder:one", arguments(), run).names == ["x.png"]
    labelled = run_of(takes(256, 1, num_classes=3), (4, 4), memory_gib=memory_gib)
    both = open_input("npz:x.npz", arguments(), labelled, in_memory=False)
    assert both.images[np.array([0, 9, 10, 11])][:, 0, 0, 0].tolist() == [1, 1, 2, 2]
    assert both.conditions.labels.tolist() == [*(np.arange(10) % 3), 2, 2]
    assert both.names[:1] + both.names[-1:] == ["train/0", "test/1"]
    assert len(open_input("npz:x.npz", arguments(split="test"), labelled).images) == 2
    trained = run_of(takes(256, 1, num_classes=3), (4, 4), source="npz:x.npz")
    assert open_input("npz:x.npz", arguments(), trained).name == "npz:x.npz, test", "as without --input"


def test_a_larger_mask_is_cut_and_reduced_like_the_pictures(tmp_path):
    known = np.ones((8, 12), bool)
    known[2:4, 5] = False
    Image.fromarray(known).save(tmp_path / "m.png")
    expected = np.ones((4, 4), bool)
    expected[1, 1] = False  # its left half is known
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (4, 4)), expected)
    np.save(tmp_path / "m.npy", known)
    with pytest.raises(InputError, match="must be a mask of 4x4 pixels"):
        read_mask(tmp_path / "m.npy", (4, 4))


def test_samples_become_pictures_that_can_be_seen():
    images = jnp.array([[[[0], [7]]]], jnp.uint8)
    np.testing.assert_array_equal(prnn.to_picture(images, 8), [[[[0], [255]]]])
    np.testing.assert_array_equal(prnn.to_picture(np.array([0, 1, 2]), 3), [0, 128, 255])
    assert prnn.to_picture(np.array([255]), 256).dtype == np.uint8
    for bad, levels in ((images, 7), (images - 0.5, 8), (images, 1)):
        with pytest.raises(ValueError, match="must"):
            prnn.to_picture(bad, levels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_more_than_256_levels_are_taken_as_they_are(suffix, tmp_path):
    images = np.random.default_rng(0).integers(0, 4096, (2, 4, 5, 1))
    images[0, 0, 0] = 4095
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "pictures").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0].astype(np.uint16)).save(tmp_path / "pictures" / f"{number}.{suffix}")
    for name in ("x.npy", "pictures"):
        for lossless in (False, True):
            found = read_images(tmp_path / name, ImageForm(4096, 1, lossless=lossless)).images
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, images)
    quantized = read_images(tmp_path / "pictures", ImageForm(256, 1, source_levels=4096)).images
    np.testing.assert_array_equal(quantized, images // 16)
    for name, levels, message in (
        ("x.npy", 4095, r"x.npy: images must lie in \[0, 4095\); got values from \d+ to 4095"),
        (f"pictures/0.{suffix}", 4095, r"has values from \d+ to 4095; they must lie in \[0, 4095\)"),
        (f"pictures/0.{suffix}", 256, "has more than 8 bits per channel"),
    ):
        with pytest.raises(InputError, match=message):
            read_images(tmp_path / name, ImageForm(levels, 1, lossless=True))
