#!/bin/sh
# sm-proxy, the ssh half: host keys, authorised keys, sshd, and the one line in the job's log (the
# marker) by which a laptop finds this container and knows it. Started by entrypoint.sh.
#
#     serve.sh RUN_DIR PID PROBLEM     RUN_DIR may be empty; ssh ends when the process PID does
#
# Never reads the job's input, never prints the job's environment.

run=$1
watched=$2
problems=$3
here=${0%/*}
ml=${SM_PROXY_ML_DIR:-/opt/ml}
uid=$(id -u)
user=$(id -un 2>/dev/null)
features=
host_keys=
newline='
'
umask 077

problem() {
    problems="$problems$1; "
}

# ---- what the marker says --------------------------------------------------------------------

# Print $1 as a JSON string of at most $2 characters; only printable ASCII is left of it.
quoted() {
    case $1 in
        *[!A-Za-z0-9\ ._:/+=@-]*)
            printf '"%s"' "$(printf '%s' "$1" | tr -cd '\040-\176' | cut -c "1-$2" | sed 's/[\\"]/\\&/g')"
            ;;
        *) printf '"%.*s"' "$2" "$1" ;;
    esac
}

# Print the parts of $1, which "; " separates, as the inside of a JSON list; ten are enough.
listed() {
    comma=
    printf '%s' "$1" | sed 's/; */\n/g' | head -n 10 | while IFS= read -r part || [ -n "$part" ]; do
        [ -n "$part" ] || continue
        printf '%s' "$comma"
        quoted "$part" 200
        comma=', '
    done
}

# Print the value of a string field of resourceconfig.json.
configured() {
    tr -d '\r\n' 2>/dev/null <"$ml/input/config/resourceconfig.json" |
        sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([A-Za-z0-9._-]*\)\".*/\1/p"
}

# Print the device of the default route.
routed() {
    while read -r device destination _ _ _ _ _ mask _; do
        [ "$destination$mask" != 0000000000000000 ] || { echo "$device" && return; }
    done </proc/net/route
}

# Print "device address prefix" for an address that no tool could tell us about.
place() {
    old_ifs=$IFS
    IFS=.
    # shellcheck disable=SC2086 # the four numbers of an address
    set -- $1 "$1"
    IFS=$old_ifs
    number=$(($1 + $2 * 256 + $3 * 65536 + $4 * 16777216)) # the byte order of /proc/net/route
    device=$(routed)
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
    done </proc/net/route
    echo "${device:-unknown} $5 $bits"
}

# Print one line "device address prefix" for each IPv4 address.
addresses() {
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
        found=$(while read -r mark address kind; do
            case $mark in
                '|--') last=$address ;;
                /32) [ "$address $kind" != 'host LOCAL' ] || echo "$last" ;;
            esac
        done </proc/net/fib_trie 2>/dev/null | sort -u | while read -r address; do
            place "$address"
        done)
    fi
    # The job's interface first, then the one the default route leaves by, then the others.
    first=$(configured network_interface_name)
    for wanted in "${first:-none}" "$(routed)" '*'; do
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

# Print the marker in one write, so that nothing of the job's can get into the middle of it.
print_marker() {
    comma=
    list=$(addresses | while read -r device address bits; do
        printf '%s{"name": %s, "address": %s, "prefix": %d}' \
            "$comma" "$(quoted "$device" 16)" "$(quoted "$address" 15)" "$bits"
        comma=', '
    done)
    [ -n "$list" ] || problem 'no IPv4 address was found'
    node=$(configured current_host)
    line=$(printf '{"sm_proxy_marker": 1, "node": %s, "addresses": [%s], "port": %d, "user": %s, "host_keys": [%s], "features": [%s], "problems": [%s]}' \
        "$(quoted "${node:-algo-1}" 64)" "$list" "$1" "$(quoted "$user" 64)" \
        "$(listed "$host_keys")" "$(listed "$features")" "$(listed "$problems")")
    if [ -n "$run" ] && printf '%s\n' "$line" >"$run/marker"; then
        dd bs=8192 count=1 <"$run/marker" 2>/dev/null || cat "$run/marker"
    else
        printf '%s\n' "$line"
    fi
}

# ---- sshd and what it needs ------------------------------------------------------------------

find_sshd() {
    if [ -n "${SM_PROXY_SSHD-}" ]; then
        sshd=$SM_PROXY_SSHD
    else
        sshd=$(PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v sshd)
    fi
    case $sshd in /*) [ -x "$sshd" ] && return ;; esac
    problem 'no sshd in this image: install openssh-server'
    return 1
}

# Programs of the system must not load the job's libraries (conda's libcrypto, for one).
plain() {
    env -i PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin LC_ALL=C "$@"
}

make_host_keys() {
    for kind in ed25519 ecdsa; do
        file=$run/ssh_host_${kind}_key
        if [ ! -s "$file" ]; then
            plain ssh-keygen -q -t "$kind" -N '' -C '' -f "$file" </dev/null >/dev/null 2>&1 ||
                { problem "ssh-keygen could not make a key of type $kind" && continue; }
        fi
        read -r type base64 _ <"$file.pub"
        host_keys="$host_keys$type $base64; "
        echo "HostKey \"$file\"" >>"$run/sshd_config"
    done
    [ -n "$host_keys" ]
}

# Print the keys in $1 as bare "type base64" lines: no options, no comment, nothing else.
bare_keys() {
    printf '%s\n' "$1" | tr '\r' '\n' | tr -cd '\n\040-\176' | sed 's/\\"//g; s/"[^"]*"//g' |
        while IFS= read -r line; do
            type=
            for word in $line; do
                case $word in
                    *[!A-Za-z0-9+/=@.-]*) type= ;;
                    ssh-ed25519 | ssh-rsa | ecdsa-sha2-nistp256 | ecdsa-sha2-nistp384 | \
                        ecdsa-sha2-nistp521 | sk-ssh-ed25519@openssh.com | \
                        sk-ecdsa-sha2-nistp256@openssh.com) type=$word ;;
                    AAAA*[!A-Za-z0-9+/=]*) type= ;;
                    AAAA?*) [ -z "$type" ] || { echo "$type $word" && break; } ;;
                    *) type= ;;
                esac
            done
        done
}

# The names under which the job's environment may bring keys, in order.
key_names() {
    environment | sed -n 's/^\(SM_PROXY_AUTHORIZED_KEY\(_[0-9]\{1,4\}\)\{0,1\}\)=.*/\1/p' | sort -u
}

write_authorized_keys() {
    set -f
    for name in $(key_names); do
        eval "value=\$$name"
        keys=$(bare_keys "$value")
        if [ -n "$keys" ]; then
            echo "$keys"
        elif [ -n "$value" ]; then
            echo "$name" >>"$run/bad-keys"
        fi
    done >"$run/authorized_keys"
    set +f
    [ ! -s "$run/bad-keys" ] || while read -r name; do
        problem "$name holds no public key"
    done <"$run/bad-keys"
}

# Fail if others than us and root may write to $1 or to a folder above it.
private() {
    path=$1
    while [ -n "$path" ]; do
        # shellcheck disable=SC2012 # the mode string is all we want
        case $(ls -ld -- "$path" 2>/dev/null) in
            ?????w* | ????????w* | '') return 1 ;;
        esac
        path=${path%/*}
    done
}

# Say whose keys count. sshd refuses key files below a folder that others may write to, such as
# /tmp. Ours is private by itself; the image's file is then left out unless it is private too.
allow_keys() {
    home=
    eval "home=~$user" # a name out of id(1)
    theirs=" \"$home/.ssh/authorized_keys\""
    if ! private "$run"; then
        echo 'StrictModes no' >>"$run/sshd_config"
        private "$home/.ssh/authorized_keys" || theirs=
    fi
    echo "AuthorizedKeysFile \"$run/authorized_keys\"$theirs" >>"$run/sshd_config"
    if [ ! -s "$run/authorized_keys" ] && [ ! -s "$home/.ssh/authorized_keys" ] && [ -z "${keys_s3-}" ]; then
        problem 'nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set'
    fi
}

# ---- the job's environment inside ssh sessions -----------------------------------------------

# Print our own environment, one variable on a line, newlines inside values as \001.
environment() {
    tr '\000\n' '\n\001' </proc/$$/environ
}

# Of those, the ones a session should have.
wanted_environment() {
    environment | sed -n '/^[A-Za-z_][A-Za-z0-9_]*=/p' | while IFS= read -r entry; do
        case $entry in
            HOME=* | USER=* | LOGNAME=* | SHELL=* | PWD=* | OLDPWD=* | SHLVL=* | _=* | TERM=*) ;;
            MAIL=* | SSH_*=* | HOSTNAME=* | SM_PROXY_AUTHORIZED_KEY*=* | SM_PROXY_SSHD=*) ;;
            *) printf '%s\n' "$entry" ;;
        esac
    done
    echo "SM_PROXY_RUN_DIR=$run"
}

# Hand it over through sshd's private configuration, and as a file for login shells, whose
# /etc/profile would otherwise put another PATH over the job's.
share_environment() {
    wanted_environment | sed "s/'/'\\\\''/g; s/^\\([^=]*\\)=\\(.*\\)\$/export \\1='\\2'/" |
        tr '\001' '\n' >"$run/environment.sh"
    version=$("$sshd" -V 2>&1 </dev/null | sed -n 's/.*OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    # shellcheck disable=SC2086 # two numbers
    set -- ${version:-0 0}
    version=$(($1 * 100 + $2))
    if [ "$version" -ge 708 ]; then
        total=0
        wanted_environment | sed 's/[\\"]/\\&/g' | while IFS= read -r entry; do
            case $entry in
                *"$(printf '\001')"*) continue ;;
                *\\*) [ "$version" -ge 807 ] || continue ;; # no way to write it before
            esac
            total=$((total + ${#entry}))
            if [ "${#entry}" -ge 16384 ] || [ "$total" -ge 131072 ]; then continue; fi
            printf ' "%s"' "$entry"
        done >"$run/setenv"
        { printf 'SetEnv' && cat "$run/setenv" && echo; } >>"$run/sshd_config"
        rm -f "$run/setenv"
        features="$features; environment"
    else
        problem 'this sshd is too old to give sessions the environment of the job'
    fi
    # Where the folder was chosen for us we are not alone on this machine: touch nothing else.
    if [ "$uid" = 0 ] && [ -z "${SM_PROXY_RUN_DIR-}" ] && [ -d /etc/profile.d ]; then
        echo "[ -z \"\${SSH_CONNECTION-}\" ] || [ ! -r $run/environment.sh ] || . $run/environment.sh" \
            2>/dev/null >/etc/profile.d/sm-proxy.sh && chmod 644 /etc/profile.d/sm-proxy.sh
    fi
}

# What a root's sshd wants and images built in a hurry lack.
make_room_for_root() {
    (umask 022 && mkdir -p /run/sshd) 2>/dev/null
    # Some images lock root, and then not even a key helps. `*` lets no password in either.
    case $(sed -n 's/^root:\([^:]*\):.*/\1/p' /etc/shadow 2>/dev/null) in
        !*) { [ -z "${SM_PROXY_RUN_DIR-}" ] && usermod -p '*' root; } >/dev/null 2>&1 ||
            problem 'the account root is locked in /etc/shadow' ;;
    esac
}

# ---- running it ------------------------------------------------------------------------------

ports() {
    case ${SM_PROXY_PORT-} in
        '') ;;
        *[!0-9]* | ??????*) problem 'SM_PROXY_PORT is not a port number' ;;
        *) [ "$SM_PROXY_PORT" -gt 0 ] && [ "$SM_PROXY_PORT" -lt 65536 ] && {
            candidates=$SM_PROXY_PORT
            return
        } ;;
    esac
    candidates='22 2222 22022'
    read -r lowest </proc/sys/net/ipv4/ip_unprivileged_port_start || lowest=1024
    [ "$uid" = 0 ] || [ "$lowest" -le 22 ] || candidates='2222 22022'
} 2>/dev/null

configure() {
    printf 'PidFile "%s"\n' "$run/sshd.pid" >"$run/sshd_config"
    if [ -n "${SM_PROXY_LISTEN-}" ]; then
        echo "ListenAddress $SM_PROXY_LISTEN"
    else
        echo 'AddressFamily inet'
    fi >>"$run/sshd_config"
    make_host_keys || return
    write_authorized_keys
    check_exchange
    allow_keys
    cp "$run/sshd_config" "$run/without-environment"
    share_environment
    cat "$here/sshd_config" >>"$run/without-environment"
    cat "$here/sshd_config" >>"$run/sshd_config"
    # An environment sshd cannot take must not cost us the whole of ssh.
    if ! plain "$sshd" -t -f "$run/sshd_config" 2>/dev/null &&
        plain "$sshd" -t -f "$run/without-environment" 2>/dev/null; then
        cp "$run/without-environment" "$run/sshd_config"
        problem 'sessions do not get the environment of the job'
    fi
}

# What needs S3: see before the marker whether it can be done, and do it behind the marker.
check_exchange() {
    s3_found=
    [ -n "${SM_PROXY_KEYS_S3-}" ] || [ -n "${SM_PROXY_NODES_S3-}" ] || [ -e "$ml/input/config/resourceconfig.json" ] || return 0
    for part in s3 keys_s3 nodes; do
        # shellcheck disable=SC1090 # s3.sh, keys_s3.sh, nodes.sh
        [ -r "$here/$part.sh" ] && . "$here/$part.sh" || return 0
    done
    exchange=yes
    [ -z "${SM_PROXY_KEYS_S3-}${SM_PROXY_NODES_S3-}" ] || s3_found=$(s3_tools | tr '\n' ' ')
    check_keys_s3
    check_nodes
}

start_exchange() {
    [ -n "${exchange-}" ] || return 0
    cp "$run/authorized_keys" "$run/keys.environment"
    start_keys
    start_nodes "$1"
}

# Pass sshd's messages on to the job's log, and act on those that tell us something.
follow() {
    return_key=$(printf '\r')
    while IFS= read -r line; do
        line=${line%"$return_key"}
        case $line in
            *sm_proxy_marker*) continue ;;          # a stranger's "user name": we print the only one
            *syslogin_perform_logout*) continue ;; # images have no utmp, and need none
            'Server listening on '*)
                if [ ! -e "$run/ready" ]; then
                    (print_marker "$1") # in a subshell: it shares our variable names
                    : >"$run/ready"
                    start_exchange "$1"
                fi
                ;;
            'Accepted '*) : >"$run/connected" ;;
        esac
        printf '%s\n' "$line" >"$run/last-message"
        printf 'sm-proxy: sshd: %s\n' "$line" >&2
    done
}

# End with the process we serve. Only needed where its end is not the container's end.
watch() {
    while read -r status 2>/dev/null <"/proc/$watched/stat"; do
        case ${status##*) } in Z* | X*) break ;; esac
        sleep 1
    done
    kill "$(cat "$run/sshd.pid" 2>/dev/null)" 2>/dev/null
    kill -s KILL -- "-$$" 2>/dev/null || kill -s KILL $$
}

# Run sshd on one port for as long as it lives. Fails if it never listened.
run_sshd() {
    rm -f "$run/last-message"
    plain "$sshd" -D -e -f "$run/sshd_config" -p "$1" 2>&1 </dev/null | follow "$1"
    [ -e "$run/ready" ]
}

serve() {
    [ -n "$run" ] || { problem 'no writable place for run-time files' && return 1; }
    [ -n "$user" ] || { problem "user id $uid has no entry in /etc/passwd" && return 1; }
    find_sshd || return
    [ "$uid" != 0 ] || make_room_for_root
    configure || return
    features="sshd; sftp; scp$features"
    ! command -v rsync >/dev/null 2>&1 || features="$features; rsync"
    [ "$watched" = 1 ] || watch &
    for port in $candidates; do
        run_sshd "$port" || continue
        # It listened and ended, which it never does by itself: same port, same keys, once more.
        for _ in 1 2 3 4 5; do
            sleep 1
            run_sshd "$port"
        done
        return
    done
    problem "sshd: $(cat "$run/last-message" 2>/dev/null)"
    return 1
}

ports
if ! serve; then
    host_keys=
    features=
    print_marker "${candidates%% *}"
    [ -z "$run" ] || : >"$run/failed"
fi
