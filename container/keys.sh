#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: the public keys that may log in.

# exposed_keys.sh, where it is installed, replaces these.
drop_exposed_keys() { :; }
without_exposed_keys() { cat; }

# Succeed if keys in the image's ~/.ssh/authorized_keys may not log in. A value that we do not know must
# not let anybody in.
ignores_image_keys() {
    case ${SM_PROXY_IMAGE_KEYS-} in '' | yes) [ -n "${image_keys_doubtful-}" ] ;; esac
}

# Print the first key of each line of $1 as "type base64", without options and comment. One pipeline
# does all lines, because $1 may be a large file of something else.
bare_keys() {
    printf '%s\n' "$1" | tr '\r\t' '\n ' | tr -cd '\n\040-\176' | sed -n '
        s/\\"//g; s/"[^"]*"//g; s/|/!/g; s/.*/ & /
        s/ \(ssh-ed25519\|ssh-rsa\|ecdsa-sha2-nistp256\|ecdsa-sha2-nistp384\|ecdsa-sha2-nistp521\|sk-ssh-ed25519@openssh\.com\|sk-ecdsa-sha2-nistp256@openssh\.com\)  *\(AAAA[A-Za-z0-9+/=]\{1,\}\) /|\1 \2|/
        s/^[^|]*|\([^|]*\)|.*/\1/p'
}

# Print the names of the job's variables that hold keys, in order.
list_key_variables() {
    print_environment | LC_ALL=C sed -n 's/^\(SM_PROXY_AUTHORIZED_KEY\(_[0-9]\{1,4\}\)\{0,1\}\)=.*/\1/p' | sort -u
}

write_authorized_keys() {
    set -f
    for name in $(list_key_variables); do
        eval "value=\$$name"
        keys=$(bare_keys "$value")
        if [ -n "$keys" ]; then
            echo "$keys"
        elif [ -n "$value" ]; then
            echo "$name" >>"$run/bad-keys"
        fi
    done >"$run/authorized_keys"
    set +f
    chmod 600 "$run/authorized_keys"
    [ ! -s "$run/bad-keys" ] || while read -r name; do
        add_problem "$name holds no public key"
    done <"$run/bad-keys"
    rm -f "$run/bad-keys"
    case ${SM_PROXY_IMAGE_KEYS-} in '' | yes | no) ;; *) add_problem 'SM_PROXY_IMAGE_KEYS is neither yes nor no: it counts as no' ;; esac
    drop_exposed_keys
    write_image_keys
    check_exchange
}

# Note the image's own keys. For dropbear only once: older versions later have our keys in the same file.
write_image_keys() {
    [ "${server-}" != dropbear ] || [ ! -e "$run/image_keys" ] || return 0
    : >"$run/image_keys"
    ignores_image_keys ||
        without_exposed_keys 2>/dev/null <"$home/.ssh/authorized_keys" >"$run/image_keys"
}

# Fail if users other than us and root may write to $1 or to a folder above it, up to the user's home:
# sshd and dropbear ignore keys there. Set $path to that file or folder, and $writers to "its group" or
# "others". Debian's sshd trusts a group that has no other members.
passes_strict_modes() {
    top=$(readlink -f -- "$home" 2>/dev/null) || top=$home
    path=$(readlink -f -- "$1" 2>/dev/null) || path=$1
    while :; do
        # shellcheck disable=SC2046 # mode, links, owner: the first words
        set -- $(ls -ldn -- "$path" 2>/dev/null)
        writers=others
        case ${3-} in 0 | "$uid") ;; *) return 1 ;; esac
        case $1 in
            ????????w*) return 1 ;;
            ?????w*) writers='its group' && return 1 ;;
        esac
        if [ "$path" = "$top" ] || [ "$path" = / ]; then return 0; fi
        path=${path%/*}
        path=${path:-/}
    done
}

# Print the login shell of our user; an empty field means /bin/sh.
find_login_shell() {
    entry=$(sed -n "s/^$user:.*:\([^:]*\)\$/\1/p" /etc/passwd | head -n 1)
    echo "${entry:-/bin/sh}"
}

# Add a problem if no key may log in: none of ours, none of the image's, and none will come from S3.
warn_if_no_keys() {
    rm -f "$run/no_keys"
    if [ -s "$run/authorized_keys" ] || [ -s "$run/image_keys" ] || [ -n "${keys_s3-}" ]; then return; fi
    add_problem 'nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set'
    : >"$run/no_keys"
}
