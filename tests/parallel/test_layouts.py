"""The same training on many layouts of devices and processes gives the same numbers; and what a compiled step exchanges."""

import dataclasses
import math
import os
import re
import socket
import subprocess
import sys
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LAYERS, ROOT, make_model, slow_but
from layouts import make_setup, run

import pixel_rnn_jax as prnn
from pixel_rnn_jax.parallel.mesh import batch_sharding, make_mesh
from pixel_rnn_jax.platforms import fast_microbatches
from pixel_rnn_jax.training.run import compile_step

LAYOUTS = {
    "data=8": ["--config.mesh.data=8"],
    "fsdp=8": ["--config.mesh.fsdp=8"],
    "data=2, fsdp=4": ["--config.mesh.data=2", "--config.mesh.fsdp=4"],
    "two microbatches": ["--config.gradient_accumulation=2"],
    "two microbatches, fsdp=4": ["--config.gradient_accumulation=2", "--config.mesh.fsdp=4"],
}
SLOW = ("data=8", "fsdp=8", "data=2, fsdp=4", "two microbatches")  # the last one is all of these together


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """Losses, state and score of five steps on one device."""
    return run(make_setup(devices=jax.devices()[:1]), tmp_path_factory.mktemp("one"), 5)


def assert_same(result, expected):
    losses, params, nats = result
    expected_losses, expected_state, expected_nats = expected
    np.testing.assert_allclose(losses, expected_losses[-len(losses) :], atol=1e-5, rtol=0)
    for array, other in zip(params, jax.tree.leaves(expected_state.params), strict=True):
        np.testing.assert_allclose(array, other, atol=1e-4, rtol=0)
    np.testing.assert_allclose(nats, expected_nats, rtol=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [pytest.param(flags, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, flags in LAYOUTS.items()],
)
def test_all_layouts_take_the_same_steps(overrides, one_device, tmp_path):
    losses, state, nats = run(make_setup(*overrides), tmp_path, 5)
    assert_same((losses, jax.tree.leaves(state.params), nats), one_device)
    assert max(losses) - min(losses) > 0.1, "the steps change something"


@pytest.mark.parametrize(
    "devices,asked,side,features,microbatches",
    [(1, 0, 28, 16, 16), (2, 0, 28, 16, 8), (2, 0, 8, 32, 2), (2, 0, 32, 128, 32), (8, 0, 8, 8, 1), (1, 2, 28, 16, 2)],
)
def test_a_core_takes_its_share_in_microbatches(devices, asked, side, features, microbatches):
    """By default a microbatch has 4 images of MNIST's size and h = 16, which fit side by side in a skewed map."""
    overrides = [f"--config.gradient_accumulation={asked}", f"--config.model.features={features}", "--config.batch_size=64"]
    setup = make_setup(*overrides, devices=jax.devices()[:devices])
    assert dataclasses.replace(setup, image_shape=(side, side, 1)).microbatches == microbatches


def test_an_accelerator_takes_all_at_once_and_an_awkward_share_has_small_microbatches():
    assert fast_microbatches(64, (28, 28), 16, "gpu") == 1
    assert [fast_microbatches(images, (28, 28), 16, "cpu") for images in (1, 2, 4, 50, 100, 17)] == [1, 1, 1, 25, 25, 17]


def test_processes_must_have_the_same_number_of_devices():
    devices = [mock.Mock(spec=jax.Device, process_index=process, id=i) for i, process in enumerate([0, 0, 1])]
    with pytest.raises(ValueError, match="devices; got {0: 2, 1: 1}"):
        make_mesh(devices=devices)


def test_state_is_cut_along_fsdp():
    """Kernels, their average and their momentum: each device holds an eighth."""
    setup = make_setup("--config.mesh.fsdp=8")
    state = setup.init()
    large = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim and leaf.size >= 64]
    assert len(large) > 3 * 8
    for leaf in large:
        assert {shard.data.size for shard in leaf.addressable_shards} == {leaf.size // 8}, leaf.shape
    whole = make_setup(devices=jax.devices()[:1]).init()
    chex.assert_trees_all_equal(jax.device_get(state), jax.device_get(whole))


def run_processes(count, devices, workdir, last_step, *overrides):
    """Runs `layouts.py` in several processes with `devices` devices each; returns what the first one wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    root = ROOT
    env = {
        **os.environ,
        "PYTHONPATH": str(root),
        "XLA_FLAGS": re.sub(r"(device_count)=\d+", rf"\1={devices}", os.environ["XLA_FLAGS"]),
    }
    command = [sys.executable, str(root / "tests" / "layouts.py"), coordinator, str(count)]
    rest = [str(workdir), str(last_step), *overrides]
    processes = [
        subprocess.Popen([*command, str(number), *rest], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for number in range(count)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, "\n".join(outputs)[-4000:]
    with np.load(workdir / "result.npz") as arrays:
        params = [arrays[f"arr_{number}"] for number in range(len(arrays) - 2)]
        return arrays["losses"].tolist(), params, float(arrays["nats"])


@pytest.mark.slow
def test_two_processes_go_on_where_eight_devices_stopped_and_back(one_device, tmp_path):
    """A checkpoint is restored on other numbers of processes and devices, and then on others again."""
    run(make_setup("--config.mesh.fsdp=8"), tmp_path, 2)
    _, params, _ = run_processes(2, 4, tmp_path, 4, "--config.mesh.data=2", "--config.mesh.fsdp=4")
    assert params
    losses, state, nats = run(make_setup(devices=jax.devices()[:1]), tmp_path, 5)
    assert len(losses) == 1
    assert_same((losses, jax.tree.leaves(state.params), nats), one_device)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_device(one_device, tmp_path):
    assert_same(run_processes(2, 4, tmp_path, 5), one_device)


def dimensions(result):
    """The shapes in the text of a result, such as `(f32[2,3], f32[])`."""
    return [[int(length) for length in dims.split(",") if length] for dims in re.findall(r"\[([\d,]*)\]", result)]


def bodies_of_loops(text):
    """The text of every computation that a loop runs, directly or indirectly."""
    computations = dict(re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \(.*?(\n.*?)^}", text, re.MULTILINE | re.DOTALL))
    called = set(re.findall(r"body=%?([\w.\-]+)", text))
    found = set()
    while called:
        name = called.pop()
        found.add(name)
        called |= set(re.findall(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)", computations[name])) - found
    return [computations[name] for name in found]


def collectives(compiled):
    """The kinds and results of all collectives in a compiled program."""
    pattern = r"= (.+?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast)(?:-start)?\("
    return re.findall(pattern, compiled.as_text())


@pytest.mark.parametrize("layer", slow_but(LAYERS, "row_lstm"))
def test_data_parallelism_needs_all_reduce_only(layer):
    """Only gradient and metrics are exchanged, once, outside the loop over microbatches; no images or maps."""
    setup = make_setup(f"--config.model.layer={layer}", "--config.model.dropout=0.5", "--config.gradient_accumulation=2")
    compiled = compile_step(setup)
    found = collectives(compiled)
    assert {kind for _, kind in found} == {"all-reduce"}
    sizes = [int(np.prod(dims)) for result, _ in found for dims in dimensions(result)]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(setup.abstract_state.params))
    assert sum(sizes) == parameters + len(["nats"])
    loops = bodies_of_loops(compiled.as_text())
    assert loops, "over the microbatches"
    assert not any("all-reduce" in loop for loop in loops)
    assert "collective" not in compiled.as_text().replace("all-reduce", ""), "nothing that has another name"


def test_a_step_overwrites_the_old_state():
    setup = make_setup("--config.mesh.fsdp=8")
    state = jax.tree.leaves(setup.abstract_state)
    shard_bytes = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in state)
    assert compile_step(setup).memory_analysis().alias_size_in_bytes == shard_bytes


@pytest.mark.parametrize("layer", ["row_lstm", "diagonal_bilstm"])
def test_a_loop_of_ones_own_exchanges_nothing_in_scans(layer):
    """A line holds the pixels of all images on one axis: nothing may cross from an image to the next, on another device."""
    model, params = make_model(layer, depth=1)
    images = jax.ShapeDtypeStruct((8, 3, 4, 1), np.uint8, sharding=batch_sharding(make_mesh()))
    gradient = jax.jit(jax.grad(lambda params, images: jnp.mean(prnn.log_prob(model, params, images))))
    text = gradient.lower(params, images).compile().as_text()
    assert "all-reduce" in text, "of the gradient"
    loops = bodies_of_loops(text)
    assert loops and not any("all-" in loop or "collective" in loop for loop in loops)


def test_fsdp_gathers_parameters_only():
    """Each sharded parameter is gathered outside all loops; no map is."""
    setup = make_setup("--config.mesh.fsdp=8", "--config.model.layer=diagonal_bilstm")
    compiled = compile_step(setup)
    found = collectives(compiled)
    gathered = {tuple(dims) for result, kind in found if kind == "all-gather" for dims in dimensions(result)}
    parameters = {leaf.shape for leaf in jax.tree.leaves(setup.abstract_state.params)}
    assert gathered
    assert gathered <= parameters, gathered - parameters
    assert {kind for _, kind in found} <= {"all-gather", "all-reduce", "reduce-scatter"}
    loops = bodies_of_loops(compiled.as_text())
    assert loops, "the scans over the diagonals"
    for loop in loops:
        assert not re.search(r"all-(gather|reduce|to-all)|reduce-scatter|collective", loop)
