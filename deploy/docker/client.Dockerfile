# The ugicm command, with photographs for a sample camera in /photos.
ARG BASE_IMAGE=python:3.11-slim

# What all images share: these lines are the same in each Dockerfile, and so is their layer.
FROM ${BASE_IMAGE} AS libraries
ARG COMPUTE=cpu
ARG TORCH_INDEX_URL=
WORKDIR /build
COPY constraints.txt deploy/docker/install_libraries.py ./
COPY protos/pyproject.toml protos/
COPY codec/pyproject.toml codec/
COPY servicekit/pyproject.toml servicekit/
RUN python3 install_libraries.py --compute="${COMPUTE}" --torch-index-url="${TORCH_INDEX_URL}" \
    protos codec "servicekit[traces]"

FROM ${BASE_IMAGE} AS wheels
WORKDIR /build
COPY constraints.txt ./
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --no-cache-dir \
    --constraint constraints.txt hatchling
COPY protos protos/
COPY codec codec/
COPY servicekit servicekit/
COPY client client/
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels \
    ./protos ./codec ./servicekit ./client

FROM libraries AS service
ARG TORCH_INDEX_URL=
COPY deploy/docker/install_service.sh deploy/docker/read_only_numba_cache.py ./
COPY --from=wheels /wheels /wheels/
RUN ./install_service.sh ugicm-client

FROM service AS photos
RUN python3 -m pip --python /opt/ugicm/service/bin/python install --quiet --no-cache-dir --no-deps \
    --constraint constraints.txt mahotas matplotlib scikit-image \
    && mkdir /photos && /opt/ugicm/service/bin/python -c "from shutil import copy; \
from ugicm_client.demo.photos import bundled_photos; \
[copy(photo, '/photos') for photo in bundled_photos()]"

FROM ${BASE_IMAGE}
COPY --from=libraries /opt/ugicm/libraries /opt/ugicm/libraries/
RUN useradd --system --uid 10001 --user-group --no-create-home ugicm \
    && install --directory --owner=ugicm --group=ugicm /var/lib/ugicm
COPY --from=service /opt/ugicm/service /opt/ugicm/service/
COPY --from=photos /photos /photos/

# Compiled code is read from the image. PyTorch asks for a folder that exists, and writes nothing there.
ENV PATH=/opt/ugicm/service/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/opt/ugicm/service/numba \
    NUMBA_CACHE_LOCATOR_CLASSES=read_only_numba_cache.ReadOnlyCacheLocator \
    TORCHINDUCTOR_CACHE_DIR=/opt/ugicm
USER 10001:10001
WORKDIR /var/lib/ugicm
ENTRYPOINT ["ugicm"]
