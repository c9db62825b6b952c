"""Callers that answer questions from texts: response synthesizers in every mode, and query engines."""

from __future__ import annotations

from typing import Any

from llama_index.core import SummaryIndex, get_response_synthesizer
from llama_index.core.base.response.schema import AsyncStreamingResponse
from llama_index.core.composability import QASummaryQueryEngineBuilder
from llama_index.core.evaluation import GuidelineEvaluator, RelevancyEvaluator
from llama_index.core.indices.query.query_transform import HyDEQueryTransform, StepDecomposeQueryTransform
from llama_index.core.indices.struct_store import JSONQueryEngine
from llama_index.core.query_engine import (
    CitationQueryEngine,
    FLAREInstructQueryEngine,
    MultiStepQueryEngine,
    NLSQLTableQueryEngine,
    RetrieverQueryEngine,
    RetryGuidelineQueryEngine,
    RetryQueryEngine,
    RetrySourceQueryEngine,
    RouterQueryEngine,
    SQLAutoVectorQueryEngine,
    SQLJoinQueryEngine,
    SubQuestionQueryEngine,
    ToolRetrieverRouterQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.retrievers import QueryFusionRetriever, VectorIndexAutoRetriever
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores import MetadataInfo, VectorStoreInfo

from tests.llamaindex.library import (
    QUESTION,
    TEXTS,
    Animal,
    database,
    documents,
    index,
    long_nodes,
    plainly,
    scored,
)

CALLERS: dict[str, Any] = {}


def caller(function: Any) -> Any:
    CALLERS[function.__name__] = function
    return function


def told(response: Any) -> Any:
    """What a query engine answered, streamed or not, and the texts that it names as its sources."""
    chunks = getattr(response, "response_gen", None)
    said = plainly(response.response) if chunks is None else list(chunks)
    return said, sorted(source.node.get_content() for source in response.source_nodes)


async def heard(response: Any) -> Any:
    """The same for what is streamed without blocking."""
    if isinstance(response, AsyncStreamingResponse):
        return [each async for each in response.async_response_gen()]
    return told(response)


# --------------------------------------------------------------------------------------------------------- synthesizers
def long_scored() -> list[Any]:
    return SummaryIndex(long_nodes()).as_retriever().retrieve(QUESTION)


def synthesizing(name: str, given: Any, **options: Any) -> None:
    """Adds a synthesizer's four ways: each of waiting or not, in one piece or streamed."""

    def synthesize(llm: Any) -> Any:
        return told(get_response_synthesizer(llm=llm, **options).synthesize(QUESTION, given()))

    async def asynthesize(llm: Any) -> Any:
        return await heard(await get_response_synthesizer(llm=llm, **options).asynthesize(QUESTION, given()))

    def stream(llm: Any) -> Any:
        return told(get_response_synthesizer(llm=llm, streaming=True, **options).synthesize(QUESTION, given()))

    async def astream(llm: Any) -> Any:
        made = get_response_synthesizer(llm=llm, streaming=True, **options)
        return await heard(await made.asynthesize(QUESTION, given()))

    ways = [synthesize, asynthesize]
    if name not in NOT_STREAMED:
        ways += [stream, astream]
    for way in ways:
        CALLERS[f"{way.__name__}_{name}"] = way


SILENT = {ResponseMode.NO_TEXT, ResponseMode.CONTEXT_ONLY}
NOT_STREAMED = {"accumulate", "compact_accumulate", "tree_summarize_structured", "accumulate_at_once"}
for mode in ResponseMode:
    if mode not in SILENT:
        synthesizing(
            mode.value, long_scored if mode is not ResponseMode.SIMPLE_SUMMARIZE else scored, response_mode=mode
        )
synthesizing("tree_summarize_at_once", long_scored, response_mode=ResponseMode.TREE_SUMMARIZE, use_async=True)
synthesizing("accumulate_at_once", scored, response_mode=ResponseMode.ACCUMULATE, use_async=True)
synthesizing("filtered", scored, response_mode=ResponseMode.REFINE, structured_answer_filtering=True)
synthesizing("compact_of_messages", scored, response_mode=ResponseMode.COMPACT, multimodal=True)
synthesizing("tree_summarize_of_messages", scored, response_mode=ResponseMode.TREE_SUMMARIZE, multimodal=True)


@caller
def synthesize_structured(llm: Any) -> Any:
    made = get_response_synthesizer(llm=llm, response_mode=ResponseMode.TREE_SUMMARIZE, output_cls=Animal)
    return plainly(made.synthesize(QUESTION, scored()).response)


@caller
async def asynthesize_structured(llm: Any) -> Any:
    made = get_response_synthesizer(llm=llm, response_mode=ResponseMode.REFINE, output_cls=Animal)
    return plainly((await made.asynthesize(QUESTION, scored())).response)


@caller
def synthesize_with_structured_llm(llm: Any) -> Any:
    made = get_response_synthesizer(llm=llm.as_structured_llm(Animal), response_mode=ResponseMode.COMPACT)
    return plainly(made.synthesize(QUESTION, scored()).response)


# -------------------------------------------------------------------------------------------------------- query engines
def engine(llm: Any, **options: Any) -> RetrieverQueryEngine:
    return index().as_query_engine(llm=llm, similarity_top_k=2, **options)


def engine_tools(llm: Any) -> list[QueryEngineTool]:
    return [
        QueryEngineTool.from_defaults(engine(llm), name="songs", description="Knows about songs."),
        QueryEngineTool.from_defaults(
            SummaryIndex(long_nodes()[:2]).as_query_engine(llm=llm), name="colours", description="Knows about colours."
        ),
    ]


@caller
def query(llm: Any) -> Any:
    return told(engine(llm).query(QUESTION))


@caller
async def aquery(llm: Any) -> Any:
    return await heard(await engine(llm).aquery(QUESTION))


@caller
def query_streaming(llm: Any) -> Any:
    return told(engine(llm, streaming=True).query(QUESTION))


@caller
async def aquery_streaming(llm: Any) -> Any:
    return await heard(await engine(llm, streaming=True).aquery(QUESTION))


@caller
async def aquery_refine_streaming(llm: Any) -> Any:
    return await heard(await engine(llm, streaming=True, response_mode="refine").aquery(QUESTION))


@caller
def query_structured(llm: Any) -> Any:
    return told(engine(llm, output_cls=Animal, response_mode="refine").query(QUESTION))


@caller
def query_tree_summarize_at_once(llm: Any) -> Any:
    made = SummaryIndex(long_nodes()).as_query_engine(llm=llm, response_mode="tree_summarize", use_async=True)
    return told(made.query(QUESTION))


@caller
def citation_query(llm: Any) -> Any:
    return told(
        CitationQueryEngine.from_args(index(), llm=llm, citation_chunk_size=64, citation_chunk_overlap=0).query(
            QUESTION
        )
    )


@caller
async def citation_aquery_streaming(llm: Any) -> Any:
    return await heard(await CitationQueryEngine.from_args(index(), llm=llm, streaming=True).aquery(QUESTION))


@caller
def router_query(llm: Any) -> Any:
    return told(RouterQueryEngine.from_defaults(engine_tools(llm), llm=llm).query(QUESTION))


@caller
async def router_aquery_by_text(llm: Any) -> Any:
    made = RouterQueryEngine.from_defaults(
        engine_tools(llm), llm=llm, selector=LLMSingleSelector.from_defaults(llm=llm)
    )
    return await heard(await made.aquery(QUESTION))


@caller
def router_query_of_many(llm: Any) -> Any:
    return told(RouterQueryEngine.from_defaults(engine_tools(llm), llm=llm, select_multi=True).query(QUESTION))


@caller
async def router_aquery_of_many(llm: Any) -> Any:
    selector = LLMMultiSelector.from_defaults(llm=llm)
    made = RouterQueryEngine.from_defaults(engine_tools(llm), llm=llm, selector=selector)
    return await heard(await made.aquery(QUESTION))


class EveryTool:
    """In place of a retriever of tools."""

    def __init__(self, tools: list[QueryEngineTool]) -> None:
        self.tools = tools

    def retrieve(self, question: Any) -> list[QueryEngineTool]:
        return self.tools

    async def aretrieve(self, question: Any) -> list[QueryEngineTool]:
        return self.tools


@caller
def tool_router_query(llm: Any) -> Any:
    return told(ToolRetrieverRouterQueryEngine(EveryTool(engine_tools(llm)), llm=llm).query(QUESTION))


def sub_questions(llm: Any, **options: Any) -> SubQuestionQueryEngine:
    return SubQuestionQueryEngine.from_defaults(
        engine_tools(llm),
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        response_synthesizer=get_response_synthesizer(llm=llm),
        verbose=False,
        **options,
    )


@caller
def sub_question_query(llm: Any) -> Any:
    return told(sub_questions(llm, use_async=False).query(QUESTION))


@caller
def sub_question_query_at_once(llm: Any) -> Any:
    return told(sub_questions(llm, use_async=True).query(QUESTION))


@caller
async def sub_question_aquery(llm: Any) -> Any:
    return await heard(await sub_questions(llm).aquery(QUESTION))


@caller
def multi_step_query(llm: Any) -> Any:
    made = MultiStepQueryEngine(
        engine(llm), StepDecomposeQueryTransform(llm=llm), get_response_synthesizer(llm=llm), index_summary="Animals."
    )
    return told(made.query(QUESTION))[0]


@caller
def transform_query(llm: Any) -> Any:
    return told(TransformQueryEngine(engine(llm), HyDEQueryTransform(llm=llm)).query(QUESTION))


@caller
async def transform_aquery(llm: Any) -> Any:
    return await heard(await TransformQueryEngine(engine(llm), HyDEQueryTransform(llm=llm)).aquery(QUESTION))


def fusion(llm: Any, **options: Any) -> RetrieverQueryEngine:
    retrievers = [index().as_retriever(similarity_top_k=1), index().as_retriever(similarity_top_k=2)]
    return RetrieverQueryEngine.from_args(QueryFusionRetriever(retrievers, llm=llm, num_queries=3, **options), llm=llm)


@caller
def fusion_query(llm: Any) -> Any:
    return told(fusion(llm, use_async=False).query(QUESTION))


@caller
async def fusion_aquery(llm: Any) -> Any:
    return await heard(await fusion(llm, mode="reciprocal_rerank").aquery(QUESTION))


@caller
def flare_query(llm: Any) -> Any:
    return told(FLAREInstructQueryEngine(engine(llm), llm=llm).query(QUESTION))[0]


class NeverPleased(RelevancyEvaluator):
    """Finds fault with every answer, so that the engine tries again."""

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        found = super().evaluate(*args, **kwargs)
        found.passing, found.feedback = False, "NO"
        return found


@caller
def retry_query(llm: Any) -> Any:
    return told(RetryQueryEngine(engine(llm), NeverPleased(llm=llm), max_retries=2).query(QUESTION))


@caller
def retry_source_query(llm: Any) -> Any:
    return told(RetrySourceQueryEngine(engine(llm), RelevancyEvaluator(llm=llm), llm=llm).query(QUESTION))


@caller
def retry_guideline_query(llm: Any) -> Any:
    return told(RetryGuidelineQueryEngine(engine(llm), GuidelineEvaluator(llm=llm), max_retries=1).query(QUESTION))


@caller
def joint_summary_query(llm: Any) -> Any:
    return told(QASummaryQueryEngineBuilder(llm=llm).build_from_documents(documents()).query(QUESTION))


# ------------------------------------------------------------------------------------------------------ tables and JSON
def sql_engine(llm: Any, **options: Any) -> NLSQLTableQueryEngine:
    return NLSQLTableQueryEngine(database(), llm=llm, tables=["animals"], **options)


@caller
def sql_query(llm: Any) -> Any:
    response = sql_engine(llm).query("Which animal is the largest?")
    return response.response, response.metadata["sql_query"], str(response.metadata["result"])


@caller
async def sql_aquery(llm: Any) -> Any:
    return (await sql_engine(llm).aquery("Which animal is the largest?")).response


@caller
def sql_query_streaming(llm: Any) -> Any:
    return list(sql_engine(llm, streaming=True).query("Which animal is the largest?").response_gen)


def auto_retriever(llm: Any) -> VectorIndexAutoRetriever:
    info = VectorStoreInfo(
        content_info="animals", metadata_info=[MetadataInfo(name="kind", type="str", description="k")]
    )
    return VectorIndexAutoRetriever(index(), vector_store_info=info, llm=llm)


def sql_and_more(llm: Any) -> tuple[QueryEngineTool, QueryEngineTool]:
    found = RetrieverQueryEngine.from_args(auto_retriever(llm), llm=llm)
    return (
        QueryEngineTool.from_defaults(sql_engine(llm), description="Sizes of animals."),
        QueryEngineTool.from_defaults(found, description="What animals do."),
    )


@caller
def auto_retriever_query(llm: Any) -> Any:
    return told(RetrieverQueryEngine.from_args(auto_retriever(llm), llm=llm).query(QUESTION))


@caller
def sql_join_query(llm: Any) -> Any:
    return SQLJoinQueryEngine(*sql_and_more(llm), llm=llm, verbose=False).query(QUESTION).response


@caller
def sql_auto_vector_query(llm: Any) -> Any:
    return SQLAutoVectorQueryEngine(*sql_and_more(llm), llm=llm, verbose=False).query(QUESTION).response


def json_engine(llm: Any) -> JSONQueryEngine:
    value = {"whale": {"size": 30, "sings": TEXTS[0]}}
    return JSONQueryEngine(value, {"type": "object"}, llm=llm, output_processor=lambda output, _value: {"path": output})


@caller
def json_query(llm: Any) -> Any:
    response = json_engine(llm).query("How large is the whale?")
    return response.response, response.metadata


@caller
async def json_aquery(llm: Any) -> Any:
    return (await json_engine(llm).aquery("How large is the whale?")).response
