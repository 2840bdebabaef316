#!/bin/bash
# Starts the S3 server: MINIO_ROOT_USER and MINIO_ROOT_PASSWORD are the operator's key, BACKUP_BUCKET
# (rag-backups) is made. Ends with 2 where a variable is missing.
set -euo pipefail

for name in MINIO_ROOT_USER MINIO_ROOT_PASSWORD; do
    if [[ -z ${!name:-} ]]; then
        echo "objectstore: $name is not set; it must hold the operator's S3 key" >&2
        exit 2
    fi
    # They go into JSON as they are.
    if [[ ! ${!name} =~ ^[A-Za-z0-9._/+=-]+$ ]]; then
        echo "objectstore: $name may hold letters, digits and ._/+=- only" >&2
        exit 2
    fi
done

# MinIO's image is told what to serve from where; here that is settled.
if [[ ${1:-} == server ]]; then shift $#; fi

umask 077
settings=$(mktemp -d)
cat >"$settings/identities.json" <<END
{"identities": [{"name": "operator",
  "credentials": [{"accessKey": "$MINIO_ROOT_USER", "secretKey": "$MINIO_ROOT_PASSWORD"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
random() { od -An -N20 -tx1 /dev/urandom | tr -d ' \n'; }
printf 'admin.user=admin\nadmin.password=%s\n' "$(random)" >"$settings/options"

# Its inner servers answer only who holds this key, which nobody outside the container ever sees.
key=$(random)
export WEED_JWT_SIGNING_KEY=$key WEED_JWT_SIGNING_READ_KEY=$key
export WEED_JWT_FILER_SIGNING_KEY=$key WEED_JWT_FILER_SIGNING_READ_KEY=$key
unset MINIO_ROOT_USER MINIO_ROOT_PASSWORD

exec weed -logtostderr=true mini -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 \
    -bucket="${BACKUP_BUCKET:-rag-backups}" -options="$settings/options" \
    -s3.config="$settings/identities.json" -s3.autoCreateBucket=false \
    -s3.port=9000 -s3.port.iceberg=0 -s3.port.lance=0 -webdav=false \
    -metricsPort=9324 -metricsIp=0.0.0.0 \
    -master.telemetry=false -volume.preStopSeconds=0 "$@"
