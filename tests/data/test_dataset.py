import functools
import itertools
import runpy
import zipfile

import numpy as np
import pytest
from conftest import ROOT, takes
from sklearn.datasets import load_digits

from pixel_rnn_jax.data import SOURCES, DataConfig, Dataset, Examples, eval_batches
from pixel_rnn_jax.data.image_set import LazyImages
from pixel_rnn_jax.data.pipeline import train_batches
from pixel_rnn_jax.data.preprocessing import RandomPreprocessing
from pixel_rnn_jax.data.sources.source import Source
from pixel_rnn_jax.data.user_files import ImageForm, read_images
from pixel_rnn_jax.errors import InputError


def images_of(count, levels=2, shape=(3, 4, 1), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, levels, (count, *shape)).astype(dtype)


def load_images(source, *, levels, channels, **fields):
    dataset = Dataset(DataConfig(source=source, **fields), takes(levels, channels))
    return {split: dataset.images(split) for split in dataset.splits}


def numbered(count):
    """Images that can be told apart."""
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)


def test_digits_are_split_as_documented():
    images = load_images("digits", levels=17, channels=1)
    assert {split: len(array) for split, array in images.items()} == {"train": 1437, "validation": 180, "test": 180}
    order = np.random.default_rng(0).permutation(1797)
    together = np.concatenate([images[split] for split in ("train", "validation", "test")])
    np.testing.assert_array_equal(together[..., 0], load_digits().images[order])


def test_the_example_of_a_source_is_one(monkeypatch):
    monkeypatch.setitem(SOURCES, "stars", None)  # which the file replaces
    runpy.run_path(str(ROOT / "docs" / "examples" / "stars.py"))
    images = load_images("stars:20", levels=4096, channels=1)
    assert {split: array.shape for split, array in images.items()} == {
        "train": (20, 16, 16, 1),
        "validation": (2, 16, 16, 1),
        "test": (2, 16, 16, 1),
    }
    assert images["train"].mean() > 100


@pytest.mark.parametrize("name,levels,channels", [("mnist", 256, 1), ("mnist", 2, 1), ("cifar10", 256, 3)])
def test_samples_are_two_images_of_each_class(name, levels, channels):
    dataset = Dataset(DataConfig(source=f"samples:{name}"), takes(levels, channels, num_classes=10), carve=False)
    images, conditions = dataset.examples("train")
    assert np.bincount(conditions.labels).tolist() == [2] * 10
    assert images.shape == ((20, 28, 28, 1) if name == "mnist" else (20, 32, 32, 3))
    assert images.max() == levels - 1
    with pytest.raises(InputError, match="must name one of mnist, cifar10; got 'svhn'"):
        Dataset(DataConfig(source="samples:svhn"), takes(levels, channels))


def test_samples_for_a_binary_model_are_the_same_digits():
    """In their fixed binarization, unless another one is asked for."""
    grey = load_images("samples:mnist", levels=256, channels=1)["train"]
    fixed, cut = (
        load_images("samples:mnist", levels=2, channels=1, binarization=how)["train"] for how in ("none", "threshold")
    )
    np.testing.assert_array_equal(cut, grey >= 128)
    assert np.mean(fixed != cut) < 0.05
    assert not np.any(fixed[grey == 0])
    assert np.all(fixed[grey == 255])


def test_a_source_of_ones_own_is_named_like_the_others(monkeypatch):
    def read_stars(argument, config, model):
        return Source({"train": numbered(int(argument)), "test": numbered(3)}, levels=model.levels)

    monkeypatch.setitem(SOURCES, "stars", read_stars)
    images = load_images("stars:20", levels=256, channels=1)
    assert {split: len(array) for split, array in images.items()} == {"train": 18, "validation": 2, "test": 3}


def test_npz_is_read_as_it_is(tmp_path):
    arrays = {split: images_of(count, 256, (5, 4, 3)) for split, count in (("train", 7), ("validation", 2), ("test", 3))}
    np.savez(tmp_path / "x.npz", **arrays, train_labels=np.zeros(7))
    images = load_images(f"npz:{tmp_path}/x.npz", levels=256, channels=3)
    for split, array in arrays.items():
        np.testing.assert_array_equal(images[split], array)
    relative = load_images("npz:x.npz", levels=256, channels=3, data_dir=str(tmp_path))
    np.testing.assert_array_equal(relative["train"], arrays["train"])


def test_missing_validation_is_carved_from_train(tmp_path):
    train = images_of(25, shape=(3, 4), dtype=np.int64)
    np.savez(tmp_path / "x.npz", train=train, test=train[:3])
    images = load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1)
    assert list(images) == ["train", "validation", "test"]
    assert (len(images["train"]), len(images["validation"])) == (22, 3)
    together = np.concatenate([images["train"], images["validation"]])[..., 0]
    np.testing.assert_array_equal(np.sort(together.reshape(25, -1), axis=0), np.sort(train.reshape(25, -1), axis=0))


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_validation_is_drawn_by_the_seed(tmp_path, kind):
    """So that of a file sorted by class (here of 20 images each) not one class alone is validated on."""
    save = {"npz": np.savez, "npy": lambda path, train: np.save(path, train)}[kind]
    save(tmp_path / f"x.{kind}", train=numbered(100))
    drawn = {}
    for seed in (0, 0, 1):
        for memory_gib in (4.0, 0.0):
            fields = {"seed": seed, "memory_gib": memory_gib}
            images = load_images(f"{kind}:{tmp_path}/x.{kind}", levels=256, channels=1, **fields)
            validation = images["validation"][np.arange(10)].ravel()
            assert len(set(validation // 20)) > 2
            assert sorted([*validation, *images["train"][np.arange(90)].ravel()]) == [*range(100)]
            assert drawn.setdefault(seed, validation.tolist()) == validation.tolist()
    assert drawn[0] != drawn[1]


def test_arrays_may_be_named_in_other_ways(tmp_path):
    arrays = {name: images_of(count) for name, count in (("Train", 4), ("val", 2), ("testing", 3))}
    np.savez(tmp_path / "x.npz", **arrays, val_labels=[1, 0], Train_labels=[0, 1, 2, 3], testing_labels=[2, 2, 2])
    dataset = Dataset(DataConfig(source=f"npz:{tmp_path}/x.npz"), takes(2, 1, num_classes=4))
    for split, images in zip(("train", "validation", "test"), arrays.values(), strict=True):
        np.testing.assert_array_equal(dataset.images(split), images)
    assert dataset.examples("validation").conditions.labels.tolist() == [1, 0]
    np.savez(tmp_path / "x.npz", **arrays, train=arrays["val"])
    with pytest.raises(InputError, match="x.npz must hold one of each split; Train and train both mean train"):
        load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1)


@pytest.mark.parametrize(
    "arrays,message",
    [
        ({"other": images_of(3)}, r"array named train .* got \['other'\]"),
        ({"train": images_of(20, levels=5)}, r"train: images must lie in \[0, 2\); got values from 0 to 4"),
        ({"train": images_of(20, shape=(3, 4, 3))}, r"1 channels on their last axis; got shape \(18, 3, 4, 3\)\. See"),
        ({"train": images_of(20, shape=(1, 3, 4))}, r"got shape \(18, 1, 3, 4\)\. Move .* np.moveaxis\(images, 1, -1\)"),
        ({"train": images_of(20).astype(np.float32)}, "got dtype float32"),
        ({"train": images_of(20).astype(bool)}, "got dtype bool"),
        ({"train": np.zeros((5, 12), np.uint8)}, "4 axes"),
        ({"train": np.array(5)}, r"x.npz: images must have 4 axes, \[B, H, W, C\]; got shape \(\)"),
        ({"train": np.zeros((9, 0, 5, 1), np.uint8)}, "at least 1 pixel high"),
        ({"train": np.zeros((9, 5, 5, 0), np.uint8)}, "must have 1 channels"),
        ({"train": images_of(1)}, "there must be at least 2 different training images"),
        ({"train": images_of(20), "test": images_of(2, shape=(5, 4, 1))}, "of one shape"),
        ({"train": np.array([{}], object)}, "damaged or no npz file of plain arrays"),
    ],
)
def test_bad_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1)


def test_npz_of_more_than_2_gib_is_told_from_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)  # what is larger is written as files of that size are
    arrays = {name: images_of(count) for name, count in (("train", 4), ("validation", 2), ("test", 3))}
    np.savez(tmp_path / "x.npz", **arrays)
    assert b"PK\x06\x06" in (tmp_path / "x.npz").read_bytes()
    for split, images in load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1).items():
        np.testing.assert_array_equal(images, arrays[split])


@pytest.mark.parametrize(
    "error", [MemoryError(), PermissionError(13, "Permission denied"), OSError(24, "Too many open files")]
)
@pytest.mark.parametrize("kind,reader", [("npz", "numpy.lib.npyio.NpzFile"), ("npy", "numpy.load")])
def test_what_the_machine_cannot_read_is_not_called_damaged(tmp_path, monkeypatch, kind, reader, error):
    np.savez(tmp_path / "x.npz", train=images_of(4))
    np.save(tmp_path / "x.npy", images_of(4))

    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(reader, refuse)
    with pytest.raises(type(error)):
        load_images(f"{kind}:{tmp_path}/x.{kind}", levels=2, channels=1)


def test_damaged_npz_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", train=images_of(500))
    whole = (tmp_path / "x.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    np.save(tmp_path / "array.npy", images_of(5))
    for content in (b"", b"text", whole[: len(whole) // 2], bytes(flipped), (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"x\.npz is damaged or no npz file"):
            load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1)


@pytest.mark.parametrize("kind,save", [("npz", np.savez_compressed), ("npy", np.save)])
def test_damage_anywhere_is_refused_in_words(tmp_path, kind, save):
    """A few bytes changed, of compressed arrays and of headers: if that shows at all, it is no traceback."""
    path, rng = tmp_path / f"x.{kind}", np.random.default_rng(0)
    save(path, **{"train" if kind == "npz" else "arr": images_of(50)})
    whole, refused = path.read_bytes(), 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(min(len(whole), 300))] = rng.integers(256)
        path.write_bytes(damaged)
        for use in (
            lambda: load_images(f"{kind}:{path}", levels=2, channels=1),
            lambda: read_images(path, ImageForm(levels=2, channels=1)),
        ):
            try:
                use()
            except InputError:
                refused += 1
    assert refused > 50


def test_a_zip_of_other_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("train", "no array")
        file.writestr("images", "no array")
    with pytest.raises(InputError, match="must hold train as an array, as np.savez writes it"):
        load_images(f"npz:{tmp_path}/x.npz", levels=2, channels=1)
    with pytest.raises(InputError, match="must hold images as an array, as np.savez writes it"):
        read_images(tmp_path / "x.npz", ImageForm(levels=2, channels=1))


@pytest.mark.parametrize(
    "field,value", [("quantize", "False"), ("flip", "no"), ("skip_bad", 1), ("size", True), ("alpha", True)]
)
def test_fields_of_another_type_are_refused(field, value):
    with pytest.raises(InputError, match=f"data.{field}.* must be .*; got {value!r}"):
        DataConfig(source="digits", **{field: value})


@pytest.mark.parametrize(
    "source,levels,message",
    [
        ("mnits", 2, "data.source must be one of digits, samples:NAME, npz:PATH, .*, tfds:NAME; got 'mnits'"),
        ("npz:nowhere.npz", 2, "there is none at 'nowhere.npz'"),
        ("npz:", 2, "must name a file"),
        ("digits:8", 17, "takes no argument"),
        ("digits", 16, "model.levels must be 17"),
    ],
)
def test_bad_source_is_refused(source, levels, message):
    with pytest.raises(InputError, match=message):
        load_images(source, levels=levels, channels=1)


def test_each_epoch_holds_each_image_once_in_a_new_order():
    batches = train_batches(Examples(numbered(12)), batch_size=4, seed=0)
    epochs = [np.concatenate([next(batches)["image"].ravel() for _ in range(3)]) for _ in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(12))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


def test_restored_iterator_goes_on_at_the_next_batch():
    def make(**position):
        return train_batches(Examples(numbered(10)), batch_size=4, seed=3, **position)

    batches = make()
    expected = [next(batches)["image"] for _ in range(7)]
    restored = make(first_batch=3)
    np.testing.assert_array_equal([next(restored)["image"] for _ in range(4)], expected[3:])


def test_order_depends_on_the_seed():
    first, again, other = (
        next(train_batches(Examples(numbered(50)), batch_size=50, seed=seed))["image"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_evaluation_sees_each_image_once_and_fills_up_with_the_last():
    batches = list(eval_batches(Examples(numbered(10)), batch_size=4))
    assert all(batch["image"].shape == (4, 1, 1, 1) for batch in batches)
    images = list(itertools.chain.from_iterable(batch["image"].ravel() for batch in batches))
    assert images == [*range(10), 9, 9]


def share_of(process, num_processes):
    """Of batches of 8."""
    return slice(process * 8 // num_processes, (process + 1) * 8 // num_processes)


@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_the_processes_together_see_each_image_once_per_epoch(num_processes):
    """Batches of 8 go into two epochs of 20 images without fitting one."""
    shards = [
        train_batches(Examples(numbered(20)), batch_size=8, seed=0, share=share_of(process, num_processes))
        for process in range(num_processes)
    ]
    seen = np.concatenate([next(shard)["image"].ravel() for _ in range(5) for shard in shards])
    np.testing.assert_array_equal(np.sort(seen[:20]), np.arange(20))
    np.testing.assert_array_equal(np.sort(seen[20:]), np.arange(20))


def test_a_run_can_go_on_with_another_number_of_processes():
    preprocessing = RandomPreprocessing(flip=True, stochastic_levels=256)
    make = functools.partial(train_batches, Examples(images_of(20, 256)), preprocessing, batch_size=8, seed=5)
    whole = make()
    expected = [next(whole)["image"] for _ in range(6)]
    for first, num_processes in ((0, 2), (3, 4), (4, 1)):
        shards = [make(first_batch=first, share=share_of(process, num_processes)) for process in range(num_processes)]
        for number in range(first, 6):
            parts = [next(shard)["image"] for shard in shards]
            assert {len(part) for part in parts} == {8 // num_processes}
            np.testing.assert_array_equal(np.concatenate(parts), expected[number])


def test_number_of_threads_changes_nothing():
    lazy = LazyImages(numbered(20).__getitem__, np.arange(20), (1, 1, 1))
    one, four = (train_batches(Examples(lazy), batch_size=8, seed=0, num_threads=threads) for threads in (1, 4))
    for _ in range(20):
        np.testing.assert_array_equal(next(one)["image"], next(four)["image"])


def test_npy_is_read_whole_or_from_the_disk(tmp_path):
    images = images_of(40, 256, (5, 4, 3))
    np.save(tmp_path / "x.npy", images)
    kept = load_images("npy:x.npy", levels=256, channels=3, data_dir=str(tmp_path))
    together = {image.tobytes() for split in ("train", "validation") for image in kept[split]}
    assert together == {image.tobytes() for image in images}
    lazy = load_images("npy:x.npy", levels=256, channels=3, data_dir=str(tmp_path), memory_gib=0.0)
    assert lazy["train"].shape == (36, 5, 4, 3)
    np.testing.assert_array_equal(lazy["validation"][np.array([3, 1])], kept["validation"][[3, 1]])
    np.savez(tmp_path / "z.npy.npz", train=images)
    (tmp_path / "z.npy.npz").rename(tmp_path / "z.npy")
    for name, message in (("z.npy", "it is an npz file"), ("none.npy", "must name a file")):
        with pytest.raises(InputError, match=message):
            load_images(f"npy:{tmp_path}/{name}", levels=256, channels=3)
    for content in (b"", b"text", (tmp_path / "x.npy").read_bytes()[:400]):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(InputError, match=r"x\.npy is damaged or no npy file"):
            load_images(f"npy:{tmp_path}/x.npy", levels=256, channels=3)


@pytest.mark.parametrize("memory_gib", [4.0, 0.0])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64])
def test_up_to_65536_levels(tmp_path, dtype, memory_gib):
    images = images_of(10, 2**16, (3, 4), dtype)
    images[:, 0, 0] = 2**16 - 1
    np.savez(tmp_path / "x.npz", train=images, validation=images)
    np.save(tmp_path / "x.npy", images)
    for source in ("npz:x.npz", "npy:x.npy"):
        data = DataConfig(source=source, data_dir=str(tmp_path), flip=True, memory_gib=memory_gib)
        dataset = Dataset(data, takes(2**16, 1))
        every = dataset.images("validation")
        assert every.dtype == next(dataset.train_batches(batch_size=2, seed=0))["image"].dtype == np.uint16
        assert {image.tobytes() for image in every[np.arange(len(every))]} <= {
            image.tobytes() for image in images.astype(np.uint16)
        }
    eight_bits = load_images("npz:x.npz", levels=256, channels=1, data_dir=str(tmp_path), quantize=True, source_levels=2**16)
    assert eight_bits["train"].dtype == np.uint8
    np.testing.assert_array_equal(eight_bits["train"][..., 0], images // 256)


@pytest.mark.parametrize(
    "codes,levels,message",
    [
        (np.full((4, 7, 7), 512), 512, r"images must lie in \[0, 512\); got values from 512 to 512"),
        (np.full((4, 7, 7), -1), 512, r"images must lie in \[0, 512\); got values from -1 to -1"),
        (np.full((4, 7, 7), 2**16), 2**16, r"must lie in \[0, 65536\); got values from 65536 to 65536"),
        (np.zeros((4, 49), int), 512, r"images must have 4 axes, \[B, H, W, C\]; got shape \(4, 49\)"),
        (np.zeros((4, 1, 7, 7), int), 512, r"1 channels on their last axis; got shape \(3, 1, 7, 7\). Move the channels"),
        (np.zeros((4, 7, 7)), 512, r"images must be integers in \[0, 512\); got dtype float64"),
    ],
)
def test_codes_that_do_not_fit_are_refused(tmp_path, codes, levels, message):
    np.savez(tmp_path / "x.npz", train=codes)
    with pytest.raises(InputError, match=message):
        load_images(f"npz:{tmp_path}/x.npz", levels=levels, channels=1)
