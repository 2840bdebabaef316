#!/bin/bash
# Makes a cluster where there is none, then runs PostgreSQL with the arguments given.
#
# POSTGRES_PASSWORD (needed for a new cluster), POSTGRES_USER (postgres) and POSTGRES_DB (the user's
# name) as in the official image. With S3_ENDPOINT_URL, BACKUP_BUCKET, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY finished segments of the write-ahead log go to that bucket; without, they
# stay in /var/lib/postgresql/archive. Ends with 2 where a variable is missing.
set -euo pipefail

root=$(dirname "$PGDATA")

make_cluster() {
    local user=${POSTGRES_USER:-postgres} making=$root/.making
    if [[ -z ${POSTGRES_PASSWORD:-} ]]; then
        echo "metadata: POSTGRES_PASSWORD is not set; a new cluster needs one" >&2
        exit 2
    fi
    umask 077
    rm -rf "$making"
    printf '%s\n' "$POSTGRES_PASSWORD" >"$root/.password"
    initdb -D "$making" -U "$user" --pwfile="$root/.password" --encoding=UTF8 --locale=C \
        --auth-local=reject --auth-host=scram-sha-256 --data-checksums --wal-segsize=4 --no-sync \
        >"$root/.initdb.log" || { cat "$root/.initdb.log" >&2; exit 1; }
    rm "$root/.password" "$root/.initdb.log"
    printf 'host all all all scram-sha-256\nhost replication all all scram-sha-256\n' \
        >"$making/pg_hba.conf"
    # Archives of several clusters may lie in one bucket, under a name that is a cluster's own.
    local name
    name=rag-$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')
    cat >>"$making/postgresql.conf" <<END
listen_addresses = '*'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
shared_buffers = 48MB
max_connections = 120
wal_level = replica
archive_mode = on
archive_timeout = 60s
archive_command = 'metadata archive $name %p %f'
cluster_name = '$name'
log_line_prefix = '%m [%p] %u@%d '
# What people wrote must not reach the log.
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length_on_error = 0
log_timezone = UTC
timezone = UTC
END
    local database=${POSTGRES_DB:-$user}
    if [[ $database != postgres ]]; then
        printf 'CREATE DATABASE "%s";\n' "$database" |
            postgres --single -D "$making" -c archive_mode=off -c exit_on_error=true \
                -c fsync=off postgres >/dev/null
    fi
    mv "$making" "$PGDATA"
}

# What archive_command runs: into the local archive, once, and from there into the bucket.
archive() {
    local cluster=$1 path=$2 file=$3
    mkdir -p "$root/archive"
    if [[ ! -e $root/archive/$file ]]; then
        cp "$path" "$root/archive/.$file"
        mv "$root/archive/.$file" "$root/archive/$file"
    fi
    [[ -n ${S3_ENDPOINT_URL:-} ]] || return 0
    python -m scripts.dayops wal_archive --cluster "$cluster" "$root/archive/$file"
}

if [[ ${1:-} == archive ]]; then
    shift
    archive "$@"
    exit
fi
[[ -s $PGDATA/PG_VERSION ]] || make_cluster
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" "$@"
