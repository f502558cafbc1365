"""Batch sizes that the devices of a mesh divide."""

import jax
import pytest

from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.mesh import busy_devices, make_mesh, scoring_batch_size


def test_scoring_takes_about_as_many_images_as_training():
    mesh = make_mesh()
    assert scoring_batch_size(None, 20, mesh) == 32  # four for each device, at least
    assert scoring_batch_size(None, 41, mesh) == 48
    assert scoring_batch_size(16, 20, mesh) == 16
    with pytest.raises(InputError, match="multiple of the 8 devices"):
        scoring_batch_size(20, 20, mesh)


def test_of_larger_images_fewer_are_scored_at_a_time():
    mesh = make_mesh()
    assert scoring_batch_size(None, 64, mesh, area=4.0) == 16
    assert scoring_batch_size(None, 64, mesh, area=1000.0) == 8, "one for each device"
    assert scoring_batch_size(None, 64, mesh, area=0.25) == 64
    assert scoring_batch_size(16, 64, mesh, area=1000.0) == 16, "as asked"


def test_no_device_works_on_copies_only():
    mesh = make_mesh(fsdp=2)
    assert busy_devices(mesh, 8) is mesh
    assert busy_devices(mesh, 3).devices.ravel().tolist() == jax.devices()[:3]
