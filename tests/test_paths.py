"""`~` means the home directory in every path that a user can give."""

from pathlib import Path

import chex
import numpy as np
import pytest
from conftest import make_model, takes
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import configuration, outputs
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.data.user_files import ImageForm, read_conditions, read_images, read_mask
from pixel_rnn_jax.paths import absolute, as_path, in_data_dir
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.run_record import RunRecord

IMAGES = np.zeros((4, 3, 3, 1), np.uint8)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory, which is not the current one. Nothing may be written to a folder named `~` there."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    yield home
    assert not list(here.iterdir())


def test_paths_start_at_home(home):
    assert as_path("~/runs/d") == absolute("~/runs/d") == home / "runs" / "d"
    assert as_path(Path("~")) == home
    assert in_data_dir("/data", "~/x") == in_data_dir("~", "x") == in_data_dir(None, "~/x") == home / "x"
    assert as_path("~no such user/x") == Path("~no such user/x")
    assert as_path("a/~/x") == Path("a/~/x")


def test_sources_start_at_home(home):
    np.savez(home / "x.npz", train=IMAGES)
    np.save(home / "x.npy", IMAGES)
    (home / "pictures").mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image[..., 0] + np.uint8(number)).save(home / "pictures" / f"{number}.png")
    for path in ("npz:~/x.npz", "npy:~/x.npy", "folder:~/pictures"):
        for fields in ({"source": path}, {"source": path.replace("~/", ""), "data_dir": "~"}):
            assert Dataset(DataConfig(**fields), takes(256, 1)).image_shape == (3, 3, 1)


def test_files_of_users_start_at_home(home):
    np.savez(home / "x.npz", images=IMAGES, labels=np.arange(4))
    Image.new("L", (3, 3)).save(home / "x.png")
    np.testing.assert_array_equal(read_images("~/x.npz", ImageForm(2, 1)).images, IMAGES)
    np.testing.assert_array_equal(read_images("~/x.png", ImageForm(2, 1)).images, IMAGES[:1])
    np.testing.assert_array_equal(read_conditions("~/x.npz").labels, np.arange(4))
    assert not read_mask("~/x.png", (3, 3)).any()
    (home / "x.npz").unlink()
    np.testing.assert_array_equal(read_images("~", ImageForm(2, 1)).images, IMAGES[:1])


def test_flags_start_at_home(home):
    (home / "mine.py").write_text(
        "from pixel_rnn_jax.training.config import shipped_config\n"
        "def get_config():\n    config = shipped_config('digits_rowlstm')\n    config.seed = 7\n    return config\n"
    )
    assert configuration.read_config("~/mine.py", []).seed == 7
    for flag in (outputs.output_file(".npz"), outputs.writable_file, outputs.output_folder, outputs.local_path):
        assert flag("~/x.npz") == home / "x.npz"


def test_what_is_saved_starts_at_home(home):
    model, params = make_model("row_lstm")
    prnn.save("~/mine.safetensors", model, params, size=(3, 3))
    assert (home / "mine.safetensors").is_file()
    chex.assert_trees_all_equal(prnn.load("~/mine.safetensors")[1], params)
    with Checkpoints("~/run") as checkpoints:
        assert checkpoints.directory == home / "run" / "checkpoints"


def test_an_exported_model_does_not_name_a_folder_at_home(home):
    run = RunRecord({"data": {"source": "npz:~/secret/x.npz", "data_dir": "~"}}, (3, 3, 1))
    assert run.portable().config["data"] == {"source": "npz:x.npz", "data_dir": None}
