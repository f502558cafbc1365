"""The trained models that come with the package give the likelihoods that are published for them."""

from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import run_in_process

import pixel_rnn_jax as prnn
from experiments import command, evaluate, sample
from pixel_rnn_jax.evaluate import evaluate as score
from pixel_rnn_jax.loading import load_run, shipped_models
from pixel_rnn_jax.sharding import make_mesh

# The mean over the test split, in nats; README prints it with one digit less.
DIGITS = {
    "digits_diagonal_bilstm": 77.23,
    "digits_rowlstm": 77.31,
    "digits_pixelcnn": 79.45,
    "digits_multiscale": 78.39,
    "digits_class_conditional": 73.19,
}
# The mean over eight images that each model drew, which ship as a small file.
MNIST = {"mnist_diagonal_bilstm": 90.236, "mnist_rowlstm": 91.042, "mnist_pixelcnn": 91.286}


def test_every_shipped_model_is_tested_here():
    assert shipped_models() == sorted({*DIGITS, *MNIST})


@pytest.mark.parametrize("name", MNIST)
def test_mnist(name):
    model, params = prnn.load(name)
    with np.load(Path(__file__).parent / "mnist_samples.npz") as samples:
        images = samples[name]
    nats = -jax.jit(prnn.log_prob, static_argnums=0)(model, params, images)
    np.testing.assert_allclose(np.mean(nats), MNIST[name], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_digits(name):
    model, params, run = load_run(name)
    examples = command.open_dataset(run["config"], None, run["classes"]).examples("test")
    found = score(model, params, "test", *examples, batch_size=64, mesh=make_mesh())
    np.testing.assert_allclose(found.nats, DIGITS[name], atol=0.01)


def test_commands_take_the_name_of_a_shipped_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_in_process(evaluate.main, "--workdir=digits_diagonal_bilstm") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("test 77.23 nats")
    message = run_in_process(sample.main, "--workdir=digits", "--num=1", "--out=x.png")
    assert "must be the work directory of a training run, an exported file (*.safetensors), or one of digits_" in message


def test_a_checkpoint_is_told_from_its_work_directory(tiny_run):
    workdir = tiny_run[0]
    checkpoint = next((workdir / "checkpoints").iterdir())
    with pytest.raises(ValueError, match=f"is one checkpoint; give the work directory that it is in, {workdir}"):
        prnn.load(checkpoint)


def test_a_folder_goes_before_a_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits_rowlstm").mkdir()
    with pytest.raises(ValueError, match="must be the work directory of a training run; it holds no checkpoints"):
        prnn.load("digits_rowlstm")
