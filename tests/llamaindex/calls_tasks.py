"""Callers with one task each: selectors, extractors, evaluators, rerankers, generators, transforms and indices."""

from __future__ import annotations

import warnings
from typing import Any

from llama_index.core import (
    DocumentSummaryIndex,
    KeywordTableIndex,
    QueryBundle,
    SummaryIndex,
    TreeIndex,
    VectorStoreIndex,
    get_response_synthesizer,
)
from llama_index.core.evaluation import (
    AnswerRelevancyEvaluator,
    BatchEvalRunner,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    DatasetGenerator,
    EvaluationResult,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    PairwiseComparisonEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.evaluation.multi_modal import MultiModalFaithfulnessEvaluator, MultiModalRelevancyEvaluator
from llama_index.core.extractors import (
    DocumentContextExtractor,
    KeywordExtractor,
    PydanticProgramExtractor,
    QuestionsAnsweredExtractor,
    SummaryExtractor,
    TitleExtractor,
)
from llama_index.core.indices import EmptyIndex
from llama_index.core.indices.query.query_transform import (
    DecomposeQueryTransform,
    HyDEQueryTransform,
    StepDecomposeQueryTransform,
)
from llama_index.core.indices.query.query_transform.feedback_transform import FeedbackQueryTransformation
from llama_index.core.indices.struct_store import SQLStructStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import LLMRerank, PIINodePostprocessor, StructuredLLMRerank
from llama_index.core.postprocessor.rankGPT_rerank import RankGPTRerank
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import RouterRetriever
from llama_index.core.schema import Document, ImageNode
from llama_index.core.selectors import (
    LLMMultiSelector,
    LLMSingleSelector,
    PydanticMultiSelector,
    PydanticSingleSelector,
)
from llama_index.core.selectors.utils import get_selector_from_llm
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool, ToolMetadata

from tests.llamaindex.library import (
    PIXEL,
    QUESTION,
    TEXTS,
    Animal,
    Words,
    database,
    documents,
    found,
    index,
    long_nodes,
    nodes,
    plainly,
    scored,
)

CALLERS: dict[str, Any] = {}


def caller(function: Any) -> Any:
    CALLERS[function.__name__] = function
    return function


# ------------------------------------------------------------------------------------------------------------ selectors
CHOICES = [ToolMetadata("Knows songs.", name="songs"), ToolMetadata("Knows colours.", name="colours")]


def selecting(name: str, made: Any) -> None:
    """Adds a selector's two ways."""

    def select(llm: Any) -> Any:
        return plainly(made(llm).select(CHOICES, QUESTION))

    async def aselect(llm: Any) -> Any:
        return plainly(await made(llm).aselect(CHOICES, QUESTION))

    CALLERS[f"select_{name}"], CALLERS[f"aselect_{name}"] = select, aselect


for selector in (LLMSingleSelector, LLMMultiSelector, PydanticSingleSelector, PydanticMultiSelector):
    selecting(selector.__name__, lambda llm, selector=selector: selector.from_defaults(llm=llm))


@caller
def selectors_for_llm(llm: Any) -> Any:
    made = [get_selector_from_llm(llm, is_multi=many) for many in (False, True)]
    return [(type(each).__name__, plainly(each.select(CHOICES, QUESTION))) for each in made]


@caller
def router_retriever(llm: Any) -> Any:
    tools = [RetrieverTool.from_defaults(index().as_retriever(), description=each) for each in ("Songs.", "Colours.")]
    return found(RouterRetriever.from_defaults(tools, llm=llm, select_multi=True).retrieve(QUESTION))


# ----------------------------------------------------------------------------------------------------------- extractors
QUIET = {"show_progress": False}
"""Progress is shown of jobs that begin in any order."""


def extracting(name: str, made: Any) -> None:
    async def extract(llm: Any) -> Any:
        return await made(llm).aextract(nodes())

    CALLERS[f"extract_{name}"] = extract


extracting("titles", lambda llm: TitleExtractor(llm=llm, **QUIET))
extracting("keywords", lambda llm: KeywordExtractor(llm=llm, **QUIET))
extracting("questions", lambda llm: QuestionsAnsweredExtractor(llm=llm, **QUIET))
extracting("summaries", lambda llm: SummaryExtractor(llm=llm, summaries=["self", "prev", "next"], **QUIET))
extracting("objects", lambda llm: PydanticProgramExtractor(program=animal_program(llm), input_key="text", **QUIET))


def animal_program(llm: Any) -> Any:
    return FunctionCallingProgram.from_defaults(Animal, prompt_template_str="{text}", llm=llm)


@caller
async def extract_contexts(llm: Any) -> Any:
    store = SimpleDocumentStore()
    store.add_documents([Document(id_="book", text=" ".join(TEXTS))])
    return await DocumentContextExtractor(store, llm=llm, **QUIET).aextract(nodes())


@caller
def ingestion(llm: Any) -> Any:
    extractors = [TitleExtractor(llm=llm, **QUIET), KeywordExtractor(llm=llm, **QUIET)]
    steps = [SentenceSplitter(chunk_size=64, chunk_overlap=0), *extractors]
    return [node.metadata for node in IngestionPipeline(transformations=steps).run(documents=documents())]


# ----------------------------------------------------------------------------------------------------------- evaluators
ASKED = {"query": QUESTION, "response": "Songs.", "contexts": TEXTS[:2], "reference": "Long songs."}


def evaluating(name: str, made: Any, **given: Any) -> None:
    """Adds an evaluator's two ways."""

    def evaluate(llm: Any) -> Any:
        return plainly(made(llm).evaluate(**ASKED, **given))

    async def aevaluate(llm: Any) -> Any:
        return plainly(await made(llm).aevaluate(**ASKED, **given))

    CALLERS[f"evaluate_{name}"], CALLERS[f"aevaluate_{name}"] = evaluate, aevaluate


for evaluator in (
    AnswerRelevancyEvaluator,
    ContextRelevancyEvaluator,
    CorrectnessEvaluator,
    FaithfulnessEvaluator,
    GuidelineEvaluator,
    RelevancyEvaluator,
):
    evaluating(evaluator.__name__, lambda llm, evaluator=evaluator: evaluator(llm=llm))
evaluating("PairwiseComparisonEvaluator", lambda llm: PairwiseComparisonEvaluator(llm=llm), second_response="Noise.")
evaluating("MultiModalFaithfulnessEvaluator", lambda llm: MultiModalFaithfulnessEvaluator(multi_modal_llm=llm))
evaluating("MultiModalRelevancyEvaluator", lambda llm: MultiModalRelevancyEvaluator(multi_modal_llm=llm))


@caller
async def evaluate_in_batches(llm: Any) -> Any:
    runner = BatchEvalRunner(
        {"right": CorrectnessEvaluator(llm=llm), "true": FaithfulnessEvaluator(llm=llm)}, workers=1
    )
    results = await runner.aevaluate_response_strs(
        queries=[QUESTION], response_strs=["Songs."], contexts_list=[TEXTS], reference=["Long songs."]
    )
    return {name: plainly(each) for name, each in results.items()}


# ------------------------------------------------------------------------------------------------ rerankers, generators
def reranking(name: str, made: Any) -> None:
    """Adds a reranker's two ways."""

    def rerank(llm: Any) -> Any:
        return found(made(llm).postprocess_nodes(scored(), query_str=QUESTION))

    async def arerank(llm: Any) -> Any:
        return found(await made(llm).apostprocess_nodes(scored(), query_str=QUESTION))

    CALLERS[f"rerank_{name}"], CALLERS[f"arerank_{name}"] = rerank, arerank


reranking("LLMRerank", lambda llm: LLMRerank(llm=llm, choice_batch_size=2, top_n=2))
reranking("StructuredLLMRerank", lambda llm: StructuredLLMRerank(llm=llm, choice_batch_size=2, top_n=2))
reranking("RankGPTRerank", lambda llm: RankGPTRerank(llm=llm, top_n=2))


@caller
def mask_names(llm: Any) -> Any:
    masked = PIINodePostprocessor(llm=llm).postprocess_nodes(scored()[:1])
    return [(node.node.get_content(), node.node.metadata) for node in masked]


@caller
def generate_questions(llm: Any) -> Any:
    return plainly(LLMQuestionGenerator.from_defaults(llm=llm).generate(CHOICES, QueryBundle(QUESTION)))


@caller
async def agenerate_questions(llm: Any) -> Any:
    return plainly(await LLMQuestionGenerator.from_defaults(llm=llm).agenerate(CHOICES, QueryBundle(QUESTION)))


@caller
def generate_dataset(llm: Any) -> Any:
    with warnings.catch_warnings(record=True):  # it insists on saying that it is deprecated
        made = DatasetGenerator(nodes(), llm=llm, num_questions_per_chunk=2)
        return made.generate_questions_from_nodes(num=3), made.generate_dataset_from_nodes(num=2).qr_pairs


# ----------------------------------------------------------------------------------------------------- query transforms
@caller
def hyde(llm: Any) -> Any:
    return HyDEQueryTransform(llm=llm).run(QUESTION).embedding_strs


@caller
def decompose(llm: Any) -> Any:
    return DecomposeQueryTransform(llm=llm).run(QUESTION, {"index_summary": "Animals."}).query_str


@caller
def step_decompose(llm: Any) -> Any:
    return StepDecomposeQueryTransform(llm=llm).run(QUESTION, {"index_summary": "Animals."}).query_str


@caller
def feedback(llm: Any) -> Any:
    made = FeedbackQueryTransformation(llm=llm, resynthesize_query=True)
    return made.run(QUESTION, {"evaluation": EvaluationResult(response="Noise.", feedback="Wrong.")}).query_str


# -------------------------------------------------------------------------------------------------------------- indices
@caller
def summary_index(llm: Any) -> Any:
    return found(SummaryIndex(nodes()).as_retriever(retriever_mode="llm", llm=llm).retrieve(QUESTION))


@caller
def tree_index(llm: Any) -> Any:
    made = TreeIndex(nodes(), llm=llm, num_children=2)
    made.insert_nodes([long_nodes()[0]])
    asked = [made.as_query_engine(llm=llm, child_branch_factor=each).query(QUESTION).response for each in (1, 2)]
    return asked, made.as_query_engine(llm=llm, retriever_mode="root").query(QUESTION).response


@caller
def tree_index_at_once(llm: Any) -> Any:
    return TreeIndex(nodes(), llm=llm, num_children=2, use_async=True).as_query_engine(llm=llm).query(QUESTION).response


@caller
def keyword_table_index(llm: Any) -> Any:
    return found(KeywordTableIndex(nodes(), llm=llm).as_retriever().retrieve(QUESTION))


@caller
def keyword_table_index_at_once(llm: Any) -> Any:
    return found(KeywordTableIndex(nodes(), llm=llm, use_async=True).as_retriever().retrieve(QUESTION))


@caller
def document_summary_index(llm: Any) -> Any:
    made = DocumentSummaryIndex.from_documents(
        documents(), llm=llm, response_synthesizer=get_response_synthesizer(llm=llm, response_mode="tree_summarize")
    )
    return [made.get_document_summary(each.id_) for each in documents()], found(
        made.as_retriever(retriever_mode="llm", choice_top_k=2).retrieve(QUESTION)
    )


@caller
def index_with_the_model_of_all(llm: Any) -> Any:
    """The model that stands in the settings."""
    return index().as_query_engine().query(QUESTION).response


@caller
def empty_index(llm: Any) -> Any:
    return EmptyIndex().as_query_engine(llm=llm).query(QUESTION).response


@caller
def table_index(llm: Any) -> Any:
    base = database()
    base.run_sql("DELETE FROM animals")
    SQLStructStoreIndex(nodes()[:1], sql_database=base, table_name="animals")
    return base.run_sql("SELECT * FROM animals")[0]


@caller
def image_index(llm: Any) -> Any:
    pictures = [ImageNode(id_="i0", text="A whale.", image=PIXEL.decode(), image_mimetype="image/png")]
    retriever = VectorStoreIndex([*nodes(), *pictures], embed_model=Words()).as_retriever(similarity_top_k=4)
    return RetrieverQueryEngine.from_args(retriever, llm=llm, multimodal=True).query("A whale?").response
