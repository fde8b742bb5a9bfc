#!/usr/bin/env bash
# Builds the image's root twice, from what a container engine would be sent, in two directories, and compares every file.
#   deploy/reproducible.sh        PROFILE=quick-release deploy/reproducible.sh   (faster)
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
# What the engine is sent: the files of the commit that .dockerignore lets through.
mapfile -t sent < <(sed -n 's/^!//p' .dockerignore)
for one in first second/deeper; do
  install -d "$scratch/$one"
  git archive HEAD "${sent[@]}" | tar -x -C "$scratch/$one"
  CARGO_TARGET_DIR=$scratch/$one/target "$scratch/$one/deploy/image-root.sh" "$scratch/$one/image"
  # Names, modes, owners, times and contents.
  tar --sort=name --format=gnu -C "$scratch/$one/image" -cf - . | sha256sum | tee "$scratch/${one%%/*}.sum"
done
cmp "$scratch/first.sum" "$scratch/second.sum" || { echo "reproducible: the two differ" >&2; exit 1; }
echo "reproducible: both are the same, $(stat -c %s "$scratch/first/image/outrigger") bytes of program"
