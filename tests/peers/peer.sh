# What the start scripts of the peers share: the tools they need, and a prepared copy that is made once. Sourced by them.

# Where prepared peers are kept. Nothing in it is lost that is not made again.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
peers=${CARGO_TARGET_DIR:-$root/target}/peers

usage() {
    echo "usage: $0 DIR PORT | --check | --prepare" >&2
    exit 2
}

# Ends with what is missing, in a word that helps. Usage: missing WHAT PACKAGES
missing() {
    echo "$1, and the tests against real systems need it. Install it (Debian: apt install $2)," >&2
    echo "or leave those tests out with ./scripts/test --fast." >&2
    exit 1
}

# Sets `prepared` to the directory of a prepared peer, and has `prepare DIR` make it where it is not there yet: a change
# of the files, or another interpreter, makes another. Usage: prepare_once NAME VERSION FILE...
prepare_once() {
    local name=$1 version=$2 digest
    shift 2
    digest=$({ echo "$version"; for file in "$@"; do echo "$file"; cat "$file"; done; } | sha256sum | cut -c 1-16)
    prepared=$peers/$name-$digest
    mkdir -p "$peers"
    # Whoever asks at the same time waits for the same.
    exec 9>"$peers/$name.lock"
    flock 9
    if [ ! -d "$prepared" ]; then
        rm -rf "$prepared.part"
        mkdir "$prepared.part"
        echo "preparing $name: this takes a minute or two, once" >&2
        # Programs that outlive this script hold the lock on: nobody begins again beneath them.
        prepare "$prepared.part"
        mv "$prepared.part" "$prepared"
    fi
    exec 9>&-
}
