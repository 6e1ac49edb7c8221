#!/bin/sh
# Install packages of this tree, and what only they need, above the libraries that all images share.
# usage: install_service.sh PACKAGE[EXTRAS]...    with wheels of the tree's packages in /wheels
set -eu

service=/opt/ugicm/service
python3 -m venv --without-pip "$service"
site_packages=$(echo "$service"/lib/python*/site-packages)
echo /opt/ugicm/libraries/lib/python*/site-packages > "$site_packages/libraries.pth"
cp read_only_numba_cache.py "$site_packages"

# By address, so that no package of an index can take the place of one of ours by its name.
address() {
    echo "$1 @ file://$(ls /wheels/"$(echo "${1%%\[*}" | tr - _)"-*.whl)"
}
for wheel in /wheels/*.whl; do
    address "$(basename "$wheel" | cut -d- -f1 | tr _ -)"
done > ours.txt
for package in "$@"; do
    address "$package"
done > wanted.txt
python3 -m pip --python "$service/bin/python" install --quiet --no-cache-dir \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
    --constraint constraints.txt --constraint ours.txt --requirement wanted.txt

# Machine code for the oldest processor of its kind is found again on any other; the coder's integers
# gain nothing from newer ones.
NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR="$service/numba" \
    "$service/bin/python" -c "from ugicm_codec import Codec; Codec.load()"
