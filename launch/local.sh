#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains in several processes on this machine's CPU, as on a cluster.

  launch/local.sh 2 --devices=4 --config=digits_pixelcnn --workdir=runs/eight --config.num_steps=20

launch/local.sh N [FLAG...] [-- FLAG...]

  N                the number of processes
  --config=CONFIG  flags of python -m experiments.train, as are --config.FIELD=VALUE and all that follows a lone --
  --workdir=DIR
  --devices=K      simulated devices of each process; 1
  --logs=DIR       folder for the output of processes 1, 2, ...; WORKDIR.logs. Process 0 writes to the terminal
  --port=PORT      port at which process 0 waits for the others; by default a free one
  --dry-run        print the commands, run nothing

Python is $PYTHON, or .venv/bin/python of the repository, or python3. SIGTERM and SIGINT (Ctrl-C) go to all processes. If one
fails, the others get SIGTERM. The exit status is that of the first that failed. It is 75 when the training was stopped by
SIGTERM, 130 by SIGINT; then the same command goes on.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

start() { # I: starts that process, or prints its command
  # The repository comes first on the path, so that the script can be called in any directory.
  local process=(env JAX_PLATFORMS=cpu PYTHONUNBUFFERED=1 "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}"
    "XLA_FLAGS=${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=${option[devices]}"
    "$python" -m experiments.train "${training[@]}"
    "--coordinator=127.0.0.1:${option[port]}" "--num_processes=$count" "--process=$1")
  local log=$logs/process_$1.log
  if ((switch[dry_run])); then
    join "${process[@]}"
    (($1)) && echo "$REPLY >>${log@Q} 2>&1 &" || echo "$REPLY &"
  elif (($1)); then
    "${process[@]}" </dev/null >>"$log" 2>&1 &
  else
    "${process[@]}" </dev/null &
  fi
  pids[$1]=${!-}
}

forward() { # SIGNAL: to all that are alive
  signalled=1
  kill "-$1" "${pids[@]}" 2>/dev/null || true
}

reap() { # I: notes the status of that process if it has ended
  local code=0
  ! kill -0 "${pids[$1]}" 2>/dev/null || return 0
  wait "${pids[$1]}" || code=$?
  unset "pids[$1]"
  ((code && !status)) || return 0
  status=$code
  ((!signalled)) || return 0 # a second signal would end the others before they have saved
  echo "process $1 ended with status $code" >&2
  ((!$1)) || tail -n 20 "$logs/process_$1.log" >&2
  forward TERM
}

count=${1-}
[[ $count != -h && $count != --help ]] || { usage && exit; }
[[ $count =~ ^[1-9][0-9]{0,3}$ ]] || die "the first argument must be the number of processes; got '$count'"
shift
option+=([devices]=1 [logs]='' [port]=$((20000 + RANDOM % 12000)))
while (: <>"/dev/tcp/127.0.0.1/${option[port]}") 2>/dev/null; do option[port]=$((20000 + RANDOM % 12000)); done
parse_flags "$@"
require_number 1 devices port
require_training
logs=${option[logs]:-${option[workdir]%/}.logs}
logs=${logs/#\~\//$HOME/}
[[ $logs != *://* ]] || die "--logs is missing: a local folder, since ${option[workdir]} is not on this machine"

pids=() signalled=0 status=0
trap 'forward TERM' TERM HUP
trap 'forward INT' INT
execute mkdir -p "$logs"
# Each process in a group of its own, since what a script starts in the background ignores SIGINT otherwise.
set -m
for ((i = 0; i < count; i++)); do start "$i"; done
set +m
((!switch[dry_run])) || { echo wait && exit; }
while ((${#pids[@]})); do
  for i in "${!pids[@]}"; do reap "$i"; done
  sleep 0.1 || true # which Ctrl-C ends
done
exit "$status"
