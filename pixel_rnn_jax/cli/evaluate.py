"""Scores a trained model on a whole split:  python -m experiments.evaluate --workdir=runs/digits --split=test

A class-conditional model is told each image's true class; with --classify it also tells the class, by Bayes' rule. Of a
Multi-Scale PixelRNN, the two terms log p(x_s) and log p(x | x_s) are told, too.
"""

from collections.abc import Sequence

import numpy as np

from pixel_rnn_jax.cli import command
from pixel_rnn_jax.data import Dataset, Examples, at_most
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.classify import classify, log_prior
from pixel_rnn_jax.evaluation.score import Scorer, make_score
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.models.multi_scale import log_prob_by_size
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the mean negative log-likelihood of the best checkpoint."""
    parser = command.make_parser("evaluate", __doc__)
    command.add_split_flag(parser)
    parser.add_argument("--num", type=command.positive, help="images, the same ones every time; all, if not given")
    parser.add_argument("--batch_size", type=command.positive, help="images at a time; as in training, if not given")
    parser.add_argument("--classify", action="store_true", help="also classify the images, by a class-conditional model")
    command.add_data_dir_flag(parser)
    command.add_process_flags(parser)
    command.add_json_flag(parser)
    args = parser.parse_args(argv)
    if not command.is_one_of_several(args):
        command.share_among_cores(args.batch_size)
    command.join_processes(args)
    model, params, run = load_run(args.workdir)
    if args.classify and not model.config.num_classes:
        raise InputError("--classify needs a class-conditional model; this one has num_classes=0.")
    dataset = command.open_dataset(run.config, args.data_dir, run.classes)
    split = args.split or dataset.final_split
    examples = at_most(dataset.examples(split), args.num or 0)
    mesh = make_mesh()
    batch_size = command.scoring_batch_size(args.batch_size, run, mesh)
    scorer = Scorer(model, params, mesh, batch_size, dataset.config.num_threads)
    more = classified(scorer, dataset, examples) if args.classify else {}
    if model.config.sizes:
        terms = more["nats_by_size"] = by_size(scorer, examples)
        score = make_score(split, sum(terms.values()), examples.images.shape)
    else:
        score = scorer.evaluate(split, *examples)
    if score.relu_units:
        command.say("dead ReLU units:", score.dead_units)
    if is_main():
        command.report(score, dataset.config, args.json, **more)


def by_size(scorer: Scorer, examples: Examples) -> dict[int, float]:
    """The mean nats that each size costs, given the smaller ones; printed, and returned by size."""
    nats = -scorer.log_probs(*examples, function=log_prob_by_size).mean(0, dtype=np.float64)
    terms = dict(zip(scorer.model.config.sizes, nats.tolist(), strict=True))
    command.say("nats by size, each given the one before:", ", ".join(f"{size}: {value:.2f}" for size, value in terms.items()))
    return terms


def classified(scorer: Scorer, dataset: Dataset, examples: Examples) -> dict[str, float]:
    """Classifies images, prints how many are right, and returns the figures.

    Args:
      scorer: of a class-conditional model.
      dataset: whose training images tell how frequent the classes are.
      examples: the images, and their true classes.
    """
    images, conditions = examples
    prior = log_prior(dataset.examples("train").conditions.labels, scorer.model.config.num_classes)
    joint = classify(scorer, images, prior, conditions)
    accuracy = float(np.mean(joint.classes == conditions.labels))
    nats = -float(joint.marginal.mean())
    bits = bits_per_dim(-nats, images.shape[1:])
    command.say(f"class by Bayes' rule: {accuracy:.2%} of {len(images)} images right")
    command.say(f"without the class, by the sum over all classes: {nats:.2f} nats {bits:.4f} bits/dim")
    return {"accuracy": accuracy, "marginal_nats": nats, "marginal_bits_per_dim": bits}


if __name__ == "__main__":
    command.run(main)
