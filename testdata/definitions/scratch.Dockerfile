FROM debian:12 AS build
RUN echo built > /artifact
FROM scratch
COPY --from=build /artifact /
