#!/usr/bin/env bash
# What cloud_tpu.sh runs on each VM of a TPU: worker.sh install | start FLAG... | status [FLAG...] | follow LINES | tail | stop
set -euo pipefail

# ~/pixel_rnn_jax of the VM has code/ (the repository), venv/, and what is known of the training:
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
log=$home/train.log         # its output
command=$home/train.command # its flags
job=$home/train.job         # process id of the shell that waits for it
process=$home/train.process # its process id
status=$home/train.status   # its exit status, once it has ended
stopped=$home/train.stopped # there, if `stop` was called

install() {
  local python
  if [[ ! -x $home/venv/bin/python ]]; then
    if python=$(recent_python); then
      "$python" -m venv "$home/venv"
    else # Ubuntu 22.04 of the TPU images has Python 3.10, and uv brings another one
      PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
      python3 -m uv venv --quiet --seed --python 3.12 "$home/venv"
    fi
  fi
  "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$home/code[tpu,gcs]"
}

recent_python() { # prints the name of a Python 3.11 or later that can make virtual environments
  local python
  for python in python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

running() {
  # The name too: after the VM was started anew, the number may be another process's.
  grep --quiet --no-messages --text worker.sh "/proc/$(cat "$job" 2>/dev/null)/cmdline"
}

start() { # FLAG...: in the background, so that a broken connection does not end it
  if running; then # gcloud repeats a command after a broken connection
    [[ $(printf '%q ' "$@") == "$(cat "$command")" ]] && return
    echo "error: another training is running, with the flags $(cat "$command")" >&2
    exit 1
  fi
  rm -f "$status" "$stopped" "$process"
  printf '%q ' "$@" >"$command"
  setsid bash "${BASH_SOURCE[0]}" job "$@" </dev/null >>"$log" 2>&1 &
  echo $! >"$job"
}

job() { # FLAG...: trains, and notes the exit status
  local code=0
  trap : TERM HUP # the training saves on SIGTERM, and then this shell still has something to do
  cd "$home/code"
  # shellcheck disable=SC2016 # expanded by the inner shell
  PYTHONUNBUFFERED=1 bash -c 'echo $$ >"$0"; exec "$@"' "$process" \
    "$home/venv/bin/python" -m experiments.train "$@" || code=$?
  echo "$code" >"$status"
}

# shellcheck disable=SC2120 # called by name, see below
status() { # [FLAG...]: one line, of the training with these flags: the exit status, or none, running, other (one with other flags
  # is running), stopped (by `stop`), or lost (the VM was started anew, for example)
  local state same=1
  if (($#)) && [[ $(printf '%q ' "$@") != "$(cat "$command" 2>/dev/null)" ]]; then same=0; fi
  if running; then
    state=other
    if ((same)); then state=running; fi
  elif [[ ! -e $command ]] || ((!same)); then
    state=none
  elif [[ ! -s $status ]]; then
    state=lost
  else
    state=$(cat "$status")
    [[ ! -e $stopped || ($state != 75 && $state != 143) ]] || state=stopped
  fi
  echo "training: $state"
}

follow() { # LINES: prints the log until the training ends, and first its last lines
  if running; then
    tail --lines="$1" --sleep-interval=0.2 --follow=name --retry --pid="$(cat "$job")" "$log"
  else
    tail --lines="$1" "$log"
  fi
}

last_lines() {
  tail --lines=30 "$log" | sed "s/^/$(hostname): /"
}

stop() { # lets the training save, and waits until it has ended
  touch "$stopped"
  while running && ! kill -TERM "$(cat "$process" 2>/dev/null)" 2>/dev/null; do sleep 0.2; done
  while running; do sleep 0.2; done
  # shellcheck disable=SC2119
  status
}

case $1 in
  install | start | job | status | follow | stop) "$@" ;;
  tail) last_lines ;;
  *) echo "error: unknown command '$1'" >&2 && exit 2 ;;
esac
