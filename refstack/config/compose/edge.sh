#!/bin/sh
# The edge of refstack/compose.yaml: `edge.sh serve` runs nginx in front of GATEWAY_UPSTREAM
# (host:port); `edge.sh switch HOST:PORT`, run in the same container, sends new connections there
# with no failed request (operations guide, section 6.1). Ends with 2 for a bad address, 1 where
# nginx refuses the change: the old upstream then keeps serving.
set -eu
conf=/etc/nginx/nginx.conf
upstream=/tmp/upstream.conf

write() {
    case $1 in
    *[!A-Za-z0-9._:-]* | *:*:* | :* | *: | "")
        echo "edge: '$1' is no address; it must be like rag-gateway:8080" >&2
        exit 2
        ;;
    *:*) ;;
    *)
        echo "edge: '$1' has no port; it must be like rag-gateway:8080" >&2
        exit 2
        ;;
    esac
    printf 'upstream gateway {\n    server %s max_fails=0;\n    keepalive 64;\n    keepalive_timeout 60s;\n}\n' \
        "$1" >"$upstream.new"
    mv "$upstream.new" "$upstream"
}

case ${1:-} in
serve)
    # A container that is started again goes on with the upstream that it was switched to.
    [ -s "$upstream" ] || write "$GATEWAY_UPSTREAM"
    exec nginx -e stderr -c "$conf"
    ;;
switch)
    cp "$upstream" "$upstream.old"
    write "${2:-}"
    if ! nginx -e stderr -t -q -c "$conf"; then
        mv "$upstream.old" "$upstream"
        exit 1
    fi
    nginx -e stderr -s reload -c "$conf"
    ;;
*)
    echo "usage: edge.sh serve | switch HOST:PORT" >&2
    exit 2
    ;;
esac
