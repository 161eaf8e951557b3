#!/usr/bin/env bash
# Brings the real servers that the tests start: the system's own redis-server,
# memcached, varnish (with its modules), nginx and postgresql, and redis 8.0, valkey 8.1
# and memcached 1.6.38 from Debian 13 in a folder of their own, which touches nothing on
# the system. Running it again, or twice at once, is safe; with everything there it takes
# no time.
#
#   CACHECTL_SERVERS      the folder; default ~/.cache/cachectl/servers
#   CACHECTL_DEBIAN_URI   a Debian mirror, where apt's own sources have none
set -euo pipefail

readonly release=trixie
readonly stamp="2 redis-server valkey-server memcached"
readonly base=${CACHECTL_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/cachectl/servers}
readonly root=$base/$release

say() { printf 'servers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# complete DIR: the folder was filled to its end, and nobody emptied it since.
complete() {
	local program
	[ "$(cat "$1/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
	for program in redis-server valkey-server memcached; do
		[ -x "$1/usr/bin/$program" ] || return 1
	done
}

# missing_system: packages that the system lacks. A user's PATH may be without
# sbin, varnish-modules has no program, and Debian keeps PostgreSQL's out of the PATH.
missing_system() {
	command -v redis-server >/dev/null || echo redis-server
	command -v memcached >/dev/null || echo memcached
	PATH=$PATH:/usr/sbin:/usr/local/sbin command -v varnishd >/dev/null || echo varnish
	[ -n "$(find /usr/lib /usr/local/lib -name libvmod_xkey.so -print -quit 2>/dev/null)" ] || echo varnish-modules
	PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx >/dev/null || echo nginx
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
}

have_system() { [ -z "$(missing_system)" ]; }

# A package that was not there before starts its service. The tests start
# their own, so that one is stopped, now and at boot.
quiet_service() {
	if [ -d /run/systemd/system ]; then
		as_root systemctl disable --now --quiet "$1" || true
	else
		as_root service "$1" stop >/dev/null 2>&1 || true
	fi
}

# Descriptor 9 is the lock: a service that a package starts must not inherit it.
install_system() {
	local package missing
	mapfile -t missing < <(missing_system)
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	as_root apt-get update -qq 9>&-
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 9>&-
	for package in "${missing[@]}"; do
		[ "$package" = varnish-modules ] || quiet_service "$package"
	done
}

# The mirror that apt uses for Debian itself (not security, not backports).
# Apt knows the origin of a source only after an update.
debian_uri() {
	apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | sed -n 1p
}

find_uri() {
	local uri=${CACHECTL_DEBIAN_URI:-}
	[ -n "$uri" ] || uri=$(debian_uri)
	if [ -z "$uri" ]; then
		as_root apt-get update -qq 9>&-
		uri=$(debian_uri)
	fi
	[ -n "$uri" ] || die "apt has no Debian source here: set CACHECTL_DEBIAN_URI to a Debian mirror"
	printf '%s\n' "$uri"
}

find_keyring() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	if [ ! -r "$keyring" ]; then
		as_root apt-get install -y -qq --no-install-recommends debian-archive-keyring >/dev/null 9>&-
	fi
	printf '%s\n' "$keyring"
}

# fetch_release DIR: downloads and unpacks into DIR, with an apt state of its
# own. The empty dpkg status makes every dependency come, libc too. Without a
# sandbox user, because that user could not read a private cache folder.
fetch_release() {
	local dir=$1 uri keyring deb own
	uri=$(find_uri)
	keyring=$(find_keyring)
	mkdir -p "$dir/apt/sources" "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
	: >"$dir/apt/status"
	printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
		"$uri" "$release" "$keyring" >"$dir/apt/sources/$release.sources"
	own=(
		-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/apt/sources"
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o "Dir::State::Lists=$dir/apt/lists" -o "Dir::State::status=$dir/apt/status"
		-o "Dir::State::extended_states=$dir/apt/extended_states"
		-o "Dir::Cache=$dir/apt/cache" -o APT::Default-Release= -o APT::Sandbox::User=
		-o Acquire::Languages=none -o Acquire::Retries=3
	)
	say "fetching redis 8.0, valkey 8.1 and memcached 1.6.38 from Debian 13 into $root"
	apt-get "${own[@]}" update -qq 9>&-
	apt-get "${own[@]}" install -y -qq --no-install-recommends --download-only \
		redis-server valkey-server memcached libc6 libc-bin >/dev/null 9>&-
	for deb in "$dir"/apt/cache/archives/*.deb; do dpkg -x "$deb" "$dir"; done
	rm -rf "$dir/apt"
}

# check DIR: what was fetched runs on this machine.
check() {
	local loader program
	loader=$(ls "$1"/usr/lib/*-linux-gnu*/ld-linux*.so.* | sed -n 1p)
	for program in redis-server valkey-server memcached; do
		"$loader" --library-path "${loader%/*}:${loader%/*}/systemd" \
			"$1/usr/bin/$program" --version >/dev/null || die "$program of Debian 13 does not run here"
	done
}

main() {
	if have_system && complete "$root"; then return; fi
	if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
		if have_system; then
			die "redis 8.0 and valkey 8.1 can be fetched on Debian and its kin only"
		fi
		die "not a Debian-like system: install redis-server 7.0 or newer, memcached, varnish with varnish-modules, nginx and postgresql yourself"
	fi
	mkdir -p "$base"
	exec 9>"$base/.lock"
	flock 9
	install_system
	if complete "$root"; then return; fi
	rm -rf "$root" "$base/$release".new.*
	local new=$base/$release.new.$$
	fetch_release "$new"
	check "$new"
	printf '%s\n' "$stamp" >"$new/.stamp"
	mv "$new" "$root"
	say "done"
}

main "$@"
