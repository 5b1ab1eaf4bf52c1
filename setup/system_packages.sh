#!/bin/sh
# Makes sure of the two programs that the tests need and that no Python package brings:
# a Chromium, and the programs of a PostgreSQL server. Installs them by apt where that is
# permitted (root, or sudo without a password); says what is missing where it is not.
set -u

has_chromium() {
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

has_postgresql() {
    for folder in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
        [ -x "$folder/initdb" ] && return 0
    done
    command -v initdb >/dev/null 2>&1
}

missing=""
has_chromium || missing="$missing chromium"
has_postgresql || missing="$missing postgresql"
[ -z "$missing" ] && exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="none"; fi
fi

if ! command -v apt-get >/dev/null 2>&1 || [ "$as_root" = "none" ]; then
    echo "The test suite needs these, and they may not be installed from here:$missing" >&2
    echo "Install them (on Debian, as root: apt-get install$missing), then run this again." >&2
    exit 1
fi

echo "Installing for the test suite:$missing"
# shellcheck disable=SC2086
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends $missing >/dev/null
} || {
    echo "apt-get could not install:$missing. Install them by hand, then run this again." >&2
    exit 1
}
