"""Callers that make graphs of texts, or look into graphs."""

from __future__ import annotations

import warnings
from typing import Any

from llama_index.core import KnowledgeGraphIndex, PropertyGraphIndex, StorageContext
from llama_index.core.graph_stores import SimpleGraphStore, SimplePropertyGraphStore
from llama_index.core.indices.property_graph import (
    CypherTemplateRetriever,
    DynamicLLMPathExtractor,
    LLMSynonymRetriever,
    SchemaLLMPathExtractor,
    SimpleLLMPathExtractor,
    TextToCypherRetriever,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import KnowledgeGraphQueryEngine
from llama_index.core.retrievers import KGTableRetriever, KnowledgeGraphRAGRetriever

from tests.llamaindex.library import QUESTION, Animal, found, nodes, plainly

CALLERS: dict[str, Any] = {}


def caller(function: Any) -> Any:
    CALLERS[function.__name__] = function
    return function


def extracted(nodes: list[Any]) -> Any:
    return [[plainly(each) for kind in ("nodes", "relations") for each in node.metadata[kind]] for node in nodes]


@caller
async def simple_paths(llm: Any) -> Any:
    return extracted(await SimpleLLMPathExtractor(llm=llm).acall(nodes()))


@caller
async def schema_paths(llm: Any) -> Any:
    return extracted(await SchemaLLMPathExtractor(llm=llm, strict=False).acall(nodes()))


@caller
async def dynamic_paths(llm: Any) -> Any:
    return extracted(await DynamicLLMPathExtractor(llm=llm, allowed_entity_types=["THING"]).acall(nodes()))


@caller
def property_graph_index(llm: Any) -> Any:
    made = PropertyGraphIndex(nodes(), llm=llm, kg_extractors=[SimpleLLMPathExtractor(llm=llm)], embed_kg_nodes=False)
    retriever = LLMSynonymRetriever(made.property_graph_store, include_text=False, llm=llm)
    answer = made.as_query_engine(llm=llm, sub_retrievers=[retriever]).query(QUESTION).response
    return answer, sorted(node.text for node in retriever.retrieve(QUESTION))


class Graph(SimplePropertyGraphStore):
    """Answers each query with the query."""

    supports_structured_queries: bool = True
    text_to_cypher_template: PromptTemplate = PromptTemplate("Write Cypher for {schema}: {question}")

    def structured_query(self, query: str, param_map: dict[str, Any] | None = None) -> Any:
        return [{"query": query, "params": param_map}]

    async def astructured_query(self, query: str, param_map: dict[str, Any] | None = None) -> Any:
        return self.structured_query(query, param_map)

    def get_schema_str(self, **_: Any) -> str:
        return "whales and songs"

    async def aget_schema_str(self, **_: Any) -> str:
        return self.get_schema_str()


@caller
def text_to_cypher(llm: Any) -> Any:
    return found(TextToCypherRetriever(Graph(), llm=llm, summarize_response=True).retrieve(QUESTION))


@caller
async def atext_to_cypher(llm: Any) -> Any:
    return found(await TextToCypherRetriever(Graph(), llm=llm).aretrieve(QUESTION))


@caller
def cypher_template(llm: Any) -> Any:
    return found(CypherTemplateRetriever(Graph(), Animal, "MATCH (n {name: $name})", llm=llm).retrieve("A 'whale'?"))


@caller
async def acypher_template(llm: Any) -> Any:
    made = CypherTemplateRetriever(Graph(), Animal, "MATCH (n {name: $name})", llm=llm)
    return found(await made.aretrieve("A 'whale'?"))


# ----------------------------------------------------------------------------------------------------- knowledge graphs
class Triplets(SimpleGraphStore):
    """Answers each query with the query."""

    def get_schema(self, **_: Any) -> str:
        return "whales and songs"

    def query(self, query: str, **_: Any) -> Any:
        return [query]


def knowledge(llm: Any) -> KnowledgeGraphIndex:
    storage = StorageContext.from_defaults(graph_store=Triplets())
    return KnowledgeGraphIndex(nodes(), llm=llm, storage_context=storage)


@caller
def knowledge_graph_index(llm: Any) -> Any:
    with deprecated():
        retriever = KGTableRetriever(knowledge(llm), llm=llm)
        return sorted(node.text for node in retriever.retrieve(QUESTION))


@caller
async def knowledge_graph_retriever(llm: Any) -> Any:
    with deprecated():
        retriever = KnowledgeGraphRAGRetriever(knowledge(llm).storage_context, llm=llm)
        return sorted(node.text for node in await retriever.aretrieve(QUESTION))


@caller
def knowledge_graph_query(llm: Any) -> Any:
    with deprecated():
        return knowledge_engine(llm).query(QUESTION).response


@caller
async def knowledge_graph_aquery(llm: Any) -> Any:
    with deprecated():
        return (await knowledge_engine(llm).aquery(QUESTION)).response


def knowledge_engine(llm: Any) -> KnowledgeGraphQueryEngine:
    prompt = PromptTemplate("Write Cypher for {schema}: {query_str}")
    return KnowledgeGraphQueryEngine(
        llm, storage_context=knowledge(llm).storage_context, graph_query_synthesis_prompt=prompt
    )


def deprecated() -> Any:
    """LlamaIndex advises against these graphs, and has them."""
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)
