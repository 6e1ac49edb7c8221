#!/bin/sh
# Install packages of this tree, and what only they need, above the libraries that all images share.
# usage: install_service.sh PACKAGE[EXTRAS]...    with wheels of the tree's packages in /wheels
set -eu

service=/opt/ugicm/service
python3 -m venv --without-pip "$service"
site_packages=$(echo "$service"/lib/python*/site-packages)
echo /opt/ugicm/libraries/lib/python*/site-packages > "$site_packages/libraries.pth"
cp read_only_numba_cache.py "$site_packages"

install() {
    python3 -m pip --python "$service/bin/python" install --quiet --no-cache-dir "$@"
}
# Ours are there first, so that no package of an index can take the place of one by its name.
install --no-deps /wheels/*.whl
install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} --constraint constraints.txt "$@"

# Machine code for the oldest processor of its kind is found again on any other; the coder's integers
# gain nothing from newer ones.
NUMBA_CPU_NAME=generic NUMBA_CACHE_DIR="$service/numba" \
    "$service/bin/python" -c "from ugicm_codec import Codec; Codec.load()"
