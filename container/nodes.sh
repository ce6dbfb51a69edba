# shellcheck shell=sh
# sm-proxy: every node of a job reaches every other by `ssh algo-2`. Sourced by serve.sh.
#
# Each container makes its own key and puts the public half, with its public host keys, into
# $SM_PROXY_NODES_S3. Only public material leaves a container. A node's key is accepted only from the
# address that the node's name has in the job's network, and only the names in the job's own list are
# used: docs/nodes.md says why that is sound.

list_nodes() {
    tr -d '\r\n' 2>/dev/null <"$resource_config" | tr ',[]{}: ' '\n\n\n\n\n\n\n' |
        sed -n 's/^"\([a-z][a-z0-9]\{0,20\}-[0-9]\{1,5\}\)"$/\1/p' | sort -t - -k 2n -u
}

# Print the slots of this node for mpirun: the number of its accelerators, else 1.
count_node_slots() {
    count=$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' 2>/dev/null | wc -l)
    [ "$count" -gt 0 ] || count=$(find /dev -maxdepth 1 -name 'neuron[0-9]*' 2>/dev/null | wc -l)
    [ "$count" -gt 0 ] || count=1
    echo $((count))
}

# Print the IPv4 addresses that a node's name has here, comma-separated.
resolve_node() {
    {
        getent ahostsv4 "$1" || getent hosts "$1" || awk -v n="$1" '{for (i = 2; i <= NF; i++) if ($i == n) print}' /etc/hosts
    } 2>/dev/null | while read -r address _; do
        case $address in *[!0-9.]* | '') ;; *.*.*.*) echo "$address" ;; esac
    done | sort -u | head -n 8 | tr '\n' ',' | sed 's/,$//'
}

# Print this node's card, which it gives to the others: its public keys, and how to reach it.
print_node_card() {
    printf 'sm-proxy-node 1\njob %s\nnode %s\nport %s\nuser %s\nslots %s\n' \
        "$nodes_job" "$nodes_me" "$1" "$user" "$(count_node_slots)"
    read -r type base64 _ <"$run/nodes/id_ed25519.pub"
    echo "client $type $base64"
    printf '%s' "$host_keys" | sed 's/; */\n/g' | sed -n 's/^\([a-z0-9-]* [A-Za-z0-9+/=]*\)$/host \1/p'
}

# Print the first value of the field $2 of the card in $1. Fail if it has unexpected characters.
read_card_field() {
    value=$(sed -n "s/^$2 //p" "$1" | head -n 1)
    case $value in '' | *[!A-Za-z0-9._:/-]*) return 1 ;; esac
    echo "$value"
}

# Add the card in the file $1, of the node $2, to the new files. Fail if the card is not valid.
add_node_card() {
    file=$1 name=$2
    [ "$(read_card_field "$file" job)" = "$nodes_job" ] && [ "$(read_card_field "$file" node)" = "$name" ] || return 1
    their_port=$(read_card_field "$file" port) && their_user=$(read_card_field "$file" user) || return 1
    their_slots=$(read_card_field "$file" slots) || their_slots=1
    case $their_port in *[!0-9]* | ??????*) return 1 ;; esac
    case $their_slots in *[!0-9]* | ?????*) their_slots=1 ;; esac
    places=$(resolve_node "$name")
    [ -n "$places" ] || { unresolved=yes && return 1; }
    aliases="$name $(echo "$places" | tr , ' ')"
    [ "$name" != "$nodes_me" ] || places="$places,127.0.0.1"
    bare_keys "$(sed -n 's/^client //p' "$file")" | head -n 1 | sed "s/^/from=\"$places\" /" >>"$new/keys"
    bare_keys "$(sed -n 's/^host //p' "$file")" | head -n 8 | sed "s/^/$name /" >>"$new/known_hosts"
    printf 'Host %s\n  User %s\n  Port %s\n  HostKeyAlias %s\n' "$aliases" "$their_user" "$their_port" "$name" >>"$new/ssh_config"
    nodes_patterns="$nodes_patterns $aliases"
}

# Write all files again from the cards that we have; a rename replaces each file. Set $missing to the
# nodes that have no valid card.
write_node_files() {
    # Nothing to do if no card has changed, unless a name did not resolve yet.
    [ -n "$unresolved" ] || ! files_equal "$run/nodes/cards/list" "$run/nodes/list" || return 0
    cp "$run/nodes/cards/list" "$run/nodes/list"
    new=$run/nodes/new
    mkdir -p "$new"
    : >"$new/keys" && : >"$new/known_hosts" && : >"$new/ssh_config" && : >"$new/hostfile"
    missing='' unresolved='' nodes_patterns=$nodes_all
    set -f
    for host in $nodes_all; do
        their_slots=$nodes_default
        card=
        while read -r etag key; do
            [ "${key##*/}" != "$host" ] || card=$run/nodes/cards/obj.$etag
        done <"$run/nodes/cards/list"
        if [ -z "$card" ] || ! add_node_card "$card" "$host"; then
            missing="$missing $host"
            add_missing_node "$host" >>"$new/ssh_config"
        fi
        echo "$host slots=$their_slots" >>"$new/hostfile"
    done
    set +f
    # shellcheck disable=SC2086 # a list of patterns
    { echo Host $nodes_patterns && cat "$run/nodes/ssh_options"; } >>"$new/ssh_config"
    mv "$new/known_hosts" "$new/ssh_config" "$run/nodes/"
    mv "$new/hostfile" "$run/hostfile"
    mv "$new/keys" "$run/keys.nodes"
    merge_authorized_keys nodes
}

# Exchange cards for as long as the container lives: a restarted node has new keys.
exchange_cards() {
    where=${SM_PROXY_NODES_S3%/}/$(printf '%s' "$nodes_job" | tr -c 'A-Za-z0-9._-' -)
    logged='' sent='' round=0 before=none missing=$nodes_all unresolved=yes
    while :; do
        if { [ -n "$sent" ] || s3_with_any_tool put "$run/nodes/card" "$where/$nodes_me"; } 2>"$run/nodes/why" &&
            s3_with_any_tool pull "$where/" "$run/nodes/cards" 2>"$run/nodes/why"; then
            logged=
            write_node_files
            include_ssh_config # a script of the job may have replaced that file
            # A lifecycle rule may have deleted our card, or another node may have overwritten it.
            sent=
            read -r etag _ <<EOF
$(grep "/$nodes_me\$" "$run/nodes/cards/list")
EOF
            ! files_equal "$run/nodes/card" "$run/nodes/cards/obj.$etag" || sent=yes
            if [ "$missing" != "$before" ]; then
                before=$missing
                if [ -n "$missing" ]; then
                    exchange_say "nodes: still waiting for$missing"
                else
                    exchange_say 'nodes: ssh reaches every node'
                    : >"$run/nodes/ready"
                fi
            fi
        else
            why=$(cat "$run/nodes/why")
            [ "$why" = "$logged" ] || exchange_say "nodes: S3 could not be used: $why"
            logged=$why
        fi
        # Often in the first minutes, while the nodes start, and longer if one is missing.
        round=$((round + 1))
        if [ "$round" -le 60 ] || { [ -n "$missing" ] && [ "$round" -le 300 ]; }; then
            sleep $((2 + $$ % 3))
        else
            sleep_until_refresh
        fi
    done
}

# Check, before the marker is printed, what the job asks for and has; write the first hostfile.
check_nodes() {
    nodes_all=$(list_nodes)
    nodes_me=$(read_resource_config current_host)
    nodes_job=${TRAINING_JOB_ARN:-${TRAINING_JOB_NAME-}}
    # shellcheck disable=SC2086 # a list of names
    set -- $nodes_all
    [ $# -gt 1 ] || return 0
    nodes_default=$(count_node_slots)
    for host in "$@"; do echo "$host slots=$nodes_default"; done >"$run/hostfile"
    [ -n "${SM_PROXY_NODES_S3-}" ] || return 0
    if ! s3_parse_url "${SM_PROXY_NODES_S3%/}/"; then
        add_problem 'SM_PROXY_NODES_S3 is not of the form s3://bucket/folder/'
    elif [ -n "${cannot_bind-}" ]; then
        # Without from= a node's key would be accepted from anywhere. dropbear 2022 rejects from= lines.
        add_problem "SM_PROXY_NODES_S3: $cannot_bind cannot bind a key to an address: install openssh-server"
    elif [ -z "$s3_found" ]; then
        add_problem 'SM_PROXY_NODES_S3 needs Python with boto3, the AWS CLI or curl 7.88 in the image'
    elif [ -z "$nodes_job" ] || [ -z "$nodes_me" ]; then
        add_problem 'SM_PROXY_NODES_S3: this container does not know the name of its job'
    elif ! command -v ssh >/dev/null 2>&1; then
        add_problem 'SM_PROXY_NODES_S3: no ssh client in this image: install openssh-client'
    elif ! make_nodes_key; then
        add_problem 'SM_PROXY_NODES_S3: ssh-keygen could not make a key'
    else
        nodes=yes
        write_ssh_options "$1"
        if tell_ssh_of_nodes "$1"; then
            features="$features; nodes"
        else
            add_problem "SM_PROXY_NODES_S3: ssh does not use our settings: $(cat "$run/nodes/problem")"
        fi
    fi
}

make_nodes_key() {
    mkdir -p "$run/nodes/cards"
    : >>"$run/nodes/cards/list"
    rm -f "$run/nodes/ready"
    [ -s "$run/nodes/id_ed25519.pub" ] ||
        clean_env ssh-keygen -q -t ed25519 -N '' -C '' -f "$run/nodes/id_ed25519" </dev/null >/dev/null 2>&1
}

# start_nodes PORT: call it once, when the server listens on that port.
start_nodes() {
    [ -n "${nodes-}" ] || return 0
    print_node_card "$1" >"$run/nodes/card"
    exchange_cards &
}
