"""What the compilers for TPUs and GPUs plan for the configurations, on a machine that has neither."""

import json

import jax
import pytest
from conftest import run_in_process
from jax.experimental.compilation_cache import compilation_cache

from pixel_rnn_jax.cli import costs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.training.config import shipped_config
from pixel_rnn_jax.training.plan import plan_costs

PAPER = {
    "mnist_pixelcnn": 28,
    "mnist_rowlstm": 28,
    "mnist_diagonal_bilstm": 28,
    "mnist_diagonal_bilstm_1layer": 28,
    "cifar_pixelcnn": 32,
    "cifar_rowlstm": 32,
    "cifar_diagonal_bilstm": 32,
    "imagenet32_rowlstm": 32,
    "imagenet64_rowlstm": 64,
}
PLUGINS = {"v5e:2x4": "libtpu", "v5e:2x2": "libtpu", "h100:8": "jax_cuda13_plugin", "h100:2": "jax_cuda13_plugin"}
EXCHANGED = 1  # number beside the gradient: nats


@pytest.fixture(autouse=True)
def no_compilation_cache():
    """JAX cannot read what it has cached for devices that are not there; the command switches the cache off, too."""
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    compilation_cache.reset_cache()


def tiny_config(**fields):
    config = shipped_config("digits_rowlstm")
    config.model.update({"depth": 1, "features": 4, "head_features": 4} | fields)
    return config


def check_data_parallelism(plan, parameters):
    """One all-reduce of the gradient's size, outside the loops; and it fits."""
    assert plan["fits"]
    assert {exchange["kind"] for exchange in plan["exchanges"]} == {"all-reduce"}
    assert sum(exchange["in_loops"] for exchange in plan["exchanges"]) == 0
    assert sum(exchange["bytes"] for exchange in plan["exchanges"]) == 4 * (parameters + EXCHANGED)


CASES = [("evaluate", "v5e:2x2"), ("evaluate", "h100:2"), ("train", "v5e:2x2"), ("train", "h100:2"), ("sample", "h100:2")]


@pytest.mark.parametrize("what,topology", [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])])
def test_a_tiny_model_is_compiled(what, topology):
    pytest.importorskip(PLUGINS[topology])
    plan = plan_costs(tiny_config(), (8, 8), topology, what)
    devices = {"v5e:2x2": 4, "h100:2": 2}[topology]
    assert (plan["what"], plan["devices"], plan["hosts"], plan["batch_size"]) == (what, devices, 1, 64)
    assert plan["fits"] and plan["compile_seconds"] > 0
    assert plan["total_bytes"] >= plan["argument_bytes"] + plan["temporary_bytes"] > 0
    assert {loop["turns"] for loop in plan["loops"]} == {8}
    assert all(exchange["in_loops"] == 0 for exchange in plan["exchanges"])


def test_what_to_compile_needs_a_topology():
    message = run_in_process(costs.main, "--config=digits_rowlstm", "--size=8,8", "--what=sample")
    assert message == "error: --what is for the devices of --topology; got 'sample' without any."


def test_the_batch_must_fit_the_devices_of_the_topology():
    pytest.importorskip("libtpu")
    with pytest.raises(InputError, match=r"batch_size \(=64\) must be a multiple of the 128 devices"):
        plan_costs(tiny_config(), (8, 8), "v5e:8x16", "train")


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v5e:2x4", "h100:8"])
@pytest.mark.parametrize("name", PAPER)
def test_the_papers_configurations_fit_and_exchange_the_gradient_only(name, topology):
    pytest.importorskip(PLUGINS[topology])
    config = shipped_config(name)
    plan = plan_costs(config, (PAPER[name], PAPER[name]), topology, "train")
    check_data_parallelism(plan, plan["parameters"])


@pytest.mark.slow
@pytest.mark.parametrize("layer,turns", [("row_lstm", 8), ("diagonal_bilstm", 15)])
def test_a_step_of_a_scan_starts_few_kernels(layer, turns):
    """Each is one for both directions, and none copies what the step before has left."""
    pytest.importorskip("jax_cuda13_plugin")
    config = tiny_config(layer=layer, depth=2)  # layers in a loop: the derivative is compiled apart from the scan
    plan = plan_costs(config, (8, 8), "h100:1", "train")
    scans = [loop for loop in plan["loops"] if loop["turns"] == turns and loop["kernels"] > 3]
    assert [loop["copies"] for loop in scans] == [0, 0]
    assert all(loop["kernels"] <= 6 for loop in scans)


PLAN = {
    "what": "train", "topology": "v5e:4x4", "device_kind": "TPU v5 lite", "devices": 16, "hosts": 4, "batch_size": 64,
    "microbatches": 2, "device_bytes": 16 * 2**30, "trace_seconds": 3.0, "parameters": 1000,
}  # fmt: skip
COMPILED = {
    "fits": True, "compile_seconds": 31.0, "total_bytes": 3 * 2**30, "argument_bytes": 2**30, "temporary_bytes": 2**31,
    "other_bytes": 0, "exchanges": [{"kind": "all-reduce", "count": 1, "bytes": 5000, "in_loops": 0}],
    "loops": [{"name": "layers/row_lstm", "count": 7, "turns": None, "kernels": 8, "copies": 1}],
}  # fmt: skip


def print_plan(plan, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(costs, "plan_costs", lambda config, size, topology, what: plan | {"what": what, "topology": topology})
    monkeypatch.setattr(costs.jax.config, "update", lambda *setting: None)
    flags = ["--config=digits_rowlstm", "--size=8,8", "--topology=v5e:4x4", f"--json={tmp_path}/plan.json"]
    assert run_in_process(costs.main, *flags) == 0
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written == {"config": "digits_rowlstm", "size": [8, 8], **plan}
    return capsys.readouterr().out


def test_the_command_prints_the_plan(monkeypatch, tmp_path, capsys):
    lines = print_plan(PLAN | COMPILED, monkeypatch, tmp_path, capsys).splitlines()
    assert "16 x TPU v5 lite of 4 host(s): 4 images on each device, in 2 microbatches" in lines[0]
    assert "fits into the 16 GiB" in lines[1] and "3 GiB (1 GiB state and images, 2 GiB temporary)" in lines[1]
    assert lines[2] == "exchanged: 1 x all-reduce, 4.88 KiB, 0 in loops"
    assert lines[4].split() == ["layers/row_lstm", "7", "?", "8", "1"]
    assert "compiled in 31 s" in lines[5]
    assert "not a measurement" in lines[-1]


def test_the_command_says_that_a_step_does_not_fit(monkeypatch, tmp_path, capsys):
    assert "DOES NOT FIT into the 16 GiB" in print_plan(PLAN | COMPILED | {"fits": False}, monkeypatch, tmp_path, capsys)
    text = print_plan(PLAN | {"fits": False, "error": "Ran out of memory"}, monkeypatch, tmp_path, capsys)
    assert "does not fit into the 16 GiB" in text and "Ran out of memory" in text
