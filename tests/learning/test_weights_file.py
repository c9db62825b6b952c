from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.errors import ConfigError
from router_core.learning import weights_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(content=st.dictionaries(st.text().filter(lambda name: name not in {"schema", "version"}), JSON, max_size=4))
def test_what_was_written_is_read(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("weights") / "file.json"
    weights_file.write(path, "policy", content)
    assert weights_file.read(path, "policy") == content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no valid JSON"),
        ("[1, 2]", "is a JSON list"),
        ('{"schema": "router-core/verifier", "version": 1}', "'router-core/policy'"),
        ('{"version": 1}', "schema: None"),
        ('{"schema": "router-core/policy"}', "version: None"),
        ('{"schema": "router-core/policy", "version": true}', "version: True"),
        ('{"schema": "router-core/policy", "version": 2}', "update router-core"),
        ('{"schema": "router-core/policy", "version": 1, "x": NaN}', "NaN is no finite number"),
        ('{"schema": "router-core/policy", "version": 1, "x": [1e999]}', "1e999 is no finite number"),
    ],
)
def test_a_file_that_is_broken_foreign_or_newer_is_refused_with_what_is_wrong(tmp_path, text, told):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        weights_file.read(path, "policy")
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        weights_file.read(tmp_path / "none.json", "policy")
    (tmp_path / "raw.json").write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(ConfigError, match="no valid JSON"):
        weights_file.read(tmp_path / "raw.json", "policy")


def test_a_number_that_is_not_finite_leaves_the_file_that_is_there(tmp_path):
    path = tmp_path / "file.json"
    weights_file.write(path, "policy", {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        weights_file.write(path, "policy", {"x": float("nan")})
    assert json.loads(path.read_text())["x"] == 1
    assert [each.name for each in tmp_path.iterdir()] == ["file.json"]


def test_the_kind_of_a_file(tmp_path):
    path = tmp_path / "file.json"
    weights_file.write(path, "nearest", {})
    assert weights_file.kind_of(path) == "nearest"
    path.write_text('{"schema": "other"}')
    assert weights_file.kind_of(path) is None
