"""`score` finds the odd ones: ranks, p-values against the validation images, and scores relative to WebP."""

import csv
import dataclasses

import numpy as np
import pytest
from conftest import make_model, run_in_process, tiny_config
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import score
from pixel_rnn_jax.cli.datasets import open_dataset
from pixel_rnn_jax.compression.picture_formats import webp_bits
from pixel_rnn_jax.evaluation.classify import log_prior
from pixel_rnn_jax.evaluation.odd_ones import p_values
from pixel_rnn_jax.progress import progress_bar
from pixel_rnn_jax.storage.export import save_weights
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.storage.run_record import RunRecord, Validations
from pixel_rnn_jax.training import validation
from pixel_rnn_jax.training.metrics import NoLog
from pixel_rnn_jax.training.run import prepare


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


@pytest.fixture(scope="module")
def validation_images(tiny_run):
    run = load_run(tiny_run[0])[2]
    return open_dataset(run.data, run.model).images("validation")


def test_a_run_keeps_the_scores_of_its_validation_images(tiny_run, exported, validation_images):
    """At the best step; an exported model has them too."""
    model, params, run = load_run(tiny_run[0])
    nats, bits = np.array(run.validations.image_scores).T
    np.testing.assert_allclose(nats, -prnn.log_prob(model, params, validation_images), rtol=1e-4)
    np.testing.assert_array_equal(bits, webp_bits(validation_images, 17))
    assert nats.mean() == pytest.approx(run.validations.best_nats, rel=1e-4)
    assert load_run(exported)[2].validations == run.validations


def test_a_run_keeps_few_scores_of_many_images(tiny_run, validation_images, monkeypatch):
    monkeypatch.setattr(validation, "KEPT_SCORES", 50)
    model, params, _ = load_run(tiny_run[0])
    validator = validation.Validator(prepare(tiny_config()), NoLog(), progress_bar(1, unit="step"))
    kept = np.array(validator.validate(1, params, Validations()).image_scores)
    assert kept.shape == (45, 2), "every fourth of 180"
    np.testing.assert_allclose(kept[:, 0], -prnn.log_prob(model, params, validation_images[::4]), rtol=1e-4)
    np.testing.assert_array_equal(kept[:, 1], webp_bits(validation_images[::4], 17))


@pytest.mark.parametrize("by", ["bits_per_dim", "relative_to_webp"])
def test_score_ranks_and_says_how_odd(exported, validation_images, tmp_path, capsys, by):
    flags = (f"--workdir={exported}", "--split=validation", f"--out={tmp_path}/s.csv", "--worst=7", f"--by={by}")
    assert run_in_process(score.main, *flags) == 0
    printed, rows = capsys.readouterr().out, read_rows(tmp_path / "s.csv")
    bits = webp_bits(validation_images, 17) / 64
    np.testing.assert_allclose(column(rows, "relative_to_webp"), column(rows, "bits_per_dim") - bits, rtol=1e-6)
    scores = column(rows, by)
    expected = p_values(scores, scores)
    np.testing.assert_allclose(column(rows, "p_value"), expected, atol=3 / 181, err_msg="kept scores are rounded")
    order = np.argsort(column(rows, "rank"))
    assert np.all(np.diff(scores[order]) <= 0)
    lines = [line.split(".", 1)[1].strip() for line in printed.splitlines() if line.startswith("   ")]
    assert [line.split(":")[0] for line in lines] == [rows[image]["image"] for image in order[:7]]
    assert f"p = {float(rows[order[6]]['p_value']):.3g}" in lines[6]
    assert printed.splitlines()[-1] == f"{tmp_path}/s.csv {tmp_path}/s_worst.png"
    with Image.open(tmp_path / "s_worst.png") as sheet:
        assert sheet.width == 1200


def test_there_is_no_p_value_without_scores_to_compare_with(tiny_file, exported, tmp_path, capsys):
    Image.fromarray(np.full((24, 16), 255, np.uint8)).save(tmp_path / "photo.png")
    photo = f"--input={tmp_path}/photo.png"
    for path, more, reason in (
        (tiny_file, [photo], "the model keeps no scores of validation images"),
        (exported, [photo, "--size=4,6"], "the images are not of the training's size"),
    ):
        assert run_in_process(score.main, f"--workdir={path}", *more, f"--out={tmp_path}/s.csv", "--worst=3") == 0
        assert f"no p-values: {reason}" in capsys.readouterr().err
        (row,) = read_rows(tmp_path / "s.csv")
        assert (row["rank"], row["p_value"]) == ("1", "")


def test_images_that_webp_cannot_hold_have_no_relative_score(tmp_path):
    model, params = make_model("row_lstm", channels=2, levels=3, depth=1)
    prnn.save(tmp_path / "x.safetensors", model, params, (4, 3))
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 3, 2), np.uint8))
    flags = (f"--workdir={tmp_path}/x.safetensors", f"--input={tmp_path}/x.npz", f"--out={tmp_path}/s.csv")
    assert run_in_process(score.main, *flags) == 0
    assert [row["relative_to_webp"] for row in read_rows(tmp_path / "s.csv")] == ["", ""]
    error = run_in_process(score.main, *flags, "--by=relative_to_webp")
    assert "--by=relative_to_webp needs images that WebP can hold, of 1, 3 or 4 channels" in error
    assert "has 4x3x2, 3 levels" in error


def test_files_of_odd_names_are_drawn(tiny_file, tmp_path):
    """Long ones are cut; dollars are no formulas; bytes that are no letters are drawn as question marks."""
    (tmp_path / "mine").mkdir()
    for name in ("x" * 90 + ".png", "$a_$.png", "\udcff.png"):
        Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "mine" / name)
    flags = (f"--workdir={tiny_file}", f"--input={tmp_path}/mine", f"--out={tmp_path}/s.csv", "--worst=9")
    assert run_in_process(score.main, *flags) == 0
    assert (tmp_path / "s_worst.png").exists()


@pytest.mark.parametrize("labelled,counts", [(True, None), (False, None), (False, (97, 1, 1, 1))])
def test_a_class_model_that_is_not_told_the_class_is_compared_with_a_bound(labelled, counts):
    """-log p(x) is at most -log p(x | y) - log p(y)."""
    config = {"model": dataclasses.asdict(prnn.ModelConfig(layer="row_lstm", levels=17, channels=1, num_classes=4))}
    run = RunRecord(config, (2, 3, 1), None, Validations(image_scores=[[10.0, 8.0], [12.0, 9.0]]), counts)
    nats = np.array([9.9, 10.1, 11.9, 12.1]) + (0 if labelled else -log_prior(np.array(counts or [0] * 4)).min())
    images = np.zeros((4, 2, 3, 1), np.uint8)
    found = score.p_values_of(prnn.bits_per_dim(-nats, (2, 3, 1)), "x", images, run, "bits_per_dim", labelled=labelled)
    np.testing.assert_allclose(found, [1, 2 / 3, 2 / 3, 1 / 3])


def test_a_checkpoint_of_an_earlier_version_has_no_scores(exported, tmp_path):
    _, params, run = load_run(exported)
    earlier = dataclasses.replace(run.validations, image_scores=())
    save_weights(tmp_path / "x.safetensors", params, dataclasses.replace(run, validations=earlier))
    assert load_run(tmp_path / "x.safetensors")[2].validations.image_scores == ()
