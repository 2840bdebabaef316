#!/bin/bash
# healthcheck PORT PATH: ends with 0 when http://127.0.0.1:PORT/PATH answers 200. Without curl, and
# without starting Python every few seconds.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r -t 3 -u 3 _ status _ || exit 1
[[ $status == 200 ]]
