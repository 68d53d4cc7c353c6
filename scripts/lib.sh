# Sourced by the scripts beside it: where the checkout is, and what a bare Debian 12 with Rust still needs.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# A cargo that rustup has just installed may not be on the path of this shell yet.
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    die "this needs root: $*"
  fi
}

# What bindgen needs to read C headers: the library, and the compiler's own headers beside it.
has_libclang() {
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
}

# Installs what is missing; does nothing, and needs no root, where nothing is.
need_packages() {
  local missing=()
  command -v c++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  command -v git >/dev/null || missing+=(git)
  command -v flock >/dev/null || missing+=(util-linux)
  has_libclang || missing+=(libclang1-14 libclang-common-14-dev)
  [[ " $* " != *" python "* ]] || python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  if [[ " $* " == *" node "* ]]; then
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
  fi
  [[ " $* " != *" chromium "* ]] || command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
  [[ " $* " != *" valgrind "* ]] || command -v vgdb >/dev/null || missing+=(valgrind)
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

need_cargo() {
  command -v cargo >/dev/null || die "cargo is missing: install Rust with rustup first"
}

# nextest runs each test in a process of its own, which some tests need: they lower limits of their process.
need_nextest() {
  cargo nextest --version >/dev/null 2>&1 && return
  say "installing cargo-nextest (some minutes)"
  cargo install --locked --quiet cargo-nextest
}

# RocksDB from the cache outside the checkout; the first time it is built, which takes 14-20 minutes on two cores.
use_rocksdb() {
  # shellcheck source=scripts/env
  source "$root/scripts/env"
}
