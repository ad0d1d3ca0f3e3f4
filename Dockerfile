# The image of workflow-bridge. Built again from the same commit, with the same SOURCE_DATE_EPOCH and the same base, it is
# the same to the bit (helm/README.md says how). Extras are a build argument, for a smaller image or for traces:
#   docker build --build-arg EXTRAS=rabbitmq .
#   docker build --build-arg EXTRAS=kafka,rabbitmq,otel .
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=kafka,rabbitmq,avro,protobuf
# A fixed seed: the order of a frozenset's constants is part of the bytecode.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# Everything that is locked is fetched, and its hashes are checked; what follows sees nothing else and no network.
COPY requirements.lock ./
RUN python3 -m venv /tmp/pip \
    && /tmp/pip/bin/pip download --quiet --require-hashes --no-deps --only-binary :all: --dest /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY docker docker
RUN export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels \
    && /tmp/pip/bin/pip wheel --quiet --no-deps --wheel-dir /wheels . \
    && python3 -m venv --without-pip /opt/workflow-bridge \
    && /tmp/pip/bin/pip --python /opt/workflow-bridge/bin/python install --quiet --no-compile "workflow-bridge[${EXTRAS}]" \
    && /opt/workflow-bridge/bin/python /src/docker/slim.py /opt/workflow-bridge /stage

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="workflow-bridge" \
      org.opencontainers.image.description="Kafka and RabbitMQ to Cloudflare Workflows: durable, in order, within the API's quota" \
      org.opencontainers.image.source="https://github.com/workflow-bridge/workflow-bridge" \
      org.opencontainers.image.documentation="https://github.com/workflow-bridge/workflow-bridge/blob/main/helm/README.md" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# The base has no bytecode of the standard library. On a read-only root each start would compile it anew.
COPY --from=build /stage /
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/ensurepip \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/workflow-bridge
COPY --from=build /opt/workflow-bridge /opt/workflow-bridge
ENV PATH=/opt/workflow-bridge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1 \
    WORKFLOW_BRIDGE_CONFIG=/etc/workflow-bridge/bridge.yaml
USER 10001:10001
WORKDIR /var/lib/workflow-bridge
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["workflow-bridge", "healthcheck"]
ENTRYPOINT ["workflow-bridge"]
CMD ["run", "--config", "/etc/workflow-bridge/bridge.yaml"]
