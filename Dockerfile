# Image of the command line for CPUs. pip downloads the dependencies; for PyTorch's CPU builds, gigabytes smaller than the
# default, name the index that PyTorch's page "Get started" gives:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=INDEX --tag robustrec .
#   docker run --rm --volume "$PWD:/work" --volume robustrec-home:/home/robustrec robustrec audit --dry-run
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG PIP_EXTRA_INDEX_URL=""
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /wheels /tmp/wheels
RUN PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" pip install --quiet --no-cache-dir --constraint /tmp/constraints.txt /tmp/wheels/*.whl \
    && rm -r /tmp/wheels /tmp/constraints.txt \
    && useradd --create-home --uid 1000 robustrec \
    && mkdir --parents /work \
    && chown robustrec /work
# A number, so that a cluster can see that it is not root.
USER 1000
ENV ROBUSTREC_HOME=/home/robustrec/data
WORKDIR /work
ENTRYPOINT ["robustrec"]
CMD ["--help"]
