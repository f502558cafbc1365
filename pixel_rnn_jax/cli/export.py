"""Writes a trained model as one file:  pixel-rnn export --workdir=runs/digits --out=digits.safetensors

The file holds the averaged parameters of the best checkpoint, their configuration, and a card, which `describe` prints. All
commands take it as --workdir, and `pixel_rnn_jax.load` as its path.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from pixel_rnn_jax.cli import command, flags, outputs
from pixel_rnn_jax.errors import damage_as
from pixel_rnn_jax.storage.export import ENDING, check_card, save_weights
from pixel_rnn_jax.storage.load import load_run


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the best checkpoint, and prints the file's size."""
    parser = flags.make_parser("export", __doc__, "--workdir")
    parser.add_argument("--out", required=True, type=outputs.output_file(ENDING), help="the file to write")
    card = 'JSON file with texts for the card, such as {"licence": "CC0", "not_for": "faces"}'
    parser.add_argument("--card", type=outputs.local_path, metavar="FILE", help=card)
    args = parser.parse_args(argv)
    _, params, run = load_run(args.workdir)
    if args.card is not None:
        run = dataclasses.replace(run, card=(run.card or {}) | read_card(args.card))
    save_weights(args.out, params, run)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


def read_card(path: Path) -> dict[str, str]:
    """Reads the texts of a card from a JSON file."""
    with damage_as(f"{path} must be a JSON file of texts by name"):
        return check_card(json.loads(path.read_text()))


if __name__ == "__main__":
    command.run(main)
