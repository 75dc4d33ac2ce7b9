"""Texts of the area "simulator": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "simulator.unknown_fault": (
        "There is no simulated fault {name!r}; known are: {known}.",
        "没有名为 {name!r} 的模拟故障；可用的有：{known}。",
    ),
    "simulator.unknown_key": (
        "The simulated fault {name!r} has no key {option!r}; it has: {known}.",
        "模拟故障 {name!r} 没有参数 {option!r}；可用的有：{known}。",
    ),
    "simulator.not_a_number": (
        "{option}={value} of the simulated fault {name!r} is not a number.",
        "模拟故障 {name!r} 的 {option}={value} 不是数字。",
    ),
    "simulator.script": (
        "The fault script {file} cannot be used: {error}. It is a JSON list of rules such as "
        '{{"fault": "stall at=5", "requests": [0]}}.',
        '故障脚本 {file} 无法使用：{error}。它应是规则的 JSON 列表，如 {{"fault": "stall at=5", "requests": [0]}}。',
    ),
    "simulator.rule": (
        'Rule {position} of the fault script {file} is not an object with "fault" and these keys only: {known}.',
        '故障脚本 {file} 的第 {position} 条规则应是含 "fault" 的对象，且只能有这些键：{known}。',
    ),
    "simulator.port": ("--port {port} is not a number from 0 to 65535", "--port {port} 不是 0 到 65535 之间的数"),
    "simulator.not_started": (
        "The built-in simulator did not start: {detail}",
        "内置模拟服务端未能启动：{detail}",
    ),
    "simulator.dialect": (
        "The simulator speaks no dialect {name!r}; it speaks: {known}.",
        "模拟服务端不支持方言 {name!r}；支持的有：{known}。",
    ),
    "simulator.help": (
        "An LLM server without a model: it answers at a known speed, in many servers' languages.",
        "没有模型的 LLM 服务：以已知的速度、用多种推理服务的接口格式作答。",
    ),
    "simulator.help.usual": (" (default: {usual})", "（默认 {usual}）"),
    "simulator.help.with_parent": ("end when standard input is closed", "标准输入关闭时退出"),
    "simulator.help.SimulatorOptions": ("the server", "服务"),
    "simulator.help.LatencyModel": ("the engine", "推理引擎"),
    "simulator.help.host": ("address it listens on", "监听地址"),
    "simulator.help.port": ("port; 0: any free one", "端口；0 表示任选空闲端口"),
    "simulator.help.models": (
        "model names; the first is the default, the others are LoRA adapters",
        "模型名；第一个为默认模型，其余为 LoRA",
    ),
    "simulator.help.max_model_len": ("longest prompt and answer together, in tokens", "输入与输出合计的最大 token 数"),
    "simulator.help.api_key": ("key that requests must bear; empty: none", "请求须携带的密钥；留空则不校验"),
    "simulator.help.dialect": (
        "whose habits it has on paths that several servers share: {dialects}",
        "多种服务共用的路径上采用哪家的格式：{dialects}",
    ),
    "simulator.help.tokenizer": (
        "a tokenizer.json; empty: the small one that comes along",
        "tokenizer.json 的路径；留空则用自带的小词表",
    ),
    "simulator.help.faults": (
        "a JSON file that says which requests go wrong, and how",
        "故障脚本（JSON），指明哪些请求出什么问题",
    ),
    "simulator.help.reasoning": (
        "share of a chat answer that is thinking, 0 to 1",
        "对话回答中思考部分所占比例，0 到 1",
    ),
    "simulator.help.eos_mean": (
        "mean length of an answer that may end by itself, in tokens",
        "可自行结束的回答的平均 token 数",
    ),
    "simulator.help.odd_share": (
        "share of words that take several tokens or are not ASCII",
        "由多个 token 组成或含非 ASCII 字符的词所占比例",
    ),
    "simulator.help.stream_interval": ("tokens in a stream event", "每个流式事件包含的 token 数"),
    "simulator.help.keep_alive": ("seconds between keep-alive comments; 0: none", "保活注释的间隔秒数；0 表示不发送"),
    "simulator.help.profiler_config": (
        'as vLLM\'s --profiler-config: \'{{"profiler":"torch","torch_profiler_dir":"/abs"}}\'; empty: no profiler',
        '如同 vLLM 的 --profiler-config：\'{{"profiler":"torch","torch_profiler_dir":"/abs"}}\'；空表示没有 profiler',
    ),
    "simulator.help.request_metrics": (
        "each answer tells its times in the queue, of prefill and of decoding, as vLLM's --enable-per-request-metrics",
        "每个回答附带其排队、预填充和解码时间，如同 vLLM 的 --enable-per-request-metrics",
    ),
    "simulator.help.wake_s": (
        "seconds to wake after /sleep, as vLLM's --enable-sleep-mode; 0: it cannot sleep",
        "从 /sleep 休眠中唤醒所需秒数，如同 vLLM 的 --enable-sleep-mode；0 表示不能休眠",
    ),
    "simulator.help.ready_after": (
        "seconds during which everything is answered with 503",
        "启动后多少秒内一律返回 503",
    ),
    "simulator.help.seed": ("seed of all that is random", "随机种子"),
    "simulator.help.prefill_tokens_per_s": ("prompt tokens prefilled in a second", "每秒预填充的 token 数"),
    "simulator.help.step_s": ("seconds of a step, whatever the batch", "每一步的固定耗时（秒）"),
    "simulator.help.decode_s": ("seconds more for each sequence that decodes", "每个解码序列增加的耗时（秒）"),
    "simulator.help.context_s": ("seconds more for each token of their context", "上下文每个 token 增加的耗时（秒）"),
    "simulator.help.max_batched_tokens": (
        "most tokens in a step, prefill chunks included",
        "每一步的最大 token 数（含分块预填充）",
    ),
    "simulator.help.max_num_seqs": ("most sequences that run at once", "同时运行的最大序列数"),
    "simulator.help.kv_tokens": ("tokens that fit in the KV cache", "KV 缓存可容纳的 token 数"),
    "simulator.help.block": ("tokens in a block of the KV cache", "KV 缓存每块的 token 数"),
    "simulator.help.prefix_cache": ("whether equal leading blocks are prefilled once", "相同的前缀块是否只预填充一次"),
    "simulator.help.front_s": (
        "seconds from a request's coming to the engine (HTTP, tokenizing)",
        "请求从到达服务到进入引擎的秒数（HTTP、分词）",
    ),
    "simulator.help.serial": (
        "share of front_s that is done for one request after another",
        "front_s 中对请求逐个串行处理的比例",
    ),
    "simulator.help.jitter": (
        "spread of the step time (standard deviation of its logarithm)",
        "每步耗时的波动（对数标准差）",
    ),
}
