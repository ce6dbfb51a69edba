#!/bin/sh
# A training program for the demo: it resumes from a checkpoint, and "trains" until it is stopped.

step=0
trap 'echo "stopped after step $step"; exit 0' TERM INT
ml=${SM_PROXY_ML_DIR:-/opt/ml}
echo "training on $(hostname), checkpoint in $ml/checkpoints/checkpoint-1.bin"
while :; do
    step=$((step + 1))
    echo "step $step loss 0.$((9000 / (step + 9)))"
    sleep 5 &
    wait $!
done
