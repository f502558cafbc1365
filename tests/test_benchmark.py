"""The command that measures speed, at tiny sizes."""

import json
import os

import jax
import numpy as np
import pytest
from conftest import run_in_process
from PIL import Image

from experiments import benchmark
from experiments.speed import generate, machine, report, step, train

TINY = {"depth": 1, "features": 4, "head_features": 4}
SIZES = train.Sizes("tiny", "mnist_diagonal_bilstm", (3, 3), (8,), TINY, True)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Little to compute, and few programs to compile: most are the same."""
    monkeypatch.setattr(machine, "PRODUCT_SIZES", {"cpu": 16})
    monkeypatch.setattr(train, "MNIST", SIZES)
    monkeypatch.setattr(train, "SMALL_CIFAR", SIZES._replace(name="other", sampler=False))
    monkeypatch.setattr(train, "SWEEPS", {"batch_size": (3, 16), "depth": (1,)})


def rows_of(markdown):
    """The cells of all tables' rows."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line.startswith("|")]


def check_entry(entry, rate):
    assert entry["images_per_second"] == entry["batch_size"] / entry["step_seconds"]
    assert entry["share"] == entry["gflop"] / entry["step_seconds"] / rate > 0
    assert entry["planned_mib"] > 4 * 4 * entry["parameters"] / 2**20, "parameters, gradient, average and RMSProp's squares"
    assert entry["peak_mib"] is None, "a CPU does not tell"
    assert 0 < entry["step_seconds"] < entry["compile_seconds"]


def test_training_is_measured(tmp_path, capsys):
    assert (
        run_in_process(benchmark.main, "train", "--layers=pixel_cnn", "--sweeps", "--repeats=2", f"--out={tmp_path}/a/b") == 0
    )
    out = tmp_path / "a" / "b"
    record = json.loads((out / "train.json").read_text())
    rate = max(record["product_gflop_per_second"].values())
    assert record["product_gflop_per_second"].keys() == {"before", "after"}
    assert record["machine"] == machine.describe_machine() | {"dtype": "float32"}

    first, second = record["entries"]
    assert (first["name"], second["name"]) == ("tiny", "other")
    assert "sampler" in first and "sampler" not in second
    for entry in record["entries"]:
        check_entry(entry, rate)
        assert (entry["image_shape"], entry["batch_size"]) == ([3, 3, 1], 8)
        assert entry["likelihood"]["images_per_second"] == entry["batch_size"] / entry["likelihood"]["seconds"]
        assert 0.5 * entry["gflop"] < entry["xla_gflop"] < 5 * entry["gflop"], "gates count for much at h = 4"

    by_batch, by_depth = record["sweeps"]
    assert (by_batch["axis"], by_batch["layer"], by_batch["values"]) == ("batch_size", "pixel_cnn", [8, 16])
    assert by_depth["values"] == [entry["depth"] for entry in by_depth["entries"]] == [1]
    assert by_batch["entries"][0]["gflop"] == by_batch["entries"][1]["gflop"] / 2 == first["gflop"]
    assert by_batch["entries"][0]["step_seconds"] == by_depth["entries"][0]["step_seconds"], "the same point, measured once"
    small, large = (entry["step_seconds"] for entry in by_batch["entries"])
    assert by_batch["exponent"] == pytest.approx(np.log2(large / small))
    assert by_depth["exponent"] is None, "of one point"

    markdown = (out / "train.md").read_text()
    assert record["machine"]["device_kind"] in markdown.splitlines()[0]
    rows = rows_of(markdown)
    assert [row[0] for row in rows if row[0] in ("tiny", "other", "8", "16", "1")] == ["tiny", "other", "8", "16", "1"]
    assert rows[2][4] == report.number(first["step_seconds"])
    assert f"{first['share']:.1%}" in rows[2]
    assert [row[1] for row in rows if row[0] == "**exponent**"] == [f"{by_batch['exponent']:.2f}", ""]
    assert "(sweeps.png)" in markdown
    with Image.open(out / "sweeps.png") as picture:
        assert picture.width > 800 and len(picture.getcolors(10**6)) > 100

    printed, told = capsys.readouterr()
    assert [row[:2] for row in rows_of(printed)[2:]] == [["tiny", "pixel_cnn"], ["other", "pixel_cnn"]]
    assert "measuring tiny, pixel_cnn: 8 images of 3x3x1, 1 layers, h = 4" in told


def test_a_configuration_is_measured(tmp_path):
    fields = [f"--config.model.{name}={value}" for name, value in TINY.items()]
    flags = ["--config=digits_class_conditional", "--config.model.layer=pixel_cnn", *fields, "--size=3,2", "--batch_size=8"]
    assert run_in_process(benchmark.main, "train", *flags, "--dtype=bfloat16", "--repeats=1", f"--out={tmp_path}") == 0
    record = json.loads((tmp_path / "train.json").read_text())
    (entry,) = record["entries"]
    check_entry(entry, max(record["product_gflop_per_second"].values()))
    assert (entry["name"], entry["layer"], entry["dtype"]) == ("digits_class_conditional", "pixel_cnn", "bfloat16")
    assert (entry["image_shape"], entry["batch_size"], entry["levels"]) == ([3, 2, 1], 8, 17)
    assert not record["sweeps"] and not (tmp_path / "sweeps.png").exists()


def test_what_does_not_fit_in_memory_is_told(tmp_path, monkeypatch, capsys):
    def lower(setup):
        if setup.config.batch_size == 16 or setup.model.config.layer == "row_lstm":
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
        return lower_step(setup)

    lower_step = step.lower_step
    monkeypatch.setattr(step, "lower_step", lower)
    monkeypatch.setattr(train, "SMALL_CIFAR", SIZES._replace(name="other", batch_sizes=(16, 8)))
    monkeypatch.setattr(train, "SWEEPS", {"batch_size": (8, 16)})
    flags = ["--layers=row_lstm,pixel_cnn", "--sweeps", "--repeats=1", f"--out={tmp_path}"]
    assert run_in_process(benchmark.main, "train", *flags) == 0
    record = json.loads((tmp_path / "train.json").read_text())
    told = [(entry["name"], entry["layer"], entry["batch_size"], entry.get("error")) for entry in record["entries"]]
    error = "does not fit in memory"
    assert told == [
        ("tiny", "pixel_cnn", 8, None),
        ("tiny", "row_lstm", 8, error),
        ("other", "pixel_cnn", 16, error),
        ("other", "pixel_cnn", 8, None),  # the next smaller batch
        ("other", "row_lstm", 16, error),
        ("other", "row_lstm", 8, error),
    ]
    assert [sweep["exponent"] for sweep in record["sweeps"]] == [None, None]
    assert capsys.readouterr().out.count(error) == 4 + 1 + 2
    assert ["16", error, error] in rows_of((tmp_path / "train.md").read_text())


def test_a_step_that_needs_more_than_the_computer_has_is_not_run(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    with pytest.raises(MemoryError):
        step._check_fits(1)


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def lower(setup):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(step, "lower_step", lower)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        benchmark.main(["train", "--layers=row_lstm", "--repeats=1"])


def test_the_exponent_is_that_of_the_upper_half():
    points = [(x, 5.0 if x < 4 else 3.0 * x**1.5) for x in (1, 2, 4, 8, 16)]
    assert report.exponent(points) == pytest.approx(1.5)
    assert report.exponent(points[:2]) == pytest.approx(0)
    assert report.exponent(points[:1]) is None


@pytest.mark.parametrize(
    "flags,message",
    [
        ([], "the following arguments are required: what"),
        (["train", "--layers=rnn"], "'rnn' must be of pixel_cnn, row_lstm, diagonal_bilstm"),
        (["train", "--batchsize=3"], "unrecognized arguments: --batchsize=3"),
        (["train", "--config.model.depth=3"], "unrecognized arguments: --config.model.depth=3"),
        (["train", "--size=8,8"], "--size and --sampler go with --config"),
        (["train", "--config=cifar_rowlstm"], "--config needs --size"),
        (["train", "--config=cifar_rowlstm", "--size=8,8", "--sweeps"], "--sweeps and --layers go without --config"),
        (["train", "--config=nowhere", "--size=8,8"], "--config must be a file or one of"),
        (["train", "--config=cifar_rowlstm", "--size=8,8", "--config.model.dept=3"], 'Did you mean "depth"'),
        (["train", "--config=cifar_rowlstm", "--size=8,8", "--config.gradient_accumulation=0"], "must be at least 1; got 0"),
        (["train", "--config=cifar_rowlstm", "--size=0,8"], "each of --size must be an integer of at least 1; got 0"),
        (["train", "--config=cifar_multiscale", "--size=9,8"], "model.sizes must end with 9"),
        (["train", "--batch_size=9"], "batch_size (=9) must be a multiple of the 8 devices: 8 or 16"),
        (["train", "--repeats=0"], "0 must be at least 1"),
        (["train", f"--out={__file__}/x"], "/x' must be a folder that can be written to"),
        (["train", f"--out={__file__}"], "must be a folder that can be written to"),
        (["generate", "--nun=3"], "unrecognized arguments: --nun=3"),
    ],
)
def test_mistakes_cost_one_line(flags, message, capsys, monkeypatch):
    def nothing(*_):
        raise AssertionError("nothing is measured before all is checked")

    monkeypatch.setattr(train, "product_rate", nothing)
    code = run_in_process(benchmark.main, *flags)
    errors = capsys.readouterr().err.splitlines()[-1] if code == 2 else code
    assert message in errors and "\n" not in errors


def test_benchmark_measures_generation(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(generate, "CIFAR", {"depth": 1, "features": 4, "head_features": 4, "levels": 5, "channels": 3})
    monkeypatch.setattr(generate, "SIZES", [])
    monkeypatch.setattr(generate, "CIFAR_SIZE", (3, 3))
    assert run_in_process(benchmark.main, "generate", "--num=3", f"--workdir={tiny_run[0]}", f"--json={tmp_path}/b.json") == 0
    record = json.loads((tmp_path / "b.json").read_text())
    (row,) = record["drawing"]
    assert row["shape"] == [3, 3, 3]
    assert 0 < row["seconds"] < row["first_call_seconds"]
    assert row["naive_seconds"] == 27 * row["forward_pass_seconds"]
    assert record["compression"][0]["num"] == 3
    assert "negative log-likelihood" in capsys.readouterr().out
