#!/bin/sh
# sh docs/cluster/start_or_resume.sh RUN_DIR OVERRIDE...    starts a run there, or goes on with the one that is there.
run=$1
shift
if ls -d "$run"/checkpoints/checkpoint-* > /dev/null 2>&1; then
  exec python -m marl_app "resume=$run"
fi
exec python -m marl_app "hydra.run.dir=$run" "$@"
