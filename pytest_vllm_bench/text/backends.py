"""Texts of the area "backends": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "backends.cannot_force": (
        "{backend} cannot force the length of its answers: they end where the model ends them",
        "{backend} 无法强制输出长度：回答在模型自行结束处结束",
    ),
    "backends.no_stream": (
        "{backend} does not stream: no TTFT, TPOT or ITL, only whole answers",
        "{backend} 不支持流式输出：没有首 token 时延 (TTFT)、单 token 时延 (TPOT) 和 token 间隔 (ITL)，只有完整回答",
    ),
    "backends.no_token_detail": (
        "{backend} cannot say token ids or counts for each event: tokens of an event are estimated from its text",
        "{backend} 无法逐事件给出 token id 或计数：每个事件的 token 数按文本估算",
    ),
    "backends.sampling_left_out": (
        "{backend} knows no {names}: not sent",
        "{backend} 不支持 {names}：未发送",
    ),
    "backends.one_model": (
        "{backend} does not send a model's name with a request: all requests go to the one that is served",
        "{backend} 的请求不带模型名：所有请求都由服务端当前的模型处理",
    ),
    "backends.template_here": (
        "the chat template is applied here and its text goes to {backend}'s completions: the server parses neither "
        "reasoning nor tool calls",
        "聊天模板在本地套用，所得文本发往 {backend} 的 completions 接口：服务端不再区分思考内容和工具调用",
    ),
    "backends.needs_audio": (
        "This backend transcribes audio and the dataset has none; use the dataset `audio`, or another backend",
        "该后端用于语音转写，而数据集中没有音频；请改用数据集 `audio`，或换一个后端",
    ),
    "backends.about.vllm": (
        "vLLM completions. Forced by ignore_eos. 3 % of token events have no text: ids are asked for",
        "vLLM completions 接口。用 ignore_eos 强制长度。约 3% 的 token 事件没有文本，因此请求逐块返回 token id",
    ),
    "backends.about.vllm-chat": (
        "vLLM chat: as openai-chat, with the token ids of each chunk",
        "vLLM chat 接口：同 openai-chat，另请求逐块返回 token id",
    ),
    "backends.about.vllm-pooling": (
        "vLLM's /pooling: classification, rewards, embeddings; whole answers, no tokens are generated",
        "vLLM 的 /pooling：分类、奖励、向量；一次返回完整结果，不生成 token",
    ),
    "backends.about.vllm-rerank": (
        "/v1/rerank of vLLM and llama.cpp: one query and its documents a request",
        "vLLM 与 llama.cpp 的 /v1/rerank：每个请求一个查询和若干文档",
    ),
    "backends.about.openai": (
        "OpenAI completions of any server. Forced by ignore_eos; strict servers refuse it: set ignore_eos: false",
        "通用 OpenAI completions 接口。用 ignore_eos 强制长度；严格的服务端会拒绝该字段，此时设 ignore_eos: false",
    ),
    "backends.about.openai-chat": (
        "OpenAI chat: reasoning, tool calls, images, audio, video. Forced by ignore_eos; strict servers refuse it",
        "OpenAI chat 接口：思考内容、工具调用、图片、音频、视频。用 ignore_eos 强制长度；严格的服务端会拒绝该字段",
    ),
    "backends.about.openai-responses": (
        "OpenAI Responses, streamed. Forced by ignore_eos. Its opening events come before the prefill and are no token",
        "OpenAI Responses 流式接口。用 ignore_eos 强制长度。开头的事件先于 prefill 到达，不算 token",
    ),
    "backends.about.anthropic-messages": (
        "Anthropic Messages, streamed: text, thinking, tool input, images; system messages stand apart. The key goes as a "
        "bearer token; for `x-api-key` write headers",
        "Anthropic Messages 流式接口：文本、思考内容、工具参数、图片；system 消息单独成段。密钥以 Bearer 方式发送；需要 `x-api-key` 时用 headers",
    ),
    "backends.about.openai-audio": (
        "Transcribes one audio file a request (multipart), streamed. `language` is en unless extra_body says otherwise",
        "每个请求转写一个音频文件（multipart），流式返回。`language` 默认为 en，可用 extra_body 修改",
    ),
    "backends.about.openai-audio-translations": (
        "Translation of speech into English; otherwise as openai-audio",
        "将语音翻译成英文；其余同 openai-audio",
    ),
    "backends.about.openai-embeddings": (
        "Embeddings: one text or a batch a request; the whole answer is read before the clock stops",
        "向量接口：每个请求一条文本或一批文本；读完整个回答才停止计时",
    ),
    "backends.about.infinity": (
        "Embeddings of the infinity server at /embeddings; texts only",
        "infinity 服务的 /embeddings 向量接口；仅支持文本",
    ),
    "backends.about.sglang": (
        "SGLang's /generate. Forced by ignore_eos. Sends all the text so far; events merge under load",
        "SGLang 的 /generate。用 ignore_eos 强制长度。每个事件都含全部已生成文本；高负载下事件会合并，以计数为准",
    ),
    "backends.about.sglang-oai": (
        "SGLang's OpenAI completions. Forced by ignore_eos",
        "SGLang 的 OpenAI completions 接口。用 ignore_eos 强制长度",
    ),
    "backends.about.lmdeploy": (
        "LMDeploy's OpenAI completions. Forced by ignore_eos. Prompts as text only",
        "LMDeploy 的 OpenAI completions 接口。用 ignore_eos 强制长度。提示只能是文本",
    ),
    "backends.about.scalellm": (
        "ScaleLLM's OpenAI completions. Forced by ignore_eos. No seed; text prompts only; errors come as naked JSON",
        "ScaleLLM 的 OpenAI completions 接口。用 ignore_eos 强制长度。不支持 seed；提示只能是文本；错误以裸 JSON 返回",
    ),
    "backends.about.tgi": (
        "TGI's /generate_stream: one token an event. The length cannot be forced; errors come with status 200",
        "TGI 的 /generate_stream：每个事件一个 token 并带 id。无法强制长度；错误也以状态码 200 返回",
    ),
    "backends.about.tensorrt-llm": (
        "Triton's generate_stream of the ensemble. Forced by min_tokens. No counts: the tokenizer counts; no end sign",
        "Triton ensemble 的 generate_stream。用 min_tokens 强制长度。没有计数，由 tokenizer 统计；没有结束标志",
    ),
    "backends.about.tensorrt-llm-llmapi": (
        "Triton's generate_stream of the llmapi model: all the text so far. The length cannot be forced; no counts",
        "Triton llmapi 模型的 generate_stream：每个事件都含全部已生成文本。无法强制长度；没有计数",
    ),
    "backends.about.trtllm-serve": (
        "trtllm-serve's OpenAI completions. Forced by ignore_eos. Refuses unknown fields; counts in every chunk",
        "trtllm-serve 的 OpenAI completions 接口。用 ignore_eos 强制长度。拒绝未知字段；可请求每块带计数",
    ),
    "backends.about.deepspeed-mii": (
        "DeepSpeed-MII's REST gateway (`model` is the deployment). Forced by ignore_eos. Whole answers: no TTFT",
        "DeepSpeed-MII 的 REST 网关（`model` 为部署名）。用 ignore_eos 强制长度。一次返回完整回答，没有 TTFT",
    ),
    "backends.about.deepspeed-mii-generate": (
        "DeepSpeed-MII's /generate, streamed. Forced by min_tokens. No counts, no finish reason",
        "DeepSpeed-MII 的 /generate 流式接口。用 min_tokens 强制长度。没有计数和结束原因",
    ),
    "backends.about.deepspeed-mii-openai": (
        "DeepSpeed-MII's OpenAI completions. Forced by min_tokens. No counts in streams; errors cut the connection",
        "DeepSpeed-MII 的 OpenAI completions 接口。用 min_tokens 强制长度。流中没有计数；出错时直接断开连接",
    ),
    "backends.about.llama.cpp": (
        "llama.cpp's OpenAI completions. Forced by ignore_eos. Headers come with the first token; prompts are cached",
        "llama.cpp 的 OpenAI completions 接口。用 ignore_eos 强制长度。响应头随首 token 到达；默认缓存提示",
    ),
    "backends.about.llama.cpp-native": (
        "llama.cpp's /completion: a running count in every event. Forced by ignore_eos. Half characters are held back",
        "llama.cpp 的 /completion：每个事件带累计计数。用 ignore_eos 强制长度。未完整的字符会暂缓发送",
    ),
    "backends.about.ollama": (
        "Ollama's /api/generate, raw prompts. The length cannot be forced; prompts are always cached",
        "Ollama 的 /api/generate，原样提示。无法强制长度；总是缓存提示；保留其自身的计时",
    ),
}
