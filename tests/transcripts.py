"""What real servers sent, byte for byte where we could run them (ids shortened, values our own), and what it means.

Each body is a list of the pieces in which it came; ``facts`` are fields of the Record that it must decode to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tapes import plain, response

from pytest_vllm_bench.model import Ending


@dataclass(frozen=True, kw_only=True)
class Transcript:
    name: str
    backends: tuple[str, ...]
    data: bytes
    facts: Mapping[str, object]
    ending: int = Ending.COMPLETE
    of_plan: Mapping[str, Any] = field(default_factory=dict)
    asked: int = -1


def event(json: str, space: str = " ", end: str = "\n\n") -> bytes:
    return f"data:{space}{json}{end}".encode()


DONE = event("[DONE]")
COMPLETIONS = (
    "vllm", "openai", "sglang-oai", "lmdeploy", "scalellm", "trtllm-serve", "llama.cpp", "deepspeed-mii-openai",
)  # fmt: skip
CHAT = ("openai-chat", "vllm-chat")

_VLLM = (
    '{"id":"cmpl-8f","object":"text_completion","created":1795339485,"model":"tiny","choices":[{"index":0,"text":%s,'
    '"logprobs":null,"finish_reason":%s,"stop_reason":null,"prompt_token_ids":null,"token_ids":%s}]%s}'
)
_VLLM_USAGE = (
    '{"id":"cmpl-8f","object":"text_completion","created":1795339485,"model":"tiny","choices":[],"usage":'
    '{"prompt_tokens":1,"total_tokens":4,"completion_tokens":3},"system_fingerprint":"vllm-0.32.0-e7b73363"}'
)
_CHAT = (
    '{"id":"chatcmpl-86","object":"chat.completion.chunk","created":1795339486,"model":"tiny","choices":[{"index":0,'
    '"delta":%s,"logprobs":null,"finish_reason":%s}]%s}'
)
_CHAT_USAGE = (
    '{"id":"chatcmpl-86","object":"chat.completion.chunk","created":1,"model":"tiny","choices":[],"usage":'
    '{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":0}}}'
)


def vllm(text: str, finish: str = "null", ids: str = "null", usage: str = "") -> bytes:
    return event(_VLLM % (text, finish, ids, usage))


def chat(delta: str, finish: str = "null", more: str = "") -> bytes:
    return event(_CHAT % (delta, finish, more))


def llama_cpp_python(text: str) -> bytes:
    return event(
        f'{{"id": "cmpl-a2", "object": "text_completion", "choices": [{{"text": {text}, "index": 0, '
        '"logprobs": null, "finish_reason": null}]}'
    )


#: Answers that are none: name, bytes, what they mean.
REFUSALS: list[tuple[str, bytes, dict[str, object]]] = [
    ("401 of vLLM: the error is a string", plain(b'{"error":"Unauthorized"}', 401),
     {"error": "http", "status": 401, "error_detail": "Unauthorized"}),
    ("404 of FastAPI", plain(b'{"detail":"Not Found"}', 404),
     {"error": "http", "status": 404, "error_detail": "Not Found"}),
    ("404 of vLLM: model", plain(
        b'{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError","param":"model",'
        b'"code":404}}', 404),
     {"error": "http", "status": 404, "error_detail": "The model `nope` does not exist."}),
    ("400: too long", plain(
        b'{"error":{"code":400,"message":"request (5002 tokens) exceeds the available context size",'
        b'"type":"exceed_context_size_error","n_prompt_tokens":5002,"n_ctx":2048}}', 400),
     {"error": "http", "status": 400,
      "error_detail": "request (5002 tokens) exceeds the available context size"}),
    ("422 with a list", plain(b'{"detail":[{"type":"string_type","loc":["body","prompt"]}]}', 422),
     {"error": "http", "error_detail": '[{"type": "string_type", "loc": ["body", "prompt"]}]'}),
    ("500 in plain text", plain(b"Internal Server Error", 500, "text/plain"),
     {"error": "http", "status": 500, "error_detail": "Internal Server Error"}),
    ("502 without a body", plain(b"", 502), {"error": "http", "status": 502, "error_detail": "HTTP 502"}),
    ("429 with seconds", plain(b'{"error":{"message":"slow down"}}', 429, extra="Retry-After: 7\r\n"),
     {"error": "rejected", "status": 429, "retry_after": 7.0, "error_detail": "slow down"}),
    ("503 with a date", plain(
        b"busy", 503, "text/plain",
        "Date: Mon, 23 Nov 2026 05:00:00 GMT\r\nRetry-After: Mon, 23 Nov 2026 05:00:30 GMT\r\n"),
     {"error": "rejected", "status": 503, "retry_after": 30.0, "error_detail": "busy"}),
    ("400 in SSE framing", response(event('{"error":"boom before the first token"}'), status=400),
     {"error": "http", "status": 400, "error_detail": "boom before the first token"}),
    ("301", plain(b"", 301), {"error": "http", "status": 301}),
]  # fmt: skip

OPENAI: list[Transcript] = [
    Transcript(
        name="vLLM completions, a token without text",
        backends=COMPLETIONS,
        data=response(vllm('"alkyl"'), vllm('""'), vllm('"威脅"', '"length"'), event(_VLLM_USAGE), DONE),
        facts={
            "error": None, "text": "alkyl威脅", "output_tokens": 3, "prompt_tokens": 1, "token_source": "usage",
            "finish_reason": "length", "events": 2, "tokens": 3, "tokens_per_event": "estimated", "status": 200,
        },
        asked=3,
        of_plan={"force_length": True},
    ),
    Transcript(
        name="vLLM completions with token ids, four a chunk",
        backends=COMPLETIONS,
        data=response(
            vllm('"a"', ids="[63749]"),
            vllm('" b c d e"', ids="[13102,93870,18656,44109]"),
            vllm('""', ids="[7]"),
            vllm('" f"', '"length"', ids="[8]"),
            event(_VLLM_USAGE.replace(":3}", ":7}")),
            DONE,
        ),
        facts={
            "error": None, "output_tokens": 7, "events": 4, "tokens": 7, "tokens_per_event": "exact",
            "token_source": "usage",
        },
    ),
    Transcript(
        name="vLLM completions with a count in every chunk",
        backends=COMPLETIONS,
        data=response(
            vllm('"a"', usage=',"usage":{"prompt_tokens":1,"total_tokens":2,"completion_tokens":1}'),
            vllm('""', usage=',"usage":{"prompt_tokens":1,"total_tokens":3,"completion_tokens":2}'),
            vllm('"b"', '"length"', usage=',"usage":{"prompt_tokens":1,"total_tokens":6,"completion_tokens":5}'),
            event(_VLLM_USAGE.replace(":3}", ":5}")),
            DONE,
        ),
        facts={
            "error": None, "output_tokens": 5, "events": 3, "tokens": 5, "tokens_per_event": "exact",
            "token_source": "usage", "prompt_tokens": 1,
        },
    ),
    Transcript(
        name="vLLM error inside a 200 stream",
        backends=COMPLETIONS + CHAT,
        data=response(
            event(
                '{"error": {"message": "Requested sample logprobs of 1000, which is greater than max allowed: 20 '
                '(parameter=logprobs, value=1000)", "type": "BadRequestError", "param": "logprobs", "code": 400}}'
            ),
            DONE,
        ),
        facts={
            "error": "in_stream", "status": 200, "events": 0, "output_tokens": None,
            "error_detail": "Requested sample logprobs of 1000, which is greater than max allowed: 20 "
            "(parameter=logprobs, value=1000)",
        },
    ),
    Transcript(
        name="vLLM engine dead after two tokens",
        backends=COMPLETIONS,
        data=response(
            vllm('"a"'),
            vllm('"b"'),
            event(
                '{"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", '
                '"type": "InternalServerError", "param": null, "code": 500}}'
            ),
            DONE,
        ),
        facts={
            "error": "in_stream", "events": 2, "text": "ab",
            "error_detail": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        },
    ),
    Transcript(
        name="vLLM chat, all of it thinking",
        backends=CHAT,
        data=response(
            chat('{"role":"assistant","content":""}', more=',"prompt_token_ids":null'),
            chat('{"reasoning":"alkyl"}'),
            chat('{"reasoning":"威脅"}'),
            chat('{"reasoning":"!"}', '"length"'),
            event(_CHAT_USAGE),
            DONE,
        ),
        facts={
            "error": None, "text": "alkyl威脅!", "events": 3, "tokens": 3, "output_tokens": 3, "reasoning_tokens": 0,
            "finish_reason": "length", "has": [True, True, False],
        },
    ),
    Transcript(
        name="chat with keep-alives, thinking, content and a tool call",
        backends=CHAT,
        data=response(
            b": keep-alive\n\n",
            chat('{"role":"assistant","content":""}'),
            b": keep-alive\n\n",
            chat('{"reasoning_content":"hm"}'),
            chat('{"content":"4"}'),
            chat('{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}'),
            chat('{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}'),
            chat("{}", '"tool_calls"'),
            event(_CHAT_USAGE),
            DONE,
        ),
        facts={
            "error": None, "text": "hm4{}", "events": 3, "tokens": 3, "finish_reason": "tool_calls",
            "has": [True, True, True],
        },
    ),
    Transcript(
        name="llama.cpp completions, usage in the last text chunk",
        backends=COMPLETIONS,
        data=response(
            event('{"choices":[{"text":"{","index":0,"logprobs":null,"finish_reason":null}],"created":1,"model":"t.gguf",'
                  '"system_fingerprint":"b0-unknown","object":"text_completion","id":"chatcmpl-QQ"}'),
            event('{"choices":[{"text":"\u0535\u00bd","index":0,"logprobs":null,"finish_reason":null}],"created":1}'),
            event('{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"created":1,"usage":'
                  '{"completion_tokens":3,"prompt_tokens":7,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":6}},'
                  '"id":"chatcmpl-QQ","timings":{"predicted_n":3,"predicted_ms":1.5}}'),
            DONE,
        ),
        facts={
            "error": None, "output_tokens": 3, "prompt_tokens": 7, "cached_tokens": 6, "events": 2, "tokens": 3,
            "tokens_per_event": "estimated", "server": {"predicted_n": 3, "predicted_ms": 1.5},
        },
    ),
    Transcript(
        name="llama.cpp chat, role chunk with null content beside the first token",
        backends=CHAT,
        data=response(
            event('{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"id":"x"}')
            + event('{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"w"}}],"id":"x"}'),
            event('{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"\u057d"}}],"id":"x"}'),
            event('{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"id":"x"}')
            + event('{"choices":[],"usage":{"completion_tokens":3,"prompt_tokens":24,"total_tokens":27,'
                    '"prompt_tokens_details":{"cached_tokens":0}},"timings":{"prompt_n":24}}'),
            DONE,
        ),
        facts={
            "error": None, "output_tokens": 3, "prompt_tokens": 24, "cached_tokens": 0, "events": 2, "text": "w\u057d",
            "finish_reason": "length",
        },
    ),
    Transcript(
        name="llama.cpp chat that only makes progress, then is cut",
        backends=CHAT,
        data=response(
            event('{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
                  '"prompt_progress":{"total":3822,"cache":0,"processed":0,"time_ms":0}}'),
            b":\n\n",
            b":\n\n",
        )[:-5],
        ending=Ending.EOF,
        facts={"error": "reset", "events": 0, "has": [True, False, False]},
    ),
    Transcript(
        name="transformers serve chat: usage beside the finish reason, no [DONE]",
        backends=CHAT,
        data=response(
            event('{"id":"dc","choices":[{"delta":{"role":"assistant"},"index":0}],"model":"m@main",'
                  '"object":"chat.completion.chunk","system_fingerprint":""}'),
            event('{"id":"dc","choices":[{"delta":{"content":"\ufffd tin"},"index":0}],"model":"m@main"}'),
            event('{"id":"dc","choices":[{"delta":{},"index":0,"finish_reason":"length"}],"model":"m@main",'
                  '"usage":{"completion_tokens":4,"prompt_tokens":20,"total_tokens":24}}'),
        ),
        facts={
            "error": None, "output_tokens": 4, "events": 1, "tokens": 4, "tokens_per_event": "estimated",
            "finish_reason": "length", "prompt_tokens": 20,
        },
    ),
    Transcript(
        name="llama-cpp-python: empty chunks, no usage",
        backends=COMPLETIONS,
        data=response(
            *map(llama_cpp_python, ['""', '"{"', '""', '""', '"\\ud83d\\ude00"']),
            event('{"id": "cmpl-a2", "choices": [{"text": "", "index": 0, "finish_reason": "length"}]}'),
            DONE,
        ),
        facts={
            "error": None, "output_tokens": 2, "token_source": "events", "tokens_per_event": "estimated",
            "text": "{\U0001f600",
        },
    ),
    Transcript(
        name="llama-cpp-python: 200 and an empty body",
        backends=COMPLETIONS + CHAT,
        data=response(),
        facts={"error": "empty", "status": 200, "output_tokens": None},
    ),
    Transcript(
        name="ScaleLLM: five events in one read, the finish reason apart",
        backends=COMPLETIONS,
        data=response(
            event('{"id":"c","choices":[{"index":0,"text":" t0","logprobs":null,"finish_reason":null}],"usage":null}')
            + event('{"id":"c","choices":[{"index":0,"text":" t1","logprobs":null,"finish_reason":null}],"usage":null}')
            + event('{"id":"c","choices":[{"index":0,"text":"","finish_reason":"length"}],"usage":null}')
            + event('{"id":"c","choices":[],"usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2}}')
            + DONE,
        ),
        facts={"error": None, "events": 2, "tokens": 2, "tokens_per_event": "exact", "output_tokens": 2},
    ),
    Transcript(
        name="ScaleLLM: naked JSON as the error after two tokens",
        backends=COMPLETIONS,
        data=response(
            event('{"id":"c","choices":[{"index":0,"text":" t0","logprobs":null,"finish_reason":null}],"usage":null}'),
            event('{"id":"c","choices":[{"index":0,"text":" t1","logprobs":null,"finish_reason":null}],"usage":null}'),
            b'{"error":{"message":"engine failed","code":13}}',
        ),
        facts={"error": "in_stream", "error_detail": "engine failed", "events": 2},
    ),
    Transcript(
        name="ScaleLLM: 400 in an event stream, naked",
        backends=COMPLETIONS,
        data=response(b'{"error":{"message":"prompt is too long","code":3}}', status=400),
        facts={"error": "http", "error_detail": "prompt is too long", "status": 400},
    ),
    Transcript(
        name="DeepSpeed-MII chat: no object, no created, no usage",
        backends=CHAT,
        data=response(
            event('{"id":"chatcmpl-pA","model":"tok","choices":[{"index":0,"delta":{"role":"assistant"},'
                  '"finish_reason":null}]}'),
            event('{"id":"chatcmpl-pA","model":"tok","choices":[{"index":0,"delta":{"content":" t0"},'
                  '"finish_reason":null}]}'),
            event('{"id":"chatcmpl-pA","model":"tok","choices":[{"index":0,"delta":{"content":" t1"},'
                  '"finish_reason":"length"}]}'),
            DONE,
        ),
        facts={"error": None, "events": 2, "token_source": "events", "finish_reason": "length"},
    ),
    Transcript(
        name="DeepSpeed-MII: the engine fails, the chunked body is cut",
        backends=CHAT,
        data=response(
            event('{"id":"c","model":"tok","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}'),
            event('{"id":"c","model":"tok","choices":[{"index":0,"delta":{"content":" t0"},"finish_reason":null}]}'),
        )[:-5],
        ending=Ending.EOF,
        facts={"error": "reset", "events": 1, "text": " t0", "has": [True, True, True]},
    ),
    Transcript(
        name="TGI chat: role in every chunk, an empty finish reason before the end",
        backends=CHAT,
        data=response(
            event('{"object":"chat.completion.chunk","id":"","choices":[{"index":0,"delta":{"role":"assistant",'
                  '"content":"a"},"logprobs":null,"finish_reason":""}],"usage":null}'),
            event('{"object":"chat.completion.chunk","id":"","choices":[{"index":0,"delta":{"role":"assistant",'
                  '"content":""},"logprobs":null,"finish_reason":"eos_token"}],"usage":null}'),
            event('{"object":"chat.completion.chunk","id":"","choices":[],"usage":{"prompt_tokens":2,'
                  '"completion_tokens":2,"total_tokens":4}}'),
            DONE,
        ),
        facts={"error": None, "events": 1, "output_tokens": 2, "finish_reason": "eos_token"},
    ),
    Transcript(
        name="TGI chat: its error inside the stream",
        backends=CHAT,
        data=response(
            event('{"error":{"message":"Input validation error: `inputs` must have less than 1024 tokens.",'
                  '"http_status_code":422}}'),
            DONE,
        ),
        facts={
            "error": "in_stream",
            "error_detail": "Input validation error: `inputs` must have less than 1024 tokens.",
        },
    ),
    Transcript(
        name="trtllm-serve: a space behind the role chunk, [DONE] twice",
        backends=CHAT,
        data=response(
            event('{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant"}}]}',
                  end=" \n\n"),
            event('{"id":"c","choices":[{"index":0,"delta":{"content":"","reasoning_content":"hm"}}]}'),
            event('{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}'),
            event('{"id":"c","choices":[],"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}}'),
            DONE,
            DONE,
        ),
        facts={"error": None, "events": 2, "tokens": 2, "text": "hma", "output_tokens": 2, "prompt_tokens": 5},
    ),
    Transcript(
        name="LMDeploy: an error object in the stream",
        backends=CHAT,
        data=response(
            event('{"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant",'
                  '"content":"\\u4f60"}}],"usage":null}'),
            event('{"error": {"message":"engine is overloaded","type":"overloaded","code":503,"object":"error"}}'),
            DONE,
        ),
        facts={"error": "rejected", "error_detail": "engine is overloaded", "events": 1, "text": "你"},
    ),
    Transcript(
        name="an answer that was aborted",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), vllm('""', '"abort"'), DONE),
        facts={"error": "in_stream", "error_detail": "finish_reason: abort", "finish_reason": "abort"},
    ),
    Transcript(
        name="a clean end without any sign",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), vllm('"b"')),
        facts={"error": "truncated", "text": "ab", "output_tokens": 2},
    ),
    Transcript(
        name="fewer tokens than forced",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), vllm('"bc"', '"stop"'), event(_VLLM_USAGE), DONE),
        asked=8,
        of_plan={"force_length": True},
        facts={"error": "short", "error_detail": "3 < 8", "output_tokens": 3},
    ),
    Transcript(
        name="fewer tokens than asked, where the length is not forced",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), vllm('"bc"', '"stop"'), event(_VLLM_USAGE), DONE),
        asked=8,
        facts={"error": None, "output_tokens": 3},
    ),
    Transcript(
        name="a plain JSON answer to a stream request",
        backends=CHAT,
        data=plain(
            b' {"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning":"alkyl"},'
            b'"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n'
        ),
        facts={
            "error": None, "output_tokens": 3, "prompt_tokens": 7, "text": "alkyl", "events": 0,
            "finish_reason": "length", "has": [False, False, False],
        },
    ),
    Transcript(
        name="a status-200 error as plain JSON",
        backends=COMPLETIONS + CHAT,
        data=plain(b'{"object":"error","message":"Model x not found.","code":40301}'),
        facts={"error": "in_stream", "error_detail": "Model x not found.", "status": 200},
    ),
    Transcript(
        name="a web page with status 200",
        backends=COMPLETIONS + CHAT,
        data=plain(b"<html><body>Welcome to nginx!</body></html>\n\n", content_type="text/html"),
        facts={"error": "protocol", "error_detail": "<html><body>Welcome to nginx!</body></html>"},
    ),
    Transcript(
        name="an event that is not JSON",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), event('{"choices": [{"text": "b"')),
        facts={"error": "protocol", "error_detail": '{"choices": [{"text": "b"', "text": "a"},
    ),
    Transcript(
        name="an event of another shape",
        backends=COMPLETIONS,
        data=response(vllm('"a"'), event('{"choices": "none"}')),
        facts={"error": "truncated", "text": "a"},
    ),
    Transcript(
        name="cut UTF-8, NaN and a lone surrogate inside JSON",
        backends=COMPLETIONS,
        data=response(
            b'data: {"choices":[{"text":"\xe4\xbd","index":0}]}\n\n',
            b'data: {"choices":[{"text":"b\\ud83d","logprobs":NaN,"finish_reason":"stop"}]}\n\n',
            DONE,
        ),
        facts={"error": None, "text": "\ufffdb?", "events": 2},
    ),
    Transcript(
        name="line separators of Unicode inside a string",
        backends=COMPLETIONS,
        data=response(vllm('"a\u2028b\u0085c"', '"stop"'), DONE),
        facts={"error": None, "text": "a\u2028b\u0085c", "events": 1},
    ),
    Transcript(
        name="CRLF, no space, several data lines, event names",
        backends=COMPLETIONS,
        data=response(
            b'event: message\r\nid: 1\r\ndata:{"choices":[{"text":"a",\r\ndata:"index":0}]}\r\n\r\n',
            b'data:{"choices":[{"text":"b","finish_reason":"stop"}]}\r\n\r\ndata:[DONE]\r\n\r\n',
        ),
        facts={"error": None, "text": "ab", "events": 2, "finish_reason": "stop"},
    ),
    *[
        Transcript(name=name, backends=COMPLETIONS + CHAT, data=data, facts=facts)
        for name, data, facts in REFUSALS
    ],
]  # fmt: skip
