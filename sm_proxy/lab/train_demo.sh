#!/bin/sh
# A training program for the demo: writes a checkpoint, then "trains" until it is stopped.

step=0
trap 'echo "stopped after step $step"; exit 0' TERM INT
ml=${SM_PROXY_ML_DIR:-/opt/ml}
mkdir -p "$ml/checkpoints" "$ml/model" "$ml/output/data"
# Random bytes: what has been copied wrong shows, and no link can compress them.
head -c 4194304 /dev/urandom >"$ml/checkpoints/checkpoint-1.bin"
echo "training on $(hostname), checkpoint in $ml/checkpoints/checkpoint-1.bin"
while :; do
    step=$((step + 1))
    echo "step $step loss 0.$((9000 / (step + 9)))"
    sleep 5 &
    wait $!
done
