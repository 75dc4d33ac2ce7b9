"""What servers send on interfaces of their own, byte for byte where we could run them, and what it means."""

from __future__ import annotations

from tapes import plain, response
from transcripts import DONE, Transcript, event

from pytest_vllm_bench.model import Ending

AUDIO = ("openai-audio", "openai-audio-translations")
EMBEDDINGS = ("openai-embeddings", "vllm-pooling", "infinity")


def named(kind: str, json: str) -> bytes:
    return f"event: {kind}\ndata: {json}\n\n".encode()


def sglang(text: str, ids: str, count: int, finish: str = "null", more: str = "") -> bytes:
    return event(
        f'{{"text":"{text}","output_ids":[{ids}],"meta_info":{{"id":"r","finish_reason":{finish},"prompt_tokens":2,'
        f'"completion_tokens":{count},"cached_tokens":1{more}}}}}'
    )


def triton(text: str, more: str = "") -> bytes:
    return event(
        '{"batch_index":0,"cum_log_probs":0.0,"model_name":"ensemble","model_version":"1","output_log_probs":0.0,'
        f'"sequence_index":0,"text_output":{text}{more}}}'
    )


def llmapi(text: str, reason: str = "None") -> bytes:
    return event(
        f'{{"finish_reason":"{reason}","model_name":"tensorrt_llm","model_version":"1","text_output":"{text}"}}'
    )


def tgi(index: int, text: str, special: str = "false", end: str = '"generated_text":null,"details":null') -> bytes:
    return event(f'{{"index":{index},"token":{{"id":8,"text":"{text}","logprob":-0.5,"special":{special}}},{end}}}')


def llama(content: str, predicted: int, more: str = '"stop":false') -> bytes:
    return event(
        f'{{"index":0,"content":"{content}","tokens":[182],{more},"id_slot":-1,"tokens_predicted":{predicted},'
        '"tokens_evaluated":7}'
    )


def ollama(fields: str) -> bytes:
    return f'{{"model":"m","created_at":"2026-01-01T00:00:00.1Z",{fields}}}\n'.encode()


_RESPONSE = '"response":{"id":"resp_1","object":"response","status":"%s","output":[],"usage":%s%s}'
_RESPONSE_USAGE = '{"input_tokens":24,"output_tokens":2,"total_tokens":26,"input_tokens_details":{"cached_tokens":23}}'

RESPONSES = [
    Transcript(
        name="vLLM responses: thinking, opening events before the prefill, incomplete",
        backends=("openai-responses",),
        data=response(
            named(
                "response.created",
                '{"type":"response.created","sequence_number":0,' + _RESPONSE % ("in_progress", "null", "") + "}",
            ),
            named(
                "response.in_progress",
                '{"type":"response.in_progress",' + _RESPONSE % ("in_progress", "null", "") + "}",
            ),
            named(
                "response.output_item.added",
                '{"type":"response.output_item.added","item":{"type":"reasoning","content":null}}',
            ),
            named(
                "response.content_part.added",
                '{"type":"response.content_part.added","part":{"type":"reasoning_text","text":""}}',
            ),
            named("response.reasoning_text.delta", '{"type":"response.reasoning_text.delta","delta":" linearly"}'),
            named("response.output_text.delta", '{"type":"response.output_text.delta","item_id":"msg_1","delta":"Hi"}'),
            named("response.output_text.done", '{"type":"response.output_text.done","text":"Hi"}'),
            named(
                "response.completed",
                '{"type":"response.completed","sequence_number":9,'
                + _RESPONSE % ("incomplete", _RESPONSE_USAGE, ',"incomplete_details":{"reason":"max_output_tokens"}')
                + "}",
            ),
        ),
        facts={
            "error": None,
            "text": " linearlyHi",
            "events": 2,
            "output_tokens": 2,
            "prompt_tokens": 24,
            "cached_tokens": 23,
            "finish_reason": "length",
            "token_source": "usage",
            "has": [True, True, True],
        },
    ),
    Transcript(
        name="transformers serve responses: no event lines",
        backends=("openai-responses",),
        data=response(
            event('{"type":"response.output_text.delta","delta":"w"}'),
            event('{"type":"response.completed",' + _RESPONSE % ("completed", _RESPONSE_USAGE, "") + "}"),
        ),
        facts={"error": None, "text": "w", "finish_reason": "stop", "output_tokens": 2},
    ),
    Transcript(
        name="responses that failed",
        backends=("openai-responses",),
        data=response(
            named("response.output_text.delta", '{"type":"response.output_text.delta","delta":"w"}'),
            named(
                "response.failed",
                '{"type":"response.failed",'
                + _RESPONSE % ("failed", "null", ',"error":{"code":"server_error","message":"no more memory"}')
                + "}",
            ),
        ),
        facts={"error": "in_stream", "error_detail": "no more memory", "text": "w"},
    ),
    Transcript(
        name="responses with an error event",
        backends=("openai-responses",),
        data=response(named("error", '{"type":"error","code":"rate_limit","message":"slow down","param":null}')),
        facts={"error": "rejected", "error_detail": "slow down"},
    ),
    Transcript(
        name="responses whose connection broke before the last event",
        backends=("openai-responses",),
        data=response(
            named("response.created", '{"type":"response.created",' + _RESPONSE % ("in_progress", "null", "") + "}"),
            named("response.output_text.delta", '{"type":"response.output_text.delta","delta":"w"}'),
        ),
        facts={"error": "truncated", "text": "w"},
    ),
    Transcript(
        name="responses as one JSON object",
        backends=("openai-responses",),
        data=plain(
            b'{"id":"resp_1","object":"response","status":"completed","output":[{"type":"reasoning","content":[{"type":'
            b'"reasoning_text","text":"hm "}]},{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],'
            b'"usage":{"input_tokens":7,"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1}},"error":null}'
        ),
        facts={"error": None, "text": "hm Hi", "output_tokens": 2, "reasoning_tokens": 1, "finish_reason": "stop"},
    ),
]

_MESSAGE = '{"id":"msg_1","type":"message","role":"assistant","content":%s,"model":"m","stop_reason":%s,"usage":%s}'

_TEXT = named(
    "content_block_start", '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
)


def said_by_messages(text: str) -> bytes:
    delta = f'"delta":{{"type":"text_delta","text":"{text}"}}'
    return named("content_block_delta", f'{{"type":"content_block_delta","index":0,{delta}}}')


MESSAGES = [
    Transcript(
        name="vLLM messages: thinking and its signature, a call of a tool, no ping, nought in the first usage",
        backends=("anthropic-messages",),
        data=response(
            named(
                "message_start",
                '{"type":"message_start","message":'
                + _MESSAGE % ("[]", "null", '{"input_tokens":0,"output_tokens":0}')
                + "}",
            ),
            named(
                "content_block_start",
                '{"index":0,"type":"content_block_start","content_block":{"type":"thinking","thinking":""}}',
            ),
            named(
                "content_block_delta",
                '{"index":0,"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm "}}',
            ),
            named(
                "content_block_delta",
                '{"index":0,"type":"content_block_delta","delta":{"type":"signature_delta","signature":"f00"}}',
            ),
            named("content_block_stop", '{"index":0,"type":"content_block_stop"}'),
            named(
                "content_block_start",
                '{"index":1,"type":"content_block_start","content_block":{"type":"text","text":""}}',
            ),
            named(
                "content_block_delta",
                '{"index":1,"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}',
            ),
            named("content_block_stop", '{"index":1,"type":"content_block_stop"}'),
            named(
                "content_block_start",
                '{"index":2,"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}',
            ),
            named(
                "content_block_delta",
                '{"index":2,"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\\"a\\":1}"}}',
            ),
            named("content_block_stop", '{"index":2,"type":"content_block_stop"}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":4,'
                '"output_tokens":5,"cache_read_input_tokens":16}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        facts={
            "error": None,
            "text": 'hm Hi{"a":1}',
            "events": 3,
            "output_tokens": 5,
            "prompt_tokens": 20,
            "cached_tokens": 16,
            "finish_reason": "tool_calls",
            "token_source": "usage",
            "has": [True, True, True],
        },
    ),
    Transcript(
        name="Anthropic's messages: pings, the prompt's tokens in the first event alone, something put into the cache",
        backends=("anthropic-messages",),
        data=response(
            named(
                "message_start",
                '{"type":"message_start","message":'
                + _MESSAGE % ("[]", "null", '{"input_tokens":25,"cache_creation_input_tokens":7,"output_tokens":1}')
                + "}",
            ),
            named(
                "content_block_start",
                '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
            ),
            named("ping", '{"type": "ping"}'),
            named(
                "content_block_delta",
                '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"w "}}',
            ),
            named("ping", '{"type": "ping"}'),
            named(
                "content_block_delta",
                '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"w"}}',
            ),
            named("content_block_stop", '{"type":"content_block_stop","index":0}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},"usage":{"output_tokens":2}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        facts={
            "error": None,
            "text": "w w",
            "events": 2,
            "output_tokens": 2,
            "prompt_tokens": 32,
            "finish_reason": "length",
            "tokens": 2,
        },
    ),
    Transcript(
        name="messages with an error event",
        backends=("anthropic-messages",),
        data=response(
            named(
                "content_block_delta",
                '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"w"}}',
            ),
            named("error", '{"type":"error","error":{"type":"internal_error","message":"engine dead"}}'),
        ),
        facts={"error": "in_stream", "error_detail": "engine dead", "text": "w"},
    ),
    Transcript(
        name="messages that are shed inside the stream",
        backends=("anthropic-messages",),
        data=response(named("error", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')),
        facts={"error": "rejected", "error_detail": "Overloaded"},
    ),
    Transcript(
        name="messages whose connection broke before the last event",
        backends=("anthropic-messages",),
        data=response(
            named(
                "content_block_delta",
                '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"w"}}',
            ),
            named("content_block_stop", '{"type":"content_block_stop","index":0}'),
        ),
        facts={"error": "truncated", "text": "w"},
    ),
    Transcript(
        name="messages as one JSON object",
        backends=("anthropic-messages",),
        data=plain(
            (
                _MESSAGE
                % (
                    '[{"type":"thinking","thinking":"hm ","signature":"x"},{"type":"text","text":"Hi"},'
                    '{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]',
                    '"end_turn"',
                    '{"input_tokens":7,"output_tokens":4}',
                )
            ).encode()
        ),
        facts={"error": None, "text": 'hm Hi{"a":1}', "output_tokens": 4, "prompt_tokens": 7, "finish_reason": "stop"},
    ),
]

SPEECH = [
    Transcript(
        name="vLLM transcription: no index, the finish reason only at the end",
        backends=AUDIO,
        data=response(
            event(
                '{"id":"transcribe-b8","object":"transcription.chunk","created":1,"model":"wh","choices":[{"delta":'
                '{"content":"!"}}]}'
            ),
            event(
                '{"id":"transcribe-b8","object":"transcription.chunk","created":1,"model":"wh","choices":[{"delta":'
                '{"content":"!"},"finish_reason":"length","stop_reason":null}]}'
            ),
            event(
                '{"id":"transcribe-b8","object":"transcription.chunk","created":1,"model":"wh","choices":[],"usage":'
                '{"prompt_tokens":204,"total_tokens":208,"completion_tokens":4}}'
            ),
            DONE,
        ),
        facts={"error": None, "text": "!!", "events": 2, "output_tokens": 4, "prompt_tokens": 204, "tokens": 4},
    ),
    Transcript(
        name="long audio: a finish reason for each window",
        backends=AUDIO,
        data=response(
            event('{"object":"transcription.chunk","choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}'),
            event('{"object":"transcription.chunk","choices":[{"delta":{"content":"b"},"finish_reason":"stop"}]}'),
            event('{"object":"transcription.chunk","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}'),
            DONE,
        ),
        facts={"error": None, "text": "ab", "output_tokens": 4, "finish_reason": "stop"},
    ),
    Transcript(
        name="OpenAI's own transcription events",
        backends=AUDIO,
        data=response(
            event('{"type":"transcript.text.delta","delta":"Hello"}'),
            event('{"type":"transcript.text.delta","delta":" you"}'),
            event(
                '{"type":"transcript.text.done","text":"Hello you","usage":{"type":"tokens","input_tokens":14,'
                '"output_tokens":3,"total_tokens":17}}'
            ),
        ),
        facts={"error": None, "text": "Hello you", "events": 2, "output_tokens": 3, "prompt_tokens": 14},
    ),
    Transcript(
        name="a transcription as one JSON object: no token counts",
        backends=AUDIO,
        data=plain(b'{"text":"!!!","usage":{"type":"duration","seconds":2}}'),
        facts={"error": None, "text": "!!!", "output_tokens": None, "token_source": None},
    ),
    Transcript(
        name="language detection failed",
        backends=AUDIO,
        data=plain(b'{"error":{"message":"","type":"InternalServerError","param":null,"code":500}}', 500),
        facts={"error": "http", "status": 500, "error_detail": "InternalServerError"},
    ),
]

POOLED = [
    Transcript(
        name="vLLM embeddings",
        backends=EMBEDDINGS,
        data=plain(
            b'{"id":"embd-1","object":"list","created":1,"model":"tiny","data":[{"index":0,"object":"embedding",'
            b'"embedding":[0.1,-1e-3]},{"index":1,"object":"embedding","embedding":"AAAA"}],'
            b'"usage":{"prompt_tokens":3,"total_tokens":3,"completion_tokens":0,"prompt_tokens_details":null}}'
        ),
        facts={"error": None, "prompt_tokens": 3, "output_tokens": None, "sequences": 2, "has": [False] * 3},
    ),
    Transcript(
        name="llama.cpp embeddings, without an id",
        backends=EMBEDDINGS,
        data=plain(
            b'{"model":"m","object":"list","usage":{"prompt_tokens":6,"total_tokens":6},"data":[{"embedding":[0.5],'
            b'"index":0,"object":"embedding"}]}'
        ),
        facts={"error": None, "prompt_tokens": 6, "sequences": 1},
    ),
    Transcript(
        name="an embeddings interface that is not enabled",
        backends=EMBEDDINGS,
        data=plain(
            b'{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`",'
            b'"type":"not_supported_error"}}',
            501,
        ),
        facts={
            "error": "http",
            "status": 501,
            "error_detail": "This server does not support embeddings. Start it with `--embeddings`",
        },
    ),
    Transcript(
        name="an answer without data",
        backends=(*EMBEDDINGS, "vllm-rerank"),
        data=plain(b'{"object":"list"}'),
        facts={"error": "protocol", "error_detail": "neither data nor results"},
    ),
    Transcript(
        name="pooling: nothing came",
        backends=(*EMBEDDINGS, "vllm-rerank"),
        data=plain(b""),
        facts={"error": "empty"},
    ),
    Transcript(
        name="vLLM rerank",
        backends=("vllm-rerank",),
        data=plain(
            b'{"id":"score-1","model":"tiny","usage":{"prompt_tokens":3,"total_tokens":3},"results":[{"index":1,'
            b'"document":{"text":"b","multi_modal":null},"relevance_score":-0.074},{"index":0,"document":{"text":"a",'
            b'"multi_modal":null},"relevance_score":-0.1}]}'
        ),
        facts={"error": None, "prompt_tokens": 3, "sequences": 2},
    ),
    Transcript(
        name="llama.cpp rerank: no id, no document",
        backends=("vllm-rerank",),
        data=plain(
            b'{"model":"m","object":"list","usage":{"prompt_tokens":9,"total_tokens":9},"results":[{"index":1,'
            b'"relevance_score":0.272},{"index":0,"relevance_score":-0.33}]}'
        ),
        facts={"error": None, "prompt_tokens": 9, "sequences": 2},
    ),
]

SGLANG = [
    Transcript(
        name="SGLang: all the text so far, three tokens collapsed into one event",
        backends=("sglang",),
        data=response(
            sglang("\\ufffd", "256", 1),
            sglang("\u00e9 b c", "256,9,10,11", 4),
            sglang("\u00e9 b c d", "256,9,10,11,12", 5, '{"type":"length","length":5}', ',"e2e_latency":2.609'),
            DONE,
        ),
        facts={
            "error": None,
            "output_tokens": 5,
            "events": 3,
            "tokens": 5,
            "tokens_per_event": "exact",
            "status": 200,
            "token_source": "counter",
            "prompt_tokens": 2,
            "cached_tokens": 1,
            "finish_reason": "length",
            "text": "\ufffd\u00e9 b c d",
            "server": {"e2e_latency": 2.609},
        },
    ),
    Transcript(
        name="SGLang told to send deltas",
        backends=("sglang",),
        data=response(
            sglang("ab", "5", 1),
            sglang("ab", "6", 2),
            sglang("abc", "7", 3, '{"type":"stop","matched":2}'),
            DONE,
        ),
        facts={"error": None, "text": "abababc", "output_tokens": 3, "events": 3, "finish_reason": "stop"},
    ),
    Transcript(
        name="SGLang: aborted in the queue",
        backends=("sglang",),
        data=response(
            sglang(
                "", "", 0, '{"type":"abort","message":"The request queue is full.","status_code":503,"err_type":null}'
            ),
            DONE,
        ),
        facts={"error": "rejected", "error_detail": "The request queue is full.", "status": 200},
    ),
    Transcript(
        name="SGLang: aborted by a time-out",
        backends=("sglang",),
        data=response(
            sglang("a", "5", 1),
            sglang("a", "5", 1, '{"type":"abort","message":"Timed out","status_code":408}'),
            DONE,
        ),
        facts={"error": "in_stream", "error_detail": "Timed out", "text": "a"},
    ),
    Transcript(
        name="SGLang: a prompt too long is refused inside a 200 stream",
        backends=("sglang",),
        data=response(
            event(
                '{"error":{"message":"The input (6000 tokens) is longer than the model\'s context length '
                '(2048 tokens)."}}'
            ),
            DONE,
        ),
        facts={
            "error": "in_stream",
            "error_detail": "The input (6000 tokens) is longer than the model's context length (2048 tokens).",
        },
    ),
    Transcript(
        name="SGLang: a body of the wrong type",
        backends=("sglang",),
        data=plain(b'{"object":"error","message":"Input should be a valid list","type":"Bad Request"}', 400),
        facts={"error": "http", "error_detail": "Input should be a valid list"},
    ),
    Transcript(
        name="SGLang crashed: 200, then nothing, and no end",
        backends=("sglang",),
        data=response()[:-5],
        ending=Ending.EOF,
        facts={"error": "reset", "status": 200},
    ),
]

TGI = [
    Transcript(
        name="TGI: one token an event, a ping, the end of sequence counted and not shown",
        backends=("tgi",),
        data=response(
            tgi(1, " a"),
            b":\n\n",
            tgi(2, " b"),
            tgi(
                3,
                "</s>",
                "true",
                '"generated_text":" a b","details":{"finish_reason":"eos_token",'
                '"generated_tokens":3,"seed":null,"input_length":2}',
            ),
        ),
        facts={
            "error": None,
            "text": " a b",
            "events": 3,
            "tokens": 3,
            "tokens_per_event": "exact",
            "output_tokens": 3,
            "token_source": "counter",
            "prompt_tokens": 2,
            "finish_reason": "eos_token",
        },
    ),
    Transcript(
        name="old TGI: no space after data:",
        backends=("tgi",),
        data=response(
            tgi(1, "a").replace(b"data: ", b"data:"),
            tgi(
                2,
                "b",
                end='"generated_text":"ab","details":{"finish_reason":"length","generated_tokens":2,"input_length":2}',
            ).replace(b"data: ", b"data:"),
        ),
        facts={"error": None, "text": "ab", "output_tokens": 2, "finish_reason": "length"},
    ),
    Transcript(
        name="TGI: a validation error with status 200",
        backends=("tgi",),
        data=response(
            event(
                '{"error":"Input validation error: `temperature` must be strictly positive","error_type":"validation"}'
            )
        ),
        facts={
            "error": "in_stream",
            "status": 200,
            "error_detail": "Input validation error: `temperature` must be strictly positive",
        },
    ),
    Transcript(
        name="TGI: overloaded, with status 200",
        backends=("tgi",),
        data=response(event('{"error":"Model is overloaded","error_type":"overloaded"}')),
        facts={"error": "rejected", "error_detail": "Model is overloaded"},
    ),
    Transcript(
        name="TGI: a body it cannot parse",
        backends=("tgi",),
        data=plain(
            b"Failed to deserialize the JSON body into the target type: missing field `inputs`", 422, "text/plain"
        ),
        facts={
            "error": "http",
            "status": 422,
            "error_detail": "Failed to deserialize the JSON body into the target type: missing field `inputs`",
        },
    ),
    Transcript(
        name="TGI: ended without its last event",
        backends=("tgi",),
        data=response(tgi(1, " a"), tgi(2, " b")),
        facts={"error": "truncated", "output_tokens": 2, "token_source": "ids"},
    ),
]

TRITON = [
    Transcript(
        name="Triton ensemble: no end sign, no count",
        backends=("tensorrt-llm",),
        data=response(triton('" tok0"'), triton('" w\u00f6rd1\\n\\"q\\""'), triton('" tok2"'), triton('" tok3"')),
        facts={
            "error": None,
            "text": ' tok0 w\u00f6rd1\n"q" tok2 tok3',
            "events": 4,
            "output_tokens": 4,
            "token_source": "events",
            "finish_reason": None,
        },
    ),
    Transcript(
        name="Triton: several beams, cut UTF-8 inside JSON, an empty text",
        backends=("tensorrt-llm",),
        data=response(
            triton('["a","b"]'),
            triton('"%"').replace(b"%", b"\xe4\xbd"),
            triton('""'),
        ),
        facts={"error": None, "text": "a\ufffd", "events": 2},
    ),
    Transcript(
        name="Triton: the first response is an error: status 400 in SSE framing",
        backends=("tensorrt-llm", "tensorrt-llm-llmapi"),
        data=response(event('{"error":"boom before the first token"}'), status=400),
        facts={"error": "http", "status": 400, "error_detail": "boom before the first token"},
    ),
    Transcript(
        name="Triton: a later response is an error",
        backends=("tensorrt-llm",),
        data=response(triton('" a"'), triton('" b"'), event('{"error":"boom in the middle"}')),
        facts={"error": "in_stream", "status": 200, "error_detail": "boom in the middle", "text": " a b"},
    ),
    Transcript(
        name="Triton: a model that answers nothing",
        backends=("tensorrt-llm", "tensorrt-llm-llmapi"),
        data=response(),
        facts={"error": "empty", "status": 200},
    ),
    Transcript(
        name="Triton: unknown model",
        backends=("tensorrt-llm", "tensorrt-llm-llmapi"),
        data=plain(b'{"error":"Request for unknown model: \'nope\' is not found"}', 404),
        facts={"error": "http", "status": 404, "error_detail": "Request for unknown model: 'nope' is not found"},
    ),
    Transcript(
        name="Triton generate: a status-200 error object",
        backends=("tensorrt-llm",),
        data=plain(b'{"error":"generate expects model to produce exactly 1 response, use generate stream"}'),
        facts={
            "error": "in_stream",
            "status": 200,
            "error_detail": "generate expects model to produce exactly 1 response, use generate stream",
        },
    ),
    Transcript(
        name="Triton llmapi: all the text so far, a finish reason that says None",
        backends=("tensorrt-llm-llmapi",),
        data=response(llmapi(" tok0"), llmapi(" tok0 tok1"), llmapi(" tok0 tok1 tok2", "length")),
        facts={"error": None, "text": " tok0 tok1 tok2", "events": 3, "finish_reason": "length"},
    ),
    Transcript(
        name="Triton llmapi: a text that is rewritten",
        backends=("tensorrt-llm-llmapi",),
        data=response(llmapi("ab"), llmapi("ac d"), llmapi("ac d e", "stop")),
        facts={"error": None, "text": "abac d e", "events": 3, "finish_reason": "stop"},
    ),
]

MII = [
    Transcript(
        name="DeepSpeed-MII REST: an array of answers",
        backends=("deepspeed-mii",),
        data=plain(
            b'[{"finish_reason":"length","generated_length":3,"generated_text":" t0 t1 t2","prompt_length":5}]\n'
        ),
        facts={
            "error": None,
            "text": " t0 t1 t2",
            "output_tokens": 3,
            "prompt_tokens": 5,
            "token_source": "counter",
            "finish_reason": "length",
            "events": 0,
            "has": [False] * 3,
        },
    ),
    Transcript(
        name="DeepSpeed-MII REST: 500",
        backends=("deepspeed-mii",),
        data=plain(b'{"message": "Internal Server Error"}\n', 500),
        facts={"error": "http", "status": 500, "error_detail": "Internal Server Error"},
    ),
    Transcript(
        name="DeepSpeed-MII REST: an empty array",
        backends=("deepspeed-mii",),
        data=plain(b"[]\n"),
        facts={"error": "empty"},
    ),
    Transcript(
        name="DeepSpeed-MII generate",
        backends=("deepspeed-mii-generate",),
        data=response(event('{"text": [" t0"]}'), event('{"text": [" t1"]}'), DONE),
        facts={"error": None, "text": " t0 t1", "events": 2, "token_source": "events", "finish_reason": None},
    ),
    Transcript(
        name="DeepSpeed-MII generate without its end",
        backends=("deepspeed-mii-generate",),
        data=response(event('{"text": [" t0"]}')),
        facts={"error": "truncated", "text": " t0"},
    ),
    Transcript(
        name="DeepSpeed-MII generate as one object",
        backends=("deepspeed-mii-generate",),
        data=plain(b'{"text":[" t0 t1"," t0 t1"]}'),
        facts={"error": None, "text": " t0 t1", "has": [False] * 3},
    ),
]

OLLAMA = [
    Transcript(
        name="Ollama: thinking, then an answer, its own timings in the last line",
        backends=("ollama",),
        data=response(
            ollama('"response":"","thinking":"hm","done":false'),
            ollama('"response":" \\u003ca\\u003e","done":false'),
            ollama(
                '"response":"","done":true,"done_reason":"length","context":[1,2,3],"total_duration":5000000,'
                '"load_duration":1000000,"prompt_eval_count":3,"prompt_eval_duration":1000000,"eval_count":2,'
                '"eval_duration":2000000'
            ),
            content_type="application/x-ndjson",
        ),
        facts={
            "error": None,
            "text": "hm <a>",
            "events": 2,
            "tokens": 2,
            "output_tokens": 2,
            "prompt_tokens": 3,
            "token_source": "counter",
            "finish_reason": "length",
            "tokens_per_event": "exact",
            "server": {
                "total_duration_ns": 5000000,
                "load_duration_ns": 1000000,
                "prompt_eval_duration_ns": 1000000,
                "eval_duration_ns": 2000000,
            },
        },
    ),
    Transcript(
        name="Ollama: a loop is ended in silence",
        backends=("ollama",),
        data=response(*[ollama('"response":"a","done":false')] * 5, content_type="application/x-ndjson"),
        facts={"error": "truncated", "text": "aaaaa", "events": 5},
    ),
    Transcript(
        name="Ollama: an error line",
        backends=("ollama",),
        data=response(
            ollama('"response":"a","done":false'),
            b'{"error":"an error was encountered while running the model"}\n',
            content_type="application/x-ndjson",
        ),
        facts={"error": "in_stream", "error_detail": "an error was encountered while running the model"},
    ),
    Transcript(
        name="Ollama: unknown model",
        backends=("ollama",),
        data=plain(b'{"error":"model \'nope\' not found"}', 404),
        facts={"error": "http", "status": 404, "error_detail": "model 'nope' not found"},
    ),
    Transcript(
        name="Ollama: busy",
        backends=("ollama",),
        data=plain(b'{"error":"server busy, please try again.  maximum pending requests exceeded"}', 503),
        facts={
            "error": "rejected",
            "status": 503,
            "error_detail": "server busy, please try again.  maximum pending requests exceeded",
        },
    ),
    Transcript(
        name="Ollama: an empty prompt only loads the model",
        backends=("ollama",),
        data=plain(ollama('"response":"","done":true,"done_reason":"load"')),
        facts={"error": "empty"},
    ),
]

LLAMA_CPP = [
    Transcript(
        name="llama.cpp: two of four tokens without text",
        backends=("llama.cpp-native",),
        data=response(
            llama("\ufffd", 1),
            llama("{", 2),
            llama("", 4, '"stop":true,"stop_type":"limit","truncated":false,"generation_settings":{"seed":1},'
                  '"timings":{"cache_n":2,"prompt_n":7,"predicted_n":4,"predicted_ms":0.585}'),
        ),
        facts={
            "error": None, "text": "\ufffd{", "events": 3, "tokens": 4, "tokens_per_event": "exact",
            "output_tokens": 4, "token_source": "counter", "prompt_tokens": 7, "cached_tokens": 2,
            "finish_reason": "length",
        },
    ),
    Transcript(
        name="llama.cpp: a count that jumps",
        backends=("llama.cpp-native",),
        data=response(llama("a", 1), llama("\ufffdF", 3), llama("", 3, '"stop":true,"stop_type":"eos"')),
        facts={"error": None, "events": 2, "tokens": 3, "output_tokens": 3, "finish_reason": "stop"},
    ),
    Transcript(
        name="llama.cpp: progress and pings are no tokens",
        backends=("llama.cpp-native",),
        data=response(
            llama("", 0, '"stop":false,"prompt_progress":{"total":3822,"cache":0,"processed":0}'),
            b":\n\n",
            llama("a", 1),
            llama("", 1, '"stop":true,"stop_type":"limit"'),
        ),
        facts={"error": None, "events": 1, "output_tokens": 1},
    ),
    Transcript(
        name="llama.cpp: an error later in the stream",
        backends=("llama.cpp-native",),
        data=response(llama("a", 1), event('{"error":{"code":500,"message":"decode failed","type":"server_error"}}')),
        facts={"error": "in_stream", "error_detail": "decode failed", "text": "a"},
    ),
    Transcript(
        name="llama.cpp: ended without stop",
        backends=("llama.cpp-native",),
        data=response(llama("a", 1), llama("b", 2)),
        facts={"error": "truncated", "output_tokens": 2},
    ),
    Transcript(
        name="llama.cpp: loading",
        backends=("llama.cpp-native", "llama.cpp"),
        data=plain(b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}', 503),
        facts={"error": "rejected", "status": 503, "error_detail": "Loading model"},
    ),
    Transcript(
        name="llama.cpp completions with a count in every chunk, among the timings",
        backends=("llama.cpp",),
        data=response(
            event('{"choices":[{"text":"{","index":0,"finish_reason":null}],"timings":{"predicted_n":1}}'),
            event('{"choices":[{"text":"\u57fd","index":0,"finish_reason":null}],"timings":{"predicted_n":4}}'),
            event('{"choices":[{"text":"","index":0,"finish_reason":"length"}],"usage":{"completion_tokens":5,'
                  '"prompt_tokens":7},"timings":{"predicted_n":5}}'),
            DONE,
        ),
        facts={"error": None, "events": 3, "tokens": 5, "tokens_per_event": "exact", "output_tokens": 5},
    ),
]  # fmt: skip

NATIVE: list[Transcript] = [*RESPONSES, *MESSAGES, *SPEECH, *POOLED, *SGLANG, *TGI, *TRITON, *MII, *OLLAMA, *LLAMA_CPP]
