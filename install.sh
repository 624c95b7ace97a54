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
    *) fail "there is no binary for $system on $machine; help: build it from the source, see docs/install.md" ;;
  esac
}

base_url() {
  if [ -n "${BATON_BASE_URL:-}" ]; then
    echo "${BATON_BASE_URL%/}"
    return
  fi
  case "$repository" in
    *@*) fail "this copy does not name its release; help: set BATON_REPOSITORY=owner/name, or BATON_BASE_URL" ;;
  esac
  case "$version" in
    latest) echo "https://github.com/$repository/releases/latest/download" ;;
    *) echo "https://github.com/$repository/releases/download/$version" ;;
  esac
}

download() { # URL, file
  if has curl; then
    curl --fail --silent --show-error --location --output "$2" "$1" ||
      fail "cannot download $1; help: open the URL in a browser, or name another place with BATON_BASE_URL"
  elif has wget; then
    wget --quiet --output-document="$2" "$1" ||
      fail "cannot download $1; help: open the URL in a browser, or name another place with BATON_BASE_URL"
  else
    fail "cannot download: curl and wget are missing; help: install one of them"
  fi
}

checksum() { # file
  if has sha256sum; then
    sha256sum "$1"
  elif has shasum; then
    shasum -a 256 "$1"
  else
    fail "cannot check the download: sha256sum and shasum are missing; help: install one of them"
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
  [ -n "$wanted" ] || fail "SHA256SUMS has no line for $archive; help: choose another release with BATON_VERSION"
  found=$(checksum "$scratch/$archive")
  [ "$found" = "$wanted" ] || fail "$archive is damaged, or is not the released file:
  its checksum is   $found
  and ought to be   $wanted
help: run the command again; if it fails again, report it: SECURITY.md says how"

  tar -xzf "$scratch/$archive" -C "$scratch"
  mkdir -p "$folder" || fail "cannot make $folder; help: name another folder with BATON_INSTALL_DIR"
  [ -w "$folder" ] || fail "cannot write to $folder; help: name another folder with BATON_INSTALL_DIR"
  # Beside it and renamed: a baton that runs keeps the file that it has.
  cp "$scratch/baton" "$folder/.baton.new"
  chmod 755 "$folder/.baton.new"
  "$folder/.baton.new" --version >"$scratch/version" || {
    rm -f "$folder/.baton.new"
    fail "the binary does not run on this machine; help: see the systems in docs/install.md, or build it from the source"
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
