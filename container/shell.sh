# shellcheck shell=sh disable=SC2154,SC2034 # variables of entrypoint.sh and hold.sh
# Sourced by entrypoint.sh, only if SM_PROXY_SHELL is `yes`: the container comes up for a user, who
# looks around, changes the code and then starts the program with `sm-proxy go`.

smp_most_missing=60 # looks at an ssh server that is not there

# Print the words so that a shell reads them as they are.
quote_words() {
    smp_space=
    for smp_word; do
        printf %s "$smp_space"
        smp_space=' '
        case $smp_word in
            '' | *[!A-Za-z0-9._/@%+=:,-]*)
                printf %s "$(printf '%s\n' "$smp_word" | LC_ALL=C sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/")"
                ;;
            *) printf %s "$smp_word" ;;
        esac
    done
}

# Print the program's command, and wait until the user starts it. The wait has no end of its own, so it
# must not begin if nobody can log in.
wait_for_go() {
    [ -r "$smp_here/serve.sh" ] || end_without_shell "$smp_here/serve.sh is missing"
    [ -n "$smp_run" ] || end_without_shell 'no writable folder for run-time files'
    smp_missing=0
    smp_command="cd $(quote_words "$PWD") && $(quote_words "$@")"
    printf '%s\n' "$smp_command" 2>/dev/null >"$smp_run/command"
    write_window shell
    say "SM_PROXY_SHELL=yes: the program starts when you run sm-proxy go; sm-proxy done ends the job without it"
    say "in an ssh session, sh $smp_run/command runs it: $smp_command"
    while [ -z "$smp_stopped" ] && [ ! -e "$smp_run/go" ]; do
        if [ -e "$smp_run/done" ]; then
            say 'the job ends, and its program was not started: sm-proxy done'
            write_window none
            sleep_interruptibly "$smp_farewell" # let the ssh session of `sm-proxy done` end first
            exit "${smp_stopped:-0}"
        fi
        if [ -e "$smp_run/failed" ]; then end_without_shell "$(read_problems)"; fi
        if [ -e "$smp_run/no_keys" ] && [ -e "$smp_run/ready" ]; then end_without_shell 'no public key may log in'; fi
        if is_ssh_running; then smp_missing=0; else smp_missing=$((smp_missing + 1)); fi
        if [ "$smp_missing" -gt "$smp_most_missing" ]; then end_without_shell 'the ssh server has ended'; fi
        sleep_interruptibly "$smp_pause"
    done
    write_window none
    smp_early= # the caller exits after a signal that stops us
}

# Print the problems of our marker.
read_problems() {
    smp_text=$(sed -n 's/.*"problems": \[\(.*\)\]}$/\1/p' "$smp_run/marker" 2>/dev/null | tr -d '"')
    echo "${smp_text:-ssh did not start}"
}

# End the job, which would cost money and serve nobody, for the reason $1. SageMaker shows what a training
# job writes to `failure` and a processing job to `message`.
end_without_shell() {
    smp_text="SM_PROXY_SHELL=yes, but nobody can log in, so the program was not started: $1"
    say "$smp_text"
    for smp_file in failure message; do
        echo "sm-proxy: $smp_text" 2>/dev/null >"${SM_PROXY_ML_DIR:-/opt/ml}/output/$smp_file"
    done
    exit 1
}
