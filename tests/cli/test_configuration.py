"""Configuration files and overrides, as a user may get them wrong."""

from unittest import mock

import pytest
from conftest import run_in_process

from pixel_rnn_jax.cli import configuration, train
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel import cpu_devices

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
