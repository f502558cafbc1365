"""Scores images one by one:  pixel-rnn score --workdir=runs/digits --out=scores.csv --against=tfds:fashion_mnist

Writes the negative log-likelihood of each image, with its file or number. With a second set of images (--against), it also
prints how well the likelihood separates the two sets (AUROC). Where a class-conditional model is told no class, by --label or
the data, the likelihood is the sum over all classes.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from pixel_rnn_jax.cli import command, flags, inputs, outputs, pictures
from pixel_rnn_jax.evaluation.classify import marginal_log_probs
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.models.likelihood import bits_per_dim, log_prob, log_probs
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.parallel.mesh import make_mesh, scoring_batch_size
from pixel_rnn_jax.plots import save_histogram
from pixel_rnn_jax.pretrained import class_prior
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a CSV file of scores, and draws a histogram."""
    parser = flags.make_parser("score", __doc__, "--workdir", *flags.INPUT)
    parser.add_argument("--against", metavar="PATH|SOURCE", help="a second set of images, named like --input")
    parser.add_argument("--batch_size", type=flags.positive, help="images at a time; by default as in training")
    parser.add_argument(
        "--out", type=outputs.output_file(".csv"), default="scores.csv", help="CSV file to write, with a row for each image"
    )
    parser.add_argument(
        "--histogram", type=outputs.output_file(".png"), help="also write a histogram of the scores to this PNG file"
    )
    maps = "also write a map of each image in --input to this new folder: the nats of each pixel, as a picture and in maps.npz"
    parser.add_argument("--maps", type=pictures.new_folder, metavar="FOLDER", help=maps)
    args = parser.parse_args(argv)
    share_among_cores(args.batch_size)
    model, params, run = load_run(args.workdir)
    mesh = make_mesh()
    paths = [args.input, args.against] if args.against else [args.input]
    sets = [inputs.open_input(path, args, run, in_memory=False, needs_labels=bool(args.maps)) for path in paths]

    rows, scores = [], {}
    for number, (name, names, images, conditions) in enumerate(sets):
        area = math.prod(images.shape[1:3]) / math.prod(run.image_shape[:2])
        batch_size = scoring_batch_size(args.batch_size, run.batch_size, mesh, area=area)
        scorer = Scorer(model, params, mesh, batch_size, run.data.num_threads)
        classes = model.config.num_classes if conditions.labels is None else 0  # over which to sum
        if area > 1:
            conditions_of_one = inputs.labelled(conditions, 0 if classes else None, len(images))
            seconds = scorer.seconds(images, conditions_of_one, rows=min(run.image_shape[0], images.shape[1]))
            seconds *= max(classes, 1)
            print(f"scoring {len(images)} images of {name}: about {seconds:,.0f} s once compiled", file=sys.stderr)
        if classes:
            nats = -marginal_log_probs(scorer, images, class_prior(run), conditions)
        else:
            surprise = -scorer.log_probs(images, conditions, function=log_probs if args.maps else log_prob)
            nats = surprise.reshape(len(surprise), -1).sum(1)
        if args.maps and number == 0:
            pictures.write_maps(args.maps, names, images, surprise, model.config.levels)
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
    print(*filter(None, (args.out, args.histogram, args.maps)))


if __name__ == "__main__":
    command.run(main)
