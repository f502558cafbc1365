"""Parameters are those of the model, or they are refused."""

import jax
import numpy as np
import pytest
from conftest import make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.generation.batched import generate
from pixel_rnn_jax.parallel.mesh import make_mesh

SHAPE = (1, 4, 5, 1)
OTHERS = {
    "superfluous": (lambda: make_model("row_lstm")[1], r"layers/skip/bias must be absent; it is of shape \(2, 14\)"),
    "missing": (dict, r"must be of shape .*; it is absent"),
    "of another width": (lambda: make_model("row_lstm", skip=False, features=6)[1], "it is of shape"),
    "of another depth": (lambda: make_model("row_lstm", skip=False, depth=3)[1], r"it is of shape \(3, "),
    "of another layer": (lambda: make_model("pixel_cnn", skip=False)[1], "layers/pixel_cnn/.* must be absent"),
    "of all variables": (lambda: {"params": make_model("row_lstm", skip=False)[1]}, "it is absent"),
    "none": (lambda: None, "it is absent"),
}


@pytest.mark.parametrize("which", OTHERS)
def test_parameters_of_another_model_are_refused_by_all_functions(which, tmp_path):
    make, message = OTHERS[which]
    model, _ = make_model("row_lstm", skip=False)
    params, key, images, known = make(), jax.random.key(0), np.zeros(SHAPE, np.uint8), np.zeros(SHAPE[1:3], bool)
    for use in (
        lambda: prnn.log_prob(model, params, images),
        lambda: jax.jit(prnn.log_prob, static_argnums=0)(model, params, images),
        lambda: prnn.sample(model, params, key, 1, SHAPE[1:3]),
        lambda: prnn.complete(model, params, key, images, known),
        lambda: generate(model, params, key, images, known, batch_size=1, mesh=make_mesh()),
        lambda: prnn.compress(model, params, images),
        lambda: prnn.save(tmp_path / "x.safetensors", model, params, SHAPE[1:3]),
    ):
        with pytest.raises(ValueError, match=f"params must be the parameters of ModelConfig.*{message}"):
            use()


def test_only_parameters_of_float32_are_saved(tmp_path):
    model, params = make_model("row_lstm")
    half = jax.tree.map(lambda leaf: leaf.astype(np.float16), params)
    with pytest.raises(ValueError, match="params must be of float32; got float16"):
        prnn.save(tmp_path / "x.safetensors", model, half, SHAPE[1:3])
