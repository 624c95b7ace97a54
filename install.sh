#!/bin/sh
# Installs the baton binary for the user who runs this: downloads it, compares its checksum, puts it into
# ~/.local/bin. Needs no root, changes nothing else.
#
#   BATON_INSTALL_DIR   where to, instead of ~/.local/bin
#   BATON_VERSION       which release (v1.2.3), instead of the latest
#   BATON_REPOSITORY    owner/name on GitHub, for a copy of this script that is from no release
#   BATON_BASE_URL      where the files of the release are, instead of GitHub (http, https or file)
set -eu

# Filled in by the release.
repository="${BATON_REPOSITORY:-@REPOSITORY@}"
folder="${BATON_INSTALL_DIR:-${HOME:?}/.local/bin}"
version="${BATON_VERSION:-latest}"

fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

target() {
  system=$(uname -s) machine=$(uname -m)
  case "$system $machine" in
    "Linux x86_64") echo x86_64-linux ;;
    "Linux aarch64" | "Linux arm64") echo aarch64-linux ;;
    "Darwin arm64") echo aarch64-macos ;;
    *) fail "there is no binary for $system on $machine: build it, see README.md" ;;
  esac
}

base_url() {
  if [ -n "${BATON_BASE_URL:-}" ]; then
    echo "${BATON_BASE_URL%/}"
    return
  fi
  case "$repository" in
    *@*) fail "this copy does not name its release: set BATON_REPOSITORY=owner/name, or BATON_BASE_URL" ;;
  esac
  case "$version" in
    latest) echo "https://github.com/$repository/releases/latest/download" ;;
    *) echo "https://github.com/$repository/releases/download/$version" ;;
  esac
}

download() { # URL, file
  if has curl; then
    curl --fail --silent --show-error --location --output "$2" "$1" || fail "cannot download $1"
  elif has wget; then
    wget --quiet --output-document="$2" "$1" || fail "cannot download $1"
  else
    fail "cannot download: install curl or wget"
  fi
}

checksum() { # file
  if has sha256sum; then
    sha256sum "$1"
  elif has shasum; then
    shasum -a 256 "$1"
  else
    fail "cannot check the download: install sha256sum or shasum"
  fi | cut -d ' ' -f 1
}

main() {
  archive="baton-$(target).tar.gz"
  url=$(base_url)
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 1' HUP INT TERM

  download "$url/$archive" "$scratch/$archive"
  download "$url/SHA256SUMS" "$scratch/SHA256SUMS"
  wanted=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$scratch/SHA256SUMS")
  [ -n "$wanted" ] || fail "SHA256SUMS has no line for $archive"
  found=$(checksum "$scratch/$archive")
  [ "$found" = "$wanted" ] || fail "$archive is damaged, or is not the released file:
  its checksum is   $found
  and ought to be   $wanted"

  tar -xzf "$scratch/$archive" -C "$scratch"
  mkdir -p "$folder" || fail "cannot make $folder: name another one with BATON_INSTALL_DIR"
  [ -w "$folder" ] || fail "cannot write to $folder: name another one with BATON_INSTALL_DIR"
  # Beside it and renamed: a baton that runs keeps the file that it has.
  cp "$scratch/baton" "$folder/.baton.new"
  chmod 755 "$folder/.baton.new"
  "$folder/.baton.new" --version >"$scratch/version" || {
    rm -f "$folder/.baton.new"
    fail "the binary does not run on this machine"
  }
  mv "$folder/.baton.new" "$folder/baton"
  printf 'installed %s: %s\n' "$(cat "$scratch/version")" "$folder/baton"

  case ":$PATH:" in
    *":$folder:"*) ;;
    *) printf 'add it to your PATH: export PATH="%s:%sPATH"\n' "$folder" "\$" ;;
  esac
}

# Called last: a download that was cut does nothing.
main
