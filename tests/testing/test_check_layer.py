"""The check of a layer: the package's layers and the documentation's example pass it; wrong layers do not."""

import runpy

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, ROOT, make_model, slow_but

import pixel_rnn_jax as prnn
from pixel_rnn_jax.models.params import parameter_shapes
from pixel_rnn_jax.models.pixel_cnn import PixelCNNBlock
from pixel_rnn_jax.models.registry import LAYERS as REGISTERED
from pixel_rnn_jax.models.registry import register_layer
from pixel_rnn_jax.models.row_lstm import RowLSTM
from pixel_rnn_jax.testing import check_layer

EXAMPLE = ROOT / "docs" / "examples" / "gated_pixel_cnn.py"


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    before = dict(REGISTERED)
    yield
    REGISTERED.clear()
    REGISTERED.update(before)


@pytest.mark.parametrize("layer", slow_but(LAYERS))
def test_the_packages_layers_pass(layer):
    check_layer(layer)


def test_the_gated_pixel_cnn_passes_and_has_no_blind_spot():
    runpy.run_path(str(EXAMPLE))
    field = check_layer("gated_pixel_cnn", size=(3, 7))
    pixels = field.any((2, 5))  # of any colour
    before = np.tri(21, k=-1, dtype=bool).reshape(3, 7, 3, 7)
    assert np.all(pixels[2, 3][before[2, 3]])


class SeesTheRight(PixelCNNBlock):
    """Reads the residual stream one pixel to the right."""

    def __call__(self, x, context, train):
        return super().__call__(jnp.roll(x, -1, 2), context, train)


class ForgetsTheLeft(PixelCNNBlock):
    """Decodes as if the pixel to the left were zero."""

    def decode_step(self, x, neighbours, context):
        return super().decode_step(x, neighbours._replace(left=jnp.zeros_like(neighbours.left)), context)


class ComputesNothing(PixelCNNBlock):
    """Is zero, at once and pixel by pixel."""

    def __call__(self, x, context, train):
        return 0 * super().__call__(x, context, train)

    def decode_step(self, x, neighbours, context):
        y, cache = super().decode_step(x, neighbours, context)
        return 0 * y, cache


@pytest.mark.parametrize(
    "layer,message",
    [
        (SeesTheRight, "depends on .* itself or a later one"),
        (ForgetsTheLeft, "decode_step differs"),
        (ComputesNothing, "sub-pixel 1 depends on no other"),
    ],
)
def test_wrong_layers_fail(layer, message):
    register_layer(layer.__name__, layer)
    with pytest.raises(AssertionError, match=message):
        check_layer(layer.__name__, depth=1, size=(2, 3))


def test_a_name_may_be_registered_again():
    """As when a cell of a notebook is changed and run again."""
    images = np.zeros((1, 2, 2, 1), np.uint8)
    register_layer("mine", PixelCNNBlock)
    model, params = make_model("mine")
    before = prnn.log_prob(model, params, images)
    register_layer("mine", ComputesNothing)
    assert prnn.log_prob(model, params, images) != before
    register_layer("mine", RowLSTM)
    assert any("state_to_state" in name for name in parameter_shapes(model))


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match="layer must be one of .*; got 'unknown'"):
        check_layer("unknown")
