# Sourced by the scripts beside it: where things are, and how to speak.
# shellcheck shell=bash

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$top"

# Everything built or fetched goes here. It is build/, which scripts/setup makes,
# as a link where an ordinary user could not reach it. A toolchain fetched goes
# before the machine's.
machine_path=$PATH
find_build() {
	build=$(readlink -f "$top/build")
	export PATH=$build/go/bin:$build/node/bin:$machine_path
}
find_build

# Debian's npm finds its own modules only by Debian's node.
npm() { PATH=$machine_path command npm "$@"; }

say() { printf '\n== %s\n' "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# install_servers DIR installs the pinned npm packages of DIR into build/, under
# DIR's own name, once per lock file, and prints where that is. No script of a
# package runs. `npm install` takes versions and sums from the lock file as `npm
# ci` does; `npm ci` refuses a lock file without the optional packages for other
# systems that a publisher never published.
install_servers() {
	local into lock
	into=$build/servers/$(basename "$1")
	lock=$(sha256sum "$1/package-lock.json" | cut -d' ' -f1)
	if [[ $(cat "$into/.lock" 2>/dev/null) != "$lock" ]]; then
		rm -rf "$into"
		mkdir -p "$into"
		cp "$1/package.json" "$1/package-lock.json" "$into/"
		# Not by --prefix, with which npm reads no npmrc of the machine's.
		(cd "$into" && npm install --ignore-scripts --no-audit --no-fund >&2) || return
		printf '%s\n' "$lock" >"$into/.lock"
	fi
	printf '%s\n' "$into"
}
