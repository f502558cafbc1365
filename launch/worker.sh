#!/usr/bin/env bash
# Runs on each VM of a TPU, called by cloud_tpu.sh: worker.sh install | start FLAG... | follow | stop
set -euo pipefail

home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lock=$home/train.lock     # held while a training runs
log=$home/train.log       # its output
flags=$home/train.flags   # its flags
job=$home/train.job       # process ID of the shell that waits for it
status=$home/train.status # its exit status, once it has ended

install() { # with uv, since the TPU images have Python 3.10
  PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --allow-existing --python 3.12 "$home/venv"
  python3 -m uv pip install --quiet --python "$home/venv" "$home/code[tpu,gcs]"
}

running() {
  exec 9>>"$lock"
  ! flock --nonblock 9
}

start() { # FLAG...: in the background, so that the training outlives the connection
  if running; then
    [[ "$*" != "$(cat "$flags")" ]] || return 0 # the same command again
    echo "error: another training is running, with $(cat "$flags")" >&2
    exit 1
  fi
  rm -f "$status"
  echo "$*" >"$flags"
  setsid bash "${BASH_SOURCE[0]}" job "$@" </dev/null >>"$log" 2>&1 & # inherits the lock
  echo $! >"$job"
}

job() { # FLAG...
  local code=0
  trap : TERM # a shutdown sends SIGTERM to this shell too, which must wait for the training to save
  cd "$home/code"
  PYTHONUNBUFFERED=1 "$home/venv/bin/python" -m experiments.train "$@" || code=$?
  echo "$code" >"$status"
}

follow() { # prints the log until the training ends, and exits with its status
  local flags=(--lines=100)
  if running; then flags+=(--follow --sleep-interval=0.2 "--pid=$(cat "$job")"); fi
  tail "${flags[@]}" "$log"
  [[ -s $status ]] || { echo "error: the training was cut off, perhaps by a restart of the VM" >&2 && exit 1; }
  exit "$(cat "$status")"
}

stop() { # sends SIGTERM once, and waits until the training has saved and ended
  while running && ! pkill -TERM --parent "$(cat "$job")"; do sleep 0.2; done
  flock 9
}

"$@"
