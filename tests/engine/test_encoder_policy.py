"""The policy that asks a sequence classifier: what is chosen, what of a folder is refused, and what needs no torch."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router_core import ConfigError, MissingExtra, Router, config
from router_core.learning import classifier
from router_core.policies import Candidate, Choice, TransformersPolicy, encoder, make_policy
from router_core.records import Reason
from router_core.testing import ScriptedHost, scripted_model
from router_core.types import Model, RequestView, Turn
from tests.learning.encoders import LENGTH, WORDS, files_only, needs_torch, tiny


def request(text: str) -> RequestView:
    return RequestView(turns=(Turn("user", text),), input_bytes=len(text))


def candidates(*names: str, quality: float | None = None) -> list[Candidate]:
    """Weakest first."""
    return [Candidate(Model(name=name, id=name, provider="p", endpoint="e", quality=quality)) for name in names]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torch were there, for what is decided before it is needed."""
    monkeypatch.setattr(encoder, "check_installed", lambda: None)


def told(
    monkeypatch: pytest.MonkeyPatch, folder: Path, shares: dict[str, float], names: Sequence[str], **options: object
) -> Choice:
    """What is chosen among ``names`` if the classifier says ``shares``."""
    files_only(folder, list(shares))
    monkeypatch.setattr(classifier.Classifier, "probabilities", lambda self, texts: [list(shares.values())])
    policy = make_policy("transformers", {"folder": str(folder), **options}, ("a", "b", "c", "d"))
    choice = policy.decide(request("?"), candidates(*names, quality=0.8))
    assert isinstance(choice, Choice)
    return choice


# --------------------------------------------------------------------------------------------------------- choices
@pytest.mark.parametrize(
    ("shares", "names", "threshold", "start"),
    [
        ({"weak": 0.6, "strong": 0.4}, "ad", 0.5, "a"),
        ({"weak": 0.5, "strong": 0.5}, "ad", 0.5, "d"),
        ({"weak": 0.6, "strong": 0.4}, "ad", 0.3, "d"),
        ({"strong": 0.4, "weak": 0.6}, "abcd", 0.5, "a"),
        ({"strong": 0.7, "weak": 0.3}, "abcd", 0.5, "d"),
        ({"weak": 0.2, "strong": 0.2, "none": 0.6}, "ad", 0.5, "a"),  # what nobody answers needs no strong model
        ({"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.2}, "abcd", 0.5, "b"),
        ({"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.2}, "abcd", 0.3, "c"),
        ({"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.2}, "abcd", 0.0, "d"),
        ({"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.2}, "acd", 0.5, "c"),  # b is ruled out: the next stronger one
        ({"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.7}, "ab", 0.5, "b"),  # and the strongest, where none is stronger
        ({"d": 0.1, "b": 0.9}, "abcd", 0.5, "b"),
        ({"a": 0.0, "d": 1.0}, "a", 0.5, "a"),
    ],
)
def test_starts_with_the_weakest_model_above_which_none_is_needed(
    monkeypatch: pytest.MonkeyPatch,
    installed: None,
    tmp_path: Path,
    shares: dict[str, float],
    names: str,
    threshold: float,
    start: str,
) -> None:
    choice = told(monkeypatch, tmp_path, shares, names, threshold=threshold)

    assert choice.start == start
    assert choice.reason is Reason.CLASSIFIED
    assert choice.features == {"probabilities": shares, "threshold": threshold}


def test_quality_is_what_the_classes_add_up_to(
    monkeypatch: pytest.MonkeyPatch, installed: None, tmp_path: Path
) -> None:
    choice = told(monkeypatch, tmp_path, {"a": 0.25, "b": 0.25, "d": 0.25, "none": 0.25}, "abcd")

    assert choice.quality == {"a": 0.25, "b": 0.5, "c": 0.5, "d": 0.75}
    assert choice.score == 0.5
    assert (choice.start, choice.confidence) == ("b", 0.25)


def test_without_a_class_none_the_strongest_model_has_its_prior(
    monkeypatch: pytest.MonkeyPatch, installed: None, tmp_path: Path
) -> None:
    assert told(monkeypatch, tmp_path, {"weak": 0.75, "strong": 0.25}, "ad").quality == {"a": 0.75, "d": 0.8}

    files_only(tmp_path)
    policy = TransformersPolicy(tmp_path)
    monkeypatch.setattr(classifier.Classifier, "probabilities", lambda self, texts: [[0.75, 0.25]])

    assert policy.decide(request("?"), candidates("a", "d")).quality == {"a": 0.75}, "nothing is known of d"


def test_without_tiers_labels_are_looked_for_among_the_candidates(
    monkeypatch: pytest.MonkeyPatch, installed: None, tmp_path: Path
) -> None:
    policy = TransformersPolicy(files_only(tmp_path, ("a", "d")))
    monkeypatch.setattr(classifier.Classifier, "probabilities", lambda self, texts: [[0.25, 0.75]])

    assert policy.decide(request("?"), candidates("a", "c")).start == "c"
    with pytest.raises(ConfigError, match="'a' is no model; there are x, y"):
        policy.decide(request("?"), candidates("x", "y"))


def test_reads_the_last_question(monkeypatch: pytest.MonkeyPatch, installed: None, tmp_path: Path) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        classifier.Classifier, "probabilities", lambda self, texts: read.extend(texts) or [[0.25, 0.75]]
    )
    turns = (Turn("system", "s"), Turn("user", "first"), Turn("assistant", "a"), Turn("user", "last"))
    policy = TransformersPolicy(files_only(tmp_path))

    policy.decide(RequestView(turns=turns, input_bytes=0), candidates("a", "b"))

    assert read == ["last"]


# ------------------------------------------------------------------------------------------------------ what is wrong
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "transformers.folder is missing"),
        ({"folder": ""}, "transformers.folder: '' is no folder"),
        ({"folder": 3}, "transformers.folder: 3 is no folder"),
        ({"folder": "x", "threshold": 1.5}, "transformers.threshold: 1.5 is not between 0 and 1"),
        ({"folder": "x", "threshold": True}, "transformers.threshold: True is not"),
        ({"folder": "x", "threshold": float("nan")}, "transformers.threshold: nan is not"),
        ({"folder": "x", "max_length": 0}, "transformers.max_length: 0 is no number of tokens"),
        ({"folder": "x", "max_lenght": 9}, "did you mean 'max_length'"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_policy("transformers", options)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"\xff", "config.json cannot be read"),
        ("config.json", b"[]", r"config.json: \[\] is not an object"),
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("model.safetensors", None, "model.safetensors is missing; load the model where you trust it"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    files_only(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)

    with pytest.raises(ConfigError, match=message) as raised:
        TransformersPolicy(tmp_path)

    assert str(tmp_path) in str(raised.value)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (files_only(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(ConfigError, match=r"pytorch_model\.bin, which may run code, is not read; .*save_pretrained"):
        TransformersPolicy(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id2label": None}, "id2label: None does not name the classes"),
        ({"id2label": {"0": "a"}}, "does not name the classes"),
        ({"id2label": {"0": "a", "1": "a"}}, "does not name the classes"),
        ({"id2label": {"0": "a", "1": ""}}, "does not name the classes"),
        ({"id2label": {"1": "a", "2": "d"}}, "does not name the classes"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "id2label: 'LABEL_0' is no model; there are a, d"),
        ({"id2label": {"0": "weak", "1": "e"}}, "id2label: 'e' is no model"),
        ({"problem_type": "regression"}, "problem_type: 'regression' has no probabilities"),
        ({"auto_map": {"AutoConfig": "code.Config"}}, "auto_map: .* is never run"),
    ],
)
def test_a_configuration_that_fits_no_router_is_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    files_only(tmp_path, **settings)

    with pytest.raises(ConfigError, match=message):
        make_policy("transformers", {"folder": str(tmp_path)}, ("a", "d"))


@pytest.mark.parametrize("package", ["torch", "transformers", "safetensors"])
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    for name in ("torch", "transformers", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys.modules[__name__])

    with pytest.raises(MissingExtra, match=rf"{package} is not installed; .*router-core\[transformers\]"):
        TransformersPolicy(files_only(tmp_path))


def test_stands_in_a_registry_file(installed: None, tmp_path: Path) -> None:
    files_only(tmp_path / "encoder", ("openai:gpt-4.1-nano", "openai:gpt-4.1", "none"))
    file = tmp_path / "router.yaml"
    text = "models: [openai:gpt-4.1-nano, openai:gpt-4.1]\npolicy: {name: transformers, folder: %s}\n"

    file.write_text(text % json.dumps(str(tmp_path / "encoder")), "utf-8")

    assert isinstance(config.load(file).policy, TransformersPolicy)

    file.write_text(text % json.dumps(str(tmp_path / "other")), "utf-8")
    with pytest.raises(ConfigError, match=r"router\.yaml.*line 2.*there is no such folder"):
        config.load(file)


# ------------------------------------------------------------------------------------------------------- with torch
@needs_torch
def test_says_what_the_model_says(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny(tmp_path)
    model, tokenizer = (auto.from_pretrained(tmp_path) for auto in (AutoModelForSequenceClassification, AutoTokenizer))
    policy = TransformersPolicy(tmp_path)
    for text in ("prove the theorem", "say the name of the cat", ""):
        choice = policy.decide(request(text), candidates("a", "d"))
        with torch.no_grad():
            weak, strong = torch.softmax(model(**tokenizer(text, return_tensors="pt")).logits[0], -1).tolist()

        shares = choice.features["probabilities"]
        assert shares == {"weak": pytest.approx(weak, abs=1e-5), "strong": pytest.approx(strong, abs=1e-5)}
        assert sum(shares.values()) == pytest.approx(1)
        assert choice.start == ("d" if strong >= 0.5 else "a")
        assert json.loads(json.dumps(choice.features)) == choice.features


@needs_torch
def test_of_a_long_text_both_ends_decide(tmp_path: Path) -> None:
    policy = TransformersPolicy(tiny(tmp_path), max_length=LENGTH)
    text = "prove " + "cat " * 30 + "theorem"

    def score(changed: str) -> float:
        return policy.decide(request(changed), candidates("a", "d")).score or 0

    assert score("say" + text[5:]) != pytest.approx(score(text))
    assert score(text[:-7] + "two") != pytest.approx(score(text))
    middle = len(text) // 2
    assert score(text[:middle] + "dog " * 9999 + text[middle:]) == score(text)
    assert len(classifier.encoded(classifier.load(tmp_path), [text])["input_ids"][0]) == LENGTH


@needs_torch
def test_serves_threads_and_is_loaded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded: list[Path] = []
    load = classifier.load
    monkeypatch.setattr(classifier, "load", lambda folder, *rest: loaded.append(folder) or load(folder, *rest))
    texts = [" ".join(WORDS[at : at + 1 + at % 7]) for at in range(len(WORDS))] * 8
    policy = TransformersPolicy(tiny(tmp_path))
    assert loaded == []

    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(lambda text: policy.decide(request(text), candidates("a", "d")).score, texts))

    assert loaded == [tmp_path]
    assert scores == [policy.decide(request(text), candidates("a", "d")).score for text in texts]


@needs_torch
def test_asks_nothing_of_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **options: asked.append(rest) or [])
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))

    TransformersPolicy(tiny(tmp_path)).decide(request("add two and two"), candidates("a", "d"))

    assert asked == []


@needs_torch
def test_decides_for_a_router(tmp_path: Path) -> None:
    models = [scripted_model("small"), scripted_model("large")]
    policy = TransformersPolicy(tiny(tmp_path, ("small", "large", "none")))
    router = Router(models, policy=policy, host=ScriptedHost.saying({"small": "4.", "large": "Four."}))

    receipt = router.complete("add two and two").receipt

    assert receipt.decision is not None
    assert receipt.decision.policy == "transformers"
    assert set(receipt.decision.quality) == {"small", "large"}
    least = receipt.decision.quality["small"] + 1e-9
    assert router.complete("add two and two", min_quality=least).model == "large"


@needs_torch
@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model.safetensors", lambda content: content[: len(content) // 2], "cannot be loaded .SafetensorError"),
        ("model.safetensors", lambda content: b"", "cannot be loaded"),
        ("tokenizer.json", lambda content: b"{", "cannot be loaded"),
        ("config.json", lambda content: content.replace(b'"dim": 32', b'"dim": 48'), "cannot be loaded"),
        (
            "config.json",
            lambda content: content.replace(b'"n_layers": 2', b'"n_layers": 3'),
            "16 of the weights are missing",
        ),
        ("config.json", lambda content: content.replace(b'"n_layers": 2', b'"n_layers": "x"'), "cannot be loaded"),
        ("config.json", lambda content: content.replace(b'"gelu"', b'"nonsense"'), "cannot be loaded"),
        ("config.json", lambda content: content.replace(b'"distilbert"', b'"nonsense"'), "cannot be loaded"),
    ],
)
def test_a_broken_model_is_a_clear_error(tmp_path: Path, file: str, change: object, message: str) -> None:
    path = tiny(tmp_path) / file
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(ConfigError, match=message) as raised:
        TransformersPolicy(tmp_path).decide(request("?"), candidates("a", "d"))

    assert str(tmp_path) in str(raised.value)


@needs_torch
def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    tiny(tmp_path / "classifier")
    tiny(tmp_path / "base", labels=None)
    named = json.loads((tmp_path / "classifier" / "config.json").read_text("utf-8"))
    (tmp_path / "base" / "config.json").write_text(json.dumps(named), "utf-8")

    with pytest.raises(ConfigError, match="4 of the weights are missing or of another shape, such as pre_classifier"):
        TransformersPolicy(tmp_path / "base").decide(request("?"), candidates("a", "d"))


@needs_torch
def test_a_model_is_given_no_more_than_it_can_read(tmp_path: Path) -> None:
    policy = TransformersPolicy(tiny(tmp_path), max_length=LENGTH + 1)
    with pytest.raises(ConfigError, match="max_length: 17 tokens cannot be given to this model; give 4 to 16"):
        policy.decide(request("?"), candidates("a", "d"))


@needs_torch
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = tiny(tmp_path) / "model.safetensors"
    weights = load_file(file)
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})

    with pytest.raises(ConfigError, match="give no numbers"):
        TransformersPolicy(tmp_path).decide(request("?"), candidates("a", "d"))


@needs_torch
def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    tokenizer = json.loads((tiny(tmp_path) / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"]["more"] = len(tokenizer["model"]["vocab"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")

    with pytest.raises(ConfigError, match="the tokenizer has 20 tokens and the model 19"):
        TransformersPolicy(tmp_path).decide(request("?"), candidates("a", "d"))
