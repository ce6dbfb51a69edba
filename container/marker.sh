#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: the line in the job's log by which a laptop finds this container.

# Print $1 as a JSON string of at most $2 characters, without those that are not printable ASCII.
quote_json() {
    case $1 in
        *[!A-Za-z0-9\ ._:/+=@-]*)
            printf '"%s"' "$(printf '%s' "$1" | tr -cd '\040-\176' | cut -c "1-$2" | sed 's/[\\"]/\\&/g')"
            ;;
        *) printf '"%.*s"' "$2" "$1" ;;
    esac
}

# Print the parts of $1, which "; " separates, as items of a JSON list: at most ten.
quote_json_list() {
    comma=
    printf '%s' "$1" | sed 's/; */\n/g' | head -n 10 | while IFS= read -r part || [ -n "$part" ]; do
        [ -n "$part" ] || continue
        printf '%s' "$comma"
        quote_json "$part" 200
        comma=', '
    done
}

# The file in which SageMaker names this node: first that of training, then that of processing jobs.
resource_config=$ml/input/config/resourceconfig.json
[ -r "$resource_config" ] || resource_config=$ml/config/resourceconfig.json

# Print the value of a string field of resourceconfig.json.
read_resource_config() {
    tr -d '\r\n' 2>/dev/null <"$resource_config" |
        sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([A-Za-z0-9._-]*\)\".*/\1/p"
}

# Print the device of the default route.
default_interface() {
    while read -r device destination _ _ _ _ _ mask _; do
        [ "$destination$mask" != 0000000000000000 ] || { echo "$device" && return; }
    done 2>/dev/null </proc/net/route
}

# Print the addresses that this machine's names have in /etc/hosts.
addresses_from_etc_hosts() {
    # shellcheck disable=SC3028 # some shells set HOSTNAME
    names=" $(read_resource_config current_host) $(hostname 2>/dev/null) ${HOSTNAME-} "
    while read -r address aliases; do
        for name in $aliases; do
            case $address in *[!0-9.]* | '') continue ;; esac
            case $names in *" $name "*) echo "$address" ;; esac
        done
    done 2>/dev/null </etc/hosts
}

# Print "device address prefix" for the address $1, from /proc/net/route: images may lack `ip`.
interface_of() {
    old_ifs=$IFS
    IFS=.
    # shellcheck disable=SC2086 # the four numbers of an address
    set -- $1 "$1"
    IFS=$old_ifs
    number=$(($1 + $2 * 256 + $3 * 65536 + $4 * 16777216)) # the byte order of /proc/net/route
    device=$(default_interface)
    bits=32
    while read -r name destination gateway _ _ _ _ mask _; do
        case $gateway$mask in 00000000*[!0]*) ;; *) continue ;; esac
        if [ $((number & 0x$mask)) = $((0x$destination)) ]; then
            device=$name
            bits=0
            rest=$((0x$mask))
            while [ "$rest" != 0 ]; do
                bits=$((bits + (rest & 1)))
                rest=$((rest >> 1))
            done
            break
        fi
    done 2>/dev/null </proc/net/route
    echo "${device:-unknown} $5 $bits"
}

# Print our addresses as the kernel lists them.
addresses_from_kernel() {
    while read -r mark address kind; do
        case $mark in
            '|--') last=$address ;;
            /32) [ "$address $kind" != 'host LOCAL' ] || echo "$last" ;;
        esac
    done 2>/dev/null </proc/net/fib_trie
}

# Print one line "device address prefix" for each IPv4 address.
list_addresses() {
    if [ -n "${SM_PROXY_LISTEN-}" ]; then
        echo "lo $SM_PROXY_LISTEN 8"
        return
    fi
    found=$(ip -o -4 addr show 2>/dev/null | while read -r _ device family cidr _; do
        [ "$family" = inet ] || continue
        case $cidr in */*) bits=${cidr#*/} ;; *) bits=32 ;; esac
        echo "${device%%@*} ${cidr%/*} $bits"
    done)
    if [ -z "$found" ]; then
        found=$(addresses_from_kernel | sort -u | while read -r address; do interface_of "$address"; done)
    fi
    if [ -z "$found" ]; then # some sandboxes have no /proc/net/fib_trie
        found=$(addresses_from_etc_hosts | sort -u | while read -r address; do interface_of "$address"; done)
    fi
    # First the job's interface, then that of the default route, then the others.
    first=$(read_resource_config network_interface_name)
    for wanted in "${first:-none}" "$(default_interface)" '*'; do
        echo "$found" | while read -r device address bits; do
            case $address in 127.* | 169.254.* | '') continue ;; esac
            case $wanted in
                "$device") echo "$device $address $bits" ;;
                '*') echo "$device $address $bits" ;;
            esac
        done
    done | while read -r line; do
        case "$newline$seen" in *"$newline$line$newline"*) continue ;; esac
        seen="$seen$line$newline"
        echo "$line"
    done | head -n 16
}

# Print the marker in one write, so that the job's output cannot get into the middle of it.
print_marker() {
    comma=
    list=$(list_addresses | while read -r device address bits; do
        printf '%s{"name": %s, "address": %s, "prefix": %d}' \
            "$comma" "$(quote_json "$device" 16)" "$(quote_json "$address" 15)" "$bits"
        comma=', '
    done)
    [ -n "$list" ] || add_problem 'no IPv4 address was found'
    node=$(read_resource_config current_host)
    line=$(printf '{"sm_proxy_marker": 1, "node": %s, "addresses": [%s], "port": %d, "user": %s, "host_keys": [%s], "features": [%s], "problems": [%s]}' \
        "$(quote_json "${node:-algo-1}" 64)" "$list" "$1" "$(quote_json "$user" 64)" \
        "$(quote_json_list "$host_keys")" "$(quote_json_list "$features")" "$(quote_json_list "$problems")")
    if [ -n "$run" ] && printf '%s\n' "$line" >"$run/marker"; then
        dd bs=8192 count=1 <"$run/marker" 2>/dev/null || cat "$run/marker"
    else
        printf '%s\n' "$line"
    fi
}
