"""Plans of compiled programs, and devices that are only described."""

import importlib.util
import re
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from pixel_rnn_jax.parallel import compiled_plan, described_devices
from pixel_rnn_jax.parallel.compiled_plan import Exchange, Loop, read_plan
from pixel_rnn_jax.parallel.mesh import make_mesh, on_shares

PROGRAM = """
HloModule jit_step

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%inner (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0:T(128)}) parameter(0)
  %kept = f32[8]{0} copy(%a)
  %reduced = f32[8]{0} all-reduce(%kept), to_apply=%add
  ROOT %result = (s32[], f32[8]{0}) tuple(%i, %reduced)
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0:T(128)}) parameter(0)
  %count = s32[]{:T(128)S(6)} add(%i, %one)
  %gates = f32[8,32]{1,0:T(8,128)} fusion(%b), kind=kLoop, calls=%fused
  %pair = (f32[8]{0}, /*index=1*/f32[8]{0}) fusion(%gates), kind=kLoop, calls=%fused
  %begun = (f32[8]{0}, f32[8]{0}) copy-start(%c)
  %done = f32[8]{0} copy-done(%begun)
  %loop = (s32[], f32[8]{0}) while(%p), condition=%below, body=%inner, metadata={op_name="layers/while/body/row_lstm/while"}
  ROOT %result = (s32[], f32[8]{0}) tuple(%count, %done)
}

%below (p: (s32[], f32[8])) -> pred[] {
  %limit = s32[]{:T(128)} constant(28)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}

ENTRY %main (x: f32[8]) -> f32[16] {
  %loop.1 = (s32[], f32[8]{0}) while(%x), condition=%below, body=%body, TRAINED
  %loop.2 = (s32[], f32[8]{0}) while(%x), condition=%below, body=%body, TRAINED
  %sent = (f32[3,2]{1,0}, bf16[10]{0}) all-reduce-start(%y), to_apply=%add
  %gradient = (f32[3,2]{1,0}, bf16[10]{0}) all-reduce-done(%sent)
  ROOT %whole = f32[16]{0} all-gather(%z), dimensions={0}
}
"""
PROGRAM = PROGRAM.replace(
    "TRAINED", 'metadata={op_name="jit(step)/transpose(jvp(PixelRNN))/layers/while"}, config={"known_trip_count":{"n":"7"}}'
)


def test_a_program_is_read():
    """Two equal loops, each with a loop inside; an exchange in the latter, and two outside."""
    program = compiled_plan._parse(PROGRAM)
    assert set(program) == {"add", "inner", "body", "below", "main"}

    sizes = {"argument": 100, "temp": 40, "output": 70, "alias": 60, "generated_code": 7}
    compiled = mock.Mock(spec=jax.stages.Compiled)
    compiled.as_text.return_value = PROGRAM
    compiled.memory_analysis.return_value = mock.Mock(**{f"{name}_size_in_bytes": size for name, size in sizes.items()})
    plan = read_plan(compiled)
    assert plan.total_bytes == 100 + 40 + 7 + 70 - 60
    assert plan.exchanges == (
        Exchange("all-gather", count=1, bytes=16 * 4, in_loops=0),
        Exchange("all-reduce", count=2, bytes=8 * 4 + 6 * 4 + 10 * 2, in_loops=1),
    )
    assert plan.loops == (
        Loop("layers/row_lstm", count=1, turns=28, kernels=1, copies=1),
        Loop("layers, backwards", count=2, turns=7, kernels=2, copies=1),
    )


def test_the_plan_of_a_program_for_this_machine():
    mesh = make_mesh()

    def share_fn(x):
        def step(total, row):
            return jnp.tanh(total + row), total

        return jax.lax.psum(jnp.sum(jax.lax.scan(step, x[0], x)[1], 0), mesh.axis_names)

    function = on_shares(share_fn, mesh, in_specs=PartitionSpec(mesh.axis_names), out_specs=PartitionSpec())
    x = jax.ShapeDtypeStruct((8 * 5, 6), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(mesh.axis_names)))
    plan = read_plan(jax.jit(function).lower(x).compile())
    assert plan.exchanges == (Exchange("all-reduce", 1, 6 * 4, 0),)
    assert [(loop.count, loop.turns) for loop in plan.loops] == [(1, 5)]
    assert plan.argument_bytes == 5 * 6 * 4


@pytest.mark.parametrize("topology", ["v9:2x2", "v5e", "v5e:4", "v5e:ax4", "h100:0", "h100:9", "h100:two", ""])
def test_an_unknown_topology_is_refused(topology, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: "installed")
    with pytest.raises(ValueError, match=re.escape(f"got {topology!r}")):
        described_devices.described_devices(topology)


@pytest.mark.parametrize("topology,extra", [("v5e:2x2", "tpu"), ("h100:8", "cuda")])
def test_a_compiler_that_is_not_installed_is_named(topology, extra, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"{topology}.*pip install 'pixel_rnn_jax\[{extra}\]'"):
        described_devices.described_devices(topology)


@pytest.mark.parametrize(
    "topology,devices,hosts",
    [("v4:2x2x4", 16, 4), ("v5e:4x4", 16, 4), ("v5e:1x1", 1, 1), ("v5p:2x2x1", 4, 1), ("v6e:2x4", 8, 2)],
)
def test_tpus_have_the_devices_that_jax_shows_there(topology, devices, hosts):
    pytest.importorskip("libtpu")
    described = described_devices.described_devices(topology).devices
    assert len(described) == devices
    assert len({device.process_index for device in described}) == hosts
    assert {device.platform for device in described} == {"tpu"}
    with pytest.raises(ValueError, match="got 'v5e:3x3'"):
        described_devices.described_devices("v5e:3x3")


@pytest.mark.parametrize("topology,devices,hosts", [("h100", 1, 1), ("a100:4", 4, 1), ("h200:16", 16, 2)])
def test_gpus_are_on_hosts_of_eight(topology, devices, hosts):
    pytest.importorskip("jax_cuda13_plugin")
    described = described_devices.described_devices(topology).devices
    assert len(described) == devices
    assert len({device.process_index for device in described}) == hosts
