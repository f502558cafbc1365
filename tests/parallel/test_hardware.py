"""What the machine tells about its memory."""

import os

import jax
import pytest

from pixel_rnn_jax.parallel.hardware import free_memory, is_out_of_memory


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: Out of memory", "INTERNAL: YNNPACK operation failed"])
def test_a_lack_of_memory_is_recognised(message):
    assert is_out_of_memory(jax.errors.JaxRuntimeError(message))
    assert not is_out_of_memory(jax.errors.JaxRuntimeError("INTERNAL: something else"))
    assert is_out_of_memory(MemoryError())


def test_devices_share_the_memory_that_is_free(monkeypatch):
    free = free_memory(1)
    assert 2**20 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(os, "sysconf", lambda name: 10)
    assert free_memory(4) == 25
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert free_memory(4) == float("inf")
