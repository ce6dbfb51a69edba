# shellcheck shell=sh
# sm-proxy: durations such as 90, 90s, 10m, 2h and 1d. Sourced by entrypoint.sh and exchange.sh. On the
# laptop, sm_proxy/settings/durations.py has the same grammar.

# Print the seconds of the duration $1, or fail. At most 7 digits, so that no shell overflows.
parse_duration() {
    number=${1%[smhd]}
    case $number in '' | *[!0-9]* | ????????*) return 1 ;; esac
    while [ "$number" != "${number#0}" ] && [ "$number" != 0 ]; do number=${number#0}; done
    case $1 in
        *m) echo $((number * 60)) ;;
        *h) echo $((number * 3600)) ;;
        *d) echo $((number * 86400)) ;;
        *) echo "$number" ;;
    esac
}
