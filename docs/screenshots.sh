#!/usr/bin/env bash
# Makes the pictures of the platform's page in docs/images anew, with real daemons and a browser without a window.
# Look at them before you commit them.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v chromedriver >/dev/null || { echo "there is no chromedriver on the PATH; .ci/run installs it" >&2; exit 1; }
mkdir -p docs/images
PAGE_PICTURES="$PWD/docs/images" cargo test --locked --test page pictures::
