"""A folder of pictures as a source."""

import dataclasses
import multiprocessing
import shutil
import struct
import zlib
from argparse import Namespace

import cloudpickle
import numpy as np
import pytest
from conftest import takes
from PIL import Image

from pixel_rnn_jax.cli.inputs import open_input
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.data.sources.copies import first_copies
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.storage.run_record import RunRecord


def write_images(folder, count, shape=(8, 8, 3), suffix="png", seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{number}.{suffix}")
    return images


def open_folder(path, *, channels=3, levels=256, **fields):
    dataset = Dataset(DataConfig(source=f"folder:{path}", **fields), takes(levels, channels))
    dataset.decode()
    return dataset


def open_all(path, **options):
    """The images of both splits."""
    dataset = open_folder(path, **options)
    return dataset.images("train"), dataset.images("validation")


def as_set(*arrays):
    return sorted(image.tobytes() for array in arrays for image in array)


def test_all_files_below_are_read_and_split(tmp_path):
    images = [write_images(tmp_path / "a", 15), write_images(tmp_path / "b" / "c", 15, seed=1)]
    write_images(tmp_path / ".hidden", 3)
    dataset = open_folder(tmp_path)
    train, validation = dataset.images("train"), dataset.images("validation")
    assert (len(train), len(validation), dataset.splits) == (27, 3, ("train", "validation"))
    assert as_set(train, validation) == as_set(*images)
    assert 0 < len(set(as_set(validation)) & set(as_set(images[0]))) < 3, "validation must be of both subfolders"
    np.testing.assert_array_equal(open_folder(tmp_path).images("train"), train)
    named = [np.asarray(Image.open(tmp_path / name)) for name in dataset.names("validation")]
    np.testing.assert_array_equal(np.reshape(named, validation.shape), validation)


def test_subfolders_may_be_the_splits(tmp_path):
    images = {
        split: write_images(tmp_path / split, 3, seed=seed) for seed, split in enumerate(("train", "validation", "test"))
    }
    dataset = open_folder(tmp_path)
    for split, array in images.items():
        np.testing.assert_array_equal(dataset.images(split), array)
    (tmp_path / "labels.csv").write_text("0")
    open_folder(tmp_path)
    (tmp_path / "valid").mkdir()
    with pytest.raises(InputError, match="valid and validation both mean validation"):
        open_folder(tmp_path)
    shutil.rmtree(tmp_path / "train")
    shutil.rmtree(tmp_path / "valid")
    with pytest.raises(InputError, match="must hold the folders train, .* got test, validation"):
        open_folder(tmp_path)


@pytest.mark.parametrize("names", [("Train", "VAL", "Test"), ("training", "dev", "testing"), ("train", "Valid", "TESTING")])
def test_splits_may_be_spelled_in_other_ways(tmp_path, names, capsys):
    images = [write_images(tmp_path / name / "class", 3, seed=seed) for seed, name in enumerate(names)]
    dataset = Dataset(DataConfig(source=f"folder:{tmp_path}"), takes(256, 3, num_classes=1))
    for split, array in zip(("train", "validation", "test"), images, strict=True):
        np.testing.assert_array_equal(dataset.images(split)[np.arange(3)], array)
    assert dataset.classes == ("class",)
    assert f"taken as splits: {names[0]}" in capsys.readouterr().err
    write_images(tmp_path / "others", 3, seed=9)
    with pytest.raises(InputError, match="must hold the folders train, validation and test .* and no other folders"):
        open_folder(tmp_path)


def test_splits_further_down_are_not_mixed(tmp_path):
    for seed, name in enumerate(("mnist/Train", "mnist/Test")):
        write_images(tmp_path / name, 3, seed=seed)
    with pytest.raises(InputError, match="mnist holds Train and Test, which would be mixed"):
        open_folder(tmp_path)
    assert len(open_folder(tmp_path / "mnist").images("test")) == 3
    shutil.rmtree(tmp_path / "mnist" / "Train")  # a single folder of such a name is a class, or anything
    assert len(open_folder(tmp_path).images("train")) == 2


def test_training_images_sorted_by_class_lend_all_classes_to_validation(tmp_path):
    """Also where a test split is there already."""
    for number, name in enumerate(("train/a", "train/b", "test/a")):
        write_images(tmp_path / name, 20, seed=number)
    names = open_folder(tmp_path).names("validation")
    assert len(names) == 4
    assert {name.split("/")[1] for name in names} == {"a", "b"}


def test_pictures_beside_the_splits_are_not_overlooked(tmp_path):
    write_images(tmp_path / "train", 3, (8, 8, 3))
    (tmp_path / "README.txt").write_text("not a picture")
    assert len(open_folder(tmp_path).images("train")) == 2
    write_images(tmp_path, 1, (8, 8, 3))
    with pytest.raises(InputError, match="no other folders or pictures, .* got 0.png, train"):
        open_folder(tmp_path)


def test_images_are_made_of_one_size(tmp_path):
    write_images(tmp_path, 5, (16, 24, 3), "jpg")
    write_images(tmp_path, 5, (20, 18, 1), "webp")
    dataset = open_folder(tmp_path, size=(12, 8), channels=1)
    assert dataset.images("train").shape == (9, 12, 8, 1)
    with pytest.raises(InputError, match=r"others are .*; set data.size=H,W .* cuts and reduces all"):
        open_folder(tmp_path)
    with pytest.raises(InputError, match=r"smaller than data.size \(17x8\)"):
        open_folder(tmp_path, size=(17, 8))


def test_a_picture_of_ones_own_is_treated_like_those_of_the_training(tmp_path, capsys):
    write_images(tmp_path / "train", 3, (16, 24, 3))
    write_images(tmp_path / "test", 2, (20, 18, 3))
    fields = {"source": f"folder:{tmp_path}", "size": (12, 8), "quantize": True}
    config = ModelConfig(layer="row_lstm", levels=8, channels=3)
    run = RunRecord({"data": dataclasses.asdict(DataConfig(**fields)), "model": dataclasses.asdict(config)}, (12, 8, 3))
    args = Namespace(
        input=str(tmp_path / "test"),
        split=None,
        data_dir=None,
        binarization=None,
        label=None,
        num=None,
        seed=0,
        size=None,
        skip_bad=False,
        alpha=None,
    )
    expected = Dataset(DataConfig(**fields), config).images("test")
    found = open_input(args.input, args, run)
    np.testing.assert_array_equal(found.images, expected[np.arange(2)])
    file = tmp_path / "test" / found.names[1]
    one = open_input(str(file), args, run)
    np.testing.assert_array_equal(one.images, found.images[1:])
    assert one.names == [file.name]
    with pytest.raises(InputError, match=r"between the model's 8 levels.* 256 levels .* keeps all pictures"):
        open_input(str(file), args, run, lossless=True)
    open_input(None, args, run, lossless=True)
    assert "cut and reduced to 12x8, quantized; the resulting values are kept, not the stored ones" in capsys.readouterr().err
    Image.new("RGB", (8, 11)).save(file)
    with pytest.raises(InputError, match=r"is 11x8 pixels, smaller than 12x8.*--size=as-is"):
        open_input(str(file), args, run)


def test_a_transparent_picture_of_ones_own_gets_the_background_of_the_training(tmp_path):
    write_images(tmp_path, 3, (8, 8, 4))
    fields = {"source": f"folder:{tmp_path}", "alpha": "white"}
    config = takes(256, 3)
    run = RunRecord({"data": dataclasses.asdict(DataConfig(**fields)), "model": dataclasses.asdict(config)}, (8, 8, 3))
    flags = {"split": None, "data_dir": None, "binarization": None, "label": None, "num": None, "size": None}
    args = Namespace(input=str(tmp_path), seed=0, skip_bad=False, alpha=None, **flags)
    assert as_set(open_input(args.input, args, run).images) == as_set(*open_all(tmp_path, alpha="white"))
    args.alpha = "drop"  # of --input, whatever that of the training
    for path in (str(tmp_path), f"folder:{tmp_path}"):
        assert set(as_set(open_input(path, args, run).images)) <= set(as_set(*open_all(tmp_path, alpha="drop")))
    args.alpha = None
    with pytest.raises(InputError, match="is transparent.*--alpha=white of an --input"):
        open_input(args.input, args, run, lossless=True)


def test_bad_files_are_named_or_counted(tmp_path, capsys):
    images = write_images(tmp_path, 10)
    (tmp_path / "notes.txt").write_text("not an image")
    Image.fromarray(images[0]).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-40])
    Image.fromarray(np.repeat(images[0], 4, -1)[..., :4]).save(tmp_path / "transparent.webp", lossless=True)
    with pytest.raises(InputError, match=r"(cut.png|notes.txt|transparent.webp) (is|cannot be) .*skip_bad"):
        open_folder(tmp_path)
    dataset = open_folder(tmp_path, skip_bad=True)
    told = capsys.readouterr().err
    assert "skipped 3 of 13 files: cut.png cannot be decoded" in told
    assert "; notes.txt is no PNG, JPEG, WebP or TIFF image" in told
    (tmp_path / "list.txt").write_text("not an image")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    open_folder(tmp_path, skip_bad=True)
    told = capsys.readouterr().err
    assert "; list.txt is no PNG, JPEG, WebP or TIFF image" in told
    assert f"; gone.png is a link to '{tmp_path}/nowhere', which leads to nothing" in told
    assert as_set(dataset.images("train"), dataset.images("validation")) == as_set(images)


@pytest.mark.parametrize("argument", ["nowhere", ""])
def test_a_missing_folder_is_refused(tmp_path, argument):
    with pytest.raises(InputError, match="must name a folder; got"):
        Dataset(DataConfig(source=f"folder:{argument}", data_dir=str(tmp_path)), takes(256, 3))


def test_a_picture_whose_header_hides_that_it_is_turned(tmp_path):
    """A PNG file may hold its orientation behind the pixels."""
    write_images(tmp_path, 4, (8, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[:-12] + chunk + whole[-12:])  # before the last chunk, IEND
    with pytest.raises(InputError, match="2.png is 6x8 pixels, others are 8x6; set data.size"):
        open_all(tmp_path)
    assert [len(images) for images in open_all(tmp_path, skip_bad=True)] == [2, 1]
    assert [len(images) for images in open_all(tmp_path, size=(6, 6))] == [3, 1]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="must hold PNG, JPEG, WebP or TIFF images"):
        open_folder(tmp_path)
    with pytest.raises(InputError, match="must be 1 .grey., 3 .colour. or 4 .with transparency. for image files; got 2"):
        open_folder(tmp_path, channels=2)


def test_what_does_not_fit_in_memory_is_read_anew_and_is_the_same(tmp_path):
    write_images(tmp_path, 20)
    kept, lazy = open_folder(tmp_path), open_folder(tmp_path, memory_gib=0.0)
    assert isinstance(kept.images("train"), np.ndarray)
    assert not isinstance(lazy.images("train"), np.ndarray)
    batches = [dataset.train_batches(batch_size=8, seed=0) for dataset in (kept, lazy)]
    for _ in range(5):
        np.testing.assert_array_equal(*[next(iterator)["image"] for iterator in batches])


@pytest.mark.slow
def test_worker_processes_give_the_same_batches(tmp_path):
    write_images(tmp_path, 20)
    alone = open_folder(tmp_path).train_batches(batch_size=8, seed=0, first_batch=3)
    workers = open_folder(tmp_path, memory_gib=0.0, num_workers=2).train_batches(batch_size=8, seed=0, first_batch=3)
    for _ in range(7):
        np.testing.assert_array_equal(next(alone)["image"], next(workers)["image"])
    assert len(multiprocessing.active_children()) >= 2
    workers.close()


def test_links_to_folders_are_followed(tmp_path):
    images = write_images(tmp_path / "elsewhere", 4)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "link").symlink_to(tmp_path / "elsewhere")
    dataset = open_folder(tmp_path / "pictures")
    assert as_set(dataset.images("train"), dataset.images("validation")) == as_set(images)


def test_each_real_file_is_read_once(tmp_path):
    images = write_images(tmp_path / "real" / "below", 10)
    for link, target in (
        ("latest", "real"),
        ("real/below/up", "../.."),
        ("real/below/itself", "."),
        ("a.png", "real/below/0.png"),
    ):
        (tmp_path / link).symlink_to(target)
    dataset = open_folder(tmp_path)
    assert as_set(dataset.images("train"), dataset.images("validation")) == as_set(images)
    names = {*dataset.names("train"), *dataset.names("validation")}
    assert names == {f"real/below/{number}.png" for number in range(10)}, "not the links' names, which might be classes"


def test_copies_stay_on_one_side_of_the_split(tmp_path, capsys):
    images = write_images(tmp_path / "a", 20)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    dataset = open_folder(tmp_path)
    train, validation = (set(as_set(dataset.images(split))) for split in ("train", "validation"))
    assert not train & validation
    assert train | validation == set(as_set(images))
    assert (len(dataset.images("train")), len(dataset.images("validation"))) == (36, 4)
    assert "20 of 40 files are copies of others" in capsys.readouterr().err


def test_copies_of_test_images_are_not_trained_on(tmp_path, capsys):
    images = {split: write_images(tmp_path / split, 5, seed=seed) for seed, split in enumerate(("train", "val", "test"))}
    shutil.copy(tmp_path / "test" / "0.png", tmp_path / "train" / "x.png")
    shutil.copy(tmp_path / "test" / "1.png", tmp_path / "val" / "x.png")
    (tmp_path / "train" / "y.png").symlink_to("../val/2.png")
    dataset = open_folder(tmp_path)
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        assert as_set(dataset.images(split)) == as_set(images[name])
    told = capsys.readouterr().err
    assert "train: left out 2 of 7 files" in told
    assert "validation: left out 1 of 6 files" in told
    shutil.rmtree(tmp_path / "val")
    (tmp_path / "val").symlink_to("test")
    with pytest.raises(InputError, match="validation must hold files that are in no later split"):
        open_folder(tmp_path)


def test_files_alike_in_size_and_ending_are_no_copies(tmp_path):
    files = [tmp_path / str(number) for number in range(5)]
    for file, first in zip(files, b"aabac", strict=True):
        file.write_bytes(bytes([first]) + bytes(5000) + b"e" * (first == ord("c")))
    assert first_copies(files, 2).tolist() == [0, 0, 2, 0, 4]


def test_transparent_files_train_with_alpha(tmp_path):
    images = write_images(tmp_path, 10, (8, 8, 4))
    assert as_set(*open_all(tmp_path, channels=4)) == as_set(images)
    assert as_set(*open_all(tmp_path, alpha="drop")) == as_set(images[..., :3])
    assert (
        DataConfig(source="folder:x", alpha="white", size=8).preprocessing == "transparency on white, cut and reduced to 8x8"
    )
    with pytest.raises(InputError, match="data.alpha must be 'error' with 4 channels, which keep transparency; got 'drop'"):
        open_folder(tmp_path, channels=4, alpha="drop")
    with pytest.raises(InputError, match="is transparent; give it a background first, as data.alpha=white does"):
        open_folder(tmp_path)


def test_what_worker_processes_get_is_small(tmp_path):
    write_images(tmp_path, 20, (64, 64, 3))
    np.save(tmp_path / "x.npy", np.zeros((20, 64, 64, 3), np.uint8))
    for source in (f"folder:{tmp_path}", f"npy:{tmp_path}/x.npy"):
        dataset = Dataset(DataConfig(source=source, memory_gib=0.0, skip_bad=True), takes(256, 3))
        assert len(cloudpickle.dumps(dataset.images("train"))) < 10_000


@pytest.mark.parametrize("memory_gib", [4.0, 0.0])
def test_pictures_of_16_bits(tmp_path, memory_gib):
    images = np.random.default_rng(0).integers(0, 4096, (10, 4, 5, 1)).astype(np.uint16)
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.{'png' if number % 2 else 'tiff'}")
    train, validation = open_all(tmp_path, channels=1, levels=4096, memory_gib=memory_gib)
    assert train.dtype == np.uint16
    assert as_set(train[np.arange(9)], validation[np.arange(1)]) == as_set(images)
    reduced = open_all(tmp_path, channels=1, levels=256, source_levels=4096, quantize=True, memory_gib=memory_gib)[0]
    assert as_set(reduced[np.arange(9)]) == as_set((train[np.arange(9)] // 16).astype(np.uint8))
    for levels, fields, message in (
        (256, {}, "0.tiff has more than 8 bits per channel.*data.source_levels=65536"),
        (512, {}, r"has values from \d+ to \d+; they must lie in \[0, 512\)"),
        (256, {"source_levels": 4096}, "model.levels must be 4096 for folder:.*; got 256.*data.quantize=True"),
    ):
        with pytest.raises(InputError, match=message):
            open_folder(tmp_path, channels=1, levels=levels, **fields)
