"""bfloat16 is for products only: parameters, gradients, LSTM states and the loss are float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, make_model, slow_but
from jax.extend.core import jaxprs_in_params

import pixel_rnn_jax as prnn
from pixel_rnn_jax.generation.batched import generate
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.parallel.mesh import make_mesh

IMAGES = np.random.default_rng(0).integers(0, 4, (4, 5, 6, 3)).astype(np.uint8)
GIVEN = Conditions(context=IMAGES[..., :1], labels=np.arange(4))


def make(layer, dtype):
    fields = {"channels": 3, "levels": 4, "context_channels": 1, "context_levels": 4, "num_classes": 4}
    return make_model(layer, dtype=dtype, **fields)


def equations(jaxpr):
    """All equations, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)


@pytest.mark.parametrize("layer", LAYERS)
def test_products_are_bfloat16_and_what_is_summed_up_is_float32(layer):
    model, params = make(layer, "bfloat16")

    def loss(params):
        return -prnn.log_prob(model, params, IMAGES, *GIVEN).mean()

    value, gradient = jax.eval_shape(jax.value_and_grad(loss), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((value, gradient))} == {jnp.dtype("float32")}
    program = jax.make_jaxpr(jax.value_and_grad(loss))(params).jaxpr
    kinds = ("dot_general", "conv_general_dilated")
    products = [equation for equation in equations(program) if equation.primitive.name in kinds]
    assert len(products) > 20
    operands = [{operand.aval.dtype.name for operand in equation.invars} for equation in products]
    others = [types for types in operands if types != {"bfloat16"}]
    assert not others
    if layer != "pixel_cnn":
        forward = jax.make_jaxpr(loss)(params).jaxpr
        scans = [equation.params for equation in equations(forward) if equation.primitive.name == "scan"]
        line_scans = [scan["jaxpr"].jaxpr for scan in scans if scan["length"] != model.config.depth]
        inner = [equation for scan in line_scans for equation in equations(scan) if equation.primitive.name == "dot_general"]
        assert {equation.outvars[0].aval.dtype.name for equation in inner} == {"float32"}, "K_ss ⊛ h is summed up in float32"
        h = model.config.features
        # What goes in a step at a time has an axis more.
        inputs = [value.aval for scan in equations(program) if scan.primitive.name == "scan" for value in scan.invars]
        states = [aval for aval in inputs if aval.ndim == 2 and aval.shape[-1] == h]
        assert len(states) >= 4
        assert {aval.dtype.name for aval in states} == {"float32"}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_precision_of_products_holds_in_the_derivative_too(layer):
    """Also where it is written out, and traced after the model."""
    model, params = make(layer, "float32")
    model = model.clone(config=dataclasses.replace(model.config, precision="high"))
    program = jax.make_jaxpr(jax.grad(lambda params: prnn.log_prob(model, params, IMAGES, *GIVEN).mean()))(params).jaxpr
    products = [equation for equation in equations(program) if equation.primitive.name == "dot_general"]
    assert len(products) > 20
    assert {equation.params["precision"] for equation in products} == {(jax.lax.Precision.HIGH,) * 2}


@pytest.mark.parametrize("layer", LAYERS)
def test_bfloat16_comes_near_float32(layer):
    exact, params = make(layer, "float32")
    rough, _ = make(layer, "bfloat16")
    difference = prnn.log_prob(rough, params, IMAGES, *GIVEN) - prnn.log_prob(exact, params, IMAGES, *GIVEN)
    assert 0 < np.max(np.abs(difference)) < 0.02 * IMAGES[0].size


def test_deep_values_enter_and_leave_in_float32():
    """bfloat16 cannot tell one of 4,096 levels from the next: neither an input nor the mean of a logistic."""
    fields = {"depth": 1, "features": 4, "levels": 4096, "output": "logistic_mixture", "mixture_components": 1}
    model, params = make_model("pixel_cnn", dtype="bfloat16", **fields)
    numbers = jax.jit(lambda params, images: model.apply({"params": params}, images, method="numbers"))

    images = np.full((2, 1, 2, 1), 2662, np.uint16)
    images[1, 0, 0] += 1
    steep = {**params, "stem": {**params["stem"], "kernel": 100 * params["stem"]["kernel"]}}
    one, other = numbers(steep, images)[:, 0, 1]
    assert np.any(one != other)

    logits = {"kernel": 0 * params["head"]["logits"]["kernel"], "bias": jnp.array([0, 0.30037, -7.6])}
    found = numbers({**params, "head": {**params["head"], "logits": logits}}, images)
    np.testing.assert_array_equal(found, np.broadcast_to(logits["bias"], found.shape))


@pytest.mark.parametrize("layer", slow_but(LAYERS, "diagonal_bilstm"))
def test_bfloat16_draws_from_what_it_scores(layer):
    """One visit per pixel gives the log-probabilities of the whole pass, as far as bfloat16 goes."""
    model, params = make(layer, "bfloat16")
    drawn = generate(
        model, params, jax.random.key(0), IMAGES, np.zeros((5, 6), bool), conditions=GIVEN, batch_size=8, mesh=make_mesh()
    )
    expected = prnn.log_prob(model, params, drawn.images, *GIVEN)
    np.testing.assert_allclose(drawn.log_probs.sum((1, 2, 3)), expected, atol=0.02 * IMAGES[0].size)


@pytest.mark.parametrize(
    "layer", [pytest.param(layer, marks=[pytest.mark.slow] if layer != "row_lstm" else []) for layer in LAYERS]
)
def test_where_jax_is_told_to_use_float64_all_stays_float32(layer):
    def numbers():
        model, params = make(layer, "float32")
        gradients = jax.grad(lambda params: -prnn.log_prob(model, params, IMAGES, *GIVEN).mean())(params)
        return params, gradients, prnn.sample(model, params, jax.random.key(1), 4, (5, 6), 1.0, *GIVEN)

    expected = numbers()
    with jax.enable_x64(True):
        found = numbers()
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), found, expected)
    assert {leaf.dtype for leaf in jax.tree.leaves(found[:2])} == {jnp.dtype(jnp.float32)}


def test_the_type_must_be_known():
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16; got 'float16'"):
        prnn.ModelConfig(layer="row_lstm", levels=2, channels=1, dtype="float16")
