"""SeaweedFS for one run: an S3 server on loopback with random keys and the backup bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.drivers.embedded.places import weed_bin
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.state import write_private

BUCKET = "rag-backups"
_PARTS = ("master", "volume", "filer", "admin")
PORTS = (
    "objectstore",
    "objectstore-s3-grpc",
    "objectstore-metrics",
    *(f"objectstore-{part}{kind}" for part in _PARTS for kind in ("", "-grpc")),
)


@dataclass(frozen=True)
class ObjectStore:
    """One run's object store in ``directory``; ``ports`` as named in ``PORTS``."""

    directory: Path
    ports: dict[str, int]

    def prepare(self, access_key: str, secret_key: str, admin_password: str) -> None:
        """Write the files that hold secrets, readable by nobody else."""
        (self.directory / "data").mkdir(mode=0o700, exist_ok=True)
        identities = {
            "identities": [
                {
                    "name": "operator",
                    "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                }
            ]
        }
        write_private(self._identities, json.dumps(identities))
        write_private(self._options, f"admin.user=admin\nadmin.password={admin_password}\n")

    @property
    def _identities(self) -> Path:
        return self.directory / "identities.json"

    @property
    def _options(self) -> Path:
        return self.directory / "options"

    @staticmethod
    def variables(internal_key: str) -> dict[str, str]:
        """Keys without which its inner servers (filer, volumes) answer nobody but each other."""
        names = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
        return {f"WEED_JWT_{name}_KEY": internal_key for name in names}

    def leftovers(self) -> list[str]:
        """Sockets that it makes outside its directory, whatever TMPDIR says, and leaves there."""
        names = [
            *(f"{part}-grpc-{self.ports[f'objectstore-{part}-grpc']}" for part in _PARTS),
            f"s3-grpc-{self.ports['objectstore-s3-grpc']}",
            f"s3-{self.ports['objectstore']}",
            f"filer-{self.ports['objectstore-filer']}",
        ]
        return [f"/tmp/seaweedfs-{name}.sock" for name in names]

    def command(self) -> list[str]:
        port = self.ports
        return [
            *(str(weed_bin()), "-logtostderr=true", "mini", f"-dir={self.directory / 'data'}"),
            *(f"-ip={HOST}", f"-ip.bind={HOST}", f"-bucket={BUCKET}"),
            f"-options={self._options}",
            *(f"-s3.config={self._identities}", "-s3.autoCreateBucket=false"),
            *(f"-s3.port={port['objectstore']}", f"-s3.port.grpc={port['objectstore-s3-grpc']}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false"),
            *(f"-metricsPort={port['objectstore-metrics']}", f"-metricsIp={HOST}"),
            *(
                f"-{part}.port{suffix}={port[f'objectstore-{part}{kind}']}"
                for part in _PARTS
                for kind, suffix in (("", ""), ("-grpc", ".grpc"))
            ),
            # It reports usage to its makers by default, and waits 10 s for peers when stopped.
            *("-master.telemetry=false", "-volume.preStopSeconds=0"),
        ]
