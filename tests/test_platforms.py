"""What depends on the platform is decided by the devices of the mesh, whatever machine is at hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_model
from jax.sharding import AbstractDevice, AbstractMesh, PartitionSpec

from pixel_rnn_jax.parallel.mesh import make_mesh, on_shares
from pixel_rnn_jax.platforms import fast_microbatches, images_side_by_side, target_platform


def abstract_mesh(platform):
    return AbstractMesh((1,), ("data",), abstract_device=AbstractDevice(platform, 1, platform))


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
def test_the_platform_is_that_of_the_mesh(platform, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu" if platform == "tpu" else "tpu")
    with jax.sharding.use_abstract_mesh(abstract_mesh(platform)):
        assert target_platform() == platform
        assert images_side_by_side(8) == (4 if platform == "cpu" else 1)
        assert fast_microbatches(64, (28, 28), 16) == (16 if platform == "cpu" else 1)


def test_shares_of_a_mesh_know_its_platform(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    seen = []
    function = on_shares(
        lambda x: seen.append(target_platform()) or x, make_mesh(), in_specs=PartitionSpec(), out_specs=PartitionSpec()
    )
    jax.eval_shape(function, jnp.zeros(8))
    assert seen == ["cpu"]


def test_without_a_mesh_the_platform_is_that_of_the_default_device(monkeypatch):
    assert target_platform() == jax.default_backend() == "cpu"
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert target_platform() == "tpu"
    with jax.default_device(jax.devices()[1]):
        assert target_platform() == "cpu"


@pytest.mark.parametrize("platform,columns", [("cpu", 4 * 5 + 3 - 1), ("tpu", 5 + 3 - 1)])
def test_the_diagonals_of_a_model_are_those_for_the_mesh(platform, columns):
    """Four images of 3 x 5 lie side by side on a CPU, and each has its own skewed map on a TPU."""
    model, params = make_model("diagonal_bilstm", depth=1)
    with jax.sharding.use_abstract_mesh(abstract_mesh(platform)):
        traced = str(jax.make_jaxpr(lambda params, x: model.apply({"params": params}, x))(params, np.zeros((4, 3, 5, 1), int)))
    assert set(re.findall(r"length=(\d+)", traced)) >= {str(columns)}
