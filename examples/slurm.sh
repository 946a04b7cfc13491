#!/bin/bash
# Trains on SLURM beyond the time limit of one job: sbatch examples/slurm.sh train.py
#
# In train.py: ModelCheckpoint("runs/{epoch}.keras", resume=True, signals=["SIGUSR1", "SIGTERM"]).
#
# SLURM sends SIGUSR1 five minutes before the time limit. The callback saves the state, the signal then ends Python, and
# this script puts the job back into the queue. When the job starts again, training continues where it was. A job that
# is preempted gets SIGTERM instead, and saves if the partition has a GraceTime; a cluster with PreemptMode=REQUEUE
# requeues it by itself. In a job array, give each task its own filepath: os.environ["SLURM_ARRAY_TASK_ID"] is its number.
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

# Since SLURM 22.05, srun no longer takes --cpus-per-task from sbatch.
if [ -n "$SLURM_CPUS_PER_TASK" ]; then
    export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
fi

srun python "$@"
status=$?
if [ "$status" -eq $((128 + $(kill -l USR1))) ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
