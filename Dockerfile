# The harness in an image, for a CI without Python: docker build -t ragdrill .
#
#   docker run --rm -v ragdrill-runs:/ragdrill/runs ragdrill verify --profile safe
#
# Boots the embedded stack inside; nothing of the machine is needed. docs/containers.md has more.
ARG DEBIAN=debian:bookworm-slim

FROM ${DEBIAN} AS python
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 prometheus prometheus-alertmanager \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

FROM python AS packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3-venv \
 && rm -rf /var/lib/apt/lists/* && python3 -m venv /opt/venv
# Where TLS is opened on the way: cp BUNDLE ca.pem beforehand. It stays in this stage.
COPY refstack/images/harness.txt ca*.pem /build/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_DEFAULT_TIMEOUT=120
RUN if [ -e /build/ca.pem ]; then export PIP_CERT=/build/ca.pem; fi \
 && /opt/venv/bin/pip install -q --no-deps --only-binary=:all: -r /build/harness.txt \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM python
RUN groupadd -g 10001 ragdrill \
 && useradd -u 10001 -g ragdrill -d /home/ragdrill -m -s /usr/sbin/nologin ragdrill
COPY --from=packages /opt/venv /opt/venv
COPY --chown=10001:10001 . /ragdrill
# The command as `pip install -e .` would make it, without a package index.
RUN rm -f /ragdrill/ca.pem \
 && printf '%s\n' '#!/opt/venv/bin/python' 'import sys' 'from harness.cli.main import main' \
    'sys.exit(main())' > /opt/venv/bin/ragdrill \
 && chmod 0755 /opt/venv/bin/ragdrill \
 && echo /ragdrill > /opt/venv/lib/python3.11/site-packages/ragdrill.pth \
 && install -d -o ragdrill -g ragdrill /ragdrill/runs /var/cache/ragdrill \
 && chown ragdrill:ragdrill /ragdrill \
 && python3 -m compileall -q /ragdrill
ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv RAGDRILL_CACHE=/var/cache/ragdrill \
    PYTHONUNBUFFERED=1 LANG=C.UTF-8 TZ=UTC
WORKDIR /ragdrill
USER 10001:10001
# What no run has to make again: PostgreSQL's freshly initialised data directory.
RUN python -c 'from harness.drivers.embedded.postgres import template; template()'
ENTRYPOINT ["ragdrill"]
CMD ["verify", "--profile", "ci"]
