"""The paper's ablations:  pixel-rnn ablation --table=residual_skip --config=cifar_rowlstm --workdir=runs/ablation

Trains the models of Table 2 (residual_skip: four runs) or Table 3 (depth: six runs), each in its own folder in the work
directory. Writes the table, beside the paper's figures, to TABLE.md, TABLE.csv and TABLE.png. The same command again continues
where it was interrupted. Any base configuration can be used; the paper's figures belong to cifar_rowlstm.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from pixel_rnn_jax.cli import command, configuration, flags, outputs
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.plots import save_comparison
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.training.trainer import train


class Row(NamedTuple):
    """A run, what it changes in the model, and the paper's validation score on CIFAR-10 in bits/dim."""

    name: str
    fields: dict[str, bool | int]
    published: float


class Table(NamedTuple):
    """A table of the paper."""

    title: str
    rows: tuple[Row, ...]


TABLES = {
    "residual_skip": Table(
        "Residual and skip connections (Table 2)",
        (
            Row("neither", {"residual": False, "skip": False}, 3.22),
            Row("skip", {"residual": False, "skip": True}, 3.09),
            Row("residual", {"residual": True, "skip": False}, 3.07),
            Row("both", {"residual": True, "skip": True}, 3.06),
        ),
    ),
    "depth": Table(
        "Number of layers (Table 3)",
        tuple(
            Row(f"depth_{depth}", {"depth": depth}, published)
            for depth, published in {1: 3.30, 2: 3.20, 3: 3.17, 6: 3.09, 9: 3.08, 12: 3.06}.items()
        ),
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the models that are not trained yet, and writes the table after each run."""
    parser = flags.make_parser("ablation", __doc__, "--config", "--allow_config_change")
    parser.add_argument("--workdir", type=outputs.output_folder, required=True, help="folder for all runs and the table")
    parser.add_argument("--table", required=True, choices=TABLES, help="Table 2 or Table 3")
    args, overrides = parser.parse_known_args(argv)
    table = TABLES[args.table]
    for field in table.rows[0].fields:
        if any(override.partition("=")[0].endswith(f"config.model.{field}") for override in overrides):
            raise InputError(f"--config.model.{field} must not be given: it is what the table compares.")
    base = configuration.read_config(args.config, overrides)
    configuration.share_training_among_cores(base)
    results, path = [], args.workdir / args.table
    for number, row in enumerate(table.rows, start=1):
        print(f"[{number}/{len(table.rows)}] {args.table}: {row.name}", file=sys.stderr)
        config = base.copy_and_resolve_references()
        config.model.update(row.fields)
        results.append(_result(config, path / row.name, allow_config_change=args.allow_config_change))
        write_table(path, table, results, arguments=" ".join([args.config, *overrides]))
    print(path.with_suffix(".md").read_text(), end="")
    print(*map(path.with_suffix, (".md", ".csv", ".png")))
    diverged = [row.name for row, result in zip(table.rows, results, strict=True) if "best_step" not in result]
    if diverged:
        raise FloatingPointError(f"these runs diverged: {', '.join(diverged)}.")


def _result(config: ConfigDict, workdir: Path, *, allow_config_change: bool) -> dict:
    """The scores of a run, which is trained first if it is not finished; no scores, if it diverged."""
    file, result = workdir / "result.json", {"config": json.loads(config.to_json_best_effort())}
    if file.exists():
        before = json.loads(file.read_text())
        if before["config"] == result["config"]:
            return before
    try:
        score = train(config, workdir, allow_config_change=allow_config_change)
    except FloatingPointError as error:
        print(f"{workdir.name} diverged: {error}", file=sys.stderr)
    else:
        _, _, run = load_run(workdir)
        result["validation_bits_per_dim"] = bits_per_dim(-run.validations.best_nats, run.image_shape)
        result["best_step"] = run.validations.best_step
        if score.split == "test":
            result["test_bits_per_dim"] = score.bits_per_dim
    outputs.write_json(file, result)
    return result


def write_table(path: Path, table: Table, results: Sequence[dict], *, arguments: str) -> None:
    """Writes the first rows, those with a result, as PATH.md, PATH.csv and PATH.png; arguments: of the command."""
    columns = ("run", "validation bits/dim", "test bits/dim", "best step", "paper, CIFAR-10 validation bits/dim")
    rows = [
        (
            row.name.replace("_", " "),
            f"{result['validation_bits_per_dim']:.4f}" if "validation_bits_per_dim" in result else "diverged",
            f"{result['test_bits_per_dim']:.4f}" if "test_bits_per_dim" in result else "",
            result.get("best_step", ""),
            f"{row.published:.2f}",
        )
        for row, result in zip(table.rows, results, strict=False)
    ]
    outputs.write_csv(path.with_suffix(".csv"), [columns, *rows])
    config = results[0]["config"]
    validation = f"{config['eval_images'] or 'all'} validation images"
    settings = f"`{arguments}`: {config['num_steps']} steps each, the best checkpoint on {validation}."
    lines = [f"## {table.title}", "", settings, ""]
    lines += [f"| {' | '.join(map(str, row))} |" for row in (columns, ["---"] * len(columns), *rows)]
    outputs.write_lines(path.with_suffix(".md"), lines)
    save_comparison(
        path.with_suffix(".png"),
        [row[0] for row in rows],
        measured=np.array([result.get("validation_bits_per_dim", np.nan) for result in results]),
        published=np.array([float(row[4]) for row in rows]),
        title=table.title,
    )


if __name__ == "__main__":
    command.run(main)
