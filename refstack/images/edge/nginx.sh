#!/bin/sh
# nginx with a directory of its own as prefix: relative paths of a configuration lie there.
set -eu
exec /usr/local/libexec/nginx -p /var/cache/nginx/ "$@"
