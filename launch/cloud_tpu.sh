#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains on a Cloud TPU, of one host or several.

  launch/cloud_tpu.sh run --name=prnn --zone=us-central2-b --type=v4-32 --spot \
    --config=imagenet32_rowlstm --workdir=gs://BUCKET/imagenet --config.data.data_dir=gs://BUCKET/tfds

launch/cloud_tpu.sh COMMAND [FLAG...] [-- FLAG...]

  run      create, wait until the TPU is there, copy, install, train, log; delete when the training has succeeded.
           After a preemption, a failure, Ctrl-C or a broken connection, run the same command again
  create   requests the TPU, as a queued resource
  status   prints the state of the request; ACTIVE means that the TPU is there
  copy     copies the last commit to all workers
  install  unpacks and installs it there
  train    starts the training on all workers, in the background
  log      follows the log of a worker until the training ends, and exits with the status of the training
  stop     lets the training save a checkpoint and end
  delete   deletes the TPU

  --name=NAME         name of the TPU
  --zone=ZONE         its zone
  --project=PROJECT   its project; by default that of gcloud's configuration
  --type=TYPE         v4-32, v5litepod-16, v6e-8, ...; for create and run
  --version=IMAGE     runtime image; by default the one for the type
  --spot              cheaper, but may be preempted at any time
  --create_flag=FLAG  another flag of gcloud's create command (--create_flag=--network=mine); may be repeated
  --config=CONFIG     flags of python -m experiments.train, as are --config.FIELD=VALUE and all that follows a lone --
  --workdir=DIR         DIR is gs://BUCKET/DIR or, for one host that is kept, an absolute path on it
  --worker=N          whose log to follow; 0
  --keep              run does not delete the TPU
  --dry-run           print the commands, run nothing
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

remote=pixel_rnn_jax           # folder in the home directory of each VM
alive=-oServerAliveInterval=20 # ends a connection to a VM that is gone
say() { ((switch[dry_run])) || echo "== $*" >&2; }
queue() { execute gcloud compute tpus queued-resources "$@" "${where[@]}"; } # COMMAND [ARGUMENT...]

on() { # WORKER LINE: runs a line of shell there
  execute gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" "--worker=$1" "--ssh-flag=$alive" "--command=$2"
}

create() {
  local spot=()
  ((!switch[spot])) || spot=(--spot)
  queue create "$name" "--node-id=$name" "--accelerator-type=${option[type]}" "--runtime-version=${option[version]}" \
    "${spot[@]}" "${repeated[@]}"
}

status() { queue list "--filter=name~/$name\$" '--format=value(state.state)'; }

copy() {
  local archive=${TMPDIR:-/tmp}/$remote-$UID.tar.gz
  [[ -z $(git -C "$root" status --porcelain) ]] || say "changes that are not committed are not copied"
  execute git -C "$root" archive --format=tar.gz "--output=$archive" HEAD
  execute gcloud compute tpus tpu-vm scp "$archive" "$name:$remote.tar.gz" "${where[@]}" --worker=all "--scp-flag=$alive"
}

install() {
  local unpack="rm -rf $remote/code && mkdir $remote/code && tar -xzf $remote.tar.gz -C $remote/code"
  local skip="[ \$? = 9 ] && echo 'a training is running: its code is left as it is'"
  on all "mkdir -p $remote && flock -nE 9 $remote/train.lock sh -c '$unpack && bash $worker install' || { $skip; }"
}

train() {
  join bash "$worker" start "${training[@]}" --distributed
  on all "$REPLY"
}

log() { on "${option[worker]}" "bash $worker follow"; }
stop() { on all "bash $worker stop"; }
delete() { queue delete "$name" --force; } # --force: the TPU too, not only the request

wait_for_tpu() { # and creates it if need be
  local state='' created=0 asked=0
  while :; do
    # If the first call fails, the flags are wrong or a permission is missing; later on it may be the network.
    state=$(status) || { ((asked)) || exit 1; state=UNKNOWN; }
    asked=1
    ((!switch[dry_run] || !created)) || state=ACTIVE
    case $state in
      ACTIVE) return ;;
      '') created=1 && create ;;
      SUSPENDED | FAILED) # preempted, or refused
        ((!created)) || { echo "error: the request is $state; gcloud's describe tells why" >&2 && exit 1; }
        delete
        ;;
      *) say "$name is $state" && sleep 60 ;;
    esac
  done
}

run() {
  costs="$name costs money while it is there: launch/cloud_tpu.sh delete --name=$name --zone=${option[zone]}"
  trap 'say "run the same command again to continue; $costs"' EXIT
  wait_for_tpu
  for step in copy install train log; do
    say "$step" && "$step"
  done
  if ((switch[keep])); then say "$costs"; else delete; fi
  trap - EXIT
}

check_training() {
  local config=${option[config]} workdir=${option[workdir]}
  git -C "$root" ls-tree --name-only HEAD "$config" "experiments/$config.py" 2>/dev/null | grep -q . ||
    die "--config must name a configuration or a file of the last commit, which is what is copied; got '$config'"
  [[ $workdir != gs://?* ]] || return 0
  [[ $workdir == /* && $workdir/ != */$remote/code/* ]] ||
    die "--workdir must be gs://BUCKET/DIR, or an absolute path outside the folder of the code; got '$workdir'"
  [[ $command == train ]] || { ((switch[keep] && !switch[spot])) && [[ ${option[type]} =~ -[1-8]$ ]]; } ||
    die "--workdir must be gs://BUCKET/DIR, unless the TPU has one host, is not --spot and stays with --keep; got '$workdir'"
}

command=${1-}
case $command in
  -h | --help) usage && exit ;;
  run | create | status | copy | install | train | log | stop | delete) shift ;;
  *) die "the first argument must be run, create, status, copy, install, train, log, stop or delete; got '$command'" ;;
esac
option+=([name]='' [zone]='' [project]='' [type]='' [version]='' [worker]=0)
switch+=([spot]=0 [keep]=0)
repeatable=create_flag
parse_flags "$@"
require name "the name of the TPU"
require zone "the zone of the TPU"
if [[ $command == run || $command == create ]]; then
  require type "the type of the TPU, such as v4-8"
  [[ -n ${option[version]} ]] || case ${option[type]} in # https://cloud.google.com/tpu/docs/runtimes
    v[234]-*) option[version]=tpu-ubuntu2204-base ;;
    v5litepod-*) option[version]=v2-alpha-tpuv5-lite ;;
    v5p-*) option[version]=v2-alpha-tpuv5 ;;
    v6e-*) option[version]=v2-alpha-tpuv6e ;;
  esac
  require version "the runtime image for --type=${option[type]}"
fi
if [[ $command == run || $command == train ]]; then require_training && check_training; fi
name=${option[name]}
where=("--zone=${option[zone]}" --quiet)
[[ -z ${option[project]} ]] || where+=("--project=${option[project]}")
worker=$remote/code/launch/worker.sh
"$command"
