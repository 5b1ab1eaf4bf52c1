# One image for the web server and for the commands that index.
FROM python:3.12-slim

RUN useradd --create-home unitscope
WORKDIR /opt/unitscope

COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock

COPY pyproject.toml README.md ./
COPY app app
COPY workers workers
COPY demo demo
COPY migrations migrations
COPY templates templates
COPY static static
COPY setup setup
RUN pip install --no-cache-dir --no-deps -e . \
    && python setup/front_end.py \
    && rm -rf static/node_modules \
    && mkdir /data && chown unitscope /data

USER unitscope
ENV UNITSCOPE_DATA_DIR=/data UNITSCOPE_HOST=0.0.0.0
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["unitscope"]
CMD ["serve"]
