FROM debian:12 AS base
RUN echo base > /base

FROM base AS debug
RUN echo debug > /debug

FROM base
ENV NAME=value
USER nobody
RUN echo "$NAME"
