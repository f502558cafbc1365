"""Eight simulated devices, annotations checked, and what several tests share."""

import functools
import gc
import os
import shutil
import sys
from pathlib import Path
from unittest import mock

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
# Tests, their workers and the processes that they start compile the same programs: once for all of them, and for the next run.
ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "jax"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
# With a limit of its own, JAX measures the whole cache whenever it writes a program: a third of the time of all quick tests.
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "-1"
if CACHE.exists() and sum(entry.stat().st_size for entry in os.scandir(CACHE)) > 2**31:
    shutil.rmtree(CACHE)

from jaxtyping import install_import_hook

install_import_hook("pixel_rnn_jax", "beartype.beartype")

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import sklearn.datasets
from flax.traverse_util import unflatten_dict

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import command, configuration, export
from pixel_rnn_jax.models.params import parameter_shapes
from pixel_rnn_jax.training.metrics import read_metrics
from pixel_rnn_jax.training.trainer import train

# By default each of the eight devices writes an eighth of every array, which takes a quarter of the time of a tiny training.
# Processes that tests start keep the default.
whole_arrays = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
with mock.patch("absl.logging.warning"):  # that this is not the default
    ocp.type_handlers.register_type_handler(jax.Array, whole_arrays, override=True)

# Many tests read the same text file.
sklearn.datasets.load_digits = functools.cache(sklearn.datasets.load_digits)

# JAX keeps many objects. With the default thresholds, garbage collection takes a tenth of the time.
gc.set_threshold(50_000, 20, 50)


def pytest_sessionfinish():
    """Pytest collects garbage five times after this."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--data_dir", help="prepared TFDS sets, and npz files of the same images, for tests on the real data")


@pytest.fixture(scope="session")
def data_dir(request):
    path = request.config.getoption("--data_dir")
    if path is None:
        pytest.skip("needs --data_dir")
    return path


LAYERS = ("pixel_cnn", "row_lstm", "diagonal_bilstm")


def slow_but(values, *quick):
    """Parameters of a test, all of them slow but for some."""
    return [pytest.param(value, marks=[pytest.mark.slow] * (value not in quick)) for value in values]


def make_model(layer, *, channels=1, levels=2, depth=2, features=7, head_features=8, context_features=3, **fields):
    """A tiny model and random parameters: biases and initial states too, so that nothing hides behind a zero."""
    sizes = {"depth": depth, "features": features, "head_features": head_features, "context_features": context_features}
    model = prnn.make_model(prnn.ModelConfig(layer=layer, channels=channels, levels=levels, **sizes, **fields))
    return model, jax.tree.map(np.copy, _params(model))


@functools.cache
def _params(model):
    like = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in parameter_shapes(model).items()}
    return random_params(unflatten_dict(like, sep="/"))


def random_params(like):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), like)


def takes(levels, channels, **fields):
    """A model's configuration, for data that must fit it."""
    return prnn.ModelConfig(layer="row_lstm", levels=levels, channels=channels, **fields)


def tiny_config(*overrides):
    """The digits' configuration, small enough for a test."""
    tiny = {
        "batch_size": 16,
        "num_steps": 6,
        "eval_every": 2,
        "checkpoint_every": 3,
        "log_every": 1,
        "sample_every": 0,
        "model.depth": 1,
        "model.features": 4,
        "model.head_features": 4,
        "model.layer": "row_lstm",
        "optimizer.warmup": 0.33,
        "optimizer.name": "adam",  # which compiles faster than Muon
        "optimizer.learning_rate": 8e-3,
        "calm_start": False,
    }
    flags = [f"--config.{name}={value}" for name, value in tiny.items()]
    return configuration.read_config("digits_rowlstm", [*flags, *overrides])


def measured(workdir):
    """The rows of a run's metrics, but for how fast it was."""
    rows = [{name: value for name, value in row.items() if not name.startswith("speed_")} for row in read_metrics(workdir)]
    return [row for row in rows if row.keys() > {"step"}]


def run_in_process(main, *argv):
    """Runs a command; returns its exit status or message."""
    try:
        with mock.patch.object(command, "leave", sys.exit):
            command.run(main, argv)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The work directory of a finished training, and its score. Not to be changed."""
    workdir = tmp_path_factory.mktemp("tiny") / "run"
    score = train(tiny_config(), workdir)
    return workdir, score


@pytest.fixture(scope="session")
def exported(tiny_run, tmp_path_factory):
    """The same run as an exported file. Not to be changed."""
    path = tmp_path_factory.mktemp("exported") / "tiny.safetensors"
    assert run_in_process(export.main, f"--workdir={tiny_run[0]}", f"--out={path}") == 0
    return path


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    """A saved model of the digits, which was not trained: for tests that need no work directory."""
    path = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    model, params = make_model("row_lstm", levels=17, depth=1, features=4, head_features=4)
    prnn.save(path, model, params, (8, 8), "digits")
    return path
