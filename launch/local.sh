#!/usr/bin/env bash
# See the text below, or --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains in several processes on this machine's CPU, as on a cluster.

  launch/local.sh 2 --config=digits_pixelcnn --workdir=runs/two
  launch/local.sh 2 --devices=4 --config=digits_pixelcnn --workdir=runs/eight --config.num_steps=20

launch/local.sh N [FLAG...] [-- FLAG...]

  N                the number of processes
  --config=CONFIG  as of python -m experiments.train, which also takes what follows a lone --, and
  --workdir=DIR      --config.FIELD=VALUE
  --devices=K      simulated devices of each process; 1
  --logs=DIR       where the output of processes 1, 2, ... goes, that of 0 goes to the terminal; WORKDIR.logs
  --port=PORT      port of process 0, at which the others find it; a free one
  --grace=SECONDS  time for the others to end when one has failed, before they are killed; 60
  --dry-run        print the commands, run nothing

Python is $PYTHON, or .venv/bin/python of the repository, or python3. SIGTERM and SIGINT (Ctrl-C) go to all processes. If one
fails, the others get SIGTERM; the exit status is that of the first that failed: 75 after SIGTERM or SIGINT, with a
checkpoint from which the same command goes on.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

free_port() { # sets REPLY; below the ports that the system gives to outgoing connections
  local attempt
  for attempt in {1..100}; do
    REPLY=$((20000 + RANDOM % 12000))
    (: <>"/dev/tcp/127.0.0.1/$REPLY") 2>/dev/null || return 0
  done
  fail "no free port found in $attempt attempts; --port=PORT names one"
}

command_of() { # I: sets the array `process` to the command of that process
  # The repository comes first on the path, so that the directory, and what paths are relative to, can be any.
  process=(env JAX_PLATFORMS=cpu
    "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=${option[devices]}"
    "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
    "$python" -m experiments.train "${training[@]}"
    "--coordinator=127.0.0.1:$port" "--num_processes=$count" "--process=$1")
}

start() { # I: starts that process
  command_of "$1"
  if (($1)); then
    "${process[@]}" </dev/null >>"${option[logs]}/process_$1.log" 2>&1 &
  else
    "${process[@]}" </dev/null &
  fi
  pids[$1]=$!
}

forward() { # SIGNAL: to all that are alive
  signalled=1
  kill "-$1" "${pids[@]}" 2>/dev/null || true
}

reap() { # notes the statuses of the processes that have ended
  local i code
  for i in "${!pids[@]}"; do
    if kill -0 "${pids[i]}" 2>/dev/null; then continue; fi
    code=0
    wait "${pids[i]}" || code=$?
    unset "pids[i]"
    ((code == 0 || status)) || first_failure "$i" "$code"
  done
}

first_failure() { # I STATUS
  status=$2
  if (($1 && !signalled)); then
    echo "process $1 ended with status $2; the end of ${option[logs]}/process_$1.log:" >&2
    tail -n 20 "${option[logs]}/process_$1.log" >&2
  fi
  deadline=$((SECONDS + option[grace]))
  # A second signal would end them before they have saved.
  ((signalled || !${#pids[@]})) || forward TERM
}

count=${1-}
case $count in
  -h | --help) usage && exit ;;
esac
[[ $count =~ ^[1-9][0-9]{0,3}$ ]] || die "the number of processes expected first, got '$count'"
shift
option=([devices]=1 [logs]='' [port]='' [grace]=60)
switch=([dry-run]=0)
parse_flags "$@"
require_number devices 1
require_number grace 0
[[ -z ${option[port]} ]] || require_number port 1
require_training
if [[ -z ${option[logs]} ]]; then
  training_flag workdir
  [[ $REPLY != *://* ]] || die "--logs is missing: a folder for logs expected, since $REPLY is not on this machine"
  option[logs]=${REPLY%/}.logs
fi
find_python
port=${option[port]}
[[ -n $port ]] || { free_port && port=$REPLY; }

if ((switch[dry-run])); then
  show mkdir -p "${option[logs]}"
  for ((i = 0; i < count; i++)); do
    command_of "$i"
    join "${process[@]}"
    line=$REPLY
    join "${option[logs]}/process_$i.log"
    if ((i)); then line+=" >>$REPLY 2>&1"; fi
    echo "$line &"
  done
  echo wait
  exit
fi

declare -a pids=() process=()
declare -i signalled=0 status=0 deadline=0
mkdir -p "${option[logs]}"
trap 'forward TERM' TERM HUP
trap 'forward INT' INT
# Each in a process group of its own: else they would ignore SIGINT, as all that a script starts in the background.
set -m
for ((i = 0; i < count; i++)); do start "$i"; done
set +m
while ((${#pids[@]})); do
  reap
  if ((status && ${#pids[@]} && SECONDS >= deadline)); then
    echo "killed, ${option[grace]} s after another one failed: process ${!pids[*]}" >&2
    kill -KILL "${pids[@]}" 2>/dev/null || true
    deadline=$((SECONDS + 5))
  fi
  sleep 0.1 || true # Ctrl-C ends it
done
exit "$status"
