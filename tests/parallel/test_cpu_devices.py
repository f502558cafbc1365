"""Batches on the cores of a CPU."""

from unittest import mock

import pytest

from pixel_rnn_jax.parallel import cpu_devices


@pytest.mark.parametrize(
    "cores,batch_size,devices", [(2, 64, 2), (6, 64, 4), (8, 12, 3), (64, 16, 4), (2, 3, 1), (1, 64, 1), (6, None, 6)]
)
def test_a_batch_is_shared_among_cores(cores, batch_size, devices, monkeypatch):
    update = mock.Mock()
    monkeypatch.setattr(cpu_devices, "num_cores", lambda: cores)
    monkeypatch.setattr(cpu_devices.jax.config, "update", update)
    cpu_devices.share_among_cores(batch_size)
    update.assert_not_called()  # the user has decided: XLA_FLAGS names a number of devices here
    monkeypatch.delenv("XLA_FLAGS")
    cpu_devices.share_among_cores(batch_size)
    update.assert_called_once_with("jax_num_cpu_devices", devices)
