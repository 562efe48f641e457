#!/usr/bin/env bash
# Makes the pictures of the page in docs/images anew: an application runs for five minutes, Chromium looks at it.
# `pngquant` makes them smaller, where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

images=$PWD/docs/images
mkdir -p "$images"
HOWDAH_SCREENSHOTS=$images cargo test --test e2e -- page::pictures_for_the_documentation --nocapture
if command -v pngquant >/dev/null 2>&1; then
  pngquant --force --skip-if-larger --ext .png --quality 60-95 "$images"/page-*.png || [ $? -eq 98 ]
fi
large=$(find "$images" -name 'page-*.png' -size +200k)
[ -z "$large" ] || { echo "more than 200 kB: $large" >&2; exit 1; }
ls -l "$images"/page-*.png
