#!/bin/sh
# sm-proxy: wait until `ssh` reaches every node of the job, then print the hostfile's path.
#
#     mpirun --hostfile "$(/opt/sm-proxy/wait-nodes.sh 300)" ...
#
# The argument is the time limit in seconds (300). Fails and names the nodes that are missing.

run=${SM_PROXY_RUN_DIR:-/run/sm-proxy}
until=$(($(date +%s) + ${1:-300}))
left=$(cut -d ' ' -f 1 "$run/hostfile") || exit 1
while :; do
    still=
    for host in $left; do
        # No try before its keys are known: an ssh of its own accord would ask another host.
        if ! grep -q "^$host " "$run/nodes/known_hosts" 2>/dev/null ||
            ! ssh -n -o BatchMode=yes -o ConnectTimeout=5 "$host" true 2>/dev/null; then
            still="$still $host"
        fi
    done
    left=$still
    [ -n "$left" ] || { echo "$run/hostfile" && exit; }
    if [ "$(date +%s)" -ge "$until" ]; then break; fi
    sleep 1
done
echo "sm-proxy: ssh does not reach$left" >&2
exit 1
