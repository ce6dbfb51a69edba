# shellcheck shell=sh disable=SC2154,SC2034 # variables of serve.sh
# sm-proxy: keys whose private half is in the image. Sourced by serve.sh.
#
# Framework images have a key pair for mpirun and authorise its public half: so everybody who can pull
# the image could log in. We ignore such a key wherever it is authorised. The content of a file decides,
# not its name. Our own keys are made at run time, below $run, and not examined.

# Print the folders where images have keys, one per line.
list_key_folders() {
    printf '%s\n' /etc/ssh /etc/dropbear /.ssh /ssh /keys /opt/ssh /opt/.ssh "$home/.ssh" "${HOME:-/root}/.ssh"
    sed -n 's/^[^:]*:[^:]*:[^:]*:[^:]*:[^:]*:\(\/[^:]*\):.*/\1\/.ssh/p' /etc/passwd | sort -u
}

# Print the IdentityFile values in this image's ssh settings, one per line.
list_identity_files() {
    sed -n 's/^[[:space:]]*[Ii][Dd][Ee][Nn][Tt][Ii][Tt][Yy][Ff][Ii][Ll][Ee][[:space:]=]*"*\([^"]*[^"[:space:]]\).*/\1/p' \
        "$home/.ssh/config" /etc/ssh/ssh_config /etc/ssh/ssh_config.d/* | sed "s|^~/|$home/|; s|^%d/|$home/|"
}

# Print the files that hold a private key, one per line. Large files are not searched.
list_private_keys() {
    {
        list_key_folders | find_below 2
        printf '%s\n' / /opt /tmp "$home" "$PWD" | find_below 1
        list_identity_files | find_below 0
    } 2>/dev/null | sort -u | while IFS= read -r file; do
        case $file in "$run"/*) ;; *) echo "$file" ;; esac
    done | head -n 64
}

# If the image authorises keys itself, print the other files that hold a private key and have a typical
# path. Many of them belong to TLS: one that we cannot read does not make the image's keys doubtful.
list_stray_keys() {
    [ -s "$home/.ssh/authorized_keys" ] || return 0
    with_timeout find /etc /home /mnt /opt /srv /usr/local /usr/share /usr/src /var -xdev -maxdepth 5 -type f -size -32 \
        \( -path '*key*' -o -path '*ssh*' -o -path '*id_*' -o -path '*rsa*' -o -path '*dsa*' -o -path '*25519*' -o -path '*.pem' \) \
        -exec grep -l -e '-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----' {} + 2>/dev/null |
        grep -vxF -e / -f "$run/private_keys" | head -n 64
}

# Print the files with a private key, at most $1 folders below the places on stdin.
find_below() {
    depth=$1
    set --
    while IFS= read -r place; do
        [ ! -e "$place" ] || set -- "$@" "$place"
    done
    [ $# != 0 ] || return 0
    with_timeout find -L "$@" -maxdepth "$depth" -type f -size -128 \
        -exec grep -l -e '-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----' {} +
    with_timeout find -L "$@" -maxdepth "$depth" -type f -size -128 \
        \( -name 'id_dropbear*' -o -name 'dropbear_*_key' \) ! -name '*.pub'
}

# Print the public halves of the private key in the file $1 as "type base64", if we can find them.
print_public_halves() {
    known=
    [ ! -r "$1.pub" ] || known=$(bare_key <"$1.pub")
    [ -z "$known" ] || echo "$known"
    case ${known:+${1##*/}} in ssh_host_*) return ;; esac # ssh-keygen would take tens of milliseconds
    # In a private copy: ssh-keygen refuses a file that others may read.
    tr -d '\r' <"$1" >"$run/half" || return
    {
        clean_env_with_timeout ssh-keygen -y -P '' -f "$run/half" </dev/null ||
            (print_openssh_half "$run/half") ||
            PATH="$PATH:/usr/sbin:/usr/bin:/usr/local/bin" with_timeout dropbearkey -y -f "$1" </dev/null
    } 2>/dev/null | bare_key
}

# Print the first public key on stdin as "type base64".
bare_key() {
    tr '\r' '\n' | sed -n 's/^\([a-z0-9@.-]*\) \(AAAA[A-Za-z0-9+/=]*\).*/\1 \2/p' | head -n 1
}

# Print the public half of a key in OpenSSH's own format. The public half is in clear text, even if the
# private half has a passphrase: "openssh-key-v1", 0, cipher, kdf, its options, number of keys, public key.
print_openssh_half() {
    grep -q -e '-----BEGIN OPENSSH PRIVATE KEY-----' "$1" || return
    sed '/^-/d' "$1" | tr -d ' \t' | base64 -d >"$1.bytes" || return
    at=15
    for _ in cipher kdf options; do at=$((at + 4 + $(number_at "$at"))); done
    at=$((at + 4))
    key=$(tail -c "+$((at + 5))" "$1.bytes" | head -c "$(number_at "$at")" | base64 | tr -d '\n')
    at=$((at + 4))
    echo "$(tail -c "+$((at + 5))" "$1.bytes" | head -c "$(number_at "$at")") $key"
}

# Print the four bytes at offset $1 as a number.
number_at() {
    tail -c "+$(($1 + 1))" "$run/half.bytes" | head -c 4 | od -A n -t u1 | {
        read -r a b c d
        echo $((a * 16777216 + b * 65536 + c * 256 + d))
    }
}

# Write the public halves to $run/exposed_keys, remove them from $run/authorized_keys, and add problems.
# Set $image_keys_doubtful if the image may hold a pair that could log in and we cannot be sure.
drop_exposed_keys() {
    image_keys_doubtful=
    : >"$run/exposed_keys"
    command -v find >/dev/null 2>&1 || image_keys_doubtful='the image has no find'
    list_private_keys >"$run/private_keys"
    list_stray_keys >"$run/stray_keys"
    while IFS= read -r file; do
        print_public_halves "$file" | sort -u >"$run/halves"
        if [ -s "$run/halves" ]; then
            cat "$run/halves" >>"$run/exposed_keys"
            report_exposed "$file"
        else
            case $file in *ssh* | *dropbear*) image_keys_doubtful=$file ;; esac
        fi
    done <"$run/private_keys"
    while IFS= read -r file; do
        print_public_halves "$file" | sort -u >"$run/halves"
        cat "$run/halves" >>"$run/exposed_keys"
        report_exposed "$file"
    done <"$run/stray_keys"
    without_exposed_keys <"$run/authorized_keys" >"$run/authorized_keys.new"
    mv "$run/authorized_keys.new" "$run/authorized_keys"
    rm -f "$run/half" "$run/half.bytes" "$run/halves" "$run/halves.patterns" "$run/private_keys" "$run/stray_keys"
    if [ -n "$image_keys_doubtful" ] && [ "${SM_PROXY_IMAGE_KEYS-}" != no ] && [ -s "$home/.ssh/authorized_keys" ]; then
        add_problem "keys in $home/.ssh/authorized_keys are ignored: this image may hold their private halves ($image_keys_doubtful)"
    fi
}

# Add a problem if a key in $run/halves, whose private half is in the file $1, was authorised.
report_exposed() {
    [ -s "$run/halves" ] || return 0
    print_key_patterns <"$run/halves" >"$run/halves.patterns"
    ! grep -q -f "$run/halves.patterns" "$home/.ssh/authorized_keys" ||
        add_problem "a key in $home/.ssh/authorized_keys is ignored: this image holds its private half ($1)"
    ! grep -q -f "$run/halves.patterns" "$run/authorized_keys" ||
        add_problem "a key of SM_PROXY_AUTHORIZED_KEY is ignored: this image holds its private half ($1)"
} 2>/dev/null

# Print grep patterns that find the keys on stdin in lines of authorised keys. They match whole words:
# a truncated key is the beginning of many others.
print_key_patterns() {
    sed -n 's/^[^ ]* \(.*\)$/[[:space:]]\1[[:space:]]\n[[:space:]]\1$/p'
}

# Write the exposed keys that this sshd can read to $run/revoked_keys: one line that it cannot read makes
# sshd treat every key as revoked.
write_revoked_keys() {
    while IFS= read -r line; do
        echo "$line" >"$run/half"
        ! clean_env_with_timeout ssh-keygen -l -f "$run/half" >/dev/null 2>&1 </dev/null || echo "$line"
    done <"$run/exposed_keys" >"$run/revoked_keys"
    rm -f "$run/half"
}

# Copy lines of authorised keys, without those that hold an exposed key.
without_exposed_keys() {
    [ -s "$run/exposed_keys" ] || { cat && return; }
    print_key_patterns <"$run/exposed_keys" >"$run/exposed_keys.patterns"
    grep -v -f "$run/exposed_keys.patterns" || :
}
