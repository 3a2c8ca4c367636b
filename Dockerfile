# The miner on OpenCL devices, with a runtime for the CPU; stops in order on SIGTERM.
#   docker build -t progpow-miner .
#   docker run --rm -v progpow-cache:/cache progpow-miner mine -a kawpow -o URL -u USER

FROM python:3.12-slim AS build
WORKDIR /src
COPY packaging/constraints.txt packaging/constraints.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY miner miner
COPY kernels kernels
COPY configs configs
RUN python -m pip wheel --no-cache-dir --constraint packaging/constraints.txt --wheel-dir /wheels '.[cpu]'

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-index --find-links /wheels 'progpow-miner[cpu]'
RUN mkdir /cache && chown 10001:10001 /cache
ENV PROGPOW_MINER_CACHE=/cache \
    HOME=/cache \
    PYTHONUNBUFFERED=1
VOLUME /cache
WORKDIR /cache
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["progpow-miner"]
CMD ["--help"]
