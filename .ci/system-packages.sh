#!/usr/bin/env bash
# What the build and the simulated camera need from the system: cmake, a C++ compiler and a software OpenGL (EGL).
# Arguments: commands that are wanted as well, each named as its package is.
set -euo pipefail
missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v g++ >/dev/null || missing+=(g++)
ldconfig -p | grep -q libEGL.so.1 || missing+=(libegl1)
ldconfig -p | grep -q libGL.so.1 || missing+=(libgl1)
compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null || compgen -G '/usr/lib/*/libgallium*' >/dev/null || missing+=(libgl1-mesa-dri)
ldconfig -p | grep -q libgomp.so.1 || missing+=(libgomp1)
for name in "$@"; do command -v "$name" >/dev/null || missing+=("$name"); done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing system packages: ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then run=(); else run=(sudo); fi
if ! { "${run[@]}" apt-get update -qq && "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null; }; then
  echo "Could not install ${missing[*]}: install them with your system's package manager, then run make again." >&2
  exit 1
fi
