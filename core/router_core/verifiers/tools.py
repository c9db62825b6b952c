"""Verifiers of the tool calls of an answer."""

from __future__ import annotations

from router_core.types import ACCEPT, Reply, RequestView, ToolCall, ToolSpec, Verdict
from router_core.verifiers.validation import misfit, read_json


class ToolsMissingVerifier:
    """Rejects an answer without the tool call that ``tool_choice`` demands, and (as ``unknown_tool``) a call of a tool
    that was not offered."""

    name = "tools_missing"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Compare the names of the calls with what was offered and demanded."""
        called = [call.name for call in reply.tool_calls]
        if called:
            offered = {tool.name for tool in request.tools}
            for name in called:
                if name not in offered:
                    known = ", ".join(sorted(offered)) or "none"
                    detail = f"the answer calls {name!r}; the tools offered are: {known}"
                    return Verdict(accepted=False, code="unknown_tool", detail=detail)
        if not request.forces_tool:
            return ACCEPT
        if not called:
            demanded = "a tool" if request.tool_choice == "any" else f"the tool {request.tool_choice!r}"
            return self._reject(f"the answer had to call {demanded} and calls none")
        if request.tool_choice != "any" and request.tool_choice not in called:
            return self._reject(
                f"the answer had to call the tool {request.tool_choice!r} and calls {', '.join(called)}"
            )
        return ACCEPT

    def _reject(self, detail: str) -> Verdict:
        return Verdict(accepted=False, code=self.name, detail=detail)


class ToolArgumentsVerifier:
    """Rejects tool calls whose arguments are not a JSON object or do not fit the tool's JSON Schema.

    An empty text counts as no arguments: several servers write it so. A broken schema is the application's fault, so it
    lets the arguments pass.
    """

    name = "tool_arguments"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Judge the arguments of each call of an offered tool."""
        if not reply.tool_calls:
            return ACCEPT
        tools = {tool.name: tool for tool in request.tools}
        for call in reply.tool_calls:
            tool = tools.get(call.name)
            fault = None if tool is None else _fault(tool, call)
            if fault is not None:
                return Verdict(accepted=False, code=self.name, detail=f"the arguments of {call.name!r} {fault}")
        return ACCEPT


def _fault(tool: ToolSpec, call: ToolCall) -> str | None:
    try:
        arguments = read_json(call.arguments) if call.arguments.strip() else {}
    except ValueError as error:
        return f"are not JSON: {error}"
    if not isinstance(arguments, dict):
        return "are not a JSON object"
    fault = misfit(tool.parameters, arguments)
    return None if fault is None else f"do not fit its schema: {fault}"
