#!/usr/bin/env bash
# Makes the checkout's own .venv and installs Ragdrill into it; does nothing when that is done.
#
#   scripts/bootstrap.sh [EXTRA...]      EXTRA: dev, containers, eval, gpu (see pyproject.toml)
#
# PYTHON=/path/to/python3.12   use this interpreter (default: the first of python3, python3.14 ...
#                              python3.11 on PATH that is new enough)
# RAGDRILL_UV=0                use venv and pip even where uv is on PATH
#
# Exit status: 0 the environment is complete; 1 it could not be made; 2 wrong arguments.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv
readonly stamp=$venv/ragdrill-stamp      # written last: an environment with it is complete
readonly marker=$venv/ragdrill-installing  # there while an install is under way or was cut off
readonly known_extras="dev containers eval gpu"

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

extras=()
for extra in "$@"; do
    case " $known_extras " in
        *" $extra "*) extras+=("$extra") ;;
        *)
            say "there is no extra '$extra'; known: $known_extras"
            exit 2
            ;;
    esac
done

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1
}

# Settings of pytest, ruff and mypy change nothing that is installed.
fingerprint() {
    awk '/^\[/ { kept = !/^\[+tool\.(pytest|ruff|mypy)/ } kept' pyproject.toml | sha256
}

stamped() { sed -n "s/^$1=//p" "$stamp"; }

venv_runs() { "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

has_extras() {
    local have extra
    have=" $(stamped extras) "
    for extra in ${extras[@]+"${extras[@]}"}; do
        [[ $have == *" $extra "* ]] || return 1
    done
}

complete() {
    [[ -f $stamp && ! -e $marker && $(stamped checkout) == "$PWD" ]] &&
        [[ $(stamped requirements) == "$(fingerprint)" ]] && has_extras && venv_runs
}

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local name path seen=""
    if [[ -n ${PYTHON:-} ]]; then
        path=$(command -v "$PYTHON") || die "PYTHON=$PYTHON: there is no such program."
        new_enough "$path" ||
            die "PYTHON=$PYTHON is Python $(version_of "$path"); 3.11 or newer is needed."
        printf '%s\n' "$path"
        return
    fi
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        if new_enough "$path"; then
            printf '%s\n' "$path"
            return
        fi
        seen+=" $path ($(version_of "$path" || echo 'does not run'))"
    done
    die "Python 3.11 or newer is needed; found:${seen:- none}." \
        "Install one (Debian 12, Ubuntu 24.04: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3.11 make setup"
}

make_venv() {
    if [[ -n $uv ]]; then
        "$uv" venv --quiet --allow-existing --python "${PYTHON:->=3.11}" "$venv" ||
            die "uv could not make the environment (its message is above). Try RAGDRILL_UV=0."
    elif "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        "$python" -m venv "$venv" || die "$python -m venv failed (its message is above)."
    elif "$python" -c 'import venv' 2>/dev/null && "$python" -m pip --version >/dev/null 2>&1; then
        say "this Python has no ensurepip: its own pip installs into the environment"
        "$python" -m venv --without-pip "$venv" || die "$python -m venv failed (its message is above)."
    else
        die "$python ($(version_of "$python")) can make no virtual environment: its venv module is not complete." \
            "Install it (Debian, Ubuntu: apt install python3-venv), or install uv, and run this again."
    fi
}

install() {
    if [[ -n $uv ]]; then
        "$uv" pip install --python "$venv/bin/python" "$@"
    elif "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$venv/bin/python" -m pip install "$@"
    else
        "${python:-$(find_python)}" -m pip --python "$venv/bin/python" install "$@"
    fi
}

uninstall() {
    if [[ -n $uv ]]; then
        "$uv" pip uninstall --python "$venv/bin/python" "$@"
    elif "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$venv/bin/python" -m pip uninstall -y "$@"
    else
        "${python:-$(find_python)}" -m pip --python "$venv/bin/python" uninstall -y "$@"
    fi
}

# onnxruntime and onnxruntime-gpu are two builds of one module: whichever came last would lie over
# the other. The first goes, and takes shared files with it, which the second then puts back.
take_cuda_build() {
    local wanted
    [[ " ${extras[*]-} " == *" gpu "* ]] || return 0
    wanted=$(grep -o 'onnxruntime-gpu[^"]*' pyproject.toml | head -n 1)
    say "onnxruntime gives way to its CUDA build"
    uninstall onnxruntime && install --force-reinstall --no-deps "$wanted"
}

complete && exit 0

# One install at a time, also under `make -j`; the lock ends with this process.
if command -v flock >/dev/null; then
    exec 9<pyproject.toml
    flock 9
    complete && exit 0
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1 PIP_USER=0
unset PYTHONHOME PYTHONPATH
uv=""
[[ ${RAGDRILL_UV:-1} == 0 ]] || uv=$(command -v uv || true)

maker=ours
[[ ! -f $stamp ]] || maker=$(stamped maker)
[[ ! -d $venv ]] || rmdir "$venv" 2>/dev/null || true
if [[ -e $marker ]]; then
    if [[ $(<"$marker") != ours ]]; then
        die "An install into $venv was interrupted, and this script did not make that environment." \
            "Remove $venv (or repair it and remove $marker) and run this again."
    fi
    say "an earlier install was interrupted: starting afresh"
    rm -rf "$venv"
elif [[ -f $stamp ]] && { ! venv_runs || [[ $(stamped checkout) != "$PWD" ]]; }; then
    [[ $maker == ours ]] || die "$venv belongs to another place or its Python is gone, and this" \
        "script did not make it. Remove it and run this again."
    say "$venv belongs to another place or its Python is gone: making a new one"
    rm -rf "$venv"
elif [[ -f $stamp ]]; then
    say "pyproject.toml or the wanted extras changed: bringing $venv up to date"
    read -ra had <<<"$(stamped extras)"
    for extra in ${had[@]+"${had[@]}"}; do
        [[ " ${extras[*]-} " == *" $extra "* ]] || extras+=("$extra")
    done
elif [[ -e $venv ]]; then
    venv_runs || die "$venv exists, was not made by this script, and holds no Python 3.11 or newer." \
        "Move it out of the way and run this again."
    maker=theirs
fi

if [[ ! -e $venv ]]; then
    python=""
    [[ -n $uv && -z ${PYTHON:-} ]] || python=$(find_python)
    # The marker comes first, so that whatever is cut off from here on is seen to be.
    mkdir "$venv"
    echo ours >"$marker"
    say "making $venv with ${uv:-$python}"
    if ! (make_venv); then
        rm -rf "$venv"
        exit 1
    fi
fi
echo "$maker" >"$marker"
[[ ! -f $stamp ]] || mv "$stamp" "$stamp.old"

wanted=$(IFS=,; echo "${extras[*]-}")
say "installing Ragdrill${wanted:+ with $wanted}: about 850 MB on disk; the first time takes some minutes"
status=0
{ install -e ".${wanted:+[$wanted]}" && take_cuda_build; } || status=$?
if [[ $status -ne 0 ]]; then
    # The installer gave up in an orderly way, so what was complete before still is.
    if [[ -f $stamp.old ]]; then
        mv "$stamp.old" "$stamp" && rm -f "$marker"
    elif [[ $maker == theirs ]]; then
        rm -f "$marker"
    fi
    die "The packages could not be installed (exit code $status; the reason is above)." \
        "Offline? The first set-up needs a package index: connect this machine, or point PIP_INDEX_URL" \
        "(uv: UV_INDEX_URL) or PIP_FIND_LINKS at a mirror or a folder of wheels, and run this again." \
        "Nothing half-installed is used: the next run tries again."
fi

printf '%s\n' "checkout=$PWD" "requirements=$(fingerprint)" "extras=${extras[*]-}" "maker=$maker" \
    >"$stamp.new"
mv "$stamp.new" "$stamp"
rm -f "$marker" "$stamp.old"
say "done: $("$venv/bin/python" --version) in $venv"
