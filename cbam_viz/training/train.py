"""The training loop: from a recipe and a folder of photos to a model's weights."""

import csv
import math
import os
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models import get_model
from tqdm import tqdm

from ..models.resnet import CONSTRUCTORS, ResNetCBAM
from .data import EpochSampler, Normalise, PhotoFolder, training_loader
from .recipe import Recipe
from .start import load_folded_trunk

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAVE_EVERY_S = 120


def parameter_groups(model: ResNetCBAM, recipe: Recipe, pretrained: set[str]) -> list[dict]:
    """Parameters by learning rate (gates, pretrained, fresh) and by weight decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, module in model.named_modules():
        for p in module.parameters(recurse=False):
            if "channel_attention" in name:
                lr = recipe.channel_gate_lr
            elif "spatial_attention" in name:
                lr = recipe.spatial_gate_lr
            elif name.split(".")[0] in pretrained:
                lr = recipe.pretrained_lr
            else:
                lr = recipe.lr
            decay = recipe.weight_decay if p.ndim > 1 else 0.0
            groups.setdefault((lr, decay), []).append(p)
    return [
        {"params": ps, "lr": lr, "initial_lr": lr, "weight_decay": decay}
        for (lr, decay), ps in groups.items()
    ]


def learning_rate_scale(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def freeze(model: ResNetCBAM, frozen: set[str]) -> None:
    """Training mode, but for the top-level modules named: they neither learn nor measure."""
    model.train()
    for name, child in model.named_children():
        child.requires_grad_(name not in frozen)
        if name in frozen:
            child.eval()


def start(recipe: Recipe, train: Path, classes: int) -> tuple[ResNetCBAM, set[str]]:
    """The model as the recipe starts it, and its top-level modules that are pretrained."""
    model = CONSTRUCTORS[recipe.model](num_classes=classes)
    if recipe.init == "scratch":
        return model, set()
    if recipe.init == "torchvision":
        plain = get_model(recipe.model.removesuffix("_cbam"), weights="DEFAULT").state_dict()
        plain = {k: v for k, v in plain.items() if not k.startswith("fc.")}
        model.load_state_dict(plain, strict=False)
        model.neutralise_gates()
        return model, {k.split(".")[0] for k in plain}
    sampler = EpochSampler(PhotoFolder(str(train)).targets, 0, recipe.seed)
    loader = training_loader(train, recipe, sampler, recipe.sizes[0][1], 0)
    photos = torch.cat([photos for photos, _ in islice(loader, 8)])
    return model, load_folded_trunk(model, Path(recipe.init), Normalise(MEAN, STD)(photos))


def save_whole(state: dict, path: Path) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def train(recipe: Recipe, data: Path, out: Path, workers: int = 2) -> Path:
    """Train, or go on where a stopped run of the same folder was.

    Args:
        recipe: what to do.
        data: folder with ``train/<class>/<photo>``.
        out: folder for ``last.pt`` (everything needed to go on) and ``log.csv``.
        workers: processes that decode photos.

    Returns:
        The path of ``last.pt``; its "ema" entry is the finished model's state dict.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    folder = PhotoFolder(str(data / "train"))
    sampler = EpochSampler(folder.targets, recipe.class_balance, recipe.seed)
    model, pretrained = start(recipe, data / "train", len(folder.classes))
    model = model.to(memory_format=torch.channels_last)
    ema = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True
    ).requires_grad_(False)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe, pretrained))
    normalise = Normalise(MEAN, STD)

    per_epoch = len(folder) // recipe.batch_size
    steps, warmup = recipe.epochs * per_epoch, int(recipe.warmup_epochs * per_epoch)
    step, last = 0, out / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise ValueError(f"{last} was made by another recipe; give another folder")
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema_state"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]

    def save() -> None:
        save_whole(
            {
                "recipe": asdict(recipe),
                "classes": folder.classes,
                "step": step,
                "model": model.state_dict(),
                "ema": ema.module.state_dict(),
                "ema_state": ema.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
            last,
        )

    saved = time.monotonic()
    while step < steps:
        epoch, done = divmod(step, per_epoch)
        size = [s for first, s in recipe.sizes if first <= epoch][-1]
        freeze(model, pretrained if epoch < recipe.frozen_epochs else set())
        sampler.set_position(epoch, done * recipe.batch_size)
        torch.manual_seed(recipe.seed + step)
        loader = training_loader(data / "train", recipe, sampler, size, workers)
        bar = tqdm(loader, f"epoch {epoch + 1}/{recipe.epochs} {size} px", mininterval=5)
        began, losses, right, seen = time.monotonic(), 0.0, 0, 0
        for photos, labels in bar:
            scale = learning_rate_scale(step, steps, warmup)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * scale
            logits = model(normalise(photos))
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ema.update_parameters(model)
            step += 1
            seen += len(labels)
            losses += loss.item() * len(labels)
            right += (logits.argmax(1) == labels).sum().item()
            bar.set_postfix(loss=f"{losses / seen:.3f}", acc=f"{right / seen:.3f}")
            if time.monotonic() - saved > SAVE_EVERY_S:
                save()
                saved = time.monotonic()
        with open(out / "log.csv", "a", newline="") as f:
            csv.writer(f).writerow(
                [epoch, size, f"{losses / seen:.4f}", f"{right / seen:.4f}",
                 f"{time.monotonic() - began:.0f}"]
            )  # fmt: skip
        save()
    return last

