"""Texts of the area "backends": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "backends.about.vllm": (
        "vLLM completions; ignore_eos forces the length; token ids of each chunk on request",
        "vLLM completions 接口；用 ignore_eos 强制输出长度；可逐块返回 token id",
    ),
    "backends.about.openai": (
        "OpenAI completions as any server speaks them; ignore_eos forces the length where the server knows it",
        "通用 OpenAI completions 接口；服务端支持 ignore_eos 时可强制输出长度",
    ),
    "backends.about.openai-chat": (
        "OpenAI chat: reasoning, tool calls, images, audio, video; ignore_eos forces the length where it is known",
        "OpenAI chat 接口；支持思考内容、工具调用、图片、音频和视频；服务端支持 ignore_eos 时可强制输出长度",
    ),
    "backends.about.vllm-chat": (
        "OpenAI chat as vLLM speaks it; token ids of each chunk on request",
        "vLLM chat 接口；可逐块返回 token id",
    ),
}
