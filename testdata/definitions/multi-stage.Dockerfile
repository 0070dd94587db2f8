FROM debian:12 AS build
RUN echo built > /artifact
RUN --mount=type=cache,target=/var/cache/x --mount=type=tmpfs,target=/scratch echo more >> /artifact

FROM debian:12
WORKDIR /srv
COPY --from=build /artifact /srv/artifact
COPY app.txt .
RUN cat artifact
