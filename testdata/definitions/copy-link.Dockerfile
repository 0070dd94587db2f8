FROM debian:12
RUN useradd app
COPY --link app.txt /srv/
COPY --link --chown=1000:1000 app.txt /srv/again/
RUN ls /srv
