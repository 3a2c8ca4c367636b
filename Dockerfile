# The miner in a container, one target for each kind of device:
#
#   docker build --target cuda   -t progpow-miner:cuda .     NVIDIA
#   docker build --target opencl -t progpow-miner:opencl .   AMD, Intel, any OpenCL driver
#   docker build --target cpu    -t progpow-miner:cpu .      x86-64 processors; also the default
#
#   docker run --rm --read-only --tmpfs /tmp -v progpow-cache:/cache -v progpow-state:/state \
#     progpow-miner:cpu mine -a kawpow -o URL -u USER
#
# Only /cache, /state and /tmp are written to. docs/packages.md lists what each target needs of the host.

ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY packaging/constraints.txt packaging/constraints.txt
COPY packaging/image packaging/image
COPY packaging/backend packaging/backend
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY miner miner
COPY kernels kernels
COPY configs configs
RUN python -m pip install --no-cache-dir --constraint packaging/constraints.txt hatchling
RUN python -m pip wheel --no-cache-dir --no-build-isolation --no-deps --wheel-dir /wheels .
RUN python -m venv /opt/sbom \
 && /opt/sbom/bin/python -m pip install --no-cache-dir --requirement packaging/image/sbom-requirements.txt

# An environment without pip in it: nothing is installed at run time.
FROM wheel AS install-opencl
RUN python -m venv --without-pip /opt/progpow-miner \
 && python -m pip --python /opt/progpow-miner/bin/python install --no-cache-dir \
      --constraint packaging/constraints.txt --find-links /wheels 'progpow-miner[opencl]'
RUN mkdir -p /opt/progpow-miner/share/doc/progpow-miner \
 && /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
      --output-file /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /opt/progpow-miner/bin/python

# PyCUDA has no wheels, and its own build wants a CUDA toolkit.
FROM wheel AS pycuda
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*
COPY packaging/wheelhouse.py packaging/wheelhouse.py
RUN python packaging/wheelhouse.py --only-pycuda --out /pycuda

FROM install-opencl AS install-cuda
COPY --from=pycuda /pycuda /pycuda
RUN python -m pip --python /opt/progpow-miner/bin/python install --no-cache-dir \
      --constraint packaging/constraints.txt --find-links /wheels \
      --find-links /pycuda --only-binary pycuda 'progpow-miner[cuda]'
RUN /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
      --output-file /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /opt/progpow-miner/bin/python

FROM install-opencl AS install-cpu
RUN python -m pip --python /opt/progpow-miner/bin/python install --no-cache-dir \
      --constraint packaging/constraints.txt --find-links /wheels 'progpow-miner[cpu]'
# The compiler's plugin for linkers serves no runtime.
RUN python packaging/image/share_files.py /opt/progpow-miner/lib \
 && rm -f /opt/progpow-miner/lib/icx-lto.so
RUN /opt/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
      --output-file /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /opt/progpow-miner/bin/python

# Everything but the environment. Any user of the group 0 can write the volumes. tini is process
# one: it passes signals on and reaps children. Debian's versions follow the base image, which a
# digest in PYTHON_IMAGE can pin.
FROM ${PYTHON_IMAGE} AS runtime
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ocl-icd-libopencl1 tini \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /cache /state /etc/OpenCL/vendors \
 && chown 10001:0 /cache /state \
 && chmod 0775 /cache /state
ENV PATH=/opt/progpow-miner/bin:$PATH \
    PROGPOW_MINER_CACHE=/cache \
    PROGPOW_MINER_STATE=/state \
    PROGPOW_MINER_API_ADDRESS_FILE=/tmp/progpow-miner-api \
    HOME=/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME ["/cache", "/state"]
WORKDIR /cache
EXPOSE 4067
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["progpow-miner", "health"]
ENTRYPOINT ["tini", "--", "progpow-miner"]
CMD ["--help"]
USER 10001:0

# NVIDIA. Through CUDA, else through NVIDIA's OpenCL. The host's NVIDIA Container Toolkit brings the
# driver: docker run --gpus all …
FROM runtime AS cuda
USER 0:0
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN echo libnvidia-opencl.so.1 > /etc/OpenCL/vendors/nvidia.icd
COPY --from=install-cuda /opt/progpow-miner /opt/progpow-miner
RUN --mount=type=bind,source=packaging/image,target=/mnt \
    python /mnt/sbom.py /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /usr/share/doc/progpow-miner/sbom.cdx.json
USER 10001:0

# Any OpenCL driver: from the host, bound with its /etc/OpenCL/vendors, or from Debian:
# --build-arg OPENCL_PACKAGES=intel-opencl-icd (Intel) or mesa-opencl-icd (Mesa).
FROM runtime AS opencl
ARG OPENCL_PACKAGES=""
USER 0:0
# hadolint ignore=DL3008,SC2086
RUN if [ -n "$OPENCL_PACKAGES" ]; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends $OPENCL_PACKAGES \
      && rm -rf /var/lib/apt/lists/*; \
    fi
COPY --from=install-opencl /opt/progpow-miner /opt/progpow-miner
RUN --mount=type=bind,source=packaging/image,target=/mnt \
    python /mnt/sbom.py /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /usr/share/doc/progpow-miner/sbom.cdx.json
USER 10001:0

# A runtime for the processor itself, on x86-64; elsewhere this is the target above. The other
# targets mine on GPUs only.
FROM runtime AS cpu
USER 0:0
ENV PROGPOW_MINER_DEVICES_BACKEND=cpu
COPY --from=install-cpu /opt/progpow-miner /opt/progpow-miner
RUN --mount=type=bind,source=packaging/image,target=/mnt \
    python /mnt/sbom.py /opt/progpow-miner/share/doc/progpow-miner/python.cdx.json \
      /usr/share/doc/progpow-miner/sbom.cdx.json
USER 10001:0
