#!/bin/bash
# A training on SLURM that outlives its time limit: sbatch examples/slurm.sh train.py
#
# In train.py: ModelCheckpoint("runs/{epoch}.keras", resume=True, signals=["SIGUSR1", "SIGTERM"]). SLURM sends SIGUSR1
# five minutes before the end; the state is saved, the signal then ends Python, and the job is queued again. A job that
# is preempted gets SIGTERM, and a cluster with PreemptMode=REQUEUE queues it again itself. In an array, give each task a filepath of its own:
# os.environ["SLURM_ARRAY_TASK_ID"] says which one it is.
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

srun python "$@"
status=$?
if [ "$status" -eq $((128 + $(kill -l USR1))) ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
