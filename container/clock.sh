# shellcheck shell=sh
# sm-proxy: a clock that does not jump when somebody sets the date, if /proc has one. Sourced.

smp_clock=0 # seconds since an arbitrary moment
smp_last_clock=0

# Set $smp_clock.
read_clock() {
    if read -r smp_clock smp_idle 2>/dev/null </proc/uptime; then
        smp_clock=${smp_clock%%.*}
    else
        smp_clock=$(date +%s 2>/dev/null) || smp_clock=
    fi
    case $smp_clock in '' | *[!0-9]*) smp_clock=$((smp_last_clock + 1)) ;; esac
    smp_last_clock=$smp_clock
}
