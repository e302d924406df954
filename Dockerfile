# docker build -t marl_app .
# docker run --shm-size=2g -v "$PWD/runs:/runs" marl_app +experiment=league     # runs are written to /runs
FROM python:3.11-slim
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir "$(grep '^torch==' requirements.lock)" --index-url https://download.pytorch.org/whl/cpu \
 && pip install --no-cache-dir -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
WORKDIR /runs
ENV MARL_RUNS=/runs XDG_STATE_HOME=/runs/.state
ENTRYPOINT ["marl_app"]
CMD ["--help"]
