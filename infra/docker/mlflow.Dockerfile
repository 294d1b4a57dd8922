# MLflow's server with PostgreSQL, S3 and users with passwords. Build it in the root of the checkout:
#   docker build -f infra/docker/mlflow.Dockerfile -t stableanimator:mlflow .
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN python3 -m venv /opt/venv \
    && useradd --create-home --uid 1000 mlflow
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
COPY constraints.txt /tmp/constraints.txt
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt mlflow psycopg2-binary boto3 Flask-WTF

USER 1000
WORKDIR /home/mlflow
EXPOSE 5000
CMD ["mlflow", "server", "--help"]
