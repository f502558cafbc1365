"""The command that measures speed, at tiny sizes."""

import json

import jax
import pytest
from conftest import LAYERS, run_in_process
from PIL import Image

from pixel_rnn_jax.cli import benchmark, benchmark_generate, benchmark_tables, benchmark_train
from pixel_rnn_jax.parallel import hardware
from pixel_rnn_jax.training import speed

TINY = {"depth": 1, "features": 4, "head_features": 4}
SIZES = benchmark_train.Sizes("tiny", "mnist_diagonal_bilstm", 3, (8,), TINY)
ERROR = "does not fit in memory"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Little to compute."""
    monkeypatch.setattr(hardware, "PRODUCT_SIZES", {"cpu": 16})
    monkeypatch.setattr(benchmark_train, "MNIST", SIZES)
    monkeypatch.setattr(benchmark_train, "CIFAR", SIZES._replace(name="other", batch_sizes=(15, 8, 16)))
    monkeypatch.setattr(
        benchmark_train, "SWEEPS", {"batch_size": (3, 16, 32), "side": (3, 6), "depth": (1, 2, 3), "features": (4,)}
    )


@pytest.fixture
def nothing_run(monkeypatch):
    """Steps of which nothing is compiled: each takes as many seconds as it has layers times pixels."""

    def pretend(recipe, repeats, **options):
        height, width, _ = recipe.image_shape
        batch_size, layer = recipe.config.batch_size, recipe.model.config.layer
        if (batch_size, layer) == (16, "pixel_cnn") or layer == "row_lstm":
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
        seconds = 0.5 * recipe.model.config.depth * batch_size * height * width
        figures = {"parameters": 7, "compile_seconds": 3.0, "planned_mib": 2.5, "gflop": 8.0}
        return figures | {"step_seconds": seconds, "images_per_second": batch_size / seconds}

    monkeypatch.setattr(speed, "_measure", pretend)


def rows_of(markdown):
    """The cells of all tables' rows."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line.startswith("|")]


def check_entry(entry, rate):
    assert entry["images_per_second"] == entry["batch_size"] / entry["step_seconds"]
    assert entry["share"] == entry["gflop"] / entry["step_seconds"] / rate > 0
    assert entry["likelihood_images_per_second"] > 0
    assert entry["planned_mib"] > 3 * 4 * entry["parameters"] / 2**20, "they, their average and the squares of RMSProp"
    assert 0 < entry["step_seconds"] < entry["compile_seconds"]


def test_a_step_is_measured(tmp_path, capsys):
    fields = [f"--config.model.{name}={value}" for name, value in TINY.items()]
    fields.append("--config.optimizer.name=rmsprop")  # which compiles faster than Muon
    flags = ["--config=mnist_pixelcnn", "--size=3,3", *fields, "--config.batch_size=8", "--repeats=2", "--profile"]
    assert run_in_process(benchmark.main, "train", *flags, f"--out={tmp_path}/a/b") == 0
    out = tmp_path / "a" / "b"
    (trace,) = (out / "profile" / "mnist_pixelcnn_pixel_cnn_8").rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000
    record = json.loads((out / "train.json").read_text())
    (entry,) = record["entries"]
    rate = record["machine"]["product_gflop_per_second"]
    check_entry(entry, rate)
    assert (entry["name"], entry["layer"]) == ("mnist_pixelcnn", "pixel_cnn")
    assert (entry["image_shape"], entry["batch_size"], entry["levels"]) == ([3, 3, 1], 8, 2)
    assert record["machine"] == hardware.describe_machine() | {"dtype": "float32", "product_gflop_per_second": rate}
    assert not record["sweeps"] and not (out / "sweeps.png").exists()

    markdown = (out / "train.md").read_text()
    assert record["machine"]["device_kind"] in markdown.splitlines()[0]
    (head, _, row), (_, _, printed) = rows_of(markdown), rows_of(capsys.readouterr().out)
    assert row == printed
    told = dict(zip(head, row, strict=True))
    assert told["step s"] == benchmark_tables.number(entry["step_seconds"])
    assert told["share"] == f"{entry['share']:.1%}"
    assert told["likelihood images/s"] == benchmark_tables.number(entry["likelihood_images_per_second"])


@pytest.mark.slow
def test_a_step_of_a_conditional_model_is_measured(tmp_path):
    fields = [f"--config.model.{name}={value}" for name, value in TINY.items()]
    flags = [
        "--config=digits_class_conditional",
        *fields,
        "--size=3,2",
        "--config.batch_size=8",
        "--config.model.dtype=bfloat16",
    ]
    assert run_in_process(benchmark.main, "train", *flags, "--repeats=1", f"--out={tmp_path}") == 0
    record = json.loads((tmp_path / "train.json").read_text())
    check_entry(record["entries"][0], record["machine"]["product_gflop_per_second"])
    assert record["machine"]["dtype"] == "bfloat16"


@pytest.mark.slow
def test_all_kinds_of_layers_and_sweeps(nothing_run, tmp_path, capsys):
    assert run_in_process(benchmark.main, "train", "--sweeps", f"--out={tmp_path}") == 0
    record = json.loads((tmp_path / "train.json").read_text())
    told = [(entry["name"], entry["layer"], entry["batch_size"], entry.get("error")) for entry in record["entries"]]
    assert told == [
        ("tiny", "pixel_cnn", 8, None),
        ("tiny", "row_lstm", 8, ERROR),
        ("tiny", "diagonal_bilstm", 8, None),
        ("other", "pixel_cnn", 16, ERROR),  # the next multiple of the devices, once
        ("other", "pixel_cnn", 8, None),
        ("other", "row_lstm", 16, ERROR),
        ("other", "row_lstm", 8, ERROR),
        ("other", "diagonal_bilstm", 16, None),
        ("other", "diagonal_bilstm", 8, None),
    ]
    sweeps = {(sweep["axis"], sweep["layer"]): sweep for sweep in record["sweeps"]}
    assert list(sweeps) == [(axis, layer) for axis in ("batch_size", "side", "depth", "features") for layer in LAYERS]
    assert sweeps["batch_size", "pixel_cnn"]["values"] == [8, 16, 32], "each a multiple of the devices"
    assert sweeps["batch_size", "pixel_cnn"]["seconds"] == [8 * 4.5, None, 32 * 4.5]
    assert sweeps["side", "diagonal_bilstm"]["seconds"] == [4 * 9, 4 * 36]
    assert sweeps["depth", "diagonal_bilstm"]["seconds"] == [36, 2 * 36, 3 * 36]
    assert sweeps["depth", "row_lstm"]["seconds"] == [None] * 3
    exponents = {axis: sweeps[axis, "diagonal_bilstm"]["exponent"] for axis in ("batch_size", "side", "depth", "features")}
    assert exponents == {"batch_size": pytest.approx(1), "side": pytest.approx(2), "depth": pytest.approx(1), "features": None}
    assert sweeps["batch_size", "pixel_cnn"]["exponent"] == pytest.approx(1), "of the two that fit"
    assert sweeps["batch_size", "row_lstm"]["exponent"] is None
    printed, progress = capsys.readouterr()
    assert printed.count(ERROR) == 4
    assert progress.count("measuring tiny, diagonal_bilstm: 8 images of 3x3x1, 1 layers, h = 4") == 2, (
        "its table and all sweeps"
    )

    markdown = (tmp_path / "train.md").read_text()
    assert ["other", "pixel_cnn", "1, 4", "16, 1", ERROR, *[""] * 7] in rows_of(markdown)
    assert "## Seconds by height and width of the images\n\n- pixel_cnn: 3: 36, 6: 144; p = 2.00\n- row_lstm: \n" in markdown
    with Image.open(tmp_path / "sweeps.png") as picture:
        assert picture.width > 800 and len(picture.getcolors(10**6)) > 100


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def compile_step(setup):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(speed, "compile_step", compile_step)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        benchmark.main(["train", "--repeats=1"])


def test_the_exponent_is_that_of_the_upper_half():
    points = [(x, 5.0 if x < 4 else 3.0 * x**1.5) for x in (1, 2, 4, 8, 16)]
    assert benchmark_tables.exponent(points) == pytest.approx(1.5)
    assert benchmark_tables.exponent(points[:2]) == pytest.approx(0)
    assert benchmark_tables.exponent(points[:1]) is None


@pytest.mark.parametrize(
    "flags,message",
    [
        ([], "the following arguments are required: what"),
        (["train", "--batchsize=3"], "unrecognized arguments: --batchsize=3"),
        (["train", "--config.model.depth=3"], "unrecognized arguments: --config.model.depth=3"),
        (["train", "--size=8,8"], "--config and --size, the height and width of its images, go together"),
        (["train", "--config=cifar_rowlstm"], "--config and --size"),
        (["train", "--profile"], "--profile needs --out"),
        (["train", "--config=cifar_rowlstm", "--size=8,8", "--sweeps"], "--sweeps goes without --config"),
        (["train", "--config=nowhere", "--size=8,8"], "--config must be a file or one of"),
        (["train", "--config=cifar_rowlstm", "--size=8,8", "--config.model.dept=3"], "did you mean --config.model.depth?"),
        (
            ["train", "--config=cifar_rowlstm", "--size=8,8", "--config.gradient_accumulation=-1"],
            "must be an integer of at least 0",
        ),
        (["train", "--config=cifar_rowlstm", "--size=0,8"], "'0,8' must be integers of at least 1"),
        (["train", "--config=cifar_multiscale", "--size=9,8"], "model.sizes must end with 9"),
        (
            ["train", "--config=cifar_rowlstm", "--size=8,8", "--config.batch_size=9"],
            "batch_size (=9) must be a multiple of the 8 devices: 8 or 16",
        ),
        (["train", "--repeats=0"], "0 must be at least 1"),
        (["train", f"--out={__file__}/x"], "/x' must be a folder that can be written to"),
        (["train", f"--out={__file__}"], "must be a folder that can be written to"),
        (["generate", "--nun=3"], "unrecognized arguments: --nun=3"),
    ],
)
def test_mistakes_cost_one_line(flags, message, capsys, monkeypatch):
    def nothing(*_):
        raise AssertionError("nothing is measured before all is checked")

    monkeypatch.setattr(benchmark_train, "product_rate", nothing)
    code = run_in_process(benchmark.main, *flags)
    errors = capsys.readouterr().err.splitlines()[-1] if code == 2 else code
    assert message in errors and "\n" not in errors


def test_benchmark_measures_generation(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_generate, "CIFAR", TINY | {"levels": 5, "channels": 3})
    monkeypatch.setattr(benchmark_generate, "SIZES", [])
    monkeypatch.setattr(benchmark_generate, "CIFAR_SIZE", (3, 3))
    assert run_in_process(benchmark.main, "generate", f"--json={tmp_path}/b.json") == 0
    (row,) = json.loads((tmp_path / "b.json").read_text())["drawing"]
    assert row["shape"] == [3, 3, 3]
    assert 0 < row["seconds"] < row["first_call_seconds"]
    assert row["naive_seconds"] == 27 * row["forward_pass_seconds"]
