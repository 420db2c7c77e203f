# A server of recommendations: Python, numpy, ONNX Runtime, FastAPI. No torch; about a tenth of an image with it.
#
#   docker build --tag distilrec .
#   docker run --read-only --tmpfs /tmp --publish 8000:8000 --volume ./exported:/model:ro --volume events:/data distilrec
#
# /model is a folder that `distilrec export` wrote. `make image-check` does the same steps in a virtual environment.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python -m venv /opt/distilrec \
    && /opt/distilrec/bin/pip install --no-cache-dir --constraint constraints.txt ".[serve,postgres]"

FROM python:3.12-slim
RUN groupadd --gid 10001 distilrec \
    && useradd --uid 10001 --gid distilrec --no-create-home --shell /usr/sbin/nologin distilrec \
    && install --directory --owner distilrec --group distilrec /data
COPY --from=build /opt/distilrec /opt/distilrec
ENV PATH=/opt/distilrec/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER distilrec
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
ENTRYPOINT ["distilrec", "serve", "/model", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--store", "sqlite:////data/events.db"]
