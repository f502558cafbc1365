"""How the page does its work: one job at a time, with limits, and with faults told in one line."""

import functools
import inspect
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from jaxtyping import UInt
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.demo import show
from pixel_rnn_jax.demo.models import MAX_IMAGES, examples

MAX_FILE_SIZE = 4 * 2**20  # bytes of an upload
MAX_PIXELS = 2**24  # of an uploaded picture, 4096x4096; it is decoded before it is reduced
PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"]
MAX_MESSAGE = 500  # characters
SHOWN_EVERY = 0.5  # seconds between two lines while nothing else is shown
# All that computes waits in one queue. Uploads do not; but Gradio shows faults of queued events only, so they have their own.
# What cannot fail, such as choosing a test image, has none.
JOB = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
UPLOAD = {"concurrency_limit": 4, "show_progress": "hidden", "api_visibility": "private"}
QUICK = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


async def _refuse(*_: Any, **__: Any) -> str:
    raise gr.Error("A file must be uploaded; no address is read.", print_exception=False)


# Gradio would fetch an address that is given in place of a file.
if not hasattr(gr.processing_utils, "async_ssrf_protected_download"):
    raise ImportError(f"Gradio {gr.__version__} fetches addresses by another function than the one that this page replaces.")
gr.processing_utils.async_ssrf_protected_download = _refuse

T = TypeVar("T")
_compiled: set[tuple] = set()
_worker = ThreadPoolExecutor(1)  # for all that models compute: a stopped job may still be at work when the next begins


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an event, whose faults appear as one line on the page; a bug's traceback stays on the server."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def run(*arguments):
            try:
                yield from function(*arguments)
            except Exception as error:
                raise _line(error) from None
    else:

        @functools.wraps(function)
        def run(*arguments):
            try:
                return function(*arguments)
            except Exception as error:
                raise _line(error) from None

    return run


def _line(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, prnn.InputError):
        text = textwrap.shorten(str(error), MAX_MESSAGE)  # it may quote what a file contains
    else:
        traceback.print_exception(error, file=sys.stderr)
        text = "Something went wrong on the server. Its log says what."
    return gr.Error(text, title="This does not work", print_exception=False)


def waiting(call: Callable[[], T], kind: tuple, status: Callable[[str], Any]) -> Generator[Any, None, T]:
    """Runs a call in the worker, and yields a status twice a second meanwhile; returns what the call returns.

    `kind` names the program that the call runs. The first call of a kind compiles it, which the status says. Closed before the
    call has begun, it takes the call back; one that has begun goes on, and the next call waits for its end.
    """
    future, start = _worker.submit(call), time.perf_counter()
    try:
        while wait([future], timeout=SHOWN_EVERY).not_done:
            if not future.running():
                start = time.perf_counter()
                yield status("Waiting for a stopped job to end …")
                continue
            seconds = f"{time.perf_counter() - start:.0f} s"
            yield status(f"At work, {seconds} …" if kind in _compiled else f"Compiling, {seconds} so far, once …")
    finally:
        future.cancel()
    result = future.result()
    _compiled.add(kind)
    return result


def row_by_row(rows: Iterator[prnn.Progress], kind: tuple) -> Iterator[tuple[str, prnn.Progress | None]]:
    """Yields a status and the images so far: None while there is nothing new, and then after each row."""
    compiles, begin = kind not in _compiled, time.perf_counter()
    row = yield from waiting(lambda: next(rows), kind, _without_row)
    compiled = time.perf_counter() - begin
    if compiles:
        begin = time.perf_counter()
    while row is not None:
        progress = row
        yield "Drawing …", progress
        row = yield from waiting(lambda: next(rows, None), kind, _without_row)
    once = f", after {compiled:.0f} s of compiling, once" if compiles else ""
    yield f"Drawn in {time.perf_counter() - begin:.1f} s{once}.", progress


def _without_row(status: str) -> tuple[str, None]:
    return status, None


def stopped(status: str) -> str:
    """The status after a visitor pressed Stop: the same, if nothing was at work."""
    return show.line("Stopped.") if "…" in status else status


def uploaded(files: Sequence[str] | None, name: str, model: prnn.Pretrained) -> UInt[np.ndarray, "N H W C"]:
    """The pictures in files that a visitor uploaded, as images of the model; without any, its test images."""
    if not files:
        if not len(examples(name)):
            raise prnn.InputError("Upload at least one picture: the test images of this model are not on this machine.")
        return examples(name)[:MAX_IMAGES]
    if len(files) > MAX_IMAGES:
        raise prnn.InputError(f"There can be at most {MAX_IMAGES} pictures; these are {len(files)}.")
    # One by one: decoded, they may be large.
    return np.concatenate([image_in(file, f"Picture {number}", model) for number, file in enumerate(files, 1)])


def image_in(file: str, name: str, model: prnn.Pretrained) -> UInt[np.ndarray, "1 H W C"]:
    """The picture in a file that a visitor uploaded, as an image of the model; the name is for messages."""
    try:
        return model.images(opened(file, name))
    except prnn.InputError as error:
        raise prnn.InputError(str(error).replace("picture 0", name, 1)) from None


def opened(file: str, name: str) -> Image.Image:
    """A picture that a visitor uploaded; the name is for messages. One that is too large is not decoded."""
    try:
        picture = Image.open(file, formats=("PNG", "JPEG", "WEBP", "TIFF"))
        if picture.width * picture.height <= MAX_PIXELS:
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise prnn.InputError(f"{name} is no PNG, JPEG, WebP or TIFF image, is damaged, or is too large.") from None
    raise prnn.InputError(f"{name} must have at most {MAX_PIXELS:,} pixels; it has {picture.width}x{picture.height}.")


def seed(value: int | float | None) -> int:
    """The seed that a visitor typed."""
    if value is None or not 0 <= value < 2**32:
        raise prnn.InputError(f"The seed must be an integer from 0 to {2**32 - 1}; got {value}.")
    return int(value)
