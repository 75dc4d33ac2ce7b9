"""More of what real servers sent: whole refusals, and streams of the servers that are odd in small ways."""

from __future__ import annotations

from collections.abc import Iterable

from tapes import plain, response
from transcripts import CHAT, COMPLETIONS, DONE, Transcript, event

from pytest_vllm_bench.model import Ending

LLAMA = ("llama.cpp", "openai")
AUDIO = ("openai-audio", "openai-audio-translations")


def named(kind: str, more: str = "") -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}"{more}}}\n\n'.encode()


STREAMS: list[Transcript] = [
    Transcript(
        name="llama.cpp responses: five events in one read, completed although it was cut",
        backends=("openai-responses",),
        data=response(
            named("response.created", ',"response":{"id":"resp_1","object":"response","status":"in_progress"}')
            + named("response.in_progress", ',"response":{"id":"resp_1","status":"in_progress"}')
            + named("response.output_item.added", ',"item":{"id":"msg_1","type":"message","content":[]}')
            + named("response.content_part.added", ',"item_id":"msg_1","part":{"type":"output_text","text":""}')
            + named("response.output_text.delta", ',"item_id":"msg_1","delta":"w"'),
            named("response.output_text.delta", ',"item_id":"msg_1","delta":"\u057d"'),
            named(
                "response.completed",
                ',"response":{"id":"resp_1","object":"response","status":"completed","output":[],"usage":'
                '{"input_tokens":24,"output_tokens":2,"total_tokens":26,"input_tokens_details":{"cached_tokens":23}}},'
                '"timings":{"predicted_n":2}',
            ),
        ),
        facts={
            "error": None, "text": "w\u057d", "events": 2, "output_tokens": 2, "prompt_tokens": 24, "cached_tokens": 23,
            "finish_reason": "stop", "server": {"predicted_n": 2},
        },
    ),
    Transcript(
        name="llama.cpp chat: all of it thinking, in reasoning_content",
        backends=CHAT,
        data=response(
            event('{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]}')
            + event('{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"\\u0012"}}]}'),
            event('{"choices":[{"finish_reason":null,"index":0,"delta":{"reasoning_content":"x"}}]}'),
            event('{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"timings":{"predicted_n":2}}'),
            DONE,
        ),
        facts={"error": None, "text": "\x12x", "events": 2, "finish_reason": "length", "has": [True, True, False]},
    ),
    Transcript(
        name="llama.cpp chat as one object, thinking only",
        backends=CHAT,
        data=plain(
            b'{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"",'
            b'"reasoning_content":"hm"}}],"usage":{"completion_tokens":2,"prompt_tokens":9,"total_tokens":11}}'
        ),
        facts={"error": None, "text": "hm", "output_tokens": 2, "has": [False] * 3},
    ),
    Transcript(
        name="transformers serve completions: one event, no text, no [DONE]",
        backends=COMPLETIONS,
        data=response(
            event('{"id":"x","choices":[{"finish_reason":"length","index":0,"text":""}],"created":1,"model":"m@main",'
                  '"object":"text_completion","usage":{"completion_tokens":4,"prompt_tokens":5,"total_tokens":9}}')
        ),
        facts={"error": None, "output_tokens": 4, "prompt_tokens": 5, "events": 0, "has": [True, False, False]},
    ),
    Transcript(
        name="transformers serve: an error in the stream whose quotes are not escaped",
        backends=CHAT,
        data=response(event('{"error": "no "field" here"}')),
        facts={"error": "protocol", "error_detail": '{"error": "no "field" here"}'},
    ),
    Transcript(
        name="transformers serve: transcripts as bare text are not what this interface says",
        backends=AUDIO,
        data=response(event("hello"), event("you")),
        facts={"error": "protocol", "error_detail": "hello"},
    ),
    Transcript(
        name="llama-cpp-python chat: a role alone, surrogates, an empty last delta",
        backends=CHAT,
        data=response(
            event('{"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}'),
            event('{"id": "c", "choices": [{"index": 0, "delta": {"content": "\\ud83d\\ude00"}, '
                  '"finish_reason": null}]}'),
            event('{"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}'),
            DONE,
        ),
        facts={"error": None, "text": "\U0001f600", "events": 1, "token_source": "events", "finish_reason": "length"},
    ),
    Transcript(
        name="DeepSpeed-MII completions: no created, no usage, though it was asked for",
        backends=("deepspeed-mii-openai", "openai"),
        data=response(
            event('{"id":"cmpl-oQ","object":"text_completion","model":"tok","choices":[{"index":0,"text":" t0",'
                  '"logprobs":null,"finish_reason":null}]}'),
            event('{"id":"cmpl-oQ","object":"text_completion","model":"tok","choices":[{"index":0,"text":" t1",'
                  '"logprobs":null,"finish_reason":"length"}]}'),
            DONE,
        ),
        facts={"error": None, "text": " t0 t1", "output_tokens": 2, "token_source": "events"},
    ),
    Transcript(
        name="vLLM: the engine died of the first request",
        backends=COMPLETIONS + CHAT,
        data=response(
            event('{"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root '
                  'cause.", "type": "InternalServerError", "param": null, "code": 500}}'),
            DONE,
        ),
        facts={
            "error": "in_stream", "status": 200, "events": 0,
            "error_detail": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        },
    ),
    Transcript(
        name="vLLM translation",
        backends=("openai-audio-translations",),
        data=response(
            event('{"id":"translate-b8","object":"translation.chunk","created":1,"model":"wh","choices":[{"delta":'
                  '{"content":"!"}}]}'),
            event('{"id":"translate-b8","object":"translation.chunk","created":1,"model":"wh","choices":[{"delta":'
                  '{"content":"!"},"finish_reason":"length","stop_reason":null}]}'),
            event('{"id":"translate-b8","object":"translation.chunk","created":1,"model":"wh","choices":[],"usage":'
                  '{"prompt_tokens":204,"total_tokens":208,"completion_tokens":4}}'),
            DONE,
        ),
        facts={"error": None, "text": "!!", "output_tokens": 4, "prompt_tokens": 204, "finish_reason": "length"},
    ),
    Transcript(
        name="SGLang refused a sampling key: 200, and the connection closes without a byte of body",
        backends=("sglang",),
        data=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        ending=Ending.EOF,
        facts={"error": "reset", "status": 200, "events": 0},
    ),
]  # fmt: skip


def refused(server: str, backends: tuple[str, ...], cases: Iterable[tuple[int, str, str]]) -> list[Transcript]:
    """Status, body, and the words that are to be kept of it."""
    return [
        Transcript(
            name=f"{server}: {status} {words[:40]}",
            backends=backends,
            data=plain(body.encode(), status),
            facts={"error": "http", "status": status, "error_detail": words, "output_tokens": None},
        )
        for status, body, words in cases
    ]


def openai(message: str, kind: str, code: int) -> tuple[int, str, str]:
    return code, f'{{"error":{{"message":"{message}","type":"{kind}","param":null,"code":{code}}}}}', message


TRITON_INPUTS = (
    "[request id: <id_unknown>] expected number of inputs between 2 and 7 but got 1 inputs for model 'ensemble'. "
    "missing required input(s) ['max_tokens']."
)
REFUSALS = [
    *refused("Triton", ("tensorrt-llm", "tensorrt-llm-llmapi"), [
        (400, f'{{"error":"{TRITON_INPUTS}"}}', TRITON_INPUTS),
        (500, '{"error":"Unable to parse \'data\': attempt to access JSON non-signed-integer as signed-integer"}',
         "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer"),
        (500, '{"error":"failed to parse the request JSON buffer: Invalid value. at 14"}',
         "failed to parse the request JSON buffer: Invalid value. at 14"),
        (405, '{"error":"Method Not Allowed"}', "Method Not Allowed"),
    ]),
    *refused("llama.cpp", (*LLAMA, "llama.cpp-native"), [
        openai("Invalid API Key", "authentication_error", 401),
        openai("'messages' is required", "invalid_request_error", 400),
        openai("File Not Found", "not_found_error", 404),
    ]),
    *refused("vLLM", COMPLETIONS + CHAT, [
        openai("max_tokens=600 cannot be greater than max_model_len=512.", "BadRequestError", 400),
        openai("Stream options can only be defined when `stream=True`. (parameter=stream_options)",
               "BadRequestError", 400),
        openai("min_tokens must be less than or equal to max_tokens=2, got 5.", "BadRequestError", 400),
    ]),
    *refused("vLLM audio", AUDIO, [openai("verbose_json is not supported with stream", "BadRequestError", 400)]),
    *refused("transformers serve", CHAT, [
        (422, '{"detail":"Unexpected fields in the request: {\'ignore_eos\'}"}',
         "Unexpected fields in the request: {'ignore_eos'}"),
        (400, '{"detail":"Server is pinned to \'/m\'; requested \'x\'."}', "Server is pinned to '/m'; requested 'x'."),
    ]),
    *refused("llama-cpp-python", COMPLETIONS, [
        (500, '{"error":{"message":"2 validation errors:","type":"internal_server_error","param":null,"code":null}}',
         "2 validation errors:"),
    ]),
    *refused("DeepSpeed-MII", ("deepspeed-mii-openai", "deepspeed-mii-generate"), [
        (400, '{"object":"error","message":"Model x not found.","code":40301}', "Model x not found."),
    ]),
    *refused("DeepSpeed-MII REST", ("deepspeed-mii",), [
        (400, '{"message": "The browser (or proxy) sent a request that this server could not understand."}',
         "The browser (or proxy) sent a request that this server could not understand."),
    ]),
    *refused("ScaleLLM", ("scalellm",), [
        (404, '{"error":{"message":"The model `zz` does not exist.","code":404}}', "The model `zz` does not exist."),
    ]),
]  # fmt: skip

CAPTURED: list[Transcript] = [*STREAMS, *REFUSALS]
