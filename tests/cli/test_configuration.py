"""Configuration files and overrides, as a user may get them wrong."""

import shutil
from unittest import mock

import numpy as np
import pytest
from conftest import run_in_process, tiny_config
from PIL import Image

from pixel_rnn_jax.cli import configuration, train
from pixel_rnn_jax.cli.__main__ import HELP
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel import cpu_devices
from pixel_rnn_jax.storage import checkpoint
from pixel_rnn_jax.storage.load import shipped_models
from pixel_rnn_jax.training.config import TrainConfig, shipped_config, shipped_configs
from pixel_rnn_jax.training.run import prepare

BASE = "from pixel_rnn_jax.training.config import base_config\ndef get_config():\n c = base_config()"


@pytest.mark.parametrize(
    "text,message",
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def get_config(:", "SyntaxError"),
        ("x = 3", "KeyError: 'get_config'"),
        ("def get_config(): return 3", "AttributeError: "),
        ("def get_config(): return undefined", "NameError: name 'undefined' is not defined"),
        (f"{BASE}\n c.bacth_size = 3\n return c", "bacth_size"),
        (f"{BASE}.unlock()\n del c.model.depth\n return c", "model.depth"),
        (f"{BASE}.unlock()\n c.model.dept = 3\n return c", "'model.dept'"),
    ],
)
def test_a_configuration_file_that_cannot_be_used_costs_one_line(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    error = run_in_process(train.main, f"--config={tmp_path}/mine.py", f"--workdir={tmp_path}/run")
    assert error.startswith("error: mine.py: ")
    assert message in error
    assert "\n" not in error


def test_any_file_with_get_config_is_a_configuration(tmp_path):
    """Whatever its name; overrides change the configuration, which is locked."""
    (tmp_path / "mine.config").write_text(f"{BASE}\n return c")
    overrides = ["--config.model.depth=3", "--config.data.size=8,6", "--noconfig.model.skip", "--config.mesh.data", "-1"]
    config = configuration.read_config(str(tmp_path / "mine.config"), overrides)
    assert (config.model.depth, config.data.size, config.model.skip, config.mesh.data) == (3, (8, 6), False, -1)
    assert config.is_locked


@pytest.mark.parametrize(
    "overrides,message",
    [
        (["--config.batchsize=3"], "unknown argument --config.batchsize=3; did you mean --config.batch_size?"),
        (["--config.depth=3"], "--config.depth=3; did you mean --config.model.depth?"),
        (["--config.model.zzz=1"], "--config.model.zzz=1; the fields are batch_size, "),
        (["--config.no.such=1"], "--config.no.such=1; the fields are "),
        (["-config.model.dept", "3"], "-config.model.dept; did you mean --config.model.depth?"),
        (["--batch_size=3"], "--batch_size=3; did you mean --config.batch_size?"),
        (["--data_dir", "x"], "--data_dir; did you mean --config.data.data_dir?"),
        (["--config.mesh.data", "-1", "word"], "arguments word"),
        (["word"], "arguments word"),
        (["--config.batch_size=many"], "--config.batch_size=many: "),
        (["--config.batch_size"], "--config.batch_size"),
        (["--config.model=3"], "--config.model=3"),
    ],
)
def test_the_message_names_the_override_at_fault(overrides, message):
    with pytest.raises(InputError) as error:
        configuration.read_config("digits_rowlstm", overrides)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "overrides,devices", [([], 4), (["gradient_accumulation=4"], 4), (["gradient_accumulation=8"], 2), (["mesh.data=1"], None)]
)
def test_a_training_that_one_device_can_do_is_not_refused_on_many_cores(overrides, devices, monkeypatch):
    """Parts count, and a mesh that is named stays."""
    update = mock.Mock()
    monkeypatch.setattr(cpu_devices, "num_cores", lambda: 4)
    monkeypatch.setattr(cpu_devices.jax.config, "update", update)
    monkeypatch.delenv("XLA_FLAGS")
    overrides = [f"--config.{field}" for field in ("batch_size=16", *overrides)]
    config = configuration.read_config("digits_rowlstm", overrides)
    configuration.share_training_among_cores(config)
    assert [call.args[1] for call in update.call_args_list] == ([] if devices is None else [devices])


def test_a_run_goes_on_by_its_work_directory_alone(tiny_run, tmp_path, capsys):
    workdir, score = tiny_run
    shutil.copytree(workdir, tmp_path / "run")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step))
    assert run_in_process(train.main, f"--workdir={tmp_path}/run") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(score)
    error = run_in_process(train.main, f"--workdir={tmp_path}/run", "--config.num_steps=8")
    assert "num_steps: 6 -> 8" in error


def test_the_configuration_of_a_run_is_read_without_starting_jax(tiny_run, tmp_path, monkeypatch):
    """As Orbax would do: how many devices there are depends on the configuration."""
    monkeypatch.setattr(checkpoint.ocp, "CheckpointManager", mock.Mock(side_effect=AssertionError))
    of_run = configuration.config_of_run(tiny_run[0], [])
    assert TrainConfig.from_config_dict(of_run) == TrainConfig.from_config_dict(tiny_config())
    shutil.copytree(tiny_run[0] / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "6" / "run" / "metadata").write_text("damaged")
    assert configuration.config_of_run(tmp_path, ["--config.seed=3"]).seed == 3
    with pytest.raises(InputError, match="nowhere holds no checkpoint to go on from; --config starts"):
        configuration.config_of_run(tmp_path / "nowhere", [])


def test_a_configuration_is_printed_and_nothing_done(tmp_path, capsys):
    flags = ("--config=digits_rowlstm", "--config.data.size=8,8", "--config.model.depth=2", "--print_config")
    assert run_in_process(train.main, *flags, f"--workdir={tmp_path}/run") == 0
    printed = capsys.readouterr().out.splitlines()
    assert {"batch_size=64", "model.depth=2", "data.size=8,8", "data.data_dir=None", "optimizer.muon.momentum=0.95"} <= {
        *printed
    }
    assert not (tmp_path / "run").exists()


def test_what_there_is_can_be_read_on_a_screen(capsys):
    assert run_in_process(train.main, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in (*shipped_configs(), "sample_every", "num_classes", "muon.momentum"):
        assert name in text
    for name in (*shipped_configs(), *shipped_models(), "train", "tfds:NAME"):
        assert name in HELP
    error = run_in_process(train.main)
    assert "--config=NAME --workdir=FOLDER starts a training" in error
    assert "pictures" in error
    assert "--workdir must name a folder" in run_in_process(train.main, "--config=digits_rowlstm")


def save_pictures(folder, *names, mode="RGB"):
    rng = np.random.default_rng(len(names))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (33, 40, 3), np.uint8)).convert(mode).save(folder / name)


def of_pictures(folder, **model):
    config = shipped_config("pictures")
    config.data.source = f"folder:{folder}"
    config.model.update(model)
    return config


def test_channels_and_classes_are_those_of_the_pictures(tmp_path, capsys):
    save_pictures(tmp_path, "train/cat/1.png", "train/cat/2.png", "train/dog/old/3.png", "test/dog/4.png")
    run = prepare(of_pictures(tmp_path))
    assert (run.model.config.channels, run.model.config.num_classes, run.data.classes) == (3, 2, ("cat", "dog"))
    assert run.image_shape == (32, 32, 3)
    assert (run.config.model.channels, run.config.model.num_classes) == (3, 2)
    assert f"{tmp_path}/train: model.channels=3, 2 classes" in capsys.readouterr().err
    grey = prepare(of_pictures(tmp_path, channels=1))
    assert (grey.model.config.channels, grey.model.config.num_classes) == (1, 2)


def test_classes_are_counted_from_all_the_files_that_are_read(tmp_path):
    save_pictures(tmp_path, *(f"{pet}/{number}.png" for pet in ("cat", "dog", "frog") for number in range(4)))
    for path in (tmp_path / "frog").iterdir():
        path.rename(path.with_suffix(".jfif"))
    assert prepare(of_pictures(tmp_path)).model.config.num_classes == 3


def test_grey_pictures_without_folders_make_a_grey_model_without_classes(tmp_path):
    save_pictures(tmp_path, *(f"{number}.png" for number in range(4)), mode="L")
    found = prepare(of_pictures(tmp_path)).model.config
    assert (found.channels, found.num_classes, found.levels) == (1, 0, 8)


def test_what_cannot_be_found_is_refused(tmp_path):
    save_pictures(tmp_path, "cat/1.png", "dog/2.png", "3.png")
    with pytest.raises(InputError, match=r"holds pictures \(3.png\) beside folders \(cat, dog\).* With 0, "):
        prepare(of_pictures(tmp_path))
    assert prepare(of_pictures(tmp_path, num_classes=0)).model.config.num_classes == 0
    with pytest.raises(InputError, match="must be given for 'digits'"):
        prepare(tiny_config("--config.model.num_classes=-1"))
    with pytest.raises(InputError, match="must name a folder; got '.*nowhere'"):
        prepare(of_pictures(tmp_path / "nowhere"))
