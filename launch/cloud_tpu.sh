#!/usr/bin/env bash
# See the text below, or --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains on a Cloud TPU, of one host or many, and goes on after preemptions.

  launch/cloud_tpu.sh run --name=prnn --zone=us-central2-b --type=v4-32 --spot \
    --config=imagenet32_rowlstm --workdir=gs://BUCKET/imagenet --config.data.data_dir=gs://BUCKET/tfds
  launch/cloud_tpu.sh run --dry-run ...            prints all commands of that, runs nothing
  launch/cloud_tpu.sh stop --name=prnn --zone=us-central2-b

launch/cloud_tpu.sh COMMAND [FLAG...] [-- FLAG...]

  run       all of the following, until the training has ended, then delete (unless --keep: a TPU costs money while it is there).
            After a preemption the TPU is created anew, and the training goes on from the last checkpoint. Called again, it goes on
            with a TPU of that name and its training, and starts one that was stopped or failed. Ctrl-C ends only this script,
            not the training
  create    creates the TPU; tries again while there is no capacity
  queue     the same with a queued resource: asks once, and waits until it is there
  copy      copies the code to all workers: the last commit, without what was changed since
  install   installs it there, in a virtual environment
  train     starts the training on all workers, in the background
  log       follows worker 0's log
  status    prints the state of the TPU, and of the training on each worker
  stop      lets the training save a checkpoint and end, on all workers
  delete    deletes the TPU

  --name=NAME          of the TPU
  --zone=ZONE          where it is
  --project=PROJECT    that of gcloud's configuration, if not given
  --type=TYPE          v4-32, v5litepod-16, v6e-8, ...; for create, queue and run
  --version=IMAGE      runtime image; the one that fits the type, if not given
  --spot               cheaper, and may be preempted at any time
  --queued             use a queued resource: for run, and for what is done with a TPU that was queued
  --create_flag=FLAG   one more flag of gcloud's create command (--create_flag=--network=mine); may be given several times
  --config=CONFIG      as of python -m experiments.train, which also takes what follows a lone --, and
  --workdir=DIR          --config.FIELD=VALUE. A file is named from the repository's root; the directory must be gs://BUCKET/...
                         for several hosts, with --spot, and for run without --keep; else an absolute path will do
  --retry_wait=SECONDS how long to wait before trying again; 60
  --max_retries=N      how often to try again in a row; 1440
  --keep               run does not delete the TPU
  --dry-run            print the commands, run nothing

Exit status of run: 0 when the training has finished, 75 if it was stopped by `stop`, 130 after Ctrl-C, otherwise an error.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

# --- gcloud -----------------------------------------------------------------------------------------------------------------------

# A connection to a VM that is gone must break, not hang.
connection=(-oConnectTimeout=20 -oServerAliveInterval=20 -oServerAliveCountMax=3)
remote=pixel_rnn_jax # folder in the home folder of each VM
worker=$remote/code/launch/worker.sh

ask() { # ANSWER COMMAND...: runs the command and sets `output`; in a dry run, to that answer
  if ((switch[dry-run])); then
    show "${@:2}"
    output=$1
  else
    output=$("${@:2}" 2>&1 3>&-)
  fi
}

remote_line() { # WORKER LINE: sets `command` to what runs this line of shell on that worker, or on all
  command=(gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" "${connection[@]/#/--ssh-flag=}" "--worker=$1" "--command=$2")
}

on() { # WORKER WORD...: runs these words there
  join "${@:2}"
  remote_line "$1" "$REPLY"
  execute "${command[@]}"
}

# --- The TPU ----------------------------------------------------------------------------------------------------------------------

find_state() { # [ANSWER]: sets `state`: NONE if there is no such TPU; else as gcloud says, READY or ACTIVE if it can be used
  local command=(tpu-vm describe "$name" "${where[@]}" '--format=value(state)')
  if ((switch[queued])); then command=(queued-resources describe "$name" "${where[@]}" '--format=value(state.state)'); fi
  if ask "${1-READY}" gcloud compute tpus "${command[@]}"; then
    state=$(grep -xE '[A-Z_]+' <<<"$output" | tail -n 1) || state=STATE_UNSPECIFIED
  elif grep -qiE 'NOT_FOUND|not found' <<<"$output"; then
    state=NONE
  else
    echo "$output" >&2
    return 1
  fi
}

create_once() {
  local command=(tpu-vm create "$name" "${where[@]}" "--accelerator-type=${option[type]}" "--version=${option[version]}")
  if ((switch[queued])); then
    command=(queued-resources create "$name" "--node-id=$name" "${where[@]}" "--accelerator-type=${option[type]}"
      "--runtime-version=${option[version]}")
  fi
  if ((switch[spot])); then command+=(--spot); fi
  say "creating $name (${option[type]}, ${where[*]})"
  ask '' gcloud compute tpus "${command[@]}" "${repeated[@]}" || return
  if ((switch[queued])); then until_active; fi
}

until_active() { # a queued resource waits until there is capacity, and is then made
  local before=''
  while :; do
    if find_state ACTIVE; then # else gcloud did not answer, and may the next time
      case $state in
        ACTIVE) return ;;
        FAILED | SUSPENDED | NONE) break ;;
      esac
      [[ $state == "$before" ]] || say "$name is $state"
      before=$state
    fi
    sleep "${option[retry_wait]}"
  done
  case $state in
    NONE) output="somebody deleted it" ;;
    SUSPENDED) output="preempted at once, there is no more capacity" && delete ;;
    FAILED)
      ask '' gcloud compute tpus queued-resources describe "$name" "${where[@]}" '--format=value(state.failedData.error.message)'
      delete
      ;;
  esac
  output="the queued resource is $state: $output"
  return 1
}

no_capacity() { # was that the reason? A quota is exhausted for good, though its error has the same code.
  ! grep -qi quota <<<"$output" && grep -qiE \
    'RESOURCE_EXHAUSTED|no more capacity|stockout|insufficient (reserved )?capacity|enough resources available|code"?[:=]? *8\b' \
    <<<"$output"
}

create() {
  local tries=0
  until create_once; do
    echo "$output" >&2
    if ! no_capacity; then
      ((had)) || exit 1 # a mistake in the flags, or a missing permission
      again "$name could not be created"
      continue
    fi
    ((++tries <= option[max_retries])) || fail "still no capacity for $name after ${option[max_retries]} retries"
    say "no capacity: trying again in ${option[retry_wait]} s ($tries of ${option[max_retries]})"
    sleep "${option[retry_wait]}"
  done
}

delete() {
  say "deleting $name"
  # The node of a queued resource goes with it by --force.
  if ((switch[queued])); then
    execute gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force
  else
    execute gcloud compute tpus tpu-vm delete "$name" "${where[@]}"
  fi
}

# --- The training -----------------------------------------------------------------------------------------------------------------

copy() {
  local archive=$cache/$commit.tar.gz
  say "copying commit ${commit::12} to all workers"
  execute mkdir -p "$cache" &&
    execute git -C "$root" archive --format=tar.gz "--output=$archive" "$commit" &&
    execute gcloud compute tpus tpu-vm scp "$archive" "$name:$remote.tar.gz" "${where[@]}" \
      "${connection[@]/#/--scp-flag=}" --worker=all &&
    remote_line all "rm -rf $remote/code && mkdir -p $remote/code && tar -xzf $remote.tar.gz -C $remote/code" &&
    execute "${command[@]}"
}

install() {
  say "installing on all workers"
  on all bash "$worker" install
}

train() {
  say "starting the training on all workers"
  on all bash "$worker" start "${training[@]}" --distributed
}

log() {
  on 0 bash "$worker" follow 100
}

find_progress() { # ANSWER [FLAG...]: sets `progress` to how the training, with these flags, stands, all workers taken together;
  # fails if one does not answer
  local -a all
  join bash "$worker" status "${@:2}"
  remote_line all "if test -e $worker; then $REPLY; else echo training: none; fi"
  ask "training: $1" "${command[@]}" || return
  mapfile -t all < <(states_of_training | cut -d ' ' -f 2 | sort -u)
  case " ${all[*]} " in
    '  ') return 1 ;;
    *' other '*) progress=other ;;
    *' running '*) progress=running ;;
    *' none '*) progress=none ;;
    *' stopped '*) progress=stopped ;;
    # A worker that saved on SIGTERM, or had not begun to listen to it; others may have failed for the lack of it.
    *' 75 '* | *' 143 '* | *' lost '*) progress=interrupted ;;
    ' 0 ') progress=finished ;;
    *) progress=failed && failures=$(printf '%s\n' "${all[@]}" | grep -vx 0 | paste -sd ' ') ;;
  esac
}

states_of_training() { # the lines of all workers
  grep -oE 'training: [a-z0-9]+' <<<"$output"
}

status() {
  find_state
  ((switch[dry-run])) || echo "TPU: $state"
  case $state in
    READY | ACTIVE)
      find_progress 0
      ((switch[dry-run])) || states_of_training
      ;;
  esac
}

stop() {
  say "stopping the training on all workers"
  on all bash "$worker" stop
}

# --- All of it --------------------------------------------------------------------------------------------------------------------

again() { # REASON: waits, unless that has been done too often in a row
  ((++retries <= option[max_retries])) || give_up "$1, and so it was ${option[max_retries]} times in a row"
  say "$1: trying again in ${option[retry_wait]} s ($retries of ${option[max_retries]})"
  sleep "${option[retry_wait]}"
}

clean_up() {
  if ((switch[keep])); then
    say "$name is kept and costs money; launch/cloud_tpu.sh delete --name=$name --zone=${option[zone]} deletes it"
  else
    delete || fail "$name could not be deleted, and may still cost money"
  fi
}

give_up() { # REASON
  if [[ $state == READY || $state == ACTIVE ]]; then
    say "the end of $remote/train.log on each worker:"
    on all bash "$worker" tail || true
  fi
  clean_up || true
  fail "$1"
}

ensure_tpu() { # until there is one that can be used
  while :; do
    if ! find_state NONE; then
      # At first it is a mistake in the flags, or a missing permission; later on, perhaps the network.
      ((seen)) || exit 1
      again "gcloud could not tell the state of $name"
      continue
    fi
    seen=1
    case $state in
      READY | ACTIVE) had=1 && return ;;
      NONE) create && had=1 && retries=0 && state=READY && return ;;
      PREEMPTED | TERMINATED | SUSPENDED | FAILED)
        say "$name is $state"
        delete || again "$name could not be deleted"
        ;;
      STOPPED | HIDDEN) fail "$name is $state: start it, or delete it" ;;
      *) again "$name is $state" ;;
    esac
  done
}

set_up() { # fails if the TPU is lost meanwhile
  { copy && install && train; } && return
  find_state && [[ $state == READY || $state == ACTIVE ]] || return
  give_up "the code could not be copied, installed and started: see above"
}

run() {
  local answers=(none 0) # of a dry run
  local first=1          # what ended before this call is no answer to it
  trap 'say "the training goes on: the same command follows it, the command stop stops it, delete deletes the TPU"; exit 130' INT
  ensure_tpu
  while :; do
    if ! find_progress "${answers[0]-}" "${training[@]}" --distributed; then
      echo "$output" >&2
      again "a worker of $name does not answer"
      ensure_tpu
      continue
    fi
    answers=("${answers[@]:1}")
    if ((first)) && [[ $progress == stopped || $progress == failed ]]; then progress=none; fi
    first=0
    case $progress in
      other) fail "another training is running on $name: the command log follows it, stop stops it" ;;
      none) set_up && log || true ;;
      running) # the connection broke, or others than worker 0 still run
        retries=0
        sleep "$((option[retry_wait] < 5 ? option[retry_wait] : 5))"
        on 0 bash "$worker" follow 0 || true
        ;;
      interrupted) again "the training was interrupted" && train && log || true ;;
      finished) clean_up && return ;;
      stopped) clean_up && say "stopped; the same command goes on" && exit 75 ;;
      failed) give_up "the training ended with status $failures: see the end of each worker's $remote/train.log above" ;;
    esac
  done
}

# --- Flags ------------------------------------------------------------------------------------------------------------------------

check_config() { # it must be in the commit: better to know before the TPU is there
  training_flag config
  git -C "$root" cat-file -e "$commit:$REPLY" 2>/dev/null ||
    git -C "$root" cat-file -e "$commit:experiments/$REPLY.py" 2>/dev/null ||
    die "--config: a configuration's name, or a file in the repository's last commit expected, got '$REPLY'"
}

several_hosts() { # One has up to 8 chips (v5litepod, v6e) or cores (the others).
  [[ -n ${option[type]} ]] && ! [[ ${option[type]} =~ -[1-8]$ ]]
}

check_workdir() {
  local why=''
  training_flag workdir
  if several_hosts; then
    why="${option[type]} has several hosts"
  elif ((switch[spot])); then
    why="--spot may be preempted"
  elif [[ $command_name == run ]] && ((!switch[keep])); then
    why="the TPU is deleted at the end, unless --keep"
  fi
  [[ -z $why || $REPLY == gs://?* ]] || die "--workdir: gs://... expected, since $why; got '$REPLY'"
  [[ $REPLY == gs://?* || ($REPLY == /* && $REPLY != */$remote/code*) ]] ||
    die "--workdir: gs://... or an absolute path expected, outside the folder of the code, which copy replaces; got '$REPLY'"
}

default_version() {
  case ${option[type]} in
    v2-* | v3-* | v4-*) option[version]=tpu-ubuntu2204-base ;;
    v5litepod-*) option[version]=v2-alpha-tpuv5-lite ;;
    v5p-*) option[version]=v2-alpha-tpuv5 ;;
    v6e-*) option[version]=v2-alpha-tpuv6e ;;
    *) die "--version is missing: the runtime image for --type=${option[type]}" ;;
  esac
}

command_name=${1-}
case $command_name in
  -h | --help) usage && exit ;;
  run | create | queue | copy | install | train | log | status | stop | delete) shift ;;
  *) die "one of run, create, queue, copy, install, train, log, status, stop, delete expected first, got '$command_name'" ;;
esac
option=([name]='' [zone]='' [project]='' [type]='' [version]='' [retry_wait]=60 [max_retries]=1440)
switch=([spot]=0 [queued]=0 [keep]=0 [dry-run]=0)
repeatable=create_flag
parse_flags "$@"
for flag in name zone; do [[ -n ${option[$flag]} ]] || die "--$flag is missing: that of the TPU"; done
require_number retry_wait 0
require_number max_retries 0
case $command_name in
  run | create | queue)
    [[ -n ${option[type]} ]] || die "--type is missing: the TPU's, such as v4-8"
    [[ -n ${option[version]} ]] || default_version
    ;;
esac
case $command_name in
  run | train) require_training && check_workdir ;;
esac
case $command_name in
  run | train | copy)
    commit=$(git -C "$root" rev-parse --verify --quiet HEAD) || fail "$root is no git checkout: what is copied is its last commit"
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/pixel_rnn_jax
    ;;
esac
case $command_name in
  run | train) check_config ;;
esac

name=${option[name]}
where=("--zone=${option[zone]}")
[[ -z ${option[project]} ]] || where+=("--project=${option[project]}")
where+=(--quiet) # no questions
state=
retries=0
seen=0 # whether gcloud has told the state of the TPU
had=0  # whether the TPU has been there
case $command_name in
  queue) switch[queued]=1 && create ;;
  *) "$command_name" ;;
esac
