# The jobs on CPUs: the head of a cluster, and machines without a card. Build it in the root of the checkout:
#   docker build -f infra/docker/cpu.Dockerfile -t stableanimator:cpu .
# Versions of Python packages are those of constraints.txt. BASE may name a digest, for builds that are equal bit by bit.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}

# From PyPI torch would bring several GB of CUDA. Left empty, torch comes from the usual index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# A compiler for DeepSpeed's operator; libgl1 and libglib for OpenCV; wget for the probes of KubeRay; rsync and procps for
# Ray's cluster launcher.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libgl1 libglib2.0-0 procps rsync wget \
    && rm -rf /var/lib/apt/lists/*
# Ray's launcher runs login shells, which set PATH anew.
RUN python3 -m venv /opt/venv \
    && echo "export PATH=/opt/venv/bin:\$PATH" > /etc/profile.d/venv.sh \
    && useradd --create-home --uid 1000 ray \
    && mkdir /data /spill \
    && chown ray:ray /data /spill
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 SA_ROOT=/data

WORKDIR /app
COPY pyproject.toml constraints.txt ./
# What the project needs comes before its code, so that a change of the code installs nothing again.
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" \
        > /tmp/requirements.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} \
        --constraint constraints.txt --requirement /tmp/requirements.txt boto3 \
    && rm /tmp/requirements.txt
COPY LICENSE README.md ./
COPY stableanimator stableanimator
COPY pipelines pipelines
COPY jobs jobs
COPY infra/settings.yaml infra/settings.yaml
RUN pip install --no-cache-dir --no-deps --constraint constraints.txt --editable . \
    && python -m compileall -q stableanimator pipelines jobs

USER 1000
CMD ["bash"]
