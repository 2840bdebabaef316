"""Makes the bucket of the backups; the job rag-bucket of refstack/compose.yaml."""

from __future__ import annotations

import os
import sys
import time
from urllib.parse import urlsplit

import minio
import urllib3

PATIENCE_S = 60.0


def main() -> int:
    """Return 0 once the bucket is there, 1 where the object store does not answer in time."""
    endpoint = urlsplit(os.environ["S3_ENDPOINT_URL"])
    bucket = os.environ["BACKUP_BUCKET"]
    client = minio.Minio(
        endpoint.netloc,
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        secure=endpoint.scheme == "https",
        region=os.environ.get("AWS_REGION", "us-east-1"),
        http_client=urllib3.PoolManager(retries=False, timeout=5.0),
    )
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket)
            return 0
        except (minio.error.MinioException, urllib3.exceptions.HTTPError, ValueError) as error:
            if time.monotonic() > deadline:
                print(f"make_bucket: {bucket}: {error}", file=sys.stderr)
                return 1
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
