"""Sorts images into classes:  pixel-rnn classify --workdir=runs/mine --input=new --out=classes.csv

By Bayes' rule with a class-conditional model, p(y | x) = p(x | y) p(y) / p(x). Writes a row for each image: its most probable
class, by how many nats that is ahead of the next one, and p(y | x) of all classes. Where the data has labels, or pictures lie
in folders named like classes, it prints how many are right.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from scipy.special import log_softmax

from pixel_rnn_jax.cli import command, flags, inputs, outputs
from pixel_rnn_jax.cli.scorers import make_scorer
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.classify import classify
from pixel_rnn_jax.models.conditioning import Conditions
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.pretrained import class_prior
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a CSV file of classes, and prints the number of each."""
    shared = [flag for flag in flags.INPUT if flag != "--label"]
    parser = flags.make_parser("classify", __doc__, "--workdir", *shared)
    parser.add_argument("--batch_size", type=flags.positive, help="images at a time; by default as in training")
    parser.add_argument(
        "--out", type=outputs.output_file(".csv"), default="classes.csv", help="CSV file to write, with a row for each image"
    )
    parser.set_defaults(label=None)
    args = parser.parse_args(argv)
    share_among_cores(args.batch_size)
    model, params, run = load_run(args.workdir)
    classes = run.class_names
    if not classes:
        raise InputError("only a class-conditional model classifies; this one has num_classes=0.")
    name, names, images, conditions = inputs.open_input(args.input, args, run, in_memory=False, needs_labels=False)
    scorer = make_scorer(model, params, run, images, args.batch_size)
    log_probs = log_softmax(classify(scorer, images, class_prior(run), conditions), axis=1)

    found = [classes[number] for number in log_probs.argmax(1)]
    truth = true_classes(args.input, names, conditions, classes)
    second, first = np.sort(log_probs, axis=1)[:, -2:].T if len(classes) > 1 else (log_probs[:, 0], log_probs[:, 0])
    rows = zip(names, truth, found, (first - second).tolist(), *np.exp(log_probs).T.tolist(), strict=True)
    header = ("image", "truth", "class", "margin_nats", *(f"p({name})" for name in classes))
    outputs.write_csv(args.out, [header, *rows])
    counts = ", ".join(f"{count} {name}" for name, count in sorted(Counter(found).items()))
    print(f"{name}: {len(found)} images: {counts}")
    known = [one == other for one, other in zip(found, truth, strict=True) if other]
    if known:
        print(f"accuracy {np.mean(known):.2%}: {sum(known)} of {len(known)} images right")
    print(args.out)


def true_classes(path: str | None, names: Sequence[str], conditions: Conditions, classes: Sequence[str]) -> list[str]:
    """The class of each image: of its label, or of the outermost folder that is named like one; empty if there is none."""
    if conditions.labels is not None:
        return [classes[label] for label in conditions.labels]
    by_folder = {name.casefold(): name for name in classes}
    whole = by_folder.get(PurePath(path or "").name.casefold(), "")  # of a folder that holds a single class
    folders = [PurePath(name).parts[:-1] for name in names]
    truth = [next((by_folder[part.casefold()] for part in parts if part.casefold() in by_folder), whole) for parts in folders]
    unknown = sorted({parts[0] for parts, name in zip(folders, truth, strict=True) if parts and not name})
    if unknown and any(truth):
        command.say(f"not classes of the model, and not counted in the accuracy: {', '.join(unknown)}")
    return truth


if __name__ == "__main__":
    command.run(main)
