"""Sheets of images that are drawn while a model trains, always with the same random numbers, and their animation."""

import math
import re
import time
from typing import Any

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from pixel_rnn_jax.data import Dataset
from pixel_rnn_jax.data.image_set import take
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.generation.batched import generate, seconds_to_generate
from pixel_rnn_jax.generation.sampling import nothing_known
from pixel_rnn_jax.generation.sheet import Plan, lay_out, plan_from_contexts, plan_of_classes
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.parallel.distributed import from_main, is_main
from pixel_rnn_jax.parallel.hardware import is_out_of_memory
from pixel_rnn_jax.paths import AnyPath, is_remote, reaching
from pixel_rnn_jax.plots import make_sheet, save_course, save_picture
from pixel_rnn_jax.progress import note
from pixel_rnn_jax.training.metrics import MetricsLog, NoLog
from pixel_rnn_jax.training.run import TrainingRun

FOLDER, ANIMATION = "samples", "samples.gif"
FEW_SECONDS = 5.0  # that a sheet may take to be drawn unasked
SHARE = 0.05  # of the training's time that sheets may take which are drawn unasked
IMAGES, MIN_COLUMNS, ROWS, MAX_CLASSES, MAX_CONTEXTS = 24, 4, 3, 10, 4
COLUMN_WIDTH = 60  # in pixels, about


def plan_sheet(config: ModelConfig, data: Dataset) -> Plan:
    """Plans a row for each of the first classes or validation images; of other models, as many images in a few rows."""
    size = data.image_shape[:2]
    if config.context_channels:
        rows = min(MAX_CONTEXTS, len(data.images("validation")))
        truth, conditions = take(data.examples("validation"), np.arange(rows))
        return plan_from_contexts(conditions, IMAGES // rows, config.context_scale, truth)
    if config.num_classes:
        rows = min(config.num_classes, MAX_CLASSES)
        return plan_of_classes(rows, max(IMAGES // rows, MIN_COLUMNS), size)
    return Plan(size, UNCONDITIONAL, IMAGES, IMAGES // ROWS)


class SampleSheets:
    """Draws the sheets of a training into a folder of its work directory and into the log, as `sample_every` says.

    All processes draw together; the main one writes. Sheets from `first_step` on, which an earlier start drew, are removed.
    """

    def __init__(self, run: TrainingRun, workdir: AnyPath, log: MetricsLog | NoLog, bar: tqdm, *, first_step: int):
        self._run, self._log, self._bar = run, log, bar
        self._folder = workdir / FOLDER
        self._plan = plan_sheet(run.model.config, run.data)
        self._first_step, self._start = first_step, time.perf_counter()
        # Validations from one unasked sheet to the next; None until the first validation, and 0 if there are no sheets.
        self._stride: int | None = None
        if is_main():
            for step, path in sheet_files(workdir).items():
                if step >= first_step:
                    with reaching(path):
                        path.unlink()

    def may_be_due(self, step: int, *, last: bool) -> bool:
        """Whether it is time for a sheet, unless its cost forbids it."""
        config = self._run.config
        if config.sample_every < 0:
            validated = last or step % config.eval_every == 0
            return validated and self._stride != 0
        return config.sample_every > 0 and (last or step % config.sample_every == 0)

    def draw_if_due(self, step: int, params: Any, *, last: bool) -> None:
        """Draws a sheet from the averaged parameters of a step that `may_be_due`, if it is cheap enough or asked for."""
        try:
            if self._is_due(step, params, last=last):
                self._draw(step, params)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if self._run.config.sample_every > 0 or not is_out_of_memory(error):
                raise
            self._stride = 0
            note(self._bar, "warning: no samples are drawn any more: there is not enough memory for a sheet")

    def _is_due(self, step: int, params: Any, *, last: bool) -> bool:
        config = self._run.config
        if config.sample_every < 0 and self._stride is None:
            self._stride = self._find_stride(step, params)
            return self._stride > 0
        return config.sample_every > 0 or last or step // config.eval_every % self._stride == 0

    def _find_stride(self, step: int, params: Any) -> int:
        """The stride with which sheets take at most `SHARE` of the time; 0 if one takes more than `FEW_SECONDS`."""
        steps = step - self._first_step + 1
        between = (time.perf_counter() - self._start) / steps * self._run.config.eval_every
        seconds = self._seconds(params)
        stride = max(1, math.ceil(seconds / (SHARE * between))) if seconds <= FEW_SECONDS else 0
        stride = from_main(stride)  # the processes' clocks differ, and all must do the same
        if not stride:
            line = f"no samples are drawn while training: a sheet would take about {seconds:.0f} s, and none was asked for"
            note(self._bar, f"{line} (--config.sample_every=STEPS)")
        return stride

    def _seconds(self, params: Any) -> float:
        """Of one sheet, without the compilation."""
        shape = (self._plan.num, *self._plan.size, self._run.model.config.channels)
        conditions, mesh = self._plan.conditions, self._run.mesh
        return seconds_to_generate(self._run.model, params, shape, conditions=conditions, batch_size=self._plan.num, mesh=mesh)

    def _draw(self, step: int, params: Any) -> None:
        plan, model = self._plan, self._run.model
        images, _ = generate(
            model,
            params,
            jax.random.key(self._run.config.seed),
            *nothing_known(model.config, plan.num, plan.size),
            conditions=plan.conditions,
            batch_size=plan.num,
            mesh=self._run.mesh,
        )
        if not is_main():
            return
        cells, _, columns = lay_out(images, plan, model.config)
        sheet = make_sheet(cells, columns=columns, min_width=COLUMN_WIDTH * columns)
        self._log.write_picture(step, "samples", sheet)
        try:
            if not is_remote(self._folder):
                self._folder.mkdir(exist_ok=True)
            save_picture(self._folder / f"step_{step:06}.png", sheet)
        except (InputError, OSError) as error:  # the training matters more; gs:// raises the former
            note(self._bar, f"warning: the samples of step {step} could not be written ({error})")


def sheet_files(workdir: AnyPath) -> dict[int, AnyPath]:
    """The files of the sheets in a work directory, by step."""
    folder = workdir / FOLDER
    with reaching(folder):
        found = {path: re.fullmatch(r"step_(\d+)\.png", path.name) for path in folder.glob("*.png")}
    return dict(sorted((int(match[1]), path) for path, match in found.items() if match))


def save_animation_of_sheets(workdir: AnyPath) -> None:
    """Writes the sheets of a work directory, if there are any, as an animation; raises `OSError` if it cannot."""
    sheets = {}
    for step, path in sheet_files(workdir).items():
        with path.open("rb") as file, Image.open(file) as picture:
            sheets[step] = np.asarray(picture)
    if sheets:
        save_course(workdir / ANIMATION, sheets)
