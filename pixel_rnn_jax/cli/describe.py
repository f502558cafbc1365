"""Prints the card of a trained model:  pixel-rnn describe mnist_diagonal_bilstm

The card says what the model is, what of, how it was trained, how well it scores, and what not to use it for.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.pretrained import from_pretrained


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the card, a line for each text."""
    parser = flags.make_parser("describe", __doc__, "--json")
    workdir = flags.SHARED["--workdir"]["help"]
    parser.add_argument("workdir", metavar="NAME|FILE|DIR", help=workdir)
    args = parser.parse_args(argv)
    card = from_pretrained(args.workdir).card
    for name, text in card.items():
        print(f"{name.replace('_', ' '):11} {text}")
    if args.json:
        outputs.write_json(args.json, card)


if __name__ == "__main__":
    command.run(main)
