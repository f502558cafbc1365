"""The command that trains the models of the paper's Tables 2 and 3."""

from pathlib import Path

import numpy as np
import pytest
from conftest import run_in_process
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import ablation
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.storage.run_record import RunRecord, Validations
from pixel_rnn_jax.training import trainer
from pixel_rnn_jax.training.metrics import read_metrics

TINY = (
    "num_steps=2",
    "batch_size=8",
    "eval_every=1",
    "sample_every=0",
    "model.depth=1",
    "model.features=3",
    "model.head_features=3",
)


@pytest.mark.slow
def test_ablation_writes_the_table_and_does_no_run_twice(tmp_path, capsys, monkeypatch):
    flags = ("--table=residual_skip", "--config=digits_pixelcnn", f"--workdir={tmp_path}/a")
    tiny = [f"--config.{field}" for field in TINY]
    trained, interrupt_at = [], 3

    def tracked(config, workdir, **options):
        trained.append(Path(workdir).name)
        if len(trained) == interrupt_at:
            raise KeyboardInterrupt
        return trainer.train(config, workdir, **options)

    monkeypatch.setattr(ablation, "train", tracked)
    assert run_in_process(ablation.main, *flags, *tiny) == 130
    assert trained == ["neither", "skip", "residual"]
    assert run_in_process(ablation.main, *flags, *tiny) == 0
    assert trained[3:] == ["residual", "both"]
    assert run_in_process(ablation.main, *flags, *tiny) == 0
    assert len(trained) == 5

    rows = (tmp_path / "a" / "residual_skip.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "neither", "skip", "residual", "both"]
    for row, name in zip(rows[1:], ("neither", "skip", "residual", "both"), strict=True):
        workdir = tmp_path / "a" / "residual_skip" / name
        best = min(row["validation_bits_per_dim"] for row in read_metrics(workdir) if "validation_bits_per_dim" in row)
        assert row.split(",")[1] == f"{best:.4f}"
        model, _ = prnn.load(workdir)
        assert (model.config.residual, model.config.skip) == (name in ("residual", "both"), name in ("skip", "both"))
    table = (tmp_path / "a" / "residual_skip.md").read_text()
    assert table in capsys.readouterr().out
    assert "| 3.22 |" in table.splitlines()[6]
    with Image.open(tmp_path / "a" / "residual_skip.png") as plot:
        assert plot.width > 800
    for forms in (["--config.model.residual=False"], ["--config.model.residual"], ["-config.model.residual", "False"]):
        error = run_in_process(ablation.main, *flags, *tiny, *forms)
        assert "--config.model.residual must not be given: it is what the table compares" in error
    error = run_in_process(ablation.main, *flags, *tiny, "--config.batch_size=16")
    assert "batch_size: 8 -> 16" in error


def test_tables_hold_the_papers_figures():
    residual_skip = [(*row.fields.values(), row.published) for row in ablation.TABLES["residual_skip"].rows]
    assert residual_skip == [(False, False, 3.22), (False, True, 3.09), (True, False, 3.07), (True, True, 3.06)]
    depth = [(row.fields["depth"], row.published) for row in ablation.TABLES["depth"].rows]
    assert depth == [(1, 3.30), (2, 3.20), (3, 3.17), (6, 3.09), (9, 3.08), (12, 3.06)]


def test_a_run_that_diverges_does_not_hold_up_the_table(tmp_path, monkeypatch, capsys):
    def fake(config, workdir, **options):
        workdir.mkdir(parents=True)
        if config.model.depth == 3:
            raise FloatingPointError("step 7 gave nats = nan")
        return Score("test", 1, 1.0, float(config.model.depth))

    record = RunRecord({}, (8, 8, 3), validations=Validations(best_nats=np.log(2) * 192, best_step=5))
    monkeypatch.setattr(ablation, "train", fake)
    monkeypatch.setattr(ablation, "save_comparison", lambda *args, **options: None)
    monkeypatch.setattr(ablation, "load_run", lambda workdir: (None, None, record))
    flags = ("--table=depth", "--config=digits_pixelcnn", f"--workdir={tmp_path}")
    assert "these runs diverged: depth_3" in run_in_process(ablation.main, *flags)
    assert "step 7 gave nats = nan" in capsys.readouterr().err
    rows = [row.split(",")[:4] for row in (tmp_path / "depth.csv").read_text().splitlines()]
    assert rows[1] == ["depth 1", "1.0000", "1.0000", "5"]
    assert rows[3] == ["depth 3", "diverged", "", ""]
    assert rows[6] == ["depth 12", "1.0000", "12.0000", "5"]
    (tmp_path / "depth" / "depth_1" / "result.json").unlink()
    monkeypatch.setattr(ablation, "train", lambda *args, **options: Score("test", 1, 1.0, 9.0))
    run_in_process(ablation.main, *flags)
    assert (tmp_path / "depth.csv").read_text().splitlines()[1].startswith("depth 1,1.0000,9.0000")


def test_the_table_of_a_source_without_test_images(tmp_path, monkeypatch):
    """Its final score is of validation images; the table has the best one."""
    record = RunRecord({}, (8, 8, 3), validations=Validations(best_nats=np.log(2) * 192, best_step=5))
    monkeypatch.setattr(ablation, "train", lambda *args, **options: Score("validation", 1, 1.0, 9.0))
    monkeypatch.setattr(ablation, "save_comparison", lambda *args, **options: None)
    monkeypatch.setattr(ablation, "load_run", lambda workdir: (None, None, record))
    assert run_in_process(ablation.main, "--table=depth", "--config=digits_pixelcnn", f"--workdir={tmp_path}") == 0
    assert (tmp_path / "depth.csv").read_text().splitlines()[1].startswith("depth 1,1.0000,,5")
