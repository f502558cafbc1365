"""Exported models, and those that ship."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import chex
import numpy as np
import pytest
import safetensors.numpy
from conftest import make_model, run_in_process

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import describe, evaluate, export, sample, score
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.storage.export import _checksum, read_weights, save_weights
from pixel_rnn_jax.storage.load import load_run


def test_an_exported_model_is_the_one_of_the_work_directory(tiny_run, exported, capsys):
    model, params, run = load_run(tiny_run[0])
    model_again, params_again, run_again = load_run(exported)
    assert model_again == model
    chex.assert_trees_all_equal(params_again, params)
    assert dataclasses.replace(run_again, card=None) == run.portable()
    assert run_in_process(evaluate.main, f"--workdir={exported}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tiny_run[1])


def test_an_exported_model_can_be_exported(exported, tmp_path):
    again = tmp_path / "again.safetensors"
    assert run_in_process(export.main, f"--workdir={exported}", f"--out={again}") == 0
    assert again.read_bytes() == exported.read_bytes()


def test_the_card_is_in_the_file_and_printed(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("card.json").write_text(json.dumps({"about": "tiny", "licence": "CC0"}))
    flags = (f"--workdir={tiny_run[0]}", "--out=tiny.safetensors")
    assert run_in_process(export.main, *flags, "--card=card.json") == 0
    with safetensors.safe_open("tiny.safetensors", framework="numpy") as file:
        card = json.loads(file.metadata()["pixel_rnn_jax"])["run"]["card"]
    validations = load_run(tiny_run[0])[2].validations
    assert list(card) == ["about", "model", "images", "data", "training", "validation", "relu_units", "licence"]
    assert (card["about"], card["licence"], card["data"]) == ("tiny", "CC0", "digits, values as stored")
    assert card["validation"].startswith(f"{validations.best_nats:.2f} nats")
    assert card["relu_units"].startswith(f"{validations.live_units} of 8 live")
    assert card == prnn.from_pretrained("tiny.safetensors").card
    assert run_in_process(export.main, "--workdir=tiny.safetensors", "--out=again.safetensors") == 0
    assert Path("again.safetensors").read_bytes() == Path("tiny.safetensors").read_bytes()
    capsys.readouterr()
    assert run_in_process(describe.main, "tiny.safetensors", "--json=out.json") == 0
    assert json.loads(Path("out.json").read_text()) == card
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0].replace(" ", "_") for line in printed] == list(card)
    assert all(line.endswith(text) for line, text in zip(printed, card.values(), strict=True))
    assert "or one of cifar_" in run_in_process(describe.main, "tiny")
    for content in ("[1]", '{"licence": 0}', "CC0"):
        Path("card.json").write_text(content)
        assert run_in_process(export.main, *flags, "--card=card.json").startswith("error: card")
    with pytest.raises(ValueError, match="card must map names to texts"):
        prnn.save("mine.safetensors", *prnn.load("tiny.safetensors"), (8, 8), card={"licence": 0})


def test_an_exported_model_does_not_name_a_folder_of_this_machine(tiny_run, tmp_path):
    _, params, run = load_run(tiny_run[0])
    run.config["data"].update(data_dir="/home/me/data", source="folder:/home/me/pictures")
    save_weights(tmp_path / "x.safetensors", params, run)
    assert b"/home/me" not in (tmp_path / "x.safetensors").read_bytes()
    data = load_run(tmp_path / "x.safetensors")[2].data
    assert (data.data_dir, data.source) == (None, "folder:pictures")
    assert run.config["data"]["data_dir"] == "/home/me/data"
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_model_of_ones_own_loop_is_saved_for_all_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, params = make_model("row_lstm", levels=17)
    prnn.save("mine.safetensors", model, params, size=(6, 5))
    again, params_again = prnn.load("mine.safetensors")
    assert again == model
    chex.assert_trees_all_equal(params_again, params)
    flag = "--workdir=mine.safetensors"
    assert run_in_process(sample.main, flag, "--num=2", "--npz=drawn.npz") == 0
    assert np.load("drawn.npz")["images"].shape == (2, 6, 5, 1)
    assert run_in_process(score.main, flag, "--input=drawn.npz", "--out=scores.csv") == 0
    assert run_in_process(export.main, flag, "--out=again.safetensors") == 0
    assert Path("again.safetensors").read_bytes() == Path("mine.safetensors").read_bytes()
    error = run_in_process(evaluate.main, flag)
    assert (
        error
        == "error: the model was saved without a data source: name images with --input, to `score`, `complete` or `compress`."
    )
    prnn.save("mine.safetensors", model, params, size=[8, 8], source="digits")
    assert run_in_process(evaluate.main, flag) == 0
    nats = -prnn.log_prob(model, params, prnn.data.Dataset(DataConfig(source="digits"), model.config).images("test")).mean()
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"test {nats:.2f} nats")


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"path": "mine.npz"}, "must be a file in an existing folder, and end in .safetensors; got 'mine.npz'"),
        ({"path": "nowhere/x.safetensors"}, "in an existing folder"),
        ({"path": "folder.safetensors"}, "must be a file"),
        ({"size": (0, 4)}, "height must be an integer of at least 1; got 0"),
        ({"size": 4}, r"size must be \(height, width\); got 4"),
        (
            {"size": (6, 5), "model": make_model("row_lstm", sizes=(2, 4))[0]},
            "sides that are multiples of 2, .* got 6x5 pixels",
        ),
        ({"source": "nonsense:x"}, "source must be empty, or begin with one of digits, .*; got 'nonsense:x'"),
    ],
)
def test_what_cannot_be_saved_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.safetensors").mkdir()
    model, params = make_model("row_lstm")
    with pytest.raises(ValueError, match=message):
        prnn.save(**{"path": "x.safetensors", "model": model, "params": params, "size": (4, 4), **arguments})
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.safetensors"]


def test_any_file_that_exists_is_read(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported, "digits_rowlstm")
    assert load_run("digits_rowlstm")[0].config.features == 4
    with pytest.raises(ValueError, match=r"^'x.safetensors' must be the work directory .*; there is nothing of that name"):
        load_run("x.safetensors")


def test_a_foreign_file_is_told_before_its_tensors_are_read(tmp_path):
    header = json.dumps({"x": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match="must be an exported model; its metadata lacks the field 'pixel_rnn_jax'"):
        read_weights(tmp_path / "x.safetensors")


def test_damage_is_told(exported, tmp_path):
    content = exported.read_bytes()
    damaged = tmp_path / "damaged.safetensors"
    for place in np.linspace(0, len(content) - 1, 100).astype(int):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"must be an exported model|is damaged: its (checksum|metadata)"):
            read_weights(damaged)
    for piece in (content[: len(content) // 2], content[:4], b"", b"PK"):
        damaged.write_bytes(piece)
        with pytest.raises(ValueError, match=r"must be an exported model; it is damaged, or no safetensors file"):
            read_weights(damaged)


def test_other_parameters_or_another_configuration_are_refused(exported, tmp_path):
    with safetensors.safe_open(exported, framework="numpy") as file:
        metadata = json.loads(file.metadata()["pixel_rnn_jax"])
    tensors = safetensors.numpy.load_file(exported)
    path = tmp_path / "other.safetensors"

    def write(tensors, **changes):
        safetensors.numpy.save_file(tensors, path, {"pixel_rnn_jax": json.dumps({**metadata, **changes})})

    name = next(iter(tensors))
    other_run = copy.deepcopy(metadata["run"])
    other_run["config"]["model"]["features"] += 1
    for arguments in (
        ({**tensors, name: tensors[name] + 1}, {}),
        ({other: tensors[other] for other in tensors if other != name}, {}),
        (tensors, {"run": other_run}),
        (tensors, {"run": {}}),
        (tensors, {"checksum": None}),
    ):
        write(arguments[0], **arguments[1])
        with pytest.raises(ValueError, match=r"other.safetensors is damaged: its checksum"):
            read_weights(path)
    write(tensors, version=2)
    with pytest.raises(ValueError, match=r"must be an exported model of version 1; got 2"):
        read_weights(path)
    write(tensors, version=2, run=None)
    with pytest.raises(ValueError, match=r"of version 1; got 2"):
        read_weights(path)
    newer = copy.deepcopy(metadata["run"])
    newer["config"]["model"]["colour"] = "blue"
    write(tensors, run=newer, checksum=_checksum(newer, tensors))
    with pytest.raises(ValueError, match=r"other.safetensors cannot be used: .*colour"):
        read_weights(path)
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(ValueError, match="must be an exported model; its metadata lacks the field 'pixel_rnn_jax'"):
        read_weights(path)
