#!/usr/bin/env bash
#SBATCH --job-name=pixel_rnn
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
# SIGTERM reaches the training on all nodes 120 seconds before the time limit (and this script not: without B:, it is for what
# srun has started). It saves a checkpoint and exits with 75, and the job goes back into the queue.
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains on the GPUs of one or several nodes of a SLURM cluster, and goes on after preemptions and time limits.

  launch/slurm.sh --nodes=2 --gpus_per_node=4 --time=12:00:00 --partition=gpu --config=cifar_rowlstm --workdir=/scratch/me/cifar
  launch/slurm.sh --dry-run ...                           prints the commands, runs nothing
  sbatch [FLAG...] launch/slurm.sh --config=... --workdir=...   the same with sbatch's own flags, from the repository's root

launch/slurm.sh [FLAG...] [-- FLAG...]

  --config=CONFIG      as of python -m experiments.train, which also takes what follows a lone --, and
  --workdir=DIR          --config.FIELD=VALUE. Relative paths are taken from the repository's root; all nodes must see DIR
  --nodes=N            nodes; 1
  --gpus_per_node=N    GPUs of each, one process for each of them; 1
  --cpus_per_task=N    CPU cores for each process; 4
  --time=TIME          limit, as sbatch's; 24:00:00. 120 seconds before, the training saves, and the job is requeued
  --partition=NAME
  --account=NAME
  --qos=NAME
  --job_name=NAME      pixel_rnn
  --sbatch_flag=FLAG   one more flag of sbatch (--sbatch_flag=--signal=TERM@300); may be given several times
  --dry-run            print the commands, run nothing

Python is $PYTHON, or .venv/bin/python of the repository, or python3. The log is JOBNAME-JOBID.log in the repository's root;
scancel JOBID ends the job, and the training saves.
TEXT
}

# In a job this file is a copy somewhere else, and the directory is the repository's root.
if [[ -n ${SLURM_JOB_ID-} ]]; then
  root=$PWD
  [[ -f $root/launch/common.sh ]] || { echo "error: submit launch/slurm.sh from the repository's root" >&2 && exit 2; }
else
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

submit() {
  local flags=() flag
  for flag in job_name nodes cpus_per_task time partition account qos; do
    [[ -z ${option[$flag]} ]] || flags+=("--${flag//_/-}=${option[$flag]}")
  done
  # Not --gpus-per-task: each process must see all GPUs of its node, of which JAX picks the one of its number, SLURM_LOCALID.
  [[ -z ${option[gpus_per_node]} ]] ||
    flags+=("--gpus-per-node=${option[gpus_per_node]}" "--ntasks-per-node=${option[gpus_per_node]}")
  execute sbatch "${flags[@]}" "--chdir=$root" "${repeated[@]}" "$root/launch/slurm.sh" -- "${training[@]}"
}

train() {
  local flags=(--kill-on-bad-exit=0 --wait=300) code=0
  # After SIGTERM all processes end within moments, with 75, and none must be killed, which would be another status, because
  # another one was first. If one crashes, JAX ends the others, or else srun after those 300 seconds.
  [[ -z ${SLURM_CPUS_PER_TASK-} ]] || flags+=("--cpus-per-task=$SLURM_CPUS_PER_TASK") # srun does not take it from the job
  # Waits for srun even if SIGTERM reaches this shell too.
  trap : TERM
  export PYTHONUNBUFFERED=1
  execute srun "${flags[@]}" "$python" -m experiments.train "${training[@]}" --distributed || code=$?
  # 143 is that of a process to which SIGTERM came before it had begun to listen.
  if ((code == 75 || code == 143)); then requeue; fi
  exit "$code"
}

requeue() {
  local state
  # After scancel the training saves too, but that is to be the end; and a preempted job is requeued by SLURM itself.
  state=$(squeue --noheader "--jobs=$SLURM_JOB_ID" --format=%T) || state=unknown
  if [[ $state == RUNNING || $state == unknown ]]; then
    echo "== saved; job $SLURM_JOB_ID goes back into the queue" >&2
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "== saved; job $SLURM_JOB_ID is $state" >&2
  fi
}

option=([nodes]='' [gpus_per_node]='' [cpus_per_task]='' [time]='' [partition]='' [account]='' [qos]='' [job_name]='')
switch=([dry-run]=0)
repeatable=sbatch_flag
parse_flags "$@"
for flag in nodes gpus_per_node cpus_per_task; do
  [[ -z ${option[$flag]} ]] || require_number "$flag" 1
done
require_training
find_python

if [[ -n ${SLURM_JOB_ID-} ]]; then
  train
else
  submit
  ((!switch[dry-run])) || { echo "# in the job:" && SLURM_CPUS_PER_TASK=${option[cpus_per_task]:-4} train; }
fi
