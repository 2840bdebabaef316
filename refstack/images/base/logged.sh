#!/bin/bash
# logged NAME COMMAND...: runs the command in its own place, what it says also goes to /logs/NAME.log,
# where the log shipper finds it. A full or missing directory costs the file, never the service.
set -eu
name=$1
shift
exec > >(exec tee -a "/logs/$name.log" 2>/dev/null) 2>&1
exec "$@"
