"""The object store runs with the keys that every manual prints."""

import json

MODULE = "harness.drivers.embedded.seaweed"
CATCHES = "security/no-default-secret::object_store_needs_its_keys"
REASON = "default or missing"


def patch(module):
    original = module.ObjectStore.prepare

    def well_known(self, access_key, secret_key, admin_password):
        original(self, access_key, secret_key, admin_password)
        held = json.loads(self._identities.read_text())
        held["identities"].append(
            {
                "name": "default",
                "credentials": [{"accessKey": "minioadmin", "secretKey": "minioadmin"}],
                "actions": ["Read", "List"],
            }
        )
        module.write_private(self._identities, json.dumps(held))

    module.ObjectStore.prepare = well_known
