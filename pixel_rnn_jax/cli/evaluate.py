"""Scores a trained model on a whole split:  pixel-rnn evaluate --workdir=runs/digits --split=test

A class-conditional model gets each image's true class; with --classify it also classifies the images, by Bayes' rule. For a
Multi-Scale PixelRNN, the terms log p(x_s) and log p(x | x_s) are printed too.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from pixel_rnn_jax.cli import command, datasets, flags, inputs, outputs
from pixel_rnn_jax.cli.scorers import make_scorer
from pixel_rnn_jax.data import Dataset, Examples, at_most
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.classify import classify, log_prior
from pixel_rnn_jax.evaluation.score import Scorer, make_score
from pixel_rnn_jax.models.likelihood import bits_per_dim
from pixel_rnn_jax.models.multi_scale import log_prob_by_size
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the mean negative log-likelihood of the best checkpoint."""
    parser = flags.make_parser("evaluate", __doc__, "--workdir", "--split", "--data_dir", *flags.PROCESSES, "--json")
    parser.add_argument("--num", type=flags.positive, help="number of images, the same ones every time; all by default")
    parser.add_argument("--batch_size", type=flags.positive, help="images at a time; by default as in training")
    parser.add_argument("--classify", action="store_true", help="also classify the images, with a class-conditional model")
    args = parser.parse_args(argv)
    if not flags.has_processes(args):
        share_among_cores(args.batch_size)
    flags.join_processes(args)
    model, params, run = load_run(args.workdir)
    if args.classify and not model.config.num_classes:
        raise InputError("--classify needs a class-conditional model; this one has num_classes=0.")
    dataset = datasets.open_dataset(run.data, run.model, args.data_dir, run.classes)
    split = args.split or dataset.final_split
    examples = dataset.examples(split)
    examples = at_most(examples, inputs.checked_num(split, len(examples.images), args.num))
    scorer = make_scorer(model, params, run, examples.images, args.batch_size)
    more = classify_examples(scorer, dataset, examples) if args.classify else {}
    if model.config.sizes:
        terms = more["nats_by_size"] = score_sizes(scorer, examples)
        score = make_score(split, sum(terms.values()), examples.images.shape)
    else:
        score = scorer.evaluate(split, *examples)
    if score.relu_units:
        command.say("dead ReLU units:", score.dead_units)
    if is_main():
        outputs.report(score, dataset.config, args.json, **more)


def score_sizes(scorer: Scorer, examples: Examples) -> dict[int, float]:
    """Prints and returns the mean nats of each size, given the smaller ones."""
    nats = -scorer.log_probs(*examples, function=log_prob_by_size).mean(0, dtype=np.float64)
    terms = dict(zip(scorer.model.config.sizes, nats.tolist(), strict=True))
    command.say("nats by size, each given the one before:", ", ".join(f"{size}: {value:.2f}" for size, value in terms.items()))
    return terms


def classify_examples(scorer: Scorer, dataset: Dataset, examples: Examples) -> dict[str, float]:
    """Classifies images, prints the accuracy, and returns the figures. The dataset's training images give the prior."""
    images, conditions = examples
    prior = log_prior(np.bincount(dataset.labels("train"), minlength=scorer.model.config.num_classes))
    joint = classify(scorer, images, prior, conditions)
    accuracy = float(np.mean(joint.argmax(1) == conditions.labels))
    nats = -float(logsumexp(joint, axis=1).mean())
    bits = bits_per_dim(-nats, images.shape[1:])
    command.say(f"class by Bayes' rule: {accuracy:.2%} of {len(images)} images right")
    command.say(f"without the class, by the sum over all classes: {nats:.2f} nats {bits:.4f} bits/dim")
    return {"accuracy": accuracy, "marginal_nats": nats, "marginal_bits_per_dim": bits}


if __name__ == "__main__":
    command.run(main)
