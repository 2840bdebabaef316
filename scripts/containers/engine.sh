#!/usr/bin/env bash
# Runs a command with a container engine at hand: the one that answers, else one of its own.
#
#   scripts/containers/engine.sh COMMAND [ARGUMENT...]
#
# Where no engine answers (DOCKER_HOST, or the usual socket) and the caller is root, dockerd is
# started with everything it has in a temporary directory, and ended with the command. On Debian
# what is missing for that is installed first: docker.io, iptables, debootstrap.
#
# RAGDRILL_ENGINE_ROOT=DIR   where the engine keeps images, and keeps them for the next time
#
# Exit status: the command's own; 2 wrong arguments; 75 no engine answers and none can be started.
set -euo pipefail

readonly unavailable=75
readonly start_s=90 end_s=40
say() { printf 'engine: %s\n' "$*" >&2; }
none() {
    say "NOT RUN: $*"
    exit "$unavailable"
}
answers() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null | grep -q .; }

if [[ $# -eq 0 ]]; then
    say "what shall be run? scripts/containers/engine.sh COMMAND [ARGUMENT...]"
    exit 2
fi

install_missing() {
    local wanted=()
    command -v dockerd >/dev/null || wanted+=(docker.io)
    command -v iptables >/dev/null || wanted+=(iptables)
    command -v debootstrap >/dev/null || wanted+=(debootstrap)
    [[ ${#wanted[@]} -eq 0 ]] && return 0
    command -v apt-get >/dev/null || none "there is no ${wanted[*]}, and no apt-get to install it"
    say "installing ${wanted[*]} ..."
    # The package would start an engine of the machine's own: this policy forbids it.
    local policy=/usr/sbin/policy-rc.d made=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 0755 "$policy" && made=yes
    fi
    local status=0
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${wanted[@]}") >"$1" 2>&1 || status=$?
    [[ -z $made ]] || rm -f "$policy"
    [[ $status -eq 0 ]] || none "apt-get could not install ${wanted[*]}: $(tail -n 2 "$1" | tr '\n' ' ')"
}

if command -v docker >/dev/null && answers; then
    say "using the engine that answers (${DOCKER_HOST:-the usual socket})"
    exec "$@"
fi
[[ -z ${DOCKER_HOST:-} ]] || none "no engine answers at DOCKER_HOST=$DOCKER_HOST"
[[ $(id -u) -eq 0 ]] || none "no engine answers, and only root can start one"

place=$(mktemp -d "${TMPDIR:-/tmp}/ragdrill-engine.XXXXXX") || exit 1
root=${RAGDRILL_ENGINE_ROOT:-$place/root}
daemon=

finish() {
    local status=$? waited=0
    trap - EXIT INT TERM
    set +e
    if [[ -n $daemon ]]; then
        kill -TERM "$daemon" 2>/dev/null
        while kill -0 "$daemon" 2>/dev/null; do
            if [[ $((waited += 1)) -gt $((end_s * 5)) ]]; then
                kill -KILL "$daemon" 2>/dev/null
                break
            fi
            sleep 0.2
        done
        # It ends with dockerd, unless that had to be killed.
        [[ -s $place/exec/containerd/containerd.pid ]] &&
            kill -KILL "$(<"$place/exec/containerd/containerd.pid")" 2>/dev/null
    fi
    rm -rf "$place" 2>/dev/null || say "left behind, since something is mounted there: $place"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_missing "$place/apt.log"
export DOCKER_HOST=unix://$place/docker.sock
say "starting dockerd in $place ..."
dockerd --data-root "$root" --exec-root "$place/exec" --pidfile "$place/dockerd.pid" \
    --host "$DOCKER_HOST" >"$place/dockerd.log" 2>&1 </dev/null &
daemon=$!
deadline=$((SECONDS + start_s))
until answers; do
    kill -0 "$daemon" 2>/dev/null || {
        daemon=
        none "dockerd does not start here: $(grep -iE 'level=(error|fatal)|failed' "$place/dockerd.log" | tail -n 1)"
    }
    [[ $SECONDS -lt $deadline ]] || none "dockerd did not answer within $start_s s"
    sleep 0.5
done
say "dockerd $(docker version --format '{{.Server.Version}}') answers"
"$@"
