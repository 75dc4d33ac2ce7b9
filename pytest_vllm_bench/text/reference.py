"""What each key of config.yaml means, for the reference and the editor's schema: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    # sections
    "reference.section.server": ("The server", "被测服务"),
    "reference.section.load": ("The load", "负载"),
    "reference.section.requests": ("The requests", "请求"),
    "reference.section.verdict": ("What must hold", "判定要求"),
    "reference.section.measuring": ("Measuring", "测量"),
    "reference.section.more": ("Repeats, capacity, baselines, watching", "重复、容量、基线与观测"),
    "reference.section.results": ("Results", "结果"),
    "reference.section.overrides": ("Exceptions for some scenarios", "对部分场景的例外设置"),
    # the server
    "reference.base_url": (
        "The server's address, with or without `/v1`: `http://host:8000`, `https://...`, `unix:///path/to.sock`, or "
        "`simulator` for the built-in server; or the file of a [twin](what-if.md), `twin.json`. Needed, unless `--vllm-url`, its twins or `targets` give one.",
        "服务地址，有无 `/v1` 均可：`http://host:8000`、`https://...`、`unix:///path/to.sock`，或用 "
        "`simulator` 表示内置模拟器；也可以是[孪生模型](what-if.md)的文件 `twin.json`。"
        "除非已由 `--vllm-url`（或对应的环境变量、ini 项）或 `targets` 给出，否则必填。",
    ),
    "reference.server": (
        "A command that starts the server, instead of `base_url`: see [Your server, started by the test](servers.md). "
        "A text alone is its `command`.",
        "启动服务的命令，代替 `base_url`：见 [由测试启动的服务](servers.md)。只写文本时即为其 `command`。",
    ),
    "reference.server.command": (
        "Words as in a shell, or a list of them; no shell is involved. `{{port}}` and `{{model}}` are filled in; without "
        "`{{port}}` anywhere, `--port` is added; `{{fresh}}` is a folder that is empty at each start. `simulator` is the "
        "built-in server.",
        "像在终端中那样书写，或写成单词列表；不经过 shell。其中的 `{{port}}` 和 `{{model}}` 会被填入；"
        "如果没有 `{{port}}`，会在末尾加上 `--port`；`{{fresh}}` 是每次启动时都为空的目录。`simulator` 是内置服务。",
    ),
    "reference.server.args": (
        "Flags. A list of values is an axis, and each combination a target of its own; or a list of settings; or the name "
        "of a file of those (vLLM's `--serve-params`).",
        "命令行参数。取值为列表时构成一个轴，每种组合就是一个独立的目标；也可以写成参数组合的列表，"
        "或写这样的文件名（vLLM 的 `--serve-params`）。",
    ),
    "reference.server.env": (
        "Environment variables, beside the ones that are there.",
        "在现有环境变量之外增加的变量。",
    ),
    "reference.server.ready": (
        "When it counts as ready: `path` (without one `/health`, where it has that) answers with status 200 and a request "
        "is answered; within `timeout` (`30m`), which a download extends.",
        "何时算作就绪：`path`（不写时为 `/health`，如果有这个页面）以状态 200 应答，并且一个请求得到应答；"
        "时限为 `timeout`（`30m`），正在下载时会延长。",
    ),
    "reference.server.ready.path": ("The page that answers with status 200.", "以状态 200 应答的页面。"),
    "reference.server.ready.timeout": ("How long it may take.", "最长等待时间。"),
    "reference.server.stop": (
        "How it is stopped: SIGTERM to its process group, and after `grace` (`30s`) SIGKILL to all that is left of it.",
        "如何停止：向其进程组发送 SIGTERM，`grace`（`30s`）之后对剩余进程发送 SIGKILL。",
    ),
    "reference.server.stop.grace": (
        "From SIGTERM to its process group until SIGKILL to all that is left of it.",
        "从向其进程组发送 SIGTERM，到对剩余进程发送 SIGKILL 之间的时间。",
    ),
    "reference.server.reset": (
        "What empties its caches between scenarios: `auto` (vLLM's and SGLang's pages), `none`, or a path that is posted to.",
        "场景之间如何清空缓存：`auto`（vLLM 和 SGLang 的接口）、`none`，或一个以 POST 请求的路径。",
    ),
    "reference.server.free_memory": (
        "Share of the accelerators' memory that may be in use before it starts.",
        "启动之前加速卡显存允许被占用的比例。",
    ),
    "reference.server.restarts": (
        "Servers started afresh, among which the repeats are divided; without a number 1, or with `baseline.target` as "
        "many as there are repeats.",
        "重新启动的次数，重复测量平均分配到各次启动；不写时为 1，有 `baseline.target` 时与重复次数相同。",
    ),
    "reference.server.startup": (
        "Starts that are measured as tests of their own, with the rules on `startup.*`.",
        "把启动本身作为单独的测试来测量，适用 `startup.*` 规则。",
    ),
    "reference.server.startup.cold": (
        "How many with nothing compiled before: `VLLM_CACHE_ROOT` and `TORCHINDUCTOR_CACHE_DIR` are fresh.",
        "冷启动次数：没有任何编译缓存，`VLLM_CACHE_ROOT` 和 `TORCHINDUCTOR_CACHE_DIR` 都是新目录。",
    ),
    "reference.server.startup.warm": (
        "How many that find what a start before has compiled.",
        "热启动次数：可以使用之前的启动留下的编译缓存。",
    ),
    "reference.servers": (
        "Several such servers by name, each with the keys of `server`: an axis, as `targets` are.",
        "按名称列出的多个此类服务，键与 `server` 相同：与 `targets` 一样构成一个轴。",
    ),
    "reference.targets": (
        "Several servers instead of one, name → address or settings; an axis: every scenario runs against each "
        "of them, "
        "in turn.",
        "以多个服务代替一个，名称 → 地址或设置；是一个维度：每个场景轮流在每个服务上运行。",
    ),
    "reference.targets.base_url": ("As above, of this server.", "同上，针对该服务。"),
    "reference.targets.api_key_env": ("As below, of this server.", "同下，针对该服务。"),
    "reference.targets.headers": ("As below, added for this server.", "同下，只发给该服务。"),
    "reference.targets.metrics_url": ("As below, of this server.", "同下，针对该服务。"),
    "reference.targets.profile_urls": ("As below, of this server.", "同下，针对该服务。"),
    "reference.targets.tls": ("As below, of this server.", "同下，针对该服务。"),
    "reference.model": (
        "The model's name as the server knows it; optional where it lists exactly one. A list: several (LoRA) models "
        "in one run.",
        "服务端的模型名；服务只列出一个模型时可省略。写成列表则一次运行使用多个 (LoRA) 模型。",
    ),
    "reference.model_choice": (
        "Which of several models a request goes to: `round_robin`, `random`, or a list of weights.",
        "有多个模型时请求如何分配：`round_robin`（轮询）、`random`（随机），或一组权重。",
    ),
    "reference.tokenizer": (
        "Where tokens are counted: a folder or file (relative to the config), a hub name, `server` (its "
        "`/tokenize`), or "
        "`ids` (token ids are sent, no text). Default: the model's.",
        "用什么分词：目录或文件（相对于配置文件）、模型仓库名、`server`（服务端的 `/tokenize`），或 "
        "`ids`（直接发送 token id）。"
        "默认与模型一致。",
    ),
    "reference.backend": (
        "How the server is spoken to: one of the names in the [table of backends](backends.md).",
        "与服务通信的方式：[后端表](backends.md) 中的名称之一。",
    ),
    "reference.endpoint": ("The path of requests, where it is not the backend's own.", "请求路径，默认由后端决定。"),
    "reference.chat_template": (
        "Who makes text of chat messages: the `server`, or this `client`, with the tokenizer's own template: its text "
        "goes to a completions backend, and its length is known beforehand. "
        "See [Chat templates](backends.md#chat-templates).",
        "由谁把聊天消息变成文本：`server`（服务端），或 `client`（本地，用 tokenizer 自带的模板）：文本发往 completions "
        "后端，长度事先可知。见[聊天模板](backends.md#聊天模板)。",
    ),
    "reference.api_key_env": (
        "The *name* of the environment variable that holds the key, never the key: it is sent as a bearer token and "
        "stands in no result.",
        "保存密钥的环境变量的*名称*，不是密钥本身：密钥作为 bearer token 发送，不会出现在任何结果中。",
    ),
    "reference.headers": (
        "More headers for every request. Their values never leave the process: results show `***`.",
        "每个请求附加的请求头。它们的值不会离开本进程：结果中显示为 `***`。",
    ),
    "reference.tls": ("How an `https://` server is trusted.", "如何信任 `https://` 服务。"),
    "reference.tls.verify": ("`false`: any certificate will do; said loudly.", "`false`：接受任何证书，并会明显提示。"),
    "reference.tls.ca": ("A file with the CA of a certificate of your own.", "自签证书所用 CA 的文件。"),
    "reference.metrics_url": (
        "Where the server's own counters are, if not at its `/metrics`; no header of the server is sent to another host.",
        "服务端计数所在的页面（默认是其 `/metrics`）；发给服务的请求头不会发往其他主机。",
    ),
    "reference.profile_urls": (
        "The servers whose profilers are told to begin and to end, where they are several workers behind this address; no "
        "header of the server is sent to another host.",
        "该地址之后有多个 worker 时，需要开启和停止 profiler 的各个地址；发给服务的请求头不会发往其他主机。",
    ),
    # the load
    "reference.input_output": (
        "Pairs `[prompt, answer]` in tokens; an axis. `[null, 128]` sets only the answer's length, for datasets that "
        "bring their own prompts; such datasets need none.",
        "成对的长度 `[输入, 输出]`，以 token 计；是一个维度。对自带输入的数据集，`[null, 128]` 只规定输出长度；"
        "这类数据集也可以不写。",
    ),
    "reference.concurrency_prompts": (
        'Pairs `[concurrency, requests]`; an axis. `"10x"`: ten requests per slot. `null` concurrency: no cap. '
        "`null` "
        "requests: as many as `duration`, `stages` or the trace last for.",
        '成对的 `[并发数, 请求总数]`；是一个维度。`"10x"`：并发数的 10 倍。并发数为 `null`：不设上限。请求数为 '
        "`null`："
        "由 `duration`、`stages` 或轨迹决定。",
    ),
    "reference.request_rate": (
        "Requests per second, a number or a list; an axis. `inf`: a new request as soon as a slot is free "
        "(closed loop).",
        "每秒请求数，一个数或列表；是一个维度。`inf`：有空位就发下一个请求（闭环）。",
    ),
    "reference.burstiness": (
        "How even arrivals are at a finite rate: 1 Poisson, below 1 burstier, above 1 steadier, `inf` evenly spaced.",
        "有限速率下到达的均匀程度：1 为泊松，小于 1 更突发，大于 1 更平稳，`inf` 为等间隔。",
    ),
    "reference.ramp_up": (
        "The rate rises to `request_rate` first; without one the concurrency rises.",
        "先逐步升到 `request_rate`；未设速率时逐步增加并发。",
    ),
    "reference.ramp_up.over": (
        "For how long it rises; `requests`: over all of them, from one to the next.",
        "上升用时；`requests` 表示在全部请求上逐个上升。",
    ),
    "reference.ramp_up.start": (
        "Requests/s, or requests under way, that it rises from.",
        "起始速率（请求/秒）或起始并发数。",
    ),
    "reference.ramp_up.shape": ("How it rises.", "上升方式：线性或指数。"),
    "reference.stages": (
        "One load after the other: `[{{rate: 2, for: 60s}}, {{rate: 8, for: 60s}}]`, or `concurrency` instead "
        "of `rate`.",
        "分阶段的负载：`[{{rate: 2, for: 60s}}, {{rate: 8, for: 60s}}]`，也可用 `concurrency` 代替 `rate`。",
    ),
    "reference.stages.rate": ("Requests per second in this stage.", "该阶段的每秒请求数。"),
    "reference.stages.concurrency": ("Requests at once in this stage.", "该阶段的并发数。"),
    "reference.stages.for": ("How long the stage lasts.", "该阶段的时长。"),
    "reference.duration": (
        "Nothing is sent after this time; what is under way is still answered.",
        "超过这段时间后不再发送；已发出的请求仍等待完成。",
    ),
    "reference.warmup": (
        'Requests of the same shape and other prompts before the measured ones: `0`, `20` (requests), `"2x"` the '
        "concurrency, or `30s`.",
        '正式测量前的预热请求，形状相同而内容不同：`0`、`20`（个请求）、`"2x"`（并发数的倍数）或 `30s`。',
    ),
    "reference.keep_alive": (
        "`false`: a fresh connection for each request.",
        "`false`：每个请求使用新连接。",
    ),
    "reference.request_id_prefix": (
        "What each request's `x-request-id` begins with; default: the scenario's id.",
        "每个请求的 `x-request-id` 的前缀；默认为场景 id。",
    ),
    # the requests
    "reference.dataset": (
        "Where prompts come from: a name, or `{{name: random, prefix_len: 64}}` with the dataset's own options; "
        "a list is "
        "an axis (tell two of one name apart with `label`). See [datasets](workloads.md).",
        "请求内容的来源：名称，或带该数据集选项的 `{{name: random, prefix_len: 64}}`；"
        "写成列表则是一个维度（同名的用 `label` 区分）。"
        "见 [数据集](workloads.md)。",
    ),
    "reference.seed": (
        "Lengths, order and arrivals follow from it; the same seed is the same plan.",
        "长度、顺序和到达时间由它决定；种子相同则计划相同。",
    ),
    "reference.cache": (
        "`cold`: every prompt is new to the server's prefix cache. `warm`: prompts repeat from run to run.",
        "`cold`：每个请求对服务端前缀缓存都是新的。`warm`：各次运行使用相同内容。",
    ),
    "reference.ignore_eos": (
        "Whether answers must have exactly the asked length; `auto`: where a length is asked for and the backend can.",
        "是否强制输出达到要求的长度；`auto`：要求了长度且后端支持时启用。",
    ),
    "reference.output_field": (
        "The body's field that asks for the output length, where the server knows another than the backend's own: "
        "`max_tokens`, or an inner one such as `options.num_predict`. The length stays the scenario's.",
        "请求体中表示输出长度的字段，用于服务端使用的字段名与后端默认不同的情况：`max_tokens`，或内层字段如 "
        "`options.num_predict`。长度仍由场景决定。",
    ),
    "reference.sampling": (
        "Sampling parameters, always sent explicitly; a temperature of 0 unless given. null leaves a parameter out: "
        "`{{temperature: null}}` for a server that takes none.",
        "采样参数，总是显式发送；未指定时 temperature 为 0。值写成 null 则不发送该参数："
        "服务端不接受 temperature 时写 `{{temperature: null}}`。",
    ),
    "reference.extra_body": ("More fields for every request's body.", "附加到每个请求体的字段。"),
    "reference.timeouts": (
        "When a request is given up; seconds, or `5m`. A server can never hang a run.",
        "何时放弃一个请求；秒数，或 `5m` 这样的写法。服务端无法让运行一直挂起。",
    ),
    "reference.timeouts.connect": ("Until the connection is open.", "建立连接。"),
    "reference.timeouts.first_token": (
        "From sending until the first token; bytes without one do not count.",
        "从发出到收到首个 token；不含 token 的字节不算。",
    ),
    "reference.timeouts.between_tokens": (
        "Between two tokens; keep-alives do not count.",
        "相邻两个 token 之间；保活信号不算。",
    ),
    "reference.timeouts.total": ("The whole request.", "整个请求。"),
    # what must hold
    "reference.goodput": (
        "When a request is good: limits in milliseconds, all of which it must keep. Without a rule on it "
        "`goodput_ratio >= 0.99` is implied.",
        "怎样算合格的请求：以毫秒计的各项上限，须全部满足。没有相应规则时，默认要求 `goodput_ratio >= 0.99`。",
    ),
    "reference.goodput.ttft": ("Time to first token.", "首 token 时延 (TTFT)。"),
    "reference.goodput.ttfo": ("Time to first output, after any thinking.", "首个正文输出的时延（思考之后）。"),
    "reference.goodput.tpot": ("Time per output token after the first.", "单 token 时延 (TPOT)，不含首 token。"),
    "reference.goodput.e2el": ("End-to-end latency.", "端到端时延 (E2EL)。"),
    "reference.goodput.max_gap": ("The longest pause between two reads.", "两次读取之间最长的停顿。"),
    "reference.sla": (
        "Rules `metric op number`, e.g. `p99_ttft_ms <= 500`; `steady_` or `whole_` before a name forces the window. "
        "`preset:NAME` stands for MLPerf's limits (table below). Without a rule on failures `failed == 0` is "
        "implied.",
        "规则 `指标 比较 数值`，如 `p99_ttft_ms <= 500`；指标名前加 `steady_` 或 `whole_` 可指定窗口。"
        "`preset:NAME` 表示 MLPerf "
        "的限值（见下表）。没有关于失败的规则时，默认要求 `failed == 0`。",
    ),
    "reference.judge": ("How rules are decided.", "如何判定规则。"),
    "reference.judge.mode": (
        "`evidence`: a verdict needs statistical proof. `exact`: figures are simply compared.",
        "`evidence`：结论需要统计证据。`exact`：直接比较数值。",
    ),
    "reference.judge.confidence": ("How sure a proof must be.", "证据所需的置信度。"),
    "reference.judge.inconclusive": (
        "What an unproven rule does to the test: `lean`: the observed side decides; or `fail`, `pass`, `skip`.",
        "未能证明的规则如何影响测试：`lean`：以观测值所在一侧为准；或 `fail`、`pass`、`skip`。",
    ),
    "reference.validity": (
        "When a run is INVALID, because the load was not what was asked for or the client was the bottleneck; shares.",
        "何时判为 INVALID（负载未达到要求，或客户端成为瓶颈）；均为比例。",
    ),
    "reference.validity.lag_ms": (
        "Most that requests may leave late; `auto`: from the limits, at most 10.",
        "请求发送允许的最大滞后（毫秒）；`auto`：由限值推出，至多 10。",
    ),
    "reference.validity.rate": ("Least share of the planned rate.", "至少达到计划速率的比例。"),
    "reference.validity.concurrency": ("Least share of the concurrency.", "至少达到并发数的比例。"),
    "reference.validity.cpu": ("Most CPU of a measuring process.", "测量进程的最高 CPU 占用。"),
    "reference.validity.throttle": (
        "Share of an accelerator's samples that may be slowed by heat. By default it is said and taints the result.",
        "加速卡样本中因过热降频的最高比例。默认只提示并标记结果。",
    ),
    "reference.validity.steal": ("Most CPU time taken by other machines.", "被其他虚拟机占用的最高 CPU 比例。"),
    "reference.validity.reconnected": (
        "Most requests that were late because their open connection was dead and they were sent again.",
        "因已建立的连接失效而重发、并因此延迟的请求的最大比例。",
    ),
    "reference.validity.length": (
        "Most that counted tokens may differ from those asked for.",
        "实际与要求的 token 数的最大偏差。",
    ),
    "reference.validity.cache": (
        "Most of the prompts that may come from the cache in a cold run.",
        "冷缓存运行中允许命中的最大比例。",
    ),
    # measuring
    "reference.workers": (
        "Measuring processes; `auto`: one, until the warm-up shows that it is not enough.",
        "测量进程数；`auto`：一个，除非预热表明不够。",
    ),
    "reference.worker_cpus": (
        "Processors to pin the measuring processes to, in turn: `[6, 7]`. By default the system decides, which is best "
        "unless other programs are pinned, too, or the machine has several memory nodes.",
        "把测量进程依次绑定到这些处理器：`[6, 7]`。默认由系统调度；只有当其他程序也绑核，或机器有多个 NUMA 节点时才需要设置。",
    ),
    "reference.token_detail": (
        "Ask the server for token ids or running counts in every event: exact token times, at some cost.",
        "要求服务端在每个事件中给出 token id 或计数：token 时刻更精确，但有一定开销。",
    ),
    "reference.percentiles": ("Which percentiles are reported.", "报告哪些分位数。"),
    # repeats, capacity, baselines
    "reference.repeats": (
        "How often each scenario is measured: a number, or `{{min: 5, max: 12, until: decided}}`.",
        "每个场景测量几次：一个数，或 `{{min: 5, max: 12, until: decided}}`。",
    ),
    "reference.repeats.min": ("At least so often.", "最少次数。"),
    "reference.repeats.max": ("At most so often; the same as `min` unless given.", "最多次数；默认与 `min` 相同。"),
    "reference.repeats.until": (
        "Stop when every judged mean is known as closely as this, or, `decided`, when every rule, reference and pair of "
        "targets is.",
        "当每个被判定的均值达到此精度时停止；写 `decided` 则在所有规则、基线和成对目标都已判定时停止。",
    ),
    "reference.frontier": (
        "A gate on the best of all settings: see [The best setting](servers.md#the-best-setting).",
        "对各组合中最好的一个的门禁：见[最好的组合](servers.md#最好的组合)。",
    ),
    "reference.frontier.at": (
        "A rule that the setting keeps to besides its own: `p99_tpot_ms <= 30`.",
        "除自身规则外还要满足的规则：`p99_tpot_ms <= 30`。",
    ),
    "reference.frontier.metric": ("What is compared; more is better.", "比较的指标，越大越好。"),
    "reference.frontier.at_least": ("The session fails where the best has less.", "最好的组合低于此值则整个会话失败。"),
    "reference.search": (
        "Find the largest load that still keeps the rules; a test of its own, `...-capacity`.",
        "寻找仍满足规则的最大负载；单独作为一个测试 `...-capacity`。",
    ),
    "reference.search.over": ("What is raised.", "提高哪一项。"),
    "reference.search.at_least": ("The test fails where less than this holds.", "低于此值则测试失败。"),
    "reference.search.max": ("Where the search ends.", "搜索上限。"),
    "reference.search.runs": ("How many runs it may take.", "最多运行次数。"),
    "reference.search.time": ("How long it may take.", "最长用时。"),
    "reference.search.tiers": (
        "Name → a gate of its own, `...-NAME-capacity`, with its `at_least`, `sla` and `goodput` (default: those of the "
        "file). Tiers share their probes.",
        "名称 → 单独的门禁测试 `...-NAME-capacity`，各有 `at_least`、`sla` 与 `goodput`（默认沿用全局设置）。各等级共用试探结果。",
    ),
    "reference.search.tiers.at_least": (
        "The tier's test fails where less than this holds.",
        "低于此值则该等级的测试失败。",
    ),
    "reference.search.tiers.sla": ("The tier's rules, instead of the file's.", "该等级的规则，取代全局规则。"),
    "reference.search.tiers.goodput": (
        "The tier's limits per request, instead of the file's.",
        "该等级的单请求限值，取代全局限值。",
    ),
    "reference.baseline": (
        "How results are compared with a saved baseline, or with another target.",
        "如何与保存的基线或另一目标比较。",
    ),
    "reference.baseline.tolerance": (
        "Metric → how much worse is accepted: `5%`, `-3%`, or a number in the metric's unit.",
        "指标 → 允许变差多少：`5%`、`-3%`，或以该指标单位计的数。",
    ),
    "reference.baseline.noise": (
        "Metric → how much it varies from session to session: what is assumed until the baseline shows it.",
        "指标 → 各次会话之间的波动；在基线尚未体现之前以此为准。",
    ),
    "reference.baseline.keep": ("Sessions of a reference that are kept.", "基线保留的会话数。"),
    "reference.baseline.again": (
        "How often what looks worse is measured again, at most, before it fails.",
        "疑似变差的场景在判为失败之前最多重新测量几次。",
    ),
    "reference.baseline.absent": (
        "Where there is no such baseline yet: `pass` measures and saves the first one, `fail` ends before any load.",
        "尚无该基线时：`pass` 照常测量并保存为第一份基线，`fail` 在发送负载之前就结束。",
    ),
    "reference.baseline.target": (
        "One of `targets`: each of the others fails where it is worse, by rounds (`repeats: 5` or more). Without it a "
        "difference is only shown.",
        "`targets` 之一：其余目标按轮（`repeats: 5` 或更多）与它比较，变差则未通过。不写则只显示差异。",
    ),
    "reference.trend": (
        "Look for changes over all sessions that `--vllm-history` names (a folder of results, an SQLite file, a database), or "
        "the results folder holds; a new worsening fails the session.",
        "在 `--vllm-history` 指定的历史（结果目录、SQLite 文件或数据库；默认为结果目录）的全部会话中寻找变化；新的变差使整个会话未通过。",
    ),
    "reference.trend.metrics": ("What is looked at.", "要分析的指标。"),
    "reference.trend.min_change": ("Smaller changes do not matter.", "小于此值的变化忽略不计。"),
    "reference.trend.p": (
        "How sure a change must be to be shown; what fails must be surer.",
        "变化须达到的显著性；判为未通过的要求更高。",
    ),
    "reference.trend.window": ("Sessions that are looked at together.", "一起分析的会话数。"),
    "reference.trend.fail_on": (
        "A worsening fails that began within so many newest sessions.",
        "在最近这么多次会话内开始的变差判为未通过。",
    ),
    "reference.trend.acknowledged": (
        "Changes that are known, and fail nothing: `{{metric: mean_tpot_ms, after: 2026-11-20, why: new driver}}`.",
        "已知而不再判为未通过的变化：`{{metric: mean_tpot_ms, after: 2026-11-20, why: 新驱动}}`。",
    ),
    "reference.trend.acknowledged.metric": ('Of which metric; `"*"` of any.', '哪个指标；`"*"` 表示任意指标。'),
    "reference.trend.acknowledged.after": (
        "The date or commit with which it came, give or take six sessions.",
        "变化开始的日期或提交，前后可差六次会话。",
    ),
    "reference.trend.acknowledged.why": ("Why it is accepted; it is shown.", "接受的原因，会显示出来。"),
    "reference.baseline.other_environment": (
        "Where model, server or machine differ: `warn` compares and says so, `refuse` compares nothing and fails.",
        "模型、服务或机器不同时：`warn` 照常比较并提示，`refuse` 不作比较并判为未通过。",
    ),
    # results
    "reference.machines": (
        "Machines that send the load instead of this one, all of one plan.",
        "代替本机发送负载的多台机器，共同执行同一份计划。",
    ),
    "reference.machines.hosts": (
        "Where `pytest-vllm-bench worker --listen HOST:PORT --token-env NAME` listens: `a:7001`.",
        "`pytest-vllm-bench worker --listen HOST:PORT --token-env NAME` 监听的地址：`a:7001`。",
    ),
    "reference.machines.token_env": (
        "The environment variable with the token that all of them know; it is proved, never sent.",
        "保存共同令牌的环境变量；只证明双方知道它，从不发送。",
    ),
    "reference.machines.tls": (
        "TLS to the machines, where their workers have `--cert`; by default plain text, to this machine alone.",
        "以 TLS 连接各机器（其 worker 需指定 `--cert`）；默认明文，且只允许连接本机。",
    ),
    "reference.machines.tls.verify": ("Whether their certificates are checked.", "是否校验其证书。"),
    "reference.machines.tls.ca": ("The file of the CA that signed them.", "为其签发证书的 CA 文件。"),
    "reference.machines.plain_text": (
        "Prompts and keys may travel to other machines in plain text, in a network that you trust.",
        "允许提示词和密钥以明文发往其他机器（仅限可信网络）。",
    ),
    "reference.machines.ray": (
        "Instead of hosts: nodes of a Ray cluster, `auto` or its address (`a:6379`, `ray://a:10001`); `pip install "
        "'pytest-vllm-bench[ray]'`.",
        "代替 hosts：使用 Ray 集群的节点，`auto` 或集群地址（`a:6379`、`ray://a:10001`）；需 `pip install 'pytest-vllm-bench[ray]'`。",
    ),
    "reference.machines.nodes": (
        "How many of its nodes; by default all that fit.",
        "使用多少个节点；默认所有合适的节点。",
    ),
    "reference.machines.per_node": (
        "CPUs that are taken of each, and processes at most; `auto`: half of the smallest's.",
        "每个节点占用的 CPU 数，也是进程数上限；`auto`：最小节点的一半。",
    ),
    "reference.machines.beside_server": (
        "The server's own node may send, too.",
        "允许服务端所在节点也发送负载。",
    ),
    "reference.validity.skew": (
        "Most between the starts of the first machine and the last, with what is not known of their clocks.",
        "最先与最后开始的机器之间允许的最大时间差（含时钟的不确定度）。",
    ),
    "reference.observe": ("What is watched beside the load.", "压测时同步观测的内容。"),
    "reference.observe.interval": (
        "How often the server's `/metrics` is read while load runs: `500ms`, `2s`. A page that takes a fifth of that is "
        "read half as often.",
        "压测期间读取服务端 `/metrics` 的间隔：`500ms`、`2s`。若读取一次耗时超过间隔的五分之一，间隔会加倍。",
    ),
    "reference.observe.urls": (
        "Further pages of metrics that belong to the server, such as Triton's `http://host:8002/metrics` or those of other "
        "replicas: their counters are added up, of shares the highest counts.",
        "属于该服务的其他监控指标页面，例如 Triton 的 `http://host:8002/metrics` 或其他副本的页面：计数相加，占用率取最高者。",
    ),
    "reference.observe.accelerators": (
        "Accelerators, and so energy: `auto` looks at this machine's where the server is on it (localhost) and their "
        "command is on the PATH; `nvidia`, `amd`, `hygon`, `ascend` whatever the address says; an exporter's address "
        "(`http://host:9400/metrics`); `off` never.",
        "观测加速卡（从而得到能耗）：`auto` 在服务位于本机（localhost）且 PATH 中有相应命令时观测本机加速卡；"
        "`nvidia`、`amd`、`hygon`、`ascend` 不论地址都观测；也可写 exporter 的地址（`http://host:9400/metrics`）；`off` 不观测。",
    ),
    "reference.deployment": ("What the server runs on.", "服务的部署情况。"),
    "reference.deployment.accelerators": (
        "How many accelerators it has, for `output_throughput_per_accelerator`; by default as many as are watched.",
        "加速卡数量，用于 `output_throughput_per_accelerator`；默认取观测到的数量。",
    ),
    "reference.deployment.price_per_hour": (
        "What all of it costs an hour, for `cost_per_million_output_tokens`.",
        "整个部署每小时的价格，用于 `cost_per_million_output_tokens`。",
    ),
    "reference.results_dir": (
        "The folder for results, relative to pytest's rootdir.",
        "结果目录，相对于 pytest 的 rootdir。",
    ),
    "reference.profile": (
        "After a scenario was measured and judged, a second, short load of the same shape runs while the server's own profiler "
        "does (vLLM, SGLang); it is not judged, is no reference, and stands in no table. `true`: of all scenarios; text: of "
        "those that match.",
        "场景测量并判定之后，再以同样形态发送一小段负载，期间开启服务端自带的 profiler（vLLM、SGLang）；这段负载不判定、不作基线、"
        "不进表格。写 `true` 表示所有场景；写文本表示匹配的场景。",
    ),
    "reference.profile.scenarios": (
        "Pattern of scenario ids: `*-mc64-*`. A search is not profiled.",
        "场景 id 的匹配模式：`*-mc64-*`。容量搜索不做剖析。",
    ),
    "reference.profile.requests": (
        "Requests of that load; at least as many as are in flight at once.",
        "这段负载的请求数；至少等于同时在途的请求数。",
    ),
    "reference.profile.steps": (
        "Steps of the engine that SGLang records; vLLM records from the first request to the last.",
        "SGLang 记录的引擎步数；vLLM 从第一个请求记录到最后一个。",
    ),
    "reference.profile.flush": (
        "How long writing the traces may take: minutes for large models.",
        "写出 trace 最多允许多久：大模型需要数分钟。",
    ),
    "reference.profile.folder": (
        "Where the server writes its traces, on this machine; by default as its own command line says.",
        "服务端写出 trace 的目录（在本机上）；默认取自服务端自己的命令行。",
    ),
    "reference.keep_text": ("The answers' text is kept in the records.", "在逐请求记录中保留回答文本。"),
    "reference.tape": (
        "What becomes of the raw bytes of a run: `keep`, `compress`, or `drop` (kept where something went wrong).",
        "原始字节记录的去留：`keep`、`compress` 或 `drop`（出问题时仍保留）。",
    ),
    # overrides
    "reference.overrides": (
        "Other settings for the scenarios whose id matches; later ones win, mappings are merged, lists replaced.",
        "对 id 匹配的场景另作设置；后面的优先，映射会合并，列表会替换。",
    ),
    "reference.overrides.match": (
        "A pattern for ids with `*`, `?`, `[...]`.",
        "匹配 id 的模式，可用 `*`、`?`、`[...]`。",
    ),
    "reference.overrides.set": (
        "Any key of this page that does not decide the id or the server.",
        "本页中不影响 id 和服务的任意键。",
    ),
    "reference.overrides.xfail": (
        "Why the test is expected to fail. Its verdict is stored, and counts in no summary.",
        "预期失败的原因。其结论照常保存，但不计入任何汇总。",
    ),
    "reference.overrides.skip": ("Why the scenario is not run.", "不运行的原因。"),
}
