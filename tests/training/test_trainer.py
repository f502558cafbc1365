"""Training: it learns, resumes without a trace, stops where it should, and gives one device's numbers on eight."""

import functools
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import LAYERS, make_model, measured, slow_but, tiny_config

import pixel_rnn_jax as prnn
from pixel_rnn_jax.data import at_most
from pixel_rnn_jax.evaluation import score as score_module
from pixel_rnn_jax.evaluation.score import LiveUnits, Score
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL
from pixel_rnn_jax.models.params import abstract_params
from pixel_rnn_jax.parallel.mesh import make_mesh, replicated, shard_batch
from pixel_rnn_jax.storage.checkpoint import Checkpoints, changed_fields
from pixel_rnn_jax.storage.run_record import Validations
from pixel_rnn_jax.training import step as step_module
from pixel_rnn_jax.training import trainer as train_module
from pixel_rnn_jax.training.metrics import read_metrics
from pixel_rnn_jax.training.preemption import Interrupted
from pixel_rnn_jax.training.resume import start_or_resume, with_defaults
from pixel_rnn_jax.training.run import TrainingRun, compile_step, prepare
from pixel_rnn_jax.training.step import TrainState, init_state, train_step
from pixel_rnn_jax.training.step_profile import StepProfile
from pixel_rnn_jax.training.trainer import train


def final_arrays(workdir, config):
    """All arrays of the last checkpoint."""
    run = prepare(config)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        assert checkpoints.latest_step == config.num_steps
        return start_or_resume(run, checkpoints, allow_config_change=True)


def never(*args, **kwargs):
    raise AssertionError("no step should be taken")


def whole_batch(images):
    return {"image": images, "conditions": UNCONDITIONAL}


def test_a_few_steps_beat_independent_pixels():
    """Two kinds of images, each with noise: their pixels are nearly certain given the first ones, and a coin each alone."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, (64, 1, 1, 1))
    images = (kind ^ (rng.random((64, 3, 3, 1)) < 0.02)).astype(np.uint8)
    mean = images.mean(0)
    independent = -np.sum(images * np.log(mean) + (1 - images) * np.log(1 - mean)) / len(images)

    model, _ = make_model("diagonal_bilstm", depth=1, features=8)
    optimizer = optax.adam(5e-2)
    state, key = init_state(jax.random.key(0), model=model, optimizer=optimizer), jax.random.key(1)
    for _ in range(40):
        state, metrics = train_step(state, whole_batch(images), key, model=model, optimizer=optimizer, ema_decay=0.9)
    assert independent > 5.5
    assert metrics["nats"] < independent / 2
    assert -float(prnn.log_prob(model, state.ema, images).mean()) < independent / 2
    assert int(state.step) == 40


def test_ema_forgets_its_start_and_then_averages():
    model, params = make_model("pixel_cnn", depth=1)
    optimizer = optax.sgd(0.1)
    state = TrainState(jnp.asarray(0), params, jax.tree.map(np.zeros_like, params), optimizer.init(params))
    batch = whole_batch(np.zeros((2, 3, 3, 1), np.uint8))
    update = jax.jit(functools.partial(train_step, model=model, optimizer=optimizer, ema_decay=0.5))
    new, _ = update(state, batch, jax.random.key(0))
    new = jax.device_get(new)
    chex.assert_trees_all_close(new.ema, jax.tree.map(lambda leaf: 0.9 * leaf, new.params))  # min(0.5, 1 / 10) of the old
    late = new.replace(step=jnp.asarray(1000))
    newer, _ = update(late, batch, jax.random.key(0))
    newer = jax.device_get(newer)
    expected = jax.tree.map(lambda old, leaf: 0.5 * old + 0.5 * leaf, new.ema, newer.params)
    chex.assert_trees_all_close(newer.ema, expected, rtol=1e-5)


def test_a_step_drops_features_anew_each_time():
    model, params = make_model("pixel_cnn", depth=1, dropout=0.5)
    optimizer = optax.sgd(0.0)
    batch = whole_batch(np.ones((8, 3, 3, 1), np.uint8))
    update = jax.jit(functools.partial(train_step, model=model, optimizer=optimizer, ema_decay=0.9))

    def loss(step, seed):
        state = TrainState(jnp.asarray(step), params, params, optimizer.init(params))
        _, metrics = update(state, batch, jax.random.key(seed))
        return float(metrics["nats"])

    assert loss(0, 0) == loss(0, 0)
    assert len({loss(0, 0), loss(1, 0), loss(0, 1)}) == 3


def test_each_device_and_each_part_drops_features_of_its_own():
    """Else the loss over images that are all the same would be that of one of them."""
    model, params = make_model("pixel_cnn", depth=1, dropout=0.5)
    optimizer = optax.sgd(0.0)
    state = TrainState(jnp.asarray(0), params, params, optimizer.init(params))

    def loss(images, microbatches, devices):
        mesh = make_mesh(devices=jax.devices()[:devices]) if devices else None
        update = functools.partial(
            train_step, model=model, optimizer=optimizer, ema_decay=0.9, microbatches=microbatches, mesh=mesh
        )
        _, metrics = jax.jit(update)(state, whole_batch(np.ones((images, 3, 3, 1), np.uint8)), jax.random.key(0))
        return float(metrics["nats"])

    assert loss(1, 1, 1) != pytest.approx(loss(2, 1, 2), rel=1e-4), "two devices"
    assert loss(1, 1, None) != pytest.approx(loss(2, 2, None), rel=1e-4), "two microbatches"


@pytest.mark.parametrize("layer", slow_but(LAYERS, "row_lstm"))
def test_eight_devices_give_the_numbers_of_one(layer):
    model, params = make_model(layer, channels=3, levels=4, depth=1)
    optimizer = optax.sgd(0.1)
    batch = whole_batch(np.random.default_rng(0).integers(0, 4, (16, 3, 4, 3)).astype(np.uint8))
    results = []
    for mesh in (make_mesh(devices=jax.devices()[:1]), make_mesh()):
        state = TrainState(jnp.asarray(0), params, params, optimizer.init(params))
        state = jax.device_put(state, replicated(mesh))
        update = jax.jit(functools.partial(train_step, model=model, optimizer=optimizer, ema_decay=0.9, mesh=mesh))
        sharded = shard_batch(batch, mesh)
        assert {shard.data.shape[0] for shard in sharded["image"].addressable_shards} == {16 // mesh.size}
        results.append(update(state, sharded, jax.random.key(0)))
    (one, one_metrics), (eight, eight_metrics) = jax.device_get(results)
    assert abs(one_metrics["bits_per_dim"] - eight_metrics["bits_per_dim"]) < 1e-5
    chex.assert_trees_all_close(one.params, eight.params, atol=1e-5)


def test_the_run_leaves_what_is_documented(tiny_run):
    workdir, score = tiny_run
    assert score.split == "test"
    assert score.num_images == 180
    rows = read_metrics(workdir)
    assert [row["step"] for row in rows if "train_nats" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "validation_nats" in row] == [2, 4, 6]
    assert rows[0]["train_learning_rate"] == 0
    assert rows[0]["speed_compile_seconds"] > 0
    assert rows[0]["speed_images_per_second"] > 0
    assert sum("speed_compile_seconds" in row for row in rows) == 1
    assert (workdir / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((workdir / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_a_trace_of_some_steps_is_left_on_request(tmp_path):
    train(tiny_config(), tmp_path, profile=True)
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000


def test_a_finished_run_is_only_scored_again(tiny_run, monkeypatch):
    workdir, score = tiny_run
    monkeypatch.setattr(train_module, "compile_step", never)
    assert train(tiny_config(), workdir) == score


def test_equal_recipes_are_traced_once(monkeypatch):
    compile_step(prepare(tiny_config()))
    monkeypatch.setattr(step_module, "nats_and_grad", never)
    compile_step(prepare(tiny_config()))
    with pytest.raises(AssertionError, match="no step"):
        compile_step(prepare(tiny_config("--config.optimizer.learning_rate=0.011")))


@pytest.mark.parametrize("number,stop_at", [pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow), (signal.SIGINT, 4)])
def test_an_interrupted_run_resumes_without_a_trace(tiny_run, tmp_path, monkeypatch, number, stop_at):
    """Wherever it is stopped, the end is the same: parameters, metrics, best checkpoint, score."""
    calls = []

    def shard_and_interrupt(batch, mesh):
        calls.append(batch)
        if len(calls) == stop_at:
            os.kill(os.getpid(), number)
        return shard_batch(batch, mesh)

    monkeypatch.setattr(train_module, "shard_batch", shard_and_interrupt)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}; saved as .*/checkpoints/{stop_at}, the same") as error:
        train(tiny_config(), tmp_path)
    assert error.value.signal == number
    monkeypatch.undo()

    whole, expected_score = tiny_run
    assert train(tiny_config(), tmp_path) == expected_score
    state, validations = final_arrays(tmp_path, tiny_config())
    expected_state, expected_validations = final_arrays(whole, tiny_config())
    assert validations == expected_validations
    chex.assert_trees_all_equal(state, expected_state)
    assert measured(tmp_path) == measured(whole)


def test_rows_after_the_restored_step_are_replaced(tiny_run, tmp_path):
    """A kill loses the steps since the last checkpoint: their rows are measured again, and a torn last row goes."""
    whole, _ = tiny_run
    shutil.copytree(whole, tmp_path / "run")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step), ignore_errors=True)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "train_')
    train(tiny_config(), tmp_path / "run")
    assert measured(tmp_path / "run") == measured(whole)


def test_patience_stops_and_survives_a_restart(tmp_path, monkeypatch):
    config = tiny_config("--config.eval_every=1", "--config.checkpoint_every=2", "--config.patience=3")
    scores = iter(np.linspace(5, 4, 2).tolist() + [4.5] * 100)
    monkeypatch.setattr(TrainingRun, "evaluate", lambda run, params, split, examples: Score(split, 1, next(scores), 1.0))
    train(config, tmp_path)
    assert [row["step"] for row in read_metrics(tmp_path) if "validation_nats" in row] == [1, 2, 3, 4, 5]
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest_step == 5
        assert checkpoints.best_step == 2
        assert checkpoints.restore_record(5).validations == Validations(best_nats=4.0, best_step=2, stale=3)
    monkeypatch.setattr(train_module, "compile_step", never)
    train(config, tmp_path)


def test_dead_units_are_recorded_and_warned_of_once(tmp_path, monkeypatch, capsys):
    shares = iter([0, 2, 4, 4])  # of 20 units, in the first validations

    def fake_score(run, params, split, examples):
        return Score(split, 1, 1.0, 1.0, {"head/relu_1": LiveUnits(20 - next(shares, 0), 20)})

    monkeypatch.setattr(TrainingRun, "evaluate", fake_score)
    train(tiny_config("--config.eval_every=1"), tmp_path)
    rows = [row["validation_dead_units"] for row in read_metrics(tmp_path) if "validation_nats" in row]
    np.testing.assert_allclose(rows, [0, 0.1, 0.2, 0.2, 0, 0], atol=1e-9)
    told = capsys.readouterr().err
    assert told.count("warning: 20% of the ReLU units are zero on all validation images") == 1
    assert "; dead ReLU units: head/relu_1 2 of 20" in told


@pytest.mark.slow
def test_a_run_with_muon_goes_on_as_if_unbroken(tmp_path):
    """Its state has gaps, where the other part of the parameters is not Muon's, or not Adam's."""
    config = tiny_config("--config.calm_start=True", "--config.optimizer.name=muon", "--config.num_steps=4")
    score = train(config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    for step in (2, 4):
        shutil.rmtree(tmp_path / "broken" / "checkpoints" / str(step), ignore_errors=True)
    assert train(config, tmp_path / "broken") == score
    assert measured(tmp_path / "broken") == measured(tmp_path / "whole")
    chex.assert_trees_all_equal(*(prnn.load(tmp_path / name)[1] for name in ("whole", "broken")))


def test_best_and_latest_checkpoints_are_kept(tmp_path, monkeypatch):
    config = tiny_config("--config.eval_every=1", "--config.checkpoint_every=1")
    scores = iter([9.0, 3.0, 8.0, 7.0, 6.0, 5.0, 1.0])
    monkeypatch.setattr(TrainingRun, "evaluate", lambda run, params, split, examples: Score(split, 1, next(scores), 1.0))
    train(config, tmp_path)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [2, 4, 5, 6]
    model, params = prnn.load(tmp_path)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        best = checkpoints.restore_arrays(2, ema=abstract_params(model))["ema"]
        last = checkpoints.restore_arrays(6, ema=abstract_params(model))["ema"]
    chex.assert_trees_all_equal(params, best)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(best), jax.tree.leaves(last), strict=True))


@pytest.mark.parametrize("poison", ["nan", pytest.param("inf", marks=pytest.mark.slow)])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, poison):
    def compile_poisoned(recipe):
        update = compile_step(recipe)

        def poisoned(state, batch, key):
            state, metrics = update(state, batch, key)
            return state, metrics if state.step != 5 else {**metrics, "nats": jnp.asarray(float(poison))}

        return poisoned

    monkeypatch.setattr(train_module, "compile_step", compile_poisoned)
    with pytest.raises(FloatingPointError, match=rf"step 5 gave .*nats = {poison}.*last good checkpoint is .*/checkpoints/4"):
        train(tiny_config(), tmp_path)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.latest_step == 4


def test_a_validation_score_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    scores = iter([5.0, float("nan")])
    monkeypatch.setattr(TrainingRun, "evaluate", lambda run, params, split, examples: Score(split, 1, next(scores), 1.0))
    with pytest.raises(FloatingPointError, match="step 4 gave validation nats = nan; the last good checkpoint is .*/3"):
        train(tiny_config(), tmp_path)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.latest_step, checkpoints.best_step) == (3, 2)


def test_an_update_that_is_not_finite_is_never_saved(tmp_path):
    config = tiny_config("--config.optimizer.learning_rate=1e38", "--config.optimizer.warmup=0.0")
    with pytest.raises(FloatingPointError, match="update_norm = inf.*there is no checkpoint yet"):
        train(config, tmp_path)


def test_another_configuration_is_refused_and_nothing_is_touched(tiny_run, tmp_path):
    whole, _ = tiny_run
    shutil.copytree(whole, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="model.features: 4 -> 5; optimizer.learning_rate") as error:
        train(tiny_config("--config.model.features=5", "--config.optimizer.learning_rate=1.0"), tmp_path / "run")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="num_steps: 6 -> 8"):
        train(tiny_config("--config.num_steps=8"), tmp_path / "run")
    with pytest.raises(ValueError, match=r'\(optimizer.name: "adam" -> "rmsprop"\). Its state does not fit'):
        train(tiny_config("--config.optimizer.name=rmsprop"), tmp_path / "run", allow_config_change=True)
    with pytest.raises(ValueError, match=r"\(model.features: 4 -> 5\). Its state does not fit"):
        train(tiny_config("--config.model.features=5"), tmp_path / "run", allow_config_change=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_allowed_change_goes_on(tiny_run, tmp_path):
    whole, _ = tiny_run
    shutil.copytree(whole, tmp_path / "run")
    train(tiny_config("--config.num_steps=8"), tmp_path / "run", allow_config_change=True)
    assert read_metrics(tmp_path / "run")[-1]["step"] == 8


@pytest.mark.parametrize("change,kept", [("--config.num_steps=8", True), ("--config.eval_images=5", False)])
def test_scores_on_other_images_do_not_count_for_the_best(tiny_run, change, kept):
    whole, _ = tiny_run
    with Checkpoints(whole, read_only=True) as checkpoints:
        _, validations = start_or_resume(prepare(tiny_config(change)), checkpoints, allow_config_change=True)
        assert (validations.best_step is not None and validations.best_step == checkpoints.best_step) == kept


def test_a_validation_is_not_refused_for_memory_that_another_program_takes(monkeypatch):
    monkeypatch.setattr(score_module, "free_memory", lambda devices: 0)
    run = prepare(tiny_config())
    images = at_most(run.data.examples("validation"), 8)
    assert run.evaluate(run.init().ema, "validation", images).num_images == 8


def test_init_from_goes_on_with_another_run_in_a_new_folder(tiny_run, tmp_path):
    """With a copy of one checkpoint and the metrics, as after a move to another machine, the end is the same."""
    whole, score = tiny_run
    moved = tmp_path / "moved"
    shutil.copytree(whole / "checkpoints" / "4", moved / "checkpoints" / "4")
    shutil.copy(whole / "metrics.jsonl", moved)
    before = {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}
    assert train(tiny_config(), tmp_path / "new", init_from=moved) == score
    (state, validations), (expected, _) = (final_arrays(workdir, tiny_config()) for workdir in (tmp_path / "new", whole))
    chex.assert_trees_all_equal(state, expected)
    assert validations.best_step == 6  # validations of the other run do not count: its checkpoints are not here
    assert measured(tmp_path / "new") == measured(whole)
    assert before == {path: path.read_bytes() for path in moved.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_init_from_goes_on_with_another_batch_size_and_length_and_on_other_devices(tiny_run, tmp_path, capsys):
    config = tiny_config("--config.num_steps=8", "--config.batch_size=24", "--config.mesh.fsdp=2")
    (tmp_path / "new").mkdir()  # with the rows of a start that was killed before its first checkpoint
    (tmp_path / "new" / "metrics.jsonl").write_text('{"step": 1, "train_nats": 0.0}\n')
    train(config, tmp_path / "new", init_from=tiny_run[0])
    assert f"starting with step 6 of {tiny_run[0]}" in capsys.readouterr().err
    rows = measured(tmp_path / "new")
    assert rows[: len(measured(tiny_run[0]))] == measured(tiny_run[0])
    assert rows[-1]["step"] == 8
    assert int(final_arrays(tmp_path / "new", config)[0].step) == 8


def test_init_from_counts_only_where_there_is_no_run_yet(tiny_run, monkeypatch):
    workdir, score = tiny_run
    monkeypatch.setattr(train_module, "compile_step", never)
    assert train(tiny_config(), workdir, init_from="nowhere") == score


@pytest.mark.parametrize(
    "overrides,init_from,message",
    [
        ([], None, r"num_steps counts the steps of the run in .*: it must be more than 6; got 6"),
        (["num_steps=8", "model.features=5"], None, r"model.features: 4 -> 5; .*\). Its state does not fit"),
        (["num_steps=8", "optimizer.name=rmsprop"], None, r'optimizer.name: "adam" -> "rmsprop"\). Its state does not fit'),
        ([], "nowhere", "nowhere must be the work directory of a training run; there is no such folder"),
        ([], Path(__file__).parent, "training must be the work directory of a training run; it holds no checkpoints/"),
        ([], "digits_rowlstm", "--init_from must be a work directory, .*; got a model that has neither"),
    ],
)
def test_init_from_refuses_what_cannot_go_on(tiny_run, tmp_path, overrides, init_from, message):
    config = tiny_config(*(f"--config.{override}" for override in overrides))
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "new", init_from=init_from or tiny_run[0])


@pytest.mark.parametrize(
    "override,message",
    [
        ("batch_size=12", r"batch_size \(=12\) must be a multiple of the 8 devices"),
        ("gradient_accumulation=-1", "gradient_accumulation must be an integer of at least 0; got -1"),
        ("gradient_accumulation=3", r"batch_size \(=16\) must be a multiple of the 8 devices times 3 microbatches: 24"),
        ("mesh.fsdp=3", "mesh.fsdp must divide 8, the number of devices; got 3"),
        ("mesh.fsdp=0", "mesh.fsdp must be an integer of at least 1; got 0"),
        ("mesh.data=3", "mesh.data must be 8 with mesh.fsdp=1 on 8 devices, or -1; got 3"),
        ("num_steps=0", "num_steps must be an integer of at least 1; got 0"),
        ("seed=-1", "seed must be an integer from 0 to 4294967295; got -1"),
        ("seed=4294967296", "seed must be an integer from 0 to 4294967295; got 4294967296"),
        ("patience=-1", "patience must be an integer of at least 0"),
        ("optimizer.name=sgd", "optimizer.name must be one of adam, rmsprop, muon; got 'sgd'"),
        ("optimizer.schedule=linear", "optimizer.schedule must be one of cosine, constant; got 'linear'"),
        ("optimizer.learning_rate=-1.0", "optimizer.learning_rate must be greater than 0, and finite; got -1.0"),
        ("optimizer.warmup=7.0", r"optimizer.warmup must be in \[0, 1\], .*; got 7.0"),
        ("optimizer.ema_decay=1.0", r"optimizer.ema_decay must be in \[0, 1\)"),
        ("data.source=cifar", "data.source must be one of digits, .*; got 'cifar'"),
        ("model.layer=gru", "layer must be one of"),
        ("model.levels=16", "model.levels must be 17"),
        ("model.channels=3", "3 channels|channels"),
    ],
)
def test_bad_configuration_is_refused_before_anything_is_written(tmp_path, override, message):
    with pytest.raises(ValueError, match=message):
        train(tiny_config(f"--config.{override}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bad_field_is_refused_before_data_is_read():
    with pytest.raises(ValueError, match="batch_size .=12. must be a multiple of the 8 devices"):
        prepare(tiny_config("--config.batch_size=12", "--config.data.source=npz:nowhere.npz"))


@pytest.mark.parametrize("bits,told", [(4.1, True), (4.0, False)])
def test_a_training_that_ends_worse_than_uniform_says_so(tiny_run, tmp_path, monkeypatch, capsys, bits, told):
    monkeypatch.setattr(TrainingRun, "evaluate", lambda run, params, split, examples: Score(split, 1, 1.0, bits))
    shutil.copytree(tiny_run[0], tmp_path / "run")
    train(tiny_config(), tmp_path / "run")
    assert ("warning: 4.1000 bits/dim is worse than 4.0875" in capsys.readouterr().err) == told


def test_changed_fields_are_listed():
    old = {"a": 1, "b": {"c": None, "d": 2}, "gone": 0}
    new = {"a": 1, "b": {"c": "x", "d": 3}, "new": 0}
    assert changed_fields(old, new) == ['b.c: null -> "x"', "b.d: 2 -> 3", "gone: 0 -> null", "new: null -> 0"]


def test_scores_may_be_of_some_images(tmp_path, monkeypatch):
    seen = []

    def spy(run, params, split, examples):
        images = examples.images
        seen.append((split, images))
        return Score(split, len(images), 1.0, 1.0)

    monkeypatch.setattr(TrainingRun, "evaluate", spy)
    score = train(tiny_config("--config.eval_images=20", "--config.test_images=30"), tmp_path)
    assert [(split, len(images)) for split, images in seen] == [("validation", 20)] * 3 + [("test", 30)]
    assert (score.split, score.num_images) == ("test", 30)
    whole = {image.tobytes() for image in prepare(tiny_config()).data.images("validation")}
    assert {image.tobytes() for image in seen[0][1]} <= whole
    assert len({image.tobytes() for image in seen[0][1]}) == 20, "drawn without repetition"


def test_a_score_is_not_lost_where_the_curves_cannot_be_written(tiny_run, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(train_module, "save_curves", refuse)
    shutil.copytree(tiny_run[0], tmp_path / "run")
    with pytest.warns(UserWarning, match="the curves or samples.gif could not be drawn .No space left on device."):
        assert train(tiny_config(), tmp_path / "run") == tiny_run[1]


def test_a_training_may_run_in_a_thread_of_its_own(tiny_run, tmp_path):
    """Where Python takes no signals."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(train, tiny_config(), tmp_path / "run").result() == tiny_run[1]


def test_a_run_of_an_earlier_version_lacks_the_fields_that_were_added_since():
    defaults = {"seed": 0, "calm_start": False, "optimizer": {"name": "rmsprop", "muon": {"momentum": 0.95}}}
    old = {"seed": 3, "optimizer": {"name": "adam"}}
    expected = {"seed": 3, "calm_start": False, "optimizer": {"name": "adam", "muon": {"momentum": 0.95}}}
    assert with_defaults(old, defaults) == expected


def test_a_trace_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.warns(UserWarning, match="the steps could not be traced"),
        StepProfile(tmp_path / "file" / "x", 1, 9) as profile,
    ):
        for step in range(1, 9):
            profile.before(step)
