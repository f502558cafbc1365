"""Kills a training again and again, restarts it each time, and compares its end with that of a training left alone:

    python tests/kill_often.py --kills=50 --workdir=/tmp/kill_often

A quarter of the kills (SIGKILL) come at any time after the start, the others within two seconds after the first new step, when
the training steps, validates and saves: with a checkpoint every third step it is saving much of the time.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from conftest import measured

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import configuration
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.training.resume import start_or_resume
from pixel_rnn_jax.training.run import prepare

ROOT = Path(__file__).parent.parent
TINY = [
    "--config=digits_rowlstm", "--config.model.depth=1", "--config.model.features=4", "--config.batch_size=16",
    "--config.num_steps=450", "--config.eval_every=20", "--config.checkpoint_every=3", "--config.log_every=1",
    "--config.sample_every=0", "--config.optimizer.name=adam", "--config.optimizer.learning_rate=8e-3",
    "--config.calm_start=False",
]  # fmt: skip


def start(workdir: Path, cache: Path) -> subprocess.Popen:
    """Starts the training, or goes on with it."""
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(cache)}
    env |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "experiments.train", *TINY, f"--workdir={workdir}"]
    with (workdir.parent / f"{workdir.name}.log").open("a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True)


def size(path: Path) -> int:
    """Of a file, that may not be there."""
    return path.stat().st_size if path.exists() else 0


def wait_for_step(process: subprocess.Popen, metrics: Path) -> None:
    """Until a row is added to the metrics, after those that the start has cut away."""
    smallest = size(metrics)
    while process.poll() is None and size(metrics) <= smallest:
        smallest = min(smallest, size(metrics))
        time.sleep(0.01)


def kill_at_random(process: subprocess.Popen, workdir: Path, rng: random.Random) -> None:
    """Kills the training, unless it ends before."""
    if rng.random() < 0.25:
        time.sleep(rng.uniform(0, 15))
    else:
        wait_for_step(process, workdir / "metrics.jsonl")
        time.sleep(rng.uniform(0, 2))
    process.kill()


def compare(workdir: Path, alone: Path) -> list[str]:
    """What differs between two finished trainings: metrics, records, and the arrays of their last and best checkpoints."""
    setup = prepare(configuration.read_config(TINY[0].partition("=")[2], TINY[1:]))
    ends = []
    for path in (workdir, alone):
        with Checkpoints(path, read_only=True) as checkpoints:
            state, record = start_or_resume(setup, checkpoints)
        ends.append((measured(path), record, jax.device_get((state, prnn.load(path)[1]))))
    (rows, record, arrays), (other_rows, other_record, other_arrays) = ends
    same_arrays = all(map(np.array_equal, jax.tree.leaves(arrays), jax.tree.leaves(other_arrays)))
    same = {"metrics": rows == other_rows, "record": record == other_record, "arrays": same_arrays}
    return [name for name, equal in same.items() if not equal]


def main() -> None:
    """Prints what happened; exits with 1 if the two ends differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workdir", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.workdir.mkdir(parents=True)
    rng = random.Random(args.seed)
    killed, alone, cache = (args.workdir / name for name in ("killed", "alone", "cache"))

    began = time.monotonic()
    alone_output, _ = start(alone, cache).communicate()
    kills, half_written = 0, 0
    while True:
        process = start(killed, cache)
        if kills < args.kills:
            kill_at_random(process, killed, rng)
        output, _ = process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
        kills += 1
        half_written += any((killed / "checkpoints").glob("*tmp*"))
    differences = compare(killed, alone)
    if output.splitlines()[-1:] != alone_output.splitlines()[-1:] or process.returncode:
        differences.append("score")
    minutes = (time.monotonic() - began) / 60
    print(f"{kills} kills in {minutes:.0f} minutes, {half_written} of which left a half-written checkpoint behind")
    print(f"the last start ended with status {process.returncode}: {output.splitlines()[-1]}")
    print(f"left alone: {alone_output.splitlines()[-1]}")
    print(f"different: {', '.join(differences) or 'nothing'}")
    sys.exit(bool(differences) or kills < args.kills)


if __name__ == "__main__":
    main()
