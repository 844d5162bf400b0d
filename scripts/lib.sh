# shellcheck shell=bash
# What every script here shares: words on the screen, bounded waits, packages, and the names of the images.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck disable=SC2034 # those who source this use them
CACHE="$ROOT/.cache"

# The official images of a registry can be put in their place: DAUPHIN_MYSQL_IMAGE=mysql:8.4 make test
# shellcheck disable=SC2034
MYSQL_IMAGE="${DAUPHIN_MYSQL_IMAGE:-dauphin-test/mysql:9.7}"
# shellcheck disable=SC2034
MARIADB_IMAGE="${DAUPHIN_MARIADB_IMAGE:-dauphin-test/mariadb:11.8}"

# The Rust that CI checks with: installed where there is none; others will do to build with.
RUST_VERSION=1.95.0

say() { printf '%s\n' "==> $*" >&2; }
note() { printf '%s\n' "    $*" >&2; }
die() {
  printf '%s\n' "error: $1" >&2
  shift
  for line in "$@"; do printf '%s\n' "       $line" >&2; done
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$1' needs root and there is no sudo" "Run this as root, or install what is missing by hand."
  fi
}

# wait_for SECONDS WHAT COMMAND...: one dot a second until COMMAND succeeds, an error after SECONDS.
wait_for() {
  local limit=$1 what=$2 start=$SECONDS next_dot=$((SECONDS + 2)) dots=""
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS - start >= limit)); then
      [ -z "$dots" ] || printf '\n' >&2
      printf '%s\n' "error: waited $limit s for $what" >&2
      return 1
    fi
    if ((SECONDS >= next_dot)); then
      [ -n "$dots" ] || printf '    waiting for %s ' "$what" >&2
      printf . >&2
      dots=shown
      next_dot=$((SECONDS + 1))
    fi
    sleep 0.2
  done
  [ -z "$dots" ] || printf '\n' >&2
}

# apt_install PACKAGE...: installs those that are missing, once, quietly; the log is shown when it fails.
apt_install() {
  local missing=() package log
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "this needs ${missing[*]} and there is no apt-get" "Install them with this machine's package manager, then run this again."
  say "installing ${missing[*]}"
  log="$(mktemp)"
  # A package list that cannot be refreshed is only a problem if the install then fails.
  as_root timeout 300 apt-get -qq -o Acquire::Retries=3 update >"$log" 2>&1 || true
  as_root env DEBIAN_FRONTEND=noninteractive timeout 900 \
    apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    die "apt-get could not install ${missing[*]}" "The whole log is in $log"
  }
  rm -f "$log"
}

docker_answers() { timeout 10 docker info >/dev/null 2>&1; }

# Compose in whichever of its forms is here.
compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose "$@"
  else
    apt_install docker-compose
    docker-compose "$@"
  fi
}

# What the fault rig cuts networks with.
need_network_tools() {
  command -v nsenter >/dev/null || apt_install util-linux
  PATH="$PATH:/usr/sbin:/sbin" command -v iptables >/dev/null || apt_install iptables
}

# Rust's own installer, for this user only and without touching the shell's profile. Distributions' cargo may be too old.
install_rust() {
  local installer
  apt_install curl ca-certificates
  say "installing Rust $RUST_VERSION into ${CARGO_HOME:-$HOME/.cargo}"
  installer="$(mktemp)"
  if ! {
    curl --proto '=https' --tlsv1.2 --retry 3 -sSfo "$installer" https://static.rust-lang.org/rustup/rustup-init.sh &&
      sh "$installer" -y --quiet --no-modify-path --default-toolchain "$RUST_VERSION" >&2
  }; then
    die "there is no cargo on this machine, and Rust could not be installed" "See https://rustup.rs, then run this again."
  fi
  rm -f "$installer"
}

# cargo, and the C compiler that some crates need.
need_cargo() {
  export PATH="$PATH:$HOME/.cargo/bin"
  command -v cargo >/dev/null || install_rust
  command -v cc >/dev/null || apt_install build-essential
}
