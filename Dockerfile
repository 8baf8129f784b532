# For a Docker Space, or any host: docker build -t cbam-viz . && docker run -p 7860:7860 cbam-viz
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 user
USER user
ENV PATH=/home/user/.local/bin:$PATH \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_ANALYTICS_ENABLED=False
WORKDIR /home/user/app

# Where pip's usual build of torch brings CUDA, 5 GB: name the index of PyTorch's CPU builds with
# --build-arg TORCH_INDEX=... ; torch and torchvision come from it as the pair that is pinned.
ARG TORCH_INDEX
COPY --chown=user requirements.txt constraints.txt ./
RUN grep -E '^(torch|torchvision)==' requirements.txt > torch.txt \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt \
    && pip install --no-cache-dir -r requirements.txt -c constraints.txt

COPY --chown=user . .
EXPOSE 7860
CMD ["python", "app.py"]
