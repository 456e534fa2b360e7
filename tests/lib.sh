# shellcheck shell=sh
# Shared by quickstart and tests/run: Debian packages, and builds in folders of their own. POSIX sh; the current folder is the
# project's top one.

# shellcheck disable=SC2034
PACKAGES_BUILD="autoconf automake gcc libc-ares-dev libc6-dev libconfig-dev libcurl4-openssl-dev libev-dev libjansson-dev libmaxminddb-dev
 libnghttp2-dev libpcre2-dev libsqlite3-dev libssl-dev libxxhash-dev make pkg-config uthash-dev"

say()
{
    printf '== %s\n' "$*"
}

# Installs those of the named packages that are missing.
need()
{
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: please see yourself that these are there:" "$@"
        return 0
    fi
    installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p')
    missing=
    for package; do
        printf '%s\n' "$installed" | grep -qx -- "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    sudo=
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        if ! command -v sudo >/dev/null; then
            say "these packages are missing, and installing them takes root: apt-get install$missing"
            return 1
        fi
    fi
    say "installing$missing (${sudo:+sudo }apt-get install)"
    $sudo apt-get -q update >/dev/null
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
}

# FOLDER CONFIGURE-ARGUMENTS…: builds in FOLDER, configuring only when that was not done with the same arguments before.
build_in()
{
    folder=$1
    shift
    mkdir -p "$folder"
    if [ ! -x configure ]; then
        say "bootstrap"
        ./bootstrap >"$folder/bootstrap.log" 2>&1 || { tail -n 20 "$folder/bootstrap.log"; return 1; }
    fi
    if [ -f config.status ]; then
        say "make distclean: a build in the source folder rules out any beside it"
        make -s --no-print-directory distclean >"$folder/distclean.log" 2>&1 || { tail -n 20 "$folder/distclean.log"; return 1; }
    fi
    if [ ! -f "$folder/Makefile" ] || [ "$(cat "$folder/configured-with" 2>/dev/null)" != "$*" ]; then
        say "configure in $folder" "$@"
        (cd "$folder" && ../configure --quiet "$@" >configure.log 2>&1) || { tail -n 20 "$folder/configure.log"; return 1; }
        printf '%s' "$*" >"$folder/configured-with"
    fi
    say "make in $folder"
    make -C "$folder" -j "$(nproc)" --no-print-directory >"$folder/make.log" 2>&1 || { grep -E -A 5 'error|Error|undefined' "$folder/make.log" | head -n 60; return 1; }
}
