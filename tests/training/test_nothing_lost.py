"""What may happen to a run, and must not cost it anything."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from conftest import ROOT, measured, run_in_process, tiny_config

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import command
from pixel_rnn_jax.cli import train as train_command
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import connect
from pixel_rnn_jax.training import trainer as train_module
from pixel_rnn_jax.training.lock import lock_workdir
from pixel_rnn_jax.training.trainer import train

# When one array is damaged, TensorStore's threads that read the others complain after the error.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TINY_RUN = [  # the flags of `tiny_run`
    "--config=digits_rowlstm", "--config.batch_size=16", "--config.num_steps=6", "--config.eval_every=2",
    "--config.checkpoint_every=3", "--config.log_every=1", "--config.sample_every=0", "--config.model.depth=1",
    "--config.model.features=4", "--config.model.head_features=4", "--config.optimizer.warmup=0.33",
    "--config.optimizer.name=adam", "--config.optimizer.learning_rate=8e-3", "--config.calm_start=False",
]  # fmt: skip


def damage(path):
    """Overwrites a file with half of its bytes, inverted."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    path.write_bytes((~content[: len(content) // 2]).tobytes())


@pytest.mark.parametrize(
    "victim",
    [
        "state/d/*",
        "run/metadata",
        *(pytest.param(path, marks=pytest.mark.slow) for path in ("ema/**/d/*", "state/manifest.ocdbt", "run")),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_on_request(tiny_run, tmp_path, capsys, victim):
    whole, score = tiny_run
    shutil.copytree(whole, tmp_path / "run")
    targets = list((tmp_path / "run" / "checkpoints" / "6").glob(victim))
    assert targets
    for target in targets:
        damage(target) if target.is_file() else shutil.rmtree(target)
    before = sorted(path for path in (tmp_path / "run").rglob("*") if path.is_file())
    with pytest.raises(InputError, match=r"checkpoints/6 is damaged .* With --fall_back, training goes on from step 4"):
        train(tiny_config(), tmp_path / "run")
    assert sorted(path for path in (tmp_path / "run").rglob("*") if path.is_file()) == before
    assert train(tiny_config(), tmp_path / "run", fall_back=True) == score
    assert "It is now" in capsys.readouterr().err
    assert (tmp_path / "run" / "damaged_checkpoints" / "6_1").is_dir()
    assert measured(tmp_path / "run") == measured(whole)
    assert train(tiny_config(), tmp_path / "run") == score


def test_where_all_checkpoints_are_damaged_nothing_is_begun_anew(tiny_run, tmp_path):
    shutil.copytree(tiny_run[0], tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("*/run/metadata"):
        damage(path)
    with pytest.raises(InputError, match=r"checkpoints/\d is damaged"):
        train(tiny_config(), tmp_path / "run", fall_back=True)


@pytest.mark.slow
def test_what_was_set_aside_stays(tiny_run, tmp_path):
    """The same step may be damaged twice."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    for number in (1, 2):
        (tmp_path / "run" / "checkpoints" / "6" / "run" / "metadata").write_text(str(number))
        train(tiny_config(), tmp_path / "run", fall_back=True)
    for number in (1, 2):
        aside = tmp_path / "run" / "damaged_checkpoints" / f"6_{number}"
        assert (aside / "run" / "metadata").read_text() == str(number)


def test_a_storage_that_cannot_be_reached_is_no_damage(tiny_run, tmp_path, monkeypatch):
    shutil.copytree(tiny_run[0], tmp_path / "run")

    def unreachable(*args, **kwargs):
        raise ValueError("UNAVAILABLE: connection refused")

    monkeypatch.setattr(ocp.CheckpointManager, "restore", unreachable)
    with pytest.raises(InputError, match="checkpoints/6 cannot be read now .UNAVAILABLE"):
        train(tiny_config(), tmp_path / "run", fall_back=True)
    assert not (tmp_path / "run" / "damaged_checkpoints").exists()


@pytest.mark.parametrize("moment", ["restore", "wait_until_finished"])
def test_a_signal_is_no_damage(tiny_run, tmp_path, monkeypatch, moment):
    """SIGTERM in Orbax's own code: the checkpoint that is being read, or written, is not taken for damaged."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "6")
    original, calls = getattr(ocp.CheckpointManager, moment), []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args, **kwargs)

    monkeypatch.setattr(ocp.CheckpointManager, moment, interrupted)
    flags = [*TINY_RUN, "--fall_back", f"--workdir={tmp_path / 'run'}"]
    assert run_in_process(train_command.main, *flags) == 75
    monkeypatch.undo()
    assert not (tmp_path / "run" / "damaged_checkpoints").exists()
    assert run_in_process(train_command.main, *flags) == 0
    assert measured(tmp_path / "run") == measured(tiny_run[0])


@pytest.mark.slow
def test_another_mesh_is_no_other_configuration(tiny_run, tmp_path):
    whole, score = tiny_run
    shutil.copytree(whole, tmp_path / "run")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step))
    again = train(tiny_config("--config.mesh.fsdp=4"), tmp_path / "run")
    assert again.nats == pytest.approx(score.nats, abs=1e-3)


def test_one_run_at_a_time_works_on_a_directory(tiny_run, tmp_path):
    shutil.copytree(tiny_run[0], tmp_path / "run")
    metrics = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with (
        lock_workdir(tmp_path / "run"),
        pytest.raises(InputError, match=f"run is in use by process {os.getpid()} on {socket.gethostname()}; only one run"),
    ):
        train(tiny_config(), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == metrics
    with lock_workdir(tmp_path / "run"):
        pass


def test_the_lock_dies_with_its_process(tmp_path):
    hold = f"from pixel_rnn_jax.training.lock import lock_workdir\nwith lock_workdir({str(tmp_path)!r}):"
    hold += " print('held', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", hold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"in use by process {holder.pid} "), lock_workdir(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with lock_workdir(tmp_path):
        pass


@pytest.mark.parametrize("workdir", ["/proc/run", "/dev/null/run"])
def test_a_directory_that_cannot_be_written_is_named(workdir):
    with pytest.raises(InputError, match=f"{workdir} must be a folder that can be written to; got "):
        train(tiny_config(), workdir)


def tiny_flags(*more):
    """Of `experiments.train`; as `tiny_config`."""
    return [
        "--config=digits_rowlstm", "--config.batch_size=16", "--config.model.depth=1", "--config.model.features=4",
        "--config.model.head_features=4", "--config.eval_every=20", "--config.checkpoint_every=5",
        "--config.optimizer.name=adam", "--config.optimizer.learning_rate=8e-3", "--config.calm_start=False", *more,
    ]  # fmt: skip


def test_sigterm_has_an_exit_status_of_its_own(tmp_path, monkeypatch):
    """In training, and in the scoring at its end: 75, and the same command goes on."""
    flags = [*TINY_RUN, f"--workdir={tmp_path}"]

    def interrupt(function, calls):
        def interrupted(*args, **kwargs):
            calls.append(args)
            if len(calls) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return function(*args, **kwargs)

        return interrupted

    monkeypatch.setattr(train_module, "shard_batch", interrupt(train_module.shard_batch, []))
    assert run_in_process(train_command.main, *flags) == command.PREEMPTED == 75
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1"]
    monkeypatch.setattr(train_module, "_score_best", interrupt(train_module._score_best, []))
    assert run_in_process(train_command.main, *flags) == 75
    assert run_in_process(train_command.main, *flags) == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
@pytest.mark.parametrize(
    "kibibytes,every,message",
    [
        (24, 1, "File too large; the last good checkpoint is "),
        (3, 1000, "a checkpoint cannot be written to "),
    ],
    ids=["metrics", "arrays"],
)
def test_a_full_disk_costs_one_line_and_no_checkpoint(tmp_path, kibibytes, every, message):
    """No file may be larger than so much: the metrics soon are, or, where few are written, the first checkpoint's arrays."""
    command = [sys.executable, "-m", "experiments.train", *tiny_flags("--config.num_steps=400", f"--config.log_every={every}")]
    command.append(f"--workdir={tmp_path}")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024,) * 2)

    full = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True)
    assert full.returncode == 1
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("error")]
    assert message in line
    assert full.stderr.splitlines()[-1] == line
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert [row["step"] for row in measured(tmp_path) if "train_nats" in row] == (list(range(1, 401)) if every == 1 else [400])


@pytest.mark.parametrize(
    "flags,message",
    [
        ((None, 2, 0), "coordinator, num_processes and process go together; got None, 2 and 0"),
        (("localhost", 2, 0), "coordinator must be HOST:PORT; got 'localhost'"),
        (("localhost:1", 2, 2), r"process must be in \[0, num_processes\); got 2 of 2"),
        ((None, None, None), "the processes cannot be joined: no cluster was found in the environment"),
    ],
)
def test_wrong_words_about_processes_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        connect(*flags)


class Processes:
    """Several processes of one training, each with two simulated devices."""

    def __init__(self, count, workdir, logs, *flags):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.logs = [logs / f"{workdir.name}_{number}.log" for number in range(count)]
        env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
        argv = [sys.executable, "-m", "experiments.train", *flags, f"--workdir={workdir}"]
        argv += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}"]
        self.processes = []
        for number, path in enumerate(self.logs):
            with path.open("w") as log:
                process = subprocess.Popen([*argv, f"--process={number}"], cwd=ROOT, env=env, stdout=log, stderr=log)
            self.processes.append(process)

    def wait(self, timeout=200):
        """The exit statuses."""
        return [process.wait(timeout) for process in self.processes]

    def output(self, number):
        return self.logs[number].read_text()


def wait_for_checkpoint(workdir, least):
    deadline = time.monotonic() + 200
    while not any(path.name.isdecimal() and int(path.name) >= least for path in (workdir / "checkpoints").glob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_mistake_ends_all_processes_alike(tiny_run, tmp_path):
    """What one process finds out alone, it tells the others: none waits for it."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    with lock_workdir(tmp_path / "run"):
        refused = Processes(2, tmp_path / "run", tmp_path, *TINY_RUN)
        assert refused.wait(60) == [1, 1]
    for number in range(2):
        (line,) = [line for line in refused.output(number).splitlines() if line.startswith("error")]
        assert f"run is in use by process {os.getpid()} on" in line
    damage(tmp_path / "run" / "checkpoints" / "6" / "state" / "manifest.ocdbt")
    assert Processes(2, tmp_path / "run", tmp_path, *TINY_RUN).wait(60) == [1, 1]
    assert Processes(2, tmp_path / "run", tmp_path, *TINY_RUN, "--fall_back").wait(120) == [0, 0]


@pytest.mark.slow
def test_processes_stop_together_die_together_and_go_on(tmp_path):
    """SIGTERM to one of two: both save the same step. SIGKILL to one: the other ends within a minute. Then both go on."""
    whole = tmp_path / "whole"
    flags = tiny_flags("--config.num_steps=60", "--config.log_every=1")
    assert Processes(2, whole, tmp_path, *flags).wait() == [0, 0]

    workdir = tmp_path / "run"
    together = Processes(2, workdir, tmp_path, *flags)
    wait_for_checkpoint(workdir, 5)
    together.processes[1].send_signal(signal.SIGTERM)
    assert together.wait() == [75, 75]
    said = [line for number in range(2) for line in together.output(number).splitlines() if "stopped by SIGTERM" in line]
    assert len(set(said)) == 1
    assert len(said) == 2
    stopped_at = max(int(path.name) for path in (workdir / "checkpoints").iterdir())

    for victim, least in ((1, stopped_at + 5), (0, stopped_at + 15)):
        together = Processes(2, workdir, tmp_path, *flags)
        wait_for_checkpoint(workdir, least)
        together.processes[victim].kill()
        assert together.processes[1 - victim].wait(timeout=60) not in (0, 75)
        together.wait()

    together = Processes(2, workdir, tmp_path, *flags)
    assert together.wait() == [0, 0], together.output(0)
    assert measured(workdir) == measured(whole)
    for array, other in zip(jax.tree.leaves(prnn.load(workdir)[1]), jax.tree.leaves(prnn.load(whole)[1]), strict=True):
        np.testing.assert_array_equal(array, other)
