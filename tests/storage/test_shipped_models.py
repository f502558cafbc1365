"""The trained models that come with the package give the likelihoods that are published for them."""

from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from conftest import ROOT, run_in_process, slow_but

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import datasets, evaluate, sample
from pixel_rnn_jax.cli.configuration import read_config
from pixel_rnn_jax.compression.fingerprint import checksum
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.storage.load import SHIPPED, load_run, shipped_models

# The mean over the test split, in nats; docs/results.md prints that of the digits with one digit less.
DIGITS = {
    "digits_diagonal_bilstm": 76.29,
    "digits_rowlstm": 76.58,
    "digits_pixelcnn": 77.88,
    "digits_multiscale": 78.02,
    "digits_class_conditional": 72.55,
}
MNIST = {
    "mnist_diagonal_bilstm": 78.88,
    "mnist_diagonal_bilstm_1layer": 80.34,
    "mnist_rowlstm": 80.36,
    "mnist_pixelcnn": 80.60,
}
# The same in bits/dim.
CIFAR = {"cifar_diagonal_bilstm_small": 3.368, "cifar_rowlstm_small": 3.399, "cifar_pixelcnn_small": 3.468}
CIFAR_VALIDATION = {"cifar_diagonal_bilstm_small": 3.364, "cifar_rowlstm_small": 3.395, "cifar_pixelcnn_small": 3.464}
TITLES = {"diagonal_bilstm": "Diagonal BiLSTM", "rowlstm": "Row LSTM", "pixelcnn": "PixelCNN"}
# Of each model: four images that it drew, sample(model, params, jax.random.key(0), num=4, size=SIZE), with SIZE (28, 28) for
# MNIST and (8, 8) for the others, and labels 0 to 3 for a class-conditional one; and their log_prob.
DRAWN = Path(__file__).parent / "shipped.npz"
# One of each kind; the others' parameters are held by their hashes.
DRAWN_QUICKLY = (
    "digits_diagonal_bilstm",
    "digits_multiscale",
    "digits_class_conditional",
    "mnist_pixelcnn",
    "cifar_rowlstm_small",
)


# The BLAKE2b hash, of 8 bytes, of the parameters of each model; what a file holds beside them may change.
HASHES = {
    "cifar_diagonal_bilstm_small": "a996ca3d75f612a0",
    "cifar_pixelcnn_small": "e9c830ff789e18a6",
    "cifar_rowlstm_small": "7fece5a1cf520062",
    "digits_class_conditional": "309f4e6bb6403827",
    "digits_diagonal_bilstm": "30d3ca804fc4a423",
    "digits_multiscale": "d1ea618fb8346bb5",
    "digits_pixelcnn": "effd3c17dda9564d",
    "digits_rowlstm": "cc5592f05bc04e54",
    "mnist_diagonal_bilstm": "f86566a51a33faf1",
    "mnist_diagonal_bilstm_1layer": "c29756f3a06356ca",
    "mnist_pixelcnn": "73acc611d58efea5",
    "mnist_rowlstm": "8cbd8d4842f4365f",
}


@pytest.mark.parametrize("name", HASHES)
def test_not_one_parameter_has_changed(name):
    tensors = safetensors.numpy.load_file(SHIPPED / f"{name}.safetensors")
    parts = [f"{key} {tensor.dtype} {tensor.shape} ".encode() + tensor.tobytes() for key, tensor in sorted(tensors.items())]
    assert checksum(b"".join(parts)).hex() == HASHES[name]


@pytest.mark.parametrize("name", [*DIGITS, *MNIST, *CIFAR])
def test_every_shipped_model_has_a_card(name):
    card = prnn.from_pretrained(name).card
    assert {"about", "data", "training", "validation", "test", "not_for", "licence"} <= card.keys()
    score = f"{CIFAR[name]:.3f} bits/dim" if name in CIFAR else f"{(DIGITS | MNIST)[name]:.2f} nats"
    assert card["test"].startswith(f"{score}")
    assert f"{10_000 if name not in DIGITS else 180:,} images" in card["test"]


def test_the_prior_of_the_digits_is_that_of_their_training_images():
    run = load_run("digits_class_conditional")[2]
    labels = datasets.open_dataset(run.data, run.model).examples("train").conditions.labels
    assert run.class_counts == tuple(np.bincount(labels))


def test_every_shipped_model_is_tested_here():
    assert shipped_models() == sorted({*DIGITS, *MNIST, *CIFAR}) == sorted(HASHES)


@pytest.mark.parametrize("name", [*DIGITS, *MNIST, *CIFAR])
def test_model_and_recipe_are_those_of_the_configuration_of_its_name(name):
    run, config = load_run(name)[2], read_config(name, [])
    assert run.model == prnn.ModelConfig(**config.model)
    recipe = ("optimizer", "calm_start", "batch_size", "num_steps", "seed")
    assert {field: run.config[field] for field in recipe} == {field: config.to_dict()[field] for field in recipe}


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
@pytest.mark.parametrize("name", [*MNIST, *CIFAR])
def test_tables_say_what_is_in_the_files(name, page):
    _, params, run = load_run(name)
    (title,) = (title for layer, title in TITLES.items() if layer in name)
    size = f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,}"
    tables = [[cell.strip() for cell in line.split("|")] for line in (ROOT / page).read_text().splitlines()]
    (row,) = (cells for cells in tables if cells[1:2] == [title] and size in cells)
    assert (f"**{MNIST[name]:.2f}**" if name in MNIST else f"**{CIFAR[name]:.3f}**") in row
    if page == "docs/results.md":
        assert (f"{run.validations.best_nats:.2f}" if name in MNIST else f"{CIFAR_VALIDATION[name]:.3f}") in row


@pytest.mark.parametrize("name", slow_but([*DIGITS, *MNIST, *CIFAR], *DRAWN_QUICKLY))
def test_a_model_draws_the_same_images_and_gives_them_the_same_log_prob(name):
    model, params = prnn.load(name)
    with np.load(DRAWN) as drawn:
        images, expected = drawn[f"{name}/images"], drawn[f"{name}/log_prob"]
    labels = np.arange(4) if model.config.num_classes else None
    found = prnn.sample(model, params, jax.random.key(0), num=4, size=images.shape[1:3], labels=labels)
    np.testing.assert_array_equal(found, images)
    log_prob = jax.jit(prnn.log_prob, static_argnums=0)(model, params, images, labels=labels)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6)


@pytest.mark.parametrize("name", [*DIGITS, *MNIST, *CIFAR])
def test_a_model_keeps_the_scores_of_single_validation_images(name):
    """Of all digits; of some of the larger sets, whose mean is that of the whole but for chance."""
    validations = load_run(name)[2].validations
    nats, bits = np.array(validations.image_scores).T
    assert len(nats) >= 180
    chance = 0 if name in DIGITS else 3 * nats.std() / len(nats) ** 0.5
    assert abs(nats.mean() - validations.best_nats) < chance + 0.001
    assert bits.min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", MNIST)
def test_the_whole_test_split_of_mnist(name, data_dir):
    np.testing.assert_allclose(score_split(name, data_dir, "test").nats, MNIST[name], atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("split,published", [("test", CIFAR), ("validation", CIFAR_VALIDATION)])
@pytest.mark.parametrize("name", CIFAR)
def test_whole_splits_of_cifar(name, split, published, data_dir):
    np.testing.assert_allclose(score_split(name, data_dir, split).bits_per_dim, published[name], atol=0.001)


def score_split(name, data_dir, split):
    model, params, run = load_run(name)
    examples = datasets.open_dataset(run.data, run.model, data_dir).examples(split)
    found = Scorer(model, params, make_mesh(), 64).evaluate(split, *examples)
    assert found.num_images == {"test": 10_000, "validation": 5_000}[split]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_digits(name):
    model, params, run = load_run(name)
    examples = datasets.open_dataset(run.data, run.model, None, run.classes).examples("test")
    found = Scorer(model, params, make_mesh(), 64).evaluate("test", *examples)
    np.testing.assert_allclose(found.nats, DIGITS[name], atol=0.01)


def test_commands_take_the_name_of_a_shipped_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_in_process(evaluate.main, "--workdir=digits_diagonal_bilstm") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"test {DIGITS['digits_diagonal_bilstm']:.2f} nats")
    message = run_in_process(sample.main, "--workdir=digits", "--num=1", "--out=x.png")
    assert "must be the work directory of a training run, an exported file (*.safetensors), or one of cifar_" in message


def test_a_folder_goes_before_a_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits_rowlstm").mkdir()
    with pytest.raises(ValueError, match="must be the work directory of a training run; it holds no checkpoints"):
        prnn.load("digits_rowlstm")
