"""Operations, against the products in the program that JAX traces, and against XLA's count of all operations."""

import json
import math

import jax
import jax.numpy as jnp
import pytest
from conftest import LAYERS, make_model, run_in_process, slow_but
from jax.extend.core import jaxpr_as_fun, jaxprs_in_params

from pixel_rnn_jax.cli import costs
from pixel_rnn_jax.evaluation.flops import forward_flops, training_flops
from pixel_rnn_jax.models.conditioning import blank_conditions
from pixel_rnn_jax.models.likelihood import log_prob
from pixel_rnn_jax.models.multi_scale import stages

BATCH, HEIGHT, WIDTH = 3, 4, 8
UNCONDITIONAL = [
    {},
    {"depth": 1, "features": 5, "head_features": 11, "channels": 3, "levels": 17},
    {"levels": 256, "residual": False, "skip": False},
]
CONDITIONAL = [
    {"num_classes": 4},
    {"context_channels": 2, "context_scale": 2},
    {"context_channels": 2, "context_depth": 0},
    {"context_channels": 1, "context_scale": 4, "context_depth": 0, "num_classes": 4},
    {"sizes": (2, 4), "channels": 3, "levels": 5, "num_classes": 3, "depth": 1},
]


def name(fields):
    return ",".join(f"{key}={value}" for key, value in fields.items()) or "unconditional"


def count_traced(layer, fields, *, gradient=False):
    """A configuration, and the operations for each image in the log-probability, or in its gradient by the parameters."""
    model, params = make_model(layer, **fields)
    shape = (BATCH, HEIGHT, WIDTH)

    def loss(params, images, conditions):
        return log_prob(model, params, images, *conditions).sum()

    images = jnp.zeros((*shape, model.config.channels), jnp.uint8)
    function = jax.value_and_grad(loss) if gradient else loss
    traced = jax.make_jaxpr(function)(params, images, blank_conditions(model.config, shape))
    return model.config, count(traced.jaxpr) / BATCH


def count(jaxpr):
    """The operations of all products in a program; those in a loop, as often as it runs."""
    flops = 0
    for equation in jaxpr.eqns:
        inner = sum(map(count, jaxprs_in_params(equation.params)))
        flops += equation.params.get("length", 1) * inner
        if equation.primitive.name in PRODUCTS:
            flops += 2 * equation.outvars[0].aval.size * PRODUCTS[equation.primitive.name](equation)
    return flops


def terms_of_matrix_product(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    return math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)


def terms_of_convolution(equation):
    """Without the zeros between the pixels of a transposed convolution's input."""
    kernel, outputs = equation.invars[1].aval, equation.params["dimension_numbers"].rhs_spec[0]
    return kernel.size // kernel.shape[outputs] // math.prod(equation.params["lhs_dilation"])


PRODUCTS = {"dot_general": terms_of_matrix_product, "conv_general_dilated": terms_of_convolution}


def count_by_xla(function, *arguments):
    """XLA's count of a program that it does not compile: of all operations, and of a loop's body once."""
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def test_xla_counts_the_body_of_a_loop_once():
    def products(matrix, length):
        return jax.lax.scan(lambda product, _: (product @ matrix, None), matrix, length=length)[0]

    counts = [count_by_xla(lambda matrix, length=length: products(matrix, length), jnp.ones((8, 8))) for length in (1, 10)]
    assert counts == [pytest.approx(2 * 8**3, rel=0.01)] * 2


@pytest.mark.parametrize("layer", slow_but(LAYERS, "pixel_cnn", "row_lstm"))
def test_xla_counts_as_much_where_loops_are_unrolled(layer):
    """But for gates and loss, whose share is small at a larger h."""
    model, params = make_model(layer, depth=1, features=64, head_features=64)
    height, width = (1, 12) if layer == "diagonal_bilstm" else (4, 8)  # of one row no skewed cell lies outside
    images = jnp.zeros((2, height, width, 1), jnp.uint8)
    gradient = jax.value_and_grad(lambda params: log_prob(model, params, images).sum())
    with jax.disable_jit():  # in which JAX runs the loops itself: what is traced has none
        unrolled = jax.make_jaxpr(gradient)(params)
    by_xla = count_by_xla(jaxpr_as_fun(unrolled), *jax.tree.leaves(params))
    counted = 2 * training_flops(model.config, height, width).total
    assert 0.97 * counted < by_xla < 1.03 * counted
    if layer != "pixel_cnn":
        assert count_by_xla(gradient, params) < 0.9 * counted, "with its loops"


def outside_the_image(config):
    """The operations of the forward pass in cells of the skewed maps that belong to no pixel."""
    if config.layer != "diagonal_bilstm":
        return 0
    flops = 0
    for stage in stages(config):
        height, h = HEIGHT // stage.stride, config.features
        cells = height * (height - 1)  # an image by itself is W + H - 1 columns of H cells
        flops += config.depth * 2 * cells * 2 * (2 * h + 2 * h) * 4 * h
    return flops


@pytest.mark.parametrize("fields", UNCONDITIONAL + CONDITIONAL, ids=name)
@pytest.mark.parametrize("layer", LAYERS)
def test_forward_pass(layer, fields):
    config, traced = count_traced(layer, fields)
    flops = forward_flops(config, HEIGHT, WIDTH)
    assert flops.total == sum(flops) == traced - outside_the_image(config)


@pytest.mark.parametrize(
    "fields",
    [*UNCONDITIONAL[1:], pytest.param({"remat": True}, marks=pytest.mark.slow), {"remat": True, "residual": False}],
    ids=name,
)
@pytest.mark.parametrize("layer", slow_but(LAYERS, "diagonal_bilstm"))
def test_training_step(layer, fields):
    config, traced = count_traced(layer, fields, gradient=True)
    passes = 4 if config.remat else 3
    assert training_flops(config, HEIGHT, WIDTH).total == traced - passes * outside_the_image(config)


@pytest.mark.parametrize("fields", [*CONDITIONAL, {"remat": True, "skip": False}], ids=name)
def test_training_step_where_a_few_gradients_are_not_needed(fields):
    config, traced = count_traced("row_lstm", fields, gradient=True)
    assert traced < training_flops(config, HEIGHT, WIDTH).total < 1.03 * traced


def test_the_command_tells_what_a_configuration_costs(tmp_path, capsys):
    flags = ["--config=digits_rowlstm", "--size=8,8", "--config.model.depth=1", "--config.model.features=4"]
    flags += ["--config.optimizer.name=adam"]
    assert run_in_process(costs.main, *flags, f"--json={tmp_path}/costs.json") == 0
    told = json.loads((tmp_path / "costs.json").read_text())
    assert f"{told['parameters']:,} parameters" in capsys.readouterr().out
    assert told["state_mib"] == pytest.approx((4 * told["parameters"] * 4 + 8) / 2**20, abs=1e-4), "Adam: four of each"
    assert told["training_gflop"] < 3 * told["forward_gflop"]
    # An image's logits alone are 8 x 8 x 17 numbers of four bytes.
    assert 8 * 8 * 17 * 4 / 2**20 < told["image_mib"] < 1
