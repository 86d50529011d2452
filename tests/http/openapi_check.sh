#!/usr/bin/env bash
# Holds GET /openapi.json of a running server to the OpenAPI 3.1 specification, by a published validator.
#   tests/http/openapi_check.sh path/to/tutti
set -euo pipefail
work=$(mktemp -d)
"$1" serve --device cpu --port 0 2> "$work/log" > /dev/null &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q openapi-spec-validator==0.9.0
for _ in $(seq 300); do
  url=$(sed -n 's#.*ready: \(http://[^ ]*\)/v1 .*#\1#p' "$work/log")
  [[ -n "$url" ]] && break
  sleep 0.1
done
curl -sf "$url/openapi.json" > "$work/openapi.json"
"$work/venv/bin/python" -m openapi_spec_validator "$work/openapi.json" | sed "s#.*/##"
