#!/bin/sh
# Rewrites the lock files from cpu.in and gpu.in: `sh envs/lock.sh`, with uv installed (pip install uv).
# Versions already locked are kept where they still fit; `sh envs/lock.sh --upgrade` takes the newest.
set -eu
cd "$(dirname "$0")"
export UV_CUSTOM_COMPILE_COMMAND="sh envs/lock.sh"
options="--quiet --generate-hashes --no-annotate --python-version 3.11 $*"

uv pip compile $options gpu.in --output-file gpu.txt >/dev/null

# cpu.txt has the same versions less torch and what its CUDA build brings along.
omit="--no-emit-package torch --no-emit-package triton"
for package in $(sed -n 's/^\(nvidia-[a-z0-9-]*\|cuda-[a-z0-9-]*\)==.*/\1/p' gpu.txt); do
    omit="$omit --no-emit-package $package"
done
uv pip compile $options cpu.in --constraints gpu.txt $omit --output-file cpu.txt >/dev/null
