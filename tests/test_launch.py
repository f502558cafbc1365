"""The launch scripts, with fakes of gcloud, SLURM and Python that note how they are called."""

import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRAINING = ["--config=digits", "--workdir=gs://bucket/a run", """--config.data.source=it's a "file" $HOME *"""]

# The fakes are written in bash, since Python takes longer to start. What they shall do is in files of the folder plan.
COMMON = r"""#!/usr/bin/env bash
note() { # FILE WORD...
  local IFS=$'\x1f'
  printf '%s\n' "${*:2}" >>"$FAKE/$1"
}
plan() { cat "$FAKE/plan/$1" 2>/dev/null; }
next() { # KEY DEFAULT: takes the first line
  local lines=("$2")
  [[ ! -s $FAKE/plan/$1 ]] || mapfile -t lines <"$FAKE/plan/$1"
  printf '%s\n' "${lines[@]:1}" | sed '/^$/d' >"$FAKE/plan/$1"
  echo "${lines[0]}"
}
wait_for() { until [[ -e $1 ]]; do sleep 0.05; done; }
"""

# A cloud with one TPU of two workers. A worker is a folder, in which its commands really run.
GCLOUD = r"""
note gcloud "$@"
says=$(next "$4" ok)
[[ $says == ok ]] || { echo "ERROR: $says" >&2 && exit 1; }
case "$3 $4" in
  'queued-resources list') next states "$(cat "$FAKE/state" 2>/dev/null)" ;;
  'queued-resources create') mkdir "$FAKE"/worker{0,1} && next created ACTIVE >"$FAKE/state" ;;
  'queued-resources delete') rm -r "$FAKE"/worker{0,1} "$FAKE/state" ;;
  'tpu-vm '*)
    for word; do
      case $word in
        --worker=all) workers=(worker0 worker1) ;;
        --worker=*) workers=("worker${word#*=}") ;;
        --command=*) command=${word#*=} ;;
      esac
    done
    if [[ $command == *follow && $(next follow ok) == preempted ]]; then
      echo SUSPENDED >"$FAKE/state"
      exit 255
    fi
    code=0
    for worker in "${workers[@]}"; do
      case $4 in
        scp) cp "$5" "$FAKE/$worker/${6#*:}" ;;
        ssh) (cd "$FAKE/$worker" && HOME=$PWD exec bash -c "$command") || code=$? ;;
      esac
    done
    exit "$code"
    ;;
esac
"""

# Python of a worker, also in the virtual environment that it makes.
WORKER = r"""
worker=${HOME##*/}
case "$1 $2 $3" in
  '-m uv venv') mkdir -p "${*: -1}/bin" && cp "$0" "${*: -1}/bin/python" ;;
  '-m uv '* | '-m pip '*) note install "$@" ;;
  *)
    trap 'exit 75' TERM
    echo "$worker: training"
    note python "$worker" "$PWD" "$@"
    what=$(next "$worker" 0)
    [[ $what == wait ]] || exit "$what"
    wait_for "$FAKE/go"
    ;;
esac
"""

SLURM = r"""
note slurm "${0##*/}" "$@"
case ${0##*/} in
  squeue) plan state ;;
  srun)
    [[ ! -e $FAKE/plan/wait ]] || wait_for "$FAKE/go"
    exit "$(plan srun)"
    ;;
esac
"""

# One of the processes of local.sh. One that is to fail waits until the other has begun.
PROCESS = r"""
index=${*: -1}
trap 'note signals "$index" TERM; exit 75' TERM
trap 'note signals "$index" INT; exit 130' INT
echo "output of ${index#*=}"
note python "$JAX_PLATFORMS" "$XLA_FLAGS" "$PYTHONPATH" "$@"
what=$(plan "${index#*=}")
[[ $what != [1-9]* ]] || until (($(wc -l <"$FAKE/python") > 1)); do sleep 0.05; done
[[ $what == wait ]] || exit "$what"
for _ in {1..400}; do sleep 0.05; done
"""


class World:
    """A directory with fake programs, what they are to do, and what they noted."""

    def __init__(self, path: Path, repository: Path):
        self.path = path
        self.repository = repository
        for folder in ("bin", "home", "plan"):
            (path / folder).mkdir()
        self.env = {
            "PATH": f"{path / 'bin'}:{os.environ['PATH']}",
            "HOME": str(path / "home"),
            "TMPDIR": str(path),
            "FAKE": str(path),
            "LANG": "C.UTF-8",
        }
        self.processes = []

    def program(self, name, text):
        file = self.path / "bin" / name
        file.write_text(COMMON + text)
        file.chmod(0o755)

    def plan(self, **values):
        for key, lines in values.items():
            (self.path / "plan" / key).write_text("".join(f"{line}\n" for line in lines))

    def start(self, *command, cwd=None, **env):
        # Tests in the background of a shell ignore SIGINT; their children would too, and bash cannot change that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            command,
            cwd=cwd or self.repository,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        signal.signal(signal.SIGINT, before)
        self.processes.append(process)
        return process

    def call(self, script, *flags, **env):
        return finish(self.start(self.repository / "launch" / script, *flags, **env))

    def noted(self, name):
        file = self.path / name
        return [line.split("\x1f") for line in file.read_text().splitlines()] if file.exists() else []

    def wait_for(self, name, number):
        deadline = time.monotonic() + 60
        while len(self.noted(name)) < number:
            assert time.monotonic() < deadline, f"{name} has {len(self.noted(name))} lines"
            time.sleep(0.02)

    def end(self):
        (self.path / "go").touch()
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def finish(process):
    stdout, stderr = process.communicate(timeout=100)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def commands(dry_run):
    """The commands that --dry-run printed, as lists of words."""
    return [shlex.split(line) for line in dry_run.stdout.splitlines()]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    path = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "launch", path / "launch")
    (path / "experiments").mkdir()
    (path / "experiments" / "digits.py").write_text("")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], cwd=path, check=True)
    return path


@pytest.fixture
def world(tmp_path, repository):
    world = World(tmp_path, repository)
    yield world
    world.end()


# --- cloud_tpu.sh ---


@pytest.fixture
def tpu(world):
    world.program("gcloud", GCLOUD)
    world.program("python3", WORKER)
    world.program("sleep", 'note sleep "$1"; PATH=/usr/bin:/bin exec sleep 0.05')
    return world


FLAGS = ["--name=n", "--zone=z", "--type=v4-16", "--spot", *TRAINING]
WORKER_SH = "bash pixel_rnn_jax/code/launch/worker.sh"


def start_tpu(tpu, *flags):
    return tpu.start(tpu.repository / "launch" / "cloud_tpu.sh", "run", *FLAGS, *flags)


def call_tpu(tpu, command, *flags):
    return tpu.call("cloud_tpu.sh", command, *FLAGS, *flags)


def steps(tpu):
    """What was asked of gcloud, in a word."""

    def short(argv):
        called = next((word for word in ("install", "start", "follow", "stop") if f"worker.sh {word}" in argv[-1]), None)
        return called or argv[3]

    return [short(argv) for argv in tpu.noted("gcloud")]


SET_UP = ["scp", "install", "start", "follow"]


def test_run_trains_on_all_workers_and_deletes(tpu):
    flags = ["--project=p", "--create_flag=--network=a b", "--", "--allow_config_change"]
    dry = call_tpu(tpu, "run", "--dry-run", *flags)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert not tpu.noted("gcloud")
    assert not list(tpu.path.glob("*.tar.gz"))
    result = call_tpu(tpu, "run", *flags)
    assert result.returncode == 0, result.stderr
    assert "worker0: training" in result.stdout

    archive = next(tpu.path.glob("*.tar.gz"))
    where, runtime = ["--zone=z", "--quiet", "--project=p"], ["--runtime-version=tpu-ubuntu2204-base"]
    alive = "-oServerAliveInterval=20"
    queue = ["compute", "tpus", "queued-resources"]
    state = [*queue, "list", "--filter=name~/n$", "--format=value(state.state)", *where]
    ssh = ["compute", "tpus", "tpu-vm", "ssh", "n", *where]
    training = [*TRAINING, "--allow_config_change", "--distributed"]
    noted = tpu.noted("gcloud")
    assert noted == [
        state,
        [*queue, "create", "n", "--node-id=n", "--accelerator-type=v4-16", *runtime, "--spot", "--network=a b", *where],
        state,
        [
            "compute",
            "tpus",
            "tpu-vm",
            "scp",
            str(archive),
            "n:pixel_rnn_jax.tar.gz",
            *where,
            "--worker=all",
            f"--scp-flag={alive}",
        ],
        noted[4],
        noted[5],
        [*ssh, "--worker=0", f"--ssh-flag={alive}", f"--command={WORKER_SH} follow"],
        [*queue, "delete", "n", "--force", *where],
    ]
    for argv in noted[4:6]:
        assert argv[:-1] == [*ssh, "--worker=all", f"--ssh-flag={alive}"]
    assert f"{WORKER_SH} install" in noted[4][-1]
    assert shlex.split(noted[5][-1].removeprefix("--command=")) == [*WORKER_SH.split(), "start", *training]
    assert [line[1:] for line in commands(dry) if line[0] == "gcloud"] == noted
    assert [line[0] for line in commands(dry) if line[0] != "gcloud"] == ["git"]

    homes = [tpu.path / worker / "pixel_rnn_jax" for worker in ("worker0", "worker1")]
    assert sorted(tpu.noted("python")) == [
        [home.parent.name, str(home / "code"), "-m", "experiments.train", *training] for home in homes
    ]
    installed = [argv[-1] for argv in tpu.noted("install") if argv[1] == "uv"]
    assert installed == [f"{home / 'code'}[tpu,gcs]" for home in homes]


def test_each_command_runs_what_its_dry_run_prints(tpu):
    tpu.plan(worker0=["wait"], worker1=["wait"])
    outputs = {}
    for command in ("create", "status", "copy", "install", "train", "stop", "log", "delete"):
        before = len(tpu.noted("gcloud"))
        dry = call_tpu(tpu, command, "--dry-run", "--worker=1")
        assert len(tpu.noted("gcloud")) == before
        outputs[command] = call_tpu(tpu, command, "--worker=1")
        assert (dry.returncode, outputs[command].returncode) == (0, 75 if command == "log" else 0), dry.stderr
        assert [line[1:] for line in commands(dry) if line[0] == "gcloud"] == tpu.noted("gcloud")[before:]
        if command == "train":
            tpu.wait_for("python", 2)
    assert steps(tpu) == ["create", "list", "scp", "install", "start", "stop", "follow", "delete"]
    assert outputs["status"].stdout == "ACTIVE\n"
    assert outputs["log"].stdout == "worker1: training\n"


def test_the_same_command_goes_on_after_a_preemption(tpu):
    tpu.plan(follow=["preempted"])
    preempted = call_tpu(tpu, "run")
    assert preempted.returncode == 255
    assert "run the same command again" in preempted.stderr
    before = len(steps(tpu))
    again = call_tpu(tpu, "run")
    assert again.returncode == 0, again.stderr
    assert steps(tpu)[before:] == ["list", "delete", "list", "create", "list", *SET_UP, "delete"]
    assert sorted(worker for worker, *_ in tpu.noted("python")) == ["worker0"] * 2 + ["worker1"] * 2
    assert len({tuple(argv) for _, _, *argv in tpu.noted("python")}) == 1


def test_the_same_command_follows_a_training_that_runs(tpu):
    tpu.plan(worker0=["wait"], worker1=["wait"])
    first = start_tpu(tpu, "--keep")
    tpu.wait_for("gcloud", 7)
    tpu.wait_for("python", 2)
    os.killpg(first.pid, signal.SIGINT)
    stopped = finish(first)
    assert stopped.returncode == -signal.SIGINT
    assert "run the same command again" in stopped.stderr
    other = call_tpu(tpu, "run", "--config.seed=1")
    assert other.returncode == 1
    assert "another training is running, with --config=digits" in other.stderr
    second = start_tpu(tpu, "--keep")
    tpu.wait_for("gcloud", 7 + 4 + 5)
    (tpu.path / "go").touch()
    result = finish(second)
    assert result.returncode == 0, result.stderr
    assert "its code is left as it is" in result.stdout
    assert steps(tpu)[7:] == ["list", *SET_UP[:-1], "list", *SET_UP]
    assert len(tpu.noted("python")) == 2
    assert call_tpu(tpu, "run").returncode == 0  # and after it ended, a training is started again
    assert len(tpu.noted("python")) == 4


def test_failed_training_keeps_the_tpu(tpu):
    tpu.plan(worker0=[3])
    result = call_tpu(tpu, "run")
    assert result.returncode == 3
    assert steps(tpu) == ["list", "create", "list", *SET_UP]
    assert "n costs money" in result.stderr


def test_run_waits_for_the_tpu(tpu):
    tpu.plan(created=["WAITING_FOR_RESOURCES"], states=["", "PROVISIONING", "ACTIVE"], list=["ok", "ok", "503 Unavailable"])
    result = call_tpu(tpu, "run")
    assert result.returncode == 0, result.stderr
    assert steps(tpu) == ["list", "create", *["list"] * 3, *SET_UP, "delete"]
    assert tpu.noted("sleep").count(["60"]) == 2
    assert "n is PROVISIONING" in result.stderr


@pytest.mark.parametrize(
    ("plan", "called"),
    [
        ({"list": ["PERMISSION_DENIED"]}, ["list"]),
        ({"create": ["PERMISSION_DENIED"]}, ["list", "create"]),
        ({"created": ["FAILED"]}, ["list", "create", "list"]),
        ({"scp": ["no connection"]}, ["list", "create", "list", "scp"]),
    ],
)
def test_what_fails_at_once_ends_run(tpu, plan, called):
    tpu.plan(**plan)
    result = call_tpu(tpu, "run")
    assert result.returncode == 1
    assert steps(tpu) == called
    assert plan.popitem()[1][0] in result.stderr


def test_runtime_image_fits_the_type(tpu):
    images = {"v3-8": "tpu-ubuntu2204-base", "v5litepod-4": "v2-alpha-tpuv5-lite", "v5p-8": "v2-alpha-tpuv5"}
    for kind, image in (images | {"v6e-4": "v2-alpha-tpuv6e", "v6e-8 --version=mine": "mine"}).items():
        result = tpu.call("cloud_tpu.sh", "create", "--dry-run", "--name=n", "--zone=z", *f"--type={kind}".split())
        assert f"--runtime-version={image}" in commands(result)[0]


@pytest.mark.parametrize(
    ("command", "workdir", "flags", "status"),
    [
        ("run", "/runs/a", ["--type=v4-8", "--keep"], 0),
        ("train", "/runs/a", [], 0),
        ("run", "/runs/a", ["--type=v4-8"], 2),  # deleted with the TPU
        ("run", "/runs/a", ["--type=v4-8", "--keep", "--spot"], 2),  # deleted with the TPU
        ("run", "/runs/a", ["--type=v4-16", "--keep"], 2),  # not seen by other hosts
        ("train", "/home/me/pixel_rnn_jax/code/runs/a", [], 2),  # deleted by the next copy
        ("train", "runs/a", [], 2),  # the same
    ],
)
def test_workdir_must_outlive_the_tpu_and_the_code(tpu, command, workdir, flags, status):
    flags = ["--dry-run", "--name=n", "--zone=z", *flags, "--config=digits", f"--workdir={workdir}"]
    result = tpu.call("cloud_tpu.sh", command, *flags)
    assert result.returncode == status
    if status:
        assert result.stderr.startswith("error: --workdir must be gs://BUCKET/DIR")
        assert result.stderr.endswith(f"got '{workdir}'\n")


# --- skypilot.yaml ---

PARSE = """
import json, sys, yaml, sky
try:
    sky.Task.from_yaml(sys.argv[1])
except ValueError as error:
    missing = str(error)
config = yaml.safe_load(open(sys.argv[1]))
task = sky.Task.from_yaml_config(config, env_overrides=[("CONFIG", "digits"), ("WORKDIR", "gs://bucket/run")])
task.validate()
(resources,) = task.resources
print(json.dumps({
    "missing": missing,
    "accelerators": resources.accelerators,
    "spot": resources.use_spot,
    "recovery": resources.job_recovery,
    "gpus": str(resources.copy(accelerators="H100:8").accelerators),
    "workdir": task.workdir,
}))
"""


@pytest.mark.slow
def test_skypilot_reads_its_file(world):
    if importlib.util.find_spec("sky") is None:
        pytest.skip("needs SkyPilot (pip install 'skypilot[gcp]')")
    file = ROOT / "launch" / "skypilot.yaml"
    result = finish(world.start(sys.executable, "-c", PARSE, file, SKYPILOT_DISABLE_USAGE_COLLECTION="1"))
    assert result.returncode == 0, result.stderr
    task = json.loads(result.stdout.splitlines()[-1])
    assert "'CONFIG' is None" in task["missing"]
    assert task["accelerators"] == {"tpu-v5litepod-16": 1}
    assert task["gpus"] == "{'H100': 8}"
    assert task["spot"]
    assert task["recovery"]["recover_on_exit_codes"] == [75, 143]
    assert task["workdir"] == str(world.repository)


@pytest.fixture
def sky_machine(world):
    """A machine of the job, on which its `setup` and `run` can be called."""
    yaml = pytest.importorskip("yaml")
    task = yaml.safe_load((ROOT / "launch" / "skypilot.yaml").read_text())
    world.program("uv", 'note uv "$@"')
    (world.path / "home" / "pixel_rnn_jax" / "bin").mkdir(parents=True)
    world.program("python", 'note python "$@"; exit 75')
    (world.path / "bin" / "python").rename(world.path / "home" / "pixel_rnn_jax" / "bin" / "python")

    def call(step, **env):
        env = {"CONFIG": "digits", "WORKDIR": "gs://bucket/run", "FLAGS": "--config.batch_size=8 --json=a"} | env
        env |= {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NODE_RANK": "1"}
        return finish(world.start("bash", "-c", task[step], **env))

    world.step = call
    return world


@pytest.mark.parametrize(
    ("gpus", "nodes", "flags"),
    [
        (False, 4, ["--distributed"]),
        (True, 1, []),
        (True, 2, ["--coordinator=10.0.0.1:8476", "--num_processes=2", "--process=1"]),
    ],
    ids=["tpu", "gpu", "gpus"],
)
def test_skypilot_job_trains(sky_machine, gpus, nodes, flags):
    sky_machine.program("nvidia-smi", f"exit {int(not gpus)}")
    assert sky_machine.step("setup").returncode == 0
    assert sky_machine.noted("uv")[-1][-1] == (".[cuda,gcs]" if gpus else ".[tpu,gcs]")
    assert sky_machine.step("run", SKYPILOT_NUM_NODES=str(nodes)).returncode == 75
    common = ["-m", "experiments.train", "--config=digits", "--workdir=gs://bucket/run", "--config.batch_size=8", "--json=a"]
    assert sky_machine.noted("python") == [[*common, *flags]]


def test_skypilot_job_refuses_a_workdir_that_is_lost(sky_machine):
    result = sky_machine.step("setup", WORKDIR="/runs/a")
    assert result.returncode == 2
    assert "WORKDIR must be gs://BUCKET/DIR" in result.stderr
    assert not sky_machine.noted("uv")


# --- slurm.sh ---


@pytest.fixture
def slurm(world):
    for name in ("sbatch", "srun", "squeue", "scontrol"):
        world.program(name, SLURM)
    world.plan(srun=[0], state=["RUNNING"])
    world.env["PYTHON"] = "the python"
    return world


def start_job(slurm, *flags):
    """As SLURM does: a copy of the script, elsewhere, in the directory of --chdir."""
    spool = slurm.path / "spool"
    spool.mkdir()
    shutil.copy(slurm.repository / "launch" / "slurm.sh", spool / "slurm_script")
    return slurm.start("bash", spool / "slurm_script", *flags, SLURM_JOB_ID="7", SLURM_CPUS_PER_TASK="3")


def called(slurm):
    return [name for name, *_ in slurm.noted("slurm")]


def test_slurm_submits_and_trains(slurm):
    flags = [
        "--nodes=2",
        "--gpus_per_node=4",
        "--cpus-per-task=3",
        "--time=1:00:00",
        "--partition=gpu",
        "--job_name=two words",
    ]
    flags += ["--sbatch_flag=--signal=TERM@300", *TRAINING, "--", "--json=a b"]
    dry = slurm.call("slurm.sh", "--dry-run", *flags, cwd=slurm.path)
    assert not slurm.noted("slurm")
    result = slurm.call("slurm.sh", *flags, cwd=slurm.path)
    assert result.returncode == 0, result.stderr
    (submitted,) = slurm.noted("slurm")
    script = str(slurm.repository / "launch" / "slurm.sh")
    assert submitted == [
        *["sbatch", "--job-name=two words", "--nodes=2", "--cpus-per-task=3", "--time=1:00:00", "--partition=gpu"],
        *["--gpus-per-node=4", "--ntasks-per-node=4", f"--chdir={slurm.repository}", "--signal=TERM@300"],
        *[script, "--", *TRAINING, "--json=a b"],
    ]
    assert finish(start_job(slurm, *submitted[submitted.index(script) + 1 :])).returncode == 0
    train = ["the python", "-m", "experiments.train", *TRAINING, "--json=a b", "--distributed"]
    assert slurm.noted("slurm")[1:] == [["srun", "--kill-on-bad-exit=0", "--wait=300", "--cpus-per-task=3", *train]]
    sbatch, comment, srun = dry.stdout.splitlines()
    assert shlex.split(sbatch) == submitted
    assert comment.startswith("#")
    assert shlex.split(srun) == ["env", "PYTHONUNBUFFERED=1", *slurm.noted("slurm")[1]]


@pytest.mark.parametrize(
    ("status", "state", "after"),
    [
        (75, "RUNNING", ["squeue", "scontrol"]),
        (143, "RUNNING", ["squeue", "scontrol"]),
        (75, "COMPLETING", ["squeue"]),
        (1, "RUNNING", []),
    ],
)
def test_slurm_requeues_what_saved(slurm, status, state, after):
    slurm.plan(srun=[status], state=[state], **({"wait": []} if after else {}))
    job = start_job(slurm, *TRAINING)
    if after:
        slurm.wait_for("slurm", 1)
        job.terminate()  # SIGTERM may reach the script too, which waits for srun
        (slurm.path / "go").touch()
    assert finish(job).returncode == status
    assert called(slurm) == ["srun", *after]
    if "scontrol" in after:
        assert slurm.noted("slurm")[-1] == ["scontrol", "requeue", "7"]


def test_sbatch_reads_its_defaults():
    lines = (ROOT / "launch" / "slurm.sh").read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    defaults = {line.split()[1] for line in lines[:first_command] if line.startswith("#SBATCH ")}
    assert {"--requeue", "--open-mode=append", "--signal=TERM@120", "--gpus-per-node=1", "--ntasks-per-node=1"} <= defaults
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])


# --- local.sh ---


@pytest.fixture
def local(world):
    world.program("the python", PROCESS)
    world.env["PYTHON"] = str(world.path / "bin" / "the python")
    world.plan(**{str(i): [0] for i in range(3)})
    return world


def start_local(local, count, *flags, **env):
    command = [local.repository / "launch" / "local.sh", str(count), "--config=digits", "--workdir=run", *flags]
    return local.start(*command, cwd=local.path, **env)


def test_local_processes_find_each_other(local):
    flags = ["--devices=4", "--config.data.source=a b", "--", "--json=it's"]
    result = finish(start_local(local, 3, *flags, XLA_FLAGS="--xla_other=1"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "output of 0\n"
    calls = sorted(local.noted("python"), key=lambda call: call[-1])
    coordinator = calls[0][-3]
    assert coordinator.startswith("--coordinator=127.0.0.1:")
    common = [
        "cpu",
        "--xla_other=1 --xla_force_host_platform_device_count=4",
        str(local.repository),
        "-m",
        "experiments.train",
    ]
    common += ["--config=digits", "--workdir=run", "--config.data.source=a b", "--json=it's", coordinator, "--num_processes=3"]
    assert calls == [[*common, f"--process={i}"] for i in range(3)]
    for i in (1, 2):
        assert (local.path / "run.logs" / f"process_{i}.log").read_text() == f"output of {i}\n"


def test_local_dry_run_can_be_pasted(local):
    flags = ["--port=23456", "--config.data.source=it's", "--logs=the logs"]
    dry = finish(start_local(local, 2, "--dry-run", *flags))
    assert dry.returncode == 0
    assert not local.noted("python")
    assert not (local.path / "the logs").exists()
    assert finish(start_local(local, 2, *flags)).returncode == 0
    assert finish(local.start("bash", "-c", dry.stdout, cwd=local.path)).returncode == 0
    calls = sorted(local.noted("python"))
    assert len(calls) == 4
    assert calls[::2] == calls[1::2]
    assert (local.path / "the logs" / "process_1.log").read_text() == "output of 1\n" * 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_local_forwards_signals_once(local, number, status):
    local.plan(**{"0": ["wait"], "1": ["wait"]})
    process = start_local(local, 2)
    local.wait_for("python", 2)
    process.send_signal(number)
    assert finish(process).returncode == status
    assert sorted(local.noted("signals")) == [[f"--process={i}", number.name.removeprefix("SIG")] for i in (0, 1)]


@pytest.mark.parametrize("failing", [0, 1])
def test_local_ends_the_others_when_one_fails(local, failing):
    local.plan(**{str(failing): [3], str(1 - failing): ["wait"]})
    result = finish(start_local(local, 2))
    assert result.returncode == 3
    assert local.noted("signals") == [[f"--process={1 - failing}", "TERM"]]
    assert f"process {failing} ended with status 3" in result.stderr
    assert ("output of 1" in result.stderr) == (failing == 1)


# --- all ---

TPU = ("cloud_tpu.sh", "run", "--name=n", "--zone=z", "--type=v4-8")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ((*TPU, "--tpye=v4-8"), "unknown flag --tpye"),
        ((*TPU, "--config"), "--config needs a value"),
        ((*TPU, "--config="), "--config needs a value"),
        ((*TPU, "--config.train.steps", "3"), "--config.train.steps needs a value"),
        ((*TPU, "--create_flag"), "--create_flag needs a value"),
        ((*TPU, "--spot=yes"), "--spot takes no value; got 'yes'"),
        ((*TPU, "v4-8"), "unexpected argument 'v4-8'"),
        ((*TPU, "--workdir=gs://a/b"), "--config is missing"),
        ((*TPU, "--config=digit", "--workdir=gs://a/b"), "--config must name a configuration or a file"),
        (("cloud_tpu.sh", "run", "--name=n", "--type=v4-8"), "--zone is missing"),
        (("cloud_tpu.sh", "create", "--name=n", "--zone=z"), "--type is missing"),
        (("cloud_tpu.sh", "create", "--name=n", "--zone=z", "--type=v9-8"), "--version is missing"),
        (("cloud_tpu.sh", "train_all"), "the first argument must be run, create,"),
        (("slurm.sh", "--nodes=0"), "--nodes must be a whole number of at least 1; got '0'"),
        (("slurm.sh", "--config=digits"), "--workdir is missing"),
        (("local.sh", "two"), "the first argument must be the number of processes; got 'two'"),
        (("local.sh",), "the first argument must be the number of processes; got ''"),
        (("local.sh", "2", "--devices=none"), "--devices must be a whole number of at least 1; got 'none'"),
        (("local.sh", "2", "--config=digits", "--workdir=gs://a/b"), "--logs is missing"),
    ],
)
def test_mistakes_are_told_in_one_line(world, command, says):
    for name in ("gcloud", "sbatch", "srun", "python3"):
        world.program(name, "note called")
    result = world.call(*command)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {says}")
    assert result.stderr.count("\n") == 1
    assert not world.noted("called")


@pytest.mark.parametrize("script", ["cloud_tpu.sh", "slurm.sh", "local.sh"])
def test_help_lists_all_flags(world, script):
    result = world.call(script, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Trains ")
    source = (ROOT / "launch" / script).read_text()
    declared = source[source.index("\noption+=") : source.index("\nparse_flags")]
    names = {part.split("]")[0] for part in declared.split("[")[1:]}
    assert names
    assert all(f"--{name}" in result.stdout for name in names)
