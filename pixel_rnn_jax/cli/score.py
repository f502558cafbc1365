"""Scores images one by one:  python -m experiments.score --workdir=runs/digits --out=scores.csv --against=tfds:fashion_mnist

Writes the negative log-likelihood of each image of one set, or of two sets, by its file or number, and draws a histogram: how
well does the model tell images like those of its training from others?
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from pixel_rnn_jax.cli import command, inputs, outputs
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.plots import save_histogram
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a CSV file of scores, and draws a histogram."""
    parser = command.make_parser("score", __doc__)
    command.add_input_flags(parser, seed_of="the choice of images")
    parser.add_argument("--against", metavar="PATH|SOURCE", help="a second set of images, given like --input")
    parser.add_argument("--batch_size", type=command.positive, help="images at a time; as in training, if not given")
    parser.add_argument("--out", type=outputs.output_file(".csv"), default="scores.csv", help="CSV file of each image's score")
    parser.add_argument("--histogram", type=outputs.output_file(".png"), help="also draw the histogram, to this PNG file")
    args = parser.parse_args(argv)
    command.share_among_cores(args.batch_size)
    model, params, run = load_run(args.workdir)
    mesh = make_mesh()
    batch_size = command.scoring_batch_size(args.batch_size, run, mesh)
    paths = [args.input, args.against] if args.against else [args.input]
    sets = [inputs.open_input(path, args, run, in_memory=False) for path in paths]
    scorer = Scorer(model, params, mesh, batch_size, run.data.num_threads)

    rows, scores = [], {}
    for number, (name, names, images, conditions) in enumerate(sets):
        nats = -scorer.log_probs(images, conditions)
        bits = bits_per_dim(-nats, images.shape[1:])
        rows += [(name, *values) for values in zip(names, nats.tolist(), bits.tolist(), strict=True)]
        scores[name if number == 0 else f"against {name}"] = bits
        print(f"{name}: {len(nats)} images, {nats.mean():.2f} ± {nats.std():.2f} nats, {bits.mean():.4f} bits/dim")
    outputs.write_csv(args.out, [("set", "image", "nats", "bits_per_dim"), *rows])
    if len(scores) == 2:
        usual, other = scores.values()
        auc = roc_auc_score(np.repeat([0, 1], [len(usual), len(other)]), np.concatenate([usual, other]))
        print(f"an image of the second set has more bits/dim than one of the first with probability {auc:.4f} (AUROC)")
    if args.histogram:
        save_histogram(args.histogram, scores, title=f"{model.config.layer} of {run.data.source}")
    print(*filter(None, (args.out, args.histogram)))


if __name__ == "__main__":
    command.run(main)
