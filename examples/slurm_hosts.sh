#!/bin/bash
# Trains one model in several processes on SLURM: sbatch examples/slurm_hosts.sh hosts.py --directory /shared/runs/hosts
#
# In the script: keras.distribution.initialize(), then ModelCheckpoint(..., resume=True). The directory is one that all
# nodes share, or a bucket.
#
# JAX finds the processes through SLURM's variables, and keeps SIGTERM for itself. SLURM sends it to all of them five
# minutes before the time limit. They save at one step and end; this script then puts the job back into the queue. When it
# starts again, training continues where it was. A job that is preempted gets SIGTERM, too.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append

# Since SLURM 22.05, srun no longer takes --cpus-per-task from sbatch.
if [ -n "$SLURM_CPUS_PER_TASK" ]; then
    export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
fi

export KERAS_BACKEND=jax
srun python "$@"
status=$?
if [ "$status" -eq $((128 + $(kill -l TERM))) ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
