"""Batch sizes that the devices of a mesh divide."""

import pytest

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.mesh import make_mesh, scoring_batch_size


def test_scoring_takes_about_as_many_images_as_training():
    mesh = make_mesh()
    assert scoring_batch_size(None, 20, mesh) == 32  # four for each device, at least
    assert scoring_batch_size(None, 41, mesh) == 48
    assert scoring_batch_size(16, 20, mesh) == 16
    with pytest.raises(InputError, match="multiple of the 8 devices"):
        scoring_batch_size(20, 20, mesh)
