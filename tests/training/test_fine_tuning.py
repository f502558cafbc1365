"""Fine-tuning: what of a trained model a new run starts with, and what not."""

import chex
import jax
import numpy as np
import pytest
from conftest import make_model, measured, tiny_config
from flax.traverse_util import flatten_dict

import pixel_rnn_jax as prnn
from pixel_rnn_jax.training import trainer as train_module
from pixel_rnn_jax.training.fine_tuning import state_with_params
from pixel_rnn_jax.training.run import prepare
from pixel_rnn_jax.training.trainer import train


@pytest.fixture(scope="module")
def coarse_file(tmp_path_factory):
    """Like `tiny_file`, with fewer levels."""
    path = tmp_path_factory.mktemp("coarse") / "coarse.safetensors"
    prnn.save(path, *make_model("row_lstm", levels=9, depth=1, features=4, head_features=4), (8, 8))
    return path


def test_a_run_starts_with_the_parameters_and_nothing_else_of_a_model(tiny_file):
    """A calm start changes none of them."""
    run = prepare(tiny_config("--config.calm_start=True", "--config.mesh.fsdp=2"))
    state, fresh = state_with_params(run, tiny_file, init_missing=False), run.init()
    _, given = prnn.load(tiny_file)
    chex.assert_trees_all_equal(state.params, given)
    chex.assert_trees_all_equal(state.ema, given)
    chex.assert_trees_all_equal(state.opt_state, fresh.opt_state)
    assert state.step == 0
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == jax.tree.map(lambda leaf: leaf.sharding, fresh)


def test_what_differs_is_listed_and_may_start_afresh(coarse_file, capsys):
    """Other levels, and classes; a calm start is that of the new parameters only."""
    run = prepare(tiny_config("--config.model.num_classes=10", "--config.calm_start=True"))
    with pytest.raises(ValueError, match="these differ: head/logits/bias: 9 -> 17; head/logits/kernel: 1x1x4x9 -> 1x1x4x17; "):
        state_with_params(run, coarse_file, init_missing=False)
    state = state_with_params(run, coarse_file, init_missing=True)
    told = capsys.readouterr().err
    new, old, fresh = (flatten_dict(tree, sep="/") for tree in (state.params, prnn.load(coarse_file)[1], run.init().params))
    taken = {name for name in new.keys() & old.keys() if new[name].shape == old[name].shape}
    assert len(taken) > 5
    for name, leaf in new.items():
        np.testing.assert_array_equal(leaf, (old if name in taken else fresh)[name])
        assert (f"{name}: " in told) == (name not in taken)
    np.testing.assert_allclose(jax.nn.softmax(new["head/logits/bias"]), run.frequencies.ravel(), rtol=1e-5)


def test_fine_tuning_is_a_run_of_its_own(tiny_run, tmp_path, monkeypatch, capsys):
    """It counts its steps from 1, and goes on without the model that it started with."""
    config = tiny_config("--config.seed=1")
    score = train(config, tmp_path / "new", init_params=tiny_run[0])
    assert [row["step"] for row in measured(tmp_path / "new") if "train_nats" in row] == [1, 2, 3, 4, 5, 6]
    monkeypatch.setattr(train_module, "compile_step", None)
    assert train(config, tmp_path / "new", init_params="nowhere") == score
    assert "holds a run, which goes on; nowhere is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options,message",
    [
        ({"init_params": "nowhere"}, "'nowhere' must be .*; there is nothing of that name"),
        ({"init_params": "cifar_rowlstm_small", "init_missing": True}, "cifar_rowlstm_small must have .*; none fits"),
        ({"init_params": "a", "init_from": "b"}, "--init_from and --init_params must not both be given"),
        ({"init_missing": True}, "--init_missing needs --init_params"),
    ],
)
def test_bad_starts_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(tiny_config(), tmp_path / "run", **options)
