"""Opens a page in the browser, on which the models can be seen at work:  pixel-rnn demo

It draws, completes, scores and compresses pictures, and shows what a pixel depends on. Nothing leaves this machine.
"""

import importlib.util
from collections.abc import Sequence

from pixel_rnn_jax.cli import command, flags
from pixel_rnn_jax.errors import InputError


def main(argv: Sequence[str] | None = None) -> None:
    """Serves the page until it is interrupted."""
    parser = flags.make_parser("demo", __doc__)
    workdir = (
        "a model of your own beside those that come with the package: a work directory or an exported file; may be repeated"
    )
    parser.add_argument("--workdir", action="append", default=[], metavar="PATH", help=workdir)
    parser.add_argument("--port", type=flags.port, help="on 127.0.0.1 (default: the first free one from 7860)")
    parser.add_argument("--no_browser", action="store_true", help="only print the address of the page")
    args = parser.parse_args(argv)
    gradio = importlib.util.find_spec("gradio")  # not imported here: `app` switches its analytics off first
    if gradio is None or gradio.origin is None:  # a mere folder of that name, such as that of Gradio's uploads, has no origin
        raise InputError("`pixel-rnn demo` needs Gradio: pip install 'pixel-rnn-jax[demo]'")
    from pixel_rnn_jax.demo import app

    app.serve(args.workdir, port=args.port, open_browser=not args.no_browser)


if __name__ == "__main__":
    command.run(main)
