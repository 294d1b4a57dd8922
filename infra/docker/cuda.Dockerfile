# The jobs on NVIDIA cards (drivers of CUDA 13). Build it in the root of the checkout:
#   docker build -f infra/docker/cuda.Dockerfile -t stableanimator:cuda .
# torch brings its own CUDA libraries; the base has those that onnxruntime-gpu looks for.
ARG BASE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libgl1 libglib2.0-0 procps python3-dev python3-venv rsync wget \
    && rm -rf /var/lib/apt/lists/*
# Ubuntu's image has a user 1000 already, Debian's has none.
RUN python3 -m venv /opt/venv \
    && echo "export PATH=/opt/venv/bin:\$PATH" > /etc/profile.d/venv.sh \
    && if id ubuntu > /dev/null 2>&1; then userdel --remove ubuntu; fi \
    && useradd --create-home --uid 1000 ray \
    && mkdir /data /spill \
    && chown ray:ray /data /spill
ENV PATH=/opt/venv/bin:/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 \
    SA_ROOT=/data

WORKDIR /app
COPY pyproject.toml constraints.txt ./
# onnxruntime-gpu is onnxruntime with CUDA, in the same folder: the one must go before the other comes.
RUN python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" \
        > /tmp/requirements.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/requirements.txt boto3 \
    && version=$(pip show onnxruntime | sed -n 's/^Version: //p') \
    && pip uninstall --yes onnxruntime \
    && pip install --no-cache-dir --constraint constraints.txt "onnxruntime-gpu==${version}" \
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
