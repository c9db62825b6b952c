"""What the callers work on: a few texts, an embedding that needs no model, tools, and a small database."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from llama_index.core import Document, SQLDatabase, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

QUESTION = "What do whales sing?"
TEXTS = [
    "Whales sing long songs in the deep sea. The songs of humpback whales change every year.",
    "The sky is blue because the air scatters the short waves of light more than the long ones.",
    "Bees dance in the hive to tell other bees the way to the flowers that they have found.",
]
PIXEL = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


class Words(BaseEmbedding):
    """Texts with words in common are close to each other."""

    def _embed(self, given: str) -> list[float]:
        vector = [0.01] * 32
        for word in re.findall(r"\w+", given.lower()):
            vector[hashlib.sha256(word.encode()).digest()[0] % 32] += 1
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed(text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)


class Animal(BaseModel):
    """An animal."""

    name: str = Field(description="What it is called.")
    size: int = Field(description="Its length in metres.")


def nodes() -> list[TextNode]:
    """The texts as nodes of one document."""
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")}
    return [TextNode(id_=f"n{n}", text=each, relationships=source) for n, each in enumerate(TEXTS)]


def scored() -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=1 - n / 10) for n, node in enumerate(nodes())]


def long_nodes() -> list[TextNode]:
    """So many that they do not fit into one prompt."""
    return [TextNode(id_=f"long{n}", text=f"Chapter {n}. {each} " * 30) for n in range(2) for each in TEXTS]


def documents() -> list[Document]:
    return [Document(id_=f"d{n}", text=each) for n, each in enumerate(TEXTS)]


def index() -> VectorStoreIndex:
    return VectorStoreIndex(nodes(), embed_model=Words())


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def shout(word: str) -> str:
    """Makes a word loud."""
    return word.upper()


async def add_at_once(a: int, b: int) -> int:
    return add(a, b)


async def shout_at_once(word: str) -> str:
    return shout(word)


def tools() -> list[FunctionTool]:
    """Agents would run what blocks in threads, and have the results in any order."""
    return [
        FunctionTool.from_defaults(add, async_fn=add_at_once),
        FunctionTool.from_defaults(shout, async_fn=shout_at_once),
    ]


def database() -> SQLDatabase:
    """One table, in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE animals (name TEXT PRIMARY KEY, size INTEGER)"))
        connection.execute(text("INSERT INTO animals VALUES ('whale', 30), ('bee', 0)"))
    return SQLDatabase(engine)


def found(nodes: list[NodeWithScore]) -> list[tuple[str, float | None]]:
    return [(node.node.get_content(), node.score) for node in nodes]


def plainly(thing: Any) -> Any:
    """What a caller got, as data that can be compared."""
    if isinstance(thing, BaseModel):
        return thing.model_dump(mode="json", exclude={"raw", "id_", "node_id"})
    if isinstance(thing, list | tuple):
        return [plainly(each) for each in thing]
    return thing
