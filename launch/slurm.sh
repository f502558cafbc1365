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
# 120 seconds before the time limit, SIGTERM reaches what srun has started: the training, on all nodes. It saves a checkpoint
# and exits with 75, and the job goes back into the queue.
set -euo pipefail

usage() {
  cat <<'TEXT'
Trains on the GPUs of one or several nodes of a SLURM cluster, and goes on after preemptions and time limits.

  launch/slurm.sh --nodes=2 --gpus_per_node=4 --time=12:00:00 --config=cifar_rowlstm --workdir=/scratch/me/cifar
  sbatch [FLAG...] launch/slurm.sh --config=... --workdir=...   the same with sbatch's own flags, from the repository's root

launch/slurm.sh [FLAG...] [-- FLAG...]

  --config=CONFIG      flags of python -m experiments.train, as are --config.FIELD=VALUE and all that follows a lone --.
  --workdir=DIR          Relative paths start at the repository's root; all nodes must see DIR
  --gpus_per_node=N    GPUs of each node, with one process for each; 1
  --nodes=N  --cpus_per_task=N  --time=TIME  --partition=NAME  --account=NAME  --qos=NAME  --job_name=NAME
                       flags of sbatch; by default 1 node, 4 CPU cores for each process, 24 hours, and the name pixel_rnn
  --sbatch_flag=FLAG   another flag of sbatch (--sbatch_flag=--signal=TERM@300); may be repeated
  --dry-run            print the commands, run nothing

Python is $PYTHON, or .venv/bin/python of the repository, or python3. The log is JOBNAME-JOBID.log in the repository's root.
scancel JOBID lets the training save and end.
TEXT
}

# In a job, this file is a copy elsewhere, and the repository's root is the directory.
root=$PWD
[[ -n ${SLURM_JOB_ID-} ]] || root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ -f $root/launch/common.sh ]] || { echo "error: submit launch/slurm.sh from the repository's root" >&2 && exit 2; }
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$root/launch/common.sh"

submit() {
  local flags=() flag gpus=${option[gpus_per_node]}
  for flag in job_name nodes cpus_per_task time partition account qos; do
    [[ -z ${option[$flag]} ]] || flags+=("--${flag//_/-}=${option[$flag]}")
  done
  # Not --gpus-per-task: each process must see all GPUs of its node, of which JAX takes the one of number SLURM_LOCALID.
  [[ -z $gpus ]] || flags+=("--gpus-per-node=$gpus" "--ntasks-per-node=$gpus")
  execute sbatch "${flags[@]}" "--chdir=$root" "${repeated[@]}" "$root/launch/slurm.sh" -- "${training[@]}"
}

train() {
  local code=0 state flags=(--kill-on-bad-exit=0 --wait=300) # else srun kills processes that still save when one has ended
  [[ -z ${SLURM_CPUS_PER_TASK-} ]] || flags+=("--cpus-per-task=$SLURM_CPUS_PER_TASK") # srun does not take it from the job
  trap : TERM # waits for srun
  execute env PYTHONUNBUFFERED=1 srun "${flags[@]}" "$python" -m experiments.train "${training[@]}" --distributed || code=$?
  if ((code == 75 || code == 143)); then # 143: SIGTERM came before the training listened
    # After scancel the job is to end, and SLURM itself requeues what it preempted. In both cases it is not RUNNING.
    state=$(squeue --noheader "--jobs=$SLURM_JOB_ID" --format=%T) || state=RUNNING
    [[ $state != RUNNING ]] || scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$code"
}

option+=([nodes]='' [gpus_per_node]='' [cpus_per_task]='' [time]='' [partition]='' [account]='' [qos]='' [job_name]='')
repeatable=sbatch_flag
parse_flags "$@"
require_number 1 nodes gpus_per_node cpus_per_task
if [[ -n ${SLURM_JOB_ID-} ]]; then
  train
else
  require_training
  submit
  ((!switch[dry_run])) || { echo "# in the job:" && SLURM_CPUS_PER_TASK=${option[cpus_per_task]:-4} train; }
fi
