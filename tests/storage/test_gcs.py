"""Work directories and data at gs://, in a fake of Google Cloud Storage; a process of its own, as the real one is."""

import importlib.util
import os
import subprocess
import sys

import fsspec
import jax
import numpy as np
import pytest
from conftest import ROOT, measured, run_in_process, takes, tiny_config
from etils import epath
from fake_gcs import FORBIDDEN
from PIL import Image

from pixel_rnn_jax.cli import evaluate
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.data.user_files import ImageForm, read_images
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import as_path, is_folder, local_copy
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.load import SHIPPED, load, load_run
from pixel_rnn_jax.training.metrics import MetricsLog, read_metrics
from pixel_rnn_jax.training.trainer import train

# Not by `importorskip`: gcsfs looks at its environment when it is imported, which must be after `gcs` below.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("gcsfs") is None, reason="needs the extra gcs"),
    # Where one array is damaged, Orbax's threads that read the others complain when all is over.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="session", autouse=True)
def gcs():
    """Starts the fake, and points to it all that speak to Google Cloud Storage; they look when they are first used."""
    server = subprocess.Popen([sys.executable, ROOT / "tests" / "fake_gcs.py"], stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):  # of gcsfs; of tensorstore
            patch.setenv(name, url)
        patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "fake")  # tensorstore
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # gcsfs: not to ask by gRPC what kind of bucket it is
        patch.setenv("FSSPEC_GCS_TOKEN", "anon")  # gcsfs, in processes started from here
        patch.setitem(fsspec.config.conf["gcs"], "token", "anon")  # gcsfs, in this one
        yield url
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture
def bucket(request):
    return f"gs://bucket-{request.node.name}"


@pytest.fixture(scope="module")
def remote_run(gcs):
    workdir = "gs://runs/tiny"
    return workdir, train(tiny_config(), workdir)


@pytest.mark.slow
def test_a_run_at_gs_is_that_of_a_local_folder(remote_run, tiny_run):
    (remote, score), (local, expected) = remote_run, tiny_run
    assert score == expected
    assert measured(remote) == measured(local)
    for other in (as_path(remote), local):
        names = {path.name for path in other.iterdir()} - {"lock"}  # a local folder's
        assert names == {"checkpoints", "metrics.jsonl", "tensorboard", "curves.png"}
    steps = [{int(path.name) for path in (other / "checkpoints").iterdir()} for other in (as_path(remote), local)]
    assert steps[0] == steps[1]
    with Checkpoints(remote, read_only=True) as there, Checkpoints(local, read_only=True) as here:
        assert (there.latest_step, there.best_step) == (here.latest_step, here.best_step)
    jax.tree.map(np.testing.assert_array_equal, load(remote)[1], load(local)[1])
    (events,) = (as_path(remote) / "tensorboard").iterdir()
    assert b"validation/nats" in events.read_bytes()


@pytest.mark.slow
def test_the_same_command_again_only_scores(remote_run):
    workdir, score = remote_run
    rows = read_metrics(workdir)
    assert train(tiny_config(), workdir) == score
    assert read_metrics(workdir) == rows


@pytest.mark.slow
def test_evaluate_in_a_process_of_its_own(remote_run):
    workdir, score = remote_run
    command = [sys.executable, "-m", "experiments.evaluate", f"--workdir={workdir}", "--batch_size=16"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout.endswith(f"{score}\n")


@pytest.mark.slow
def test_a_checkpoint_that_was_not_finished_does_not_count(remote_run, bucket):
    workdir, score = bucket + "/run", remote_run[1]
    train(tiny_config(), workdir)
    checkpoints = as_path(workdir) / "checkpoints"
    (checkpoints / "6" / "commit_success.txt").unlink()
    (checkpoints / "7" / "ema").joinpath("piece").write_text("what a killed process leaves")
    with Checkpoints(workdir, read_only=True) as reader:
        assert reader.latest_step == 4
    assert (checkpoints / "7").exists()  # a reader deletes nothing
    assert train(tiny_config(), workdir) == score
    assert {path.name for path in checkpoints.iterdir()} == {"3", "4", "6"}
    assert measured(workdir) == measured(remote_run[0])


@pytest.mark.slow
def test_damaged_arrays_are_told(bucket):
    workdir = bucket + "/run"
    train(tiny_config(), workdir)
    step = load_run(workdir)[2].validations.best_step
    pieces = as_path(workdir) / "checkpoints" / str(step) / "ema" / "d"
    pieces = list(pieces.iterdir())
    assert pieces
    for piece in pieces:
        piece.unlink()
    with pytest.raises(InputError, match=f"{workdir}/checkpoints/{step} is damaged"):
        load(workdir)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_on_request(bucket, remote_run):
    workdir = bucket + "/run"
    train(tiny_config(), workdir)
    checkpoints = as_path(workdir) / "checkpoints"
    latest = max(checkpoints.iterdir(), key=lambda path: int(path.name))
    for piece in (latest / "state" / "d").iterdir():
        piece.unlink()
    with pytest.raises(InputError, match="With --fall_back"):
        train(tiny_config(), workdir)
    assert train(tiny_config(), workdir, fall_back=True) == remote_run[1]
    assert (as_path(workdir) / "damaged_checkpoints" / f"{latest.name}_1" / "state").exists()


def test_rows_are_there_when_a_checkpoint_is_saved(bucket):
    """And not only in the end: a killed run has none."""
    with MetricsLog(bucket + "/run", 0) as log:
        log.write(1, train_nats=2.0)
        log.save()
        assert read_metrics(bucket + "/run") == [{"step": 1, "train_nats": 2.0}]


def test_rows_that_cannot_be_uploaded_are_kept_for_the_next_time(bucket, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise RuntimeError("no network")  # gcsfs's errors are no OSErrors either

    monkeypatch.setattr("pixel_rnn_jax.training.metrics.UPLOAD_SECONDS", 0.0)
    with MetricsLog(bucket + "/run", 0) as log:
        with monkeypatch.context() as patch:
            patch.setattr(fsspec.filesystem("gs"), "put", refuse)
            log.write(1, train_nats=2.0)
            assert f"warning: {bucket}/run cannot be written (no network)" in capsys.readouterr().err
            with pytest.raises(OSError, match="cannot be written"):
                log.save()
        log.write(2, train_nats=1.0)
    assert [row["step"] for row in read_metrics(bucket + "/run")] == [1, 2]


@pytest.mark.slow
def test_rows_of_a_killed_run(bucket):
    """What was recorded after the last checkpoint is dropped; what is before it was stored with it."""
    workdir = bucket + "/run"
    train(tiny_config(), workdir)
    rows = measured(workdir)
    (as_path(workdir) / "checkpoints" / "6" / "commit_success.txt").unlink()
    train(tiny_config(), workdir)
    assert measured(workdir) == rows


def images(*shape):
    return np.random.default_rng(0).integers(0, 16, shape).astype(np.uint8)


def test_array_files(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    fields = {"data_dir": f"{bucket}/data", "source_levels": 16}
    arrays = images(60, 8, 8)
    with epath.Path(f"{bucket}/data/arrays.npz").open("wb") as file:
        np.savez(file, train=arrays[:40], test=arrays[40:])
    with epath.Path(f"{bucket}/data/array.npy").open("wb") as file:
        np.save(file, arrays)
    npz = Dataset(DataConfig(source="npz:arrays.npz", **fields), takes(16, 1))
    np.testing.assert_array_equal(npz.images("test")[..., 0], arrays[40:])
    full = Dataset(DataConfig(source=f"npz:{bucket}/data/arrays.npz", source_levels=16), takes(16, 1))
    np.testing.assert_array_equal(full.images("test"), npz.images("test"))
    for memory_gib in (4.0, 0.0):
        npy = Dataset(DataConfig(source="npy:array.npy", memory_gib=memory_gib, **fields), takes(16, 1))
        stored = {image.tobytes() for image in arrays}
        assert {image.tobytes() for image in npy.images("train")[np.arange(54)]} <= stored
    with pytest.raises(
        InputError, match=rf"{bucket}/data/missing.npz must be a file or a folder with files; there is nothing"
    ):
        Dataset(DataConfig(source="npz:missing.npz", **fields), takes(16, 1))


def test_an_exported_file(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    exported = SHIPPED / "mnist_diagonal_bilstm.safetensors"
    there = f"{bucket}/models/exported.safetensors"
    epath.Path(there).write_bytes(exported.read_bytes())
    jax.tree.map(np.testing.assert_array_equal, load(there)[1], load("mnist_diagonal_bilstm")[1])
    with pytest.raises(InputError, match="missing.safetensors must be a file or a folder with files; there is nothing"):
        load(f"{bucket}/models/missing.safetensors")


def test_a_folder_of_pictures(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    for number in range(5):
        with epath.Path(f"{bucket}/data/pets/cat/{number}.png").open("wb") as file:
            Image.fromarray(np.full((4, 4), number, np.uint8)).save(file, format="png")
    pets = Dataset(DataConfig(source="folder:pets", data_dir=f"{bucket}/data"), takes(256, 1))
    images = np.concatenate([np.asarray(pets.images(split)[:]) for split in ("train", "validation")])
    assert sorted(images[:, 0, 0, 0]) == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match=f"{bucket}/data/dogs must be a file or a folder with files"):
        Dataset(DataConfig(source="folder:dogs", data_dir=f"{bucket}/data"), takes(256, 1))


def test_pictures_and_arrays_for_a_command(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    for write, name in ((lambda file: Image.new("L", (4, 3), 7).save(file, format="png"), "x.png"), (save_npy, "x.npy")):
        with epath.Path(f"{bucket}/given/{name[2:]}/{name}").open("wb") as file:
            write(file)
    form = ImageForm(levels=256, channels=1)
    for place in ("png", "png/x.png", "npy/x.npy"):
        assert np.all(read_images(f"{bucket}/given/{place}", form).images == np.full((1, 3, 4, 1), 7))
    with pytest.raises(InputError, match=f"{bucket}/given/y.png must be a file or a folder with files; there is nothing"):
        read_images(f"{bucket}/given/y.png", form)


def save_npy(file):
    np.save(file, np.full((1, 3, 4), 7, np.uint8))


def test_only_what_changed_is_copied(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    folder = epath.Path(f"{bucket}/folder")
    for name in ("a", "b/c"):
        (folder / name).write_text(name)
    copy = local_copy(folder)
    assert copy == tmp_path / bucket.removeprefix("gs://") / "folder"
    before = {path: path.stat().st_ino for path in (copy / "a", copy / "b" / "c")}
    (folder / "a").write_text("A")  # of the same size
    assert local_copy(folder) == copy
    assert ((copy / "a").read_text(), (copy / "b" / "c").read_text()) == ("A", "b/c")
    assert [path.stat().st_ino == inode for path, inode in before.items()] == [False, True]
    assert {path.name for path in copy.rglob("*")} == {"a", "b", "c"}
    (folder / "a").unlink()
    local_copy(folder)
    assert {path.name for path in copy.rglob("*")} == {"b", "c"}
    with pytest.raises(InputError, match="there is nothing"):
        local_copy(folder / "missing")


def test_a_tfds_set(bucket, tmp_path, monkeypatch):
    from tfds_sets import random_images, store

    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path / "cache"))
    store("cifar10", tmp_path / "here", {"train": random_images(40, 32, 32, 3), "test": random_images(7, 32, 32, 3)})
    fsspec.filesystem("gs").put(str(tmp_path / "here"), f"{bucket}/tfds", recursive=True)
    for _ in range(2):
        dataset = Dataset(DataConfig(source="tfds:cifar10", data_dir=f"{bucket}/tfds"), takes(256, 3))
        np.testing.assert_array_equal(dataset.images("test"), random_images(7, 32, 32, 3))
    with pytest.raises(InputError, match=f"mnist/3.0.1 is not at {bucket}/tfds"):
        Dataset(DataConfig(source="tfds:mnist", data_dir=f"{bucket}/tfds"), takes(256, 1))


def test_one_line_for_what_cannot_be_used(bucket, monkeypatch):
    def message(workdir):
        return run_in_process(evaluate.main, f"--workdir={workdir}")

    error = message(f"{bucket}/run")
    assert error.startswith(f"error: '{bucket}/run' must be the work directory of a training run, an exported file")
    assert error.endswith("; there is nothing of that name.")
    assert message(f"gs://{FORBIDDEN}/run").startswith(f"error: gs://{FORBIDDEN}/run cannot be reached (Forbidden")
    for function, name in ((read_metrics, "run"), (local_copy, "x.npz"), (is_folder, "x")):
        with pytest.raises(InputError, match=f"gs://{FORBIDDEN}/.* cannot be reached .Forbidden"):
            function(as_path(f"gs://{FORBIDDEN}/{name}"))
    assert message("s3://bucket/run") == "error: s3://bucket/run must be a local path or gs://BUCKET/PATH; got s3://."
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert message("gs://b/run") == (
        "error: gs://b/run is in Google Cloud Storage, which needs gcsfs: pip install 'pixel_rnn_jax[gcs]'."
    )
