"""Sheets of samples while a model trains."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import takes, tiny_config
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

import pixel_rnn_jax as prnn
from pixel_rnn_jax.data import DataConfig, Dataset
from pixel_rnn_jax.plots import make_sheet, to_rgb
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.training import samples, trainer
from pixel_rnn_jax.training.metrics import NoLog
from pixel_rnn_jax.training.preemption import Interrupted
from pixel_rnn_jax.training.run import prepare
from pixel_rnn_jax.training.trainer import train


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def sheets(workdir):
    return {path.name: path.read_bytes() for path in sorted((workdir / "samples").iterdir())}


def tensorboard_pictures(workdir):
    """The steps of the pictures in a work directory's event files."""
    found = []
    for path in (workdir / "tensorboard").iterdir():
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, value.tag) for value in event.summary.value if value.HasField("image")]
            data = data[16 + length :]
    return sorted(found)


@pytest.fixture(scope="module")
def sampled_run(tmp_path_factory):
    """A training that draws a sheet after steps 2, 4 and 6."""
    workdir = tmp_path_factory.mktemp("sampled") / "run"
    train(tiny_config("--config.sample_every=2"), workdir)
    return workdir


def test_sheets_are_samples_of_the_averaged_parameters_by_the_seed(sampled_run):
    assert list(sheets(sampled_run)) == ["step_000002.png", "step_000004.png", "step_000006.png"]
    model, _ = prnn.load(sampled_run)
    with Checkpoints(sampled_run, read_only=True) as checkpoints:
        params = checkpoints.restore_arrays(6, ema=prnn.models.params.abstract_params(model))["ema"]
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), samples.IMAGES, (8, 8)))
    columns = samples.IMAGES // samples.ROWS
    expected = make_sheet(to_rgb(images, 17), columns=columns, min_width=samples.COLUMN_WIDTH * columns)
    same = (pixels(sampled_run / "samples" / "step_000006.png") == expected).all(-1)
    assert same.mean() > 0.99  # up to rounding
    assert tensorboard_pictures(sampled_run) == [(2, "samples"), (4, "samples"), (6, "samples")]
    with Image.open(sampled_run / "samples.gif") as animation:
        assert animation.n_frames == 3
        assert animation.size == (expected.shape[1], expected.shape[0] + 16)


def test_a_resumed_run_goes_on_with_the_same_sheets(sampled_run, tmp_path, monkeypatch):
    """Those after the step that it goes on from are drawn anew."""
    stop = iter([None, None, 2])
    monkeypatch.setattr(trainer.StopSignals, "at", lambda signals, step: next(stop, None))
    config = tiny_config("--config.sample_every=2")
    with pytest.raises(Interrupted):
        train(config, tmp_path)
    assert list(sheets(tmp_path)) == ["step_000002.png"]
    (tmp_path / "samples" / "step_000005.png").write_bytes(b"of a start that was killed")
    (tmp_path / "samples" / "mine.png").touch()
    train(config, tmp_path)
    assert sheets(tmp_path) == sheets(sampled_run) | {"mine.png": b""}


def offer_sheets(config, workdir):
    """As the training does after each step, and at its end."""
    with progress_bar(config.num_steps, done=0, unit="step") as bar:
        sheets = samples.SampleSheets(prepare(config), workdir, NoLog(), bar, first_step=1)
        for step in range(1, config.num_steps + 1):
            last = step == config.num_steps
            if sheets.may_be_due(step, last=last):
                sheets.draw_if_due(step, None, last=last)
    samples.save_animation_of_sheets(workdir)


@pytest.mark.parametrize(
    "seconds,drawn", [(0.0, [2, 4, 6]), (1e4, [2, 6]), (1e6, [])], ids=["cheap", "every so often", "too slow"]
)
def test_sheets_that_nobody_asked_for_are_drawn_where_they_are_cheap(tmp_path, monkeypatch, capsys, seconds, drawn):
    monkeypatch.setattr(samples, "FEW_SECONDS", 1e5)  # so that no machine is so slow that a sheet is cheap
    monkeypatch.setattr(samples, "seconds_to_generate", lambda *args, **options: seconds)
    found = []
    monkeypatch.setattr(samples.SampleSheets, "_draw", lambda sheets, step, params: found.append(step))
    offer_sheets(tiny_config("--config.sample_every=-1"), tmp_path)
    assert found == drawn
    told = capsys.readouterr().err
    assert ("a sheet would take about 1000000 s" in told and "--config.sample_every" in told) == (not drawn)
    assert not (tmp_path / "samples.gif").exists()


def test_memory_that_a_sheet_lacks_stops_only_a_training_that_asked_for_it(tmp_path, monkeypatch, capsys):
    def lack_memory(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(samples, "generate", lack_memory)
    for seconds in (lambda *args, **kwargs: 0.0, lack_memory):  # the time is measured by drawing, too
        monkeypatch.setattr(samples, "seconds_to_generate", seconds)
        offer_sheets(tiny_config("--config.sample_every=-1"), tmp_path)
        assert capsys.readouterr().err.count("not enough memory for a sheet") == 1
    with pytest.raises(MemoryError):
        offer_sheets(tiny_config("--config.sample_every=2"), tmp_path)


def test_a_sheet_that_cannot_be_written_does_not_stop_the_training(tmp_path, capsys):
    (tmp_path / "samples").touch()
    train(tiny_config("--config.sample_every=6"), tmp_path)
    assert "warning: the samples of step 6 could not be written" in capsys.readouterr().err


def test_sheets_are_in_the_order_of_their_steps(tmp_path):
    (tmp_path / "samples").mkdir()
    for step in (1_000_000, 999_999, 20):
        (tmp_path / "samples" / f"step_{step:06}.png").touch()
    assert list(samples.sheet_files(tmp_path)) == [20, 999_999, 1_000_000]


def test_conditional_models_draw_a_row_for_each_class_or_context():
    digits = takes(17, 1, num_classes=10)
    plan = samples.plan_sheet(digits, Dataset(DataConfig(source="digits"), digits))
    assert (plan.num, plan.columns) == (40, 4)
    assert plan.conditions.labels.tolist() == np.repeat(range(10), 4).tolist()
    few = dataclasses.replace(digits, num_classes=3)
    assert samples.plan_sheet(few, Dataset(DataConfig(source="digits"), digits)).columns == 8
    many = dataclasses.replace(digits, num_classes=1000)
    assert samples.plan_sheet(many, Dataset(DataConfig(source="digits"), digits)).num == 40


def test_models_with_context_images_draw_a_row_for_each_of_the_first_in_validation(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "x.npz", train=images)
    model = takes(256, 3, context_channels=1)
    data = Dataset(DataConfig(source=f"npz:{tmp_path}/x.npz", context="grey"), model)
    plan = samples.plan_sheet(model, data)
    assert (plan.num, plan.columns, plan.conditions.context.shape) == (24, 6, (24, 4, 4, 1))
    np.testing.assert_array_equal(plan.truth, data.images("validation"))
    context = data.examples("validation").conditions.context
    np.testing.assert_array_equal(plan.conditions.context[::6], context)
