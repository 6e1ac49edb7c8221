# The decoder: keeps frames, and decodes them for any view.
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
COPY services/decoder services/decoder/
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels \
    ./protos ./codec ./servicekit ./services/decoder

FROM libraries AS service
ARG TORCH_INDEX_URL=
COPY deploy/docker/install_service.sh deploy/docker/read_only_numba_cache.py ./
COPY --from=wheels /wheels /wheels/
RUN ./install_service.sh ugicm-decoder "ugicm-servicekit[traces]"

FROM ${BASE_IMAGE}
COPY --from=libraries /opt/ugicm/libraries /opt/ugicm/libraries/
COPY deploy/docker/healthcheck.py /opt/ugicm/
RUN useradd --system --uid 10001 --user-group --no-create-home ugicm \
    && install --directory --owner=ugicm --group=ugicm /var/lib/ugicm
COPY --from=service /opt/ugicm/service /opt/ugicm/service/
ARG MODELS=deploy/docker/models
COPY ${MODELS} /models/

# Compiled code is read from the image. PyTorch asks for a folder that exists, and writes nothing there.
ENV PATH=/opt/ugicm/service/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/opt/ugicm/service/numba \
    NUMBA_CACHE_LOCATOR_CLASSES=read_only_numba_cache.ReadOnlyCacheLocator \
    TORCHINDUCTOR_CACHE_DIR=/opt/ugicm \
    UGICM_DECODER_HOST=0.0.0.0 \
    UGICM_DECODER_METRICS_PORT=50062 \
    UGICM_DECODER_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/ugicm
EXPOSE 50052 50062
HEALTHCHECK --start-period=60s --interval=10s --timeout=5s \
    CMD ["python", "-IS", "/opt/ugicm/healthcheck.py", "UGICM_DECODER_METRICS_PORT"]
ENTRYPOINT ["python", "-m", "ugicm_decoder"]
