"""Texts of the command line: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "cli.about": (
        "Benchmarks of LLM servers: run them, read their results, judge them again.",
        "LLM 服务压测：运行、读取结果、重新判定。",
    ),
    "cli.lang": ("language of what is shown (default: the locale's)", "显示语言（默认跟随系统区域设置）"),
    "cli.base_url": (
        'the server, http://host:8000, or "simulator" for the built-in one',
        "服务地址，如 http://host:8000；写 simulator 则使用内置模拟器",
    ),
    "cli.result_dir": ("the folder for results (default: results)", "结果目录（默认 results）"),
    "cli.single.help": (
        "one scenario, with the flags of `vllm bench serve`; pytest's own options may follow",
        "运行单个场景，参数与 `vllm bench serve` 相同；后面可接 pytest 自己的选项",
    ),
    "cli.batch.help": (
        "every scenario of a config.yaml; pytest's own options may follow",
        "运行 config.yaml 中的全部场景；后面可接 pytest 自己的选项",
    ),
    "cli.batch.config": (
        "a config.yaml, or the folder it is in (default: config.yaml)",
        "config.yaml 文件或其所在目录（默认 config.yaml）",
    ),
    "cli.simulate.help": ("run the built-in server alone, until Ctrl-C", "单独启动内置模拟服务，按 Ctrl-C 结束"),
    "cli.single.backend": ("how the server is spoken to (default: vllm)", "服务接口类型（默认 vllm）"),
    "cli.single.host": ("the server's host, where --base-url is not given", "服务主机名（未给出 --base-url 时使用）"),
    "cli.single.port": ("the server's port (default: 8000)", "服务端口（默认 8000）"),
    "cli.single.endpoint": ("the path, where it is not the backend's own", "接口路径（默认由 backend 决定）"),
    "cli.single.model": ("the model's name, where the server has several", "模型名（服务有多个模型时必填）"),
    "cli.single.tokenizer": (
        'a folder, a file, a hub name, "server" or "ids" (default: the model\'s)',
        '分词器：目录、文件、模型仓库名、"server" 或 "ids"（默认与模型一致）',
    ),
    "cli.single.dataset_name": ("where prompts come from (default: random)", "数据集（默认 random）"),
    "cli.single.dataset_path": ("the dataset's file or folder", "数据集文件或目录"),
    "cli.single.input_len": ("prompt length in tokens (default: 1024)", "输入长度，单位 token（默认 1024）"),
    "cli.single.output_len": ("answer length in tokens (default: 128)", "输出长度，单位 token（默认 128）"),
    "cli.single.range_ratio": (
        "lengths vary within ± this share (default: 0)",
        "长度在此比例范围内随机浮动（默认 0）",
    ),
    "cli.single.prefix_len": (
        "tokens that all prompts share in front (default: 0)",
        "所有提示词共享的前缀长度（默认 0）",
    ),
    "cli.single.num_prompts": ("requests to send (default: 1000)", "请求总数（默认 1000）"),
    "cli.single.max_concurrency": ("requests under way at most (default: no cap)", "最大并发数（默认不限）"),
    "cli.single.request_rate": ("requests per second (default: inf)", "请求速率，单位 请求/秒（默认 inf）"),
    "cli.single.burstiness": (
        "shape of the arrivals: 1 Poisson, below 1 burstier (default: 1)",
        "到达过程的形状：1 为泊松，小于 1 更突发（默认 1）",
    ),
    "cli.single.goodput": (
        "limits per request in milliseconds: ttft:200 tpot:50 e2el:20000",
        "单个请求的时延上限，单位毫秒：ttft:200 tpot:50 e2el:20000",
    ),
    "cli.single.sla": ('rules: "p99_ttft_ms <= 500" "failed == 0"', '规则，如 "p99_ttft_ms <= 500" "failed == 0"'),
    "cli.single.seed": ("seed of lengths, order and arrivals (default: 0)", "随机种子（默认 0）"),
    "cli.single.ignore_eos": ("have answers go on to their full length", "忽略 EOS，强制生成到指定长度"),
    "cli.single.num_warmups": (
        "requests sent before (default: as many as the concurrency)",
        "预热请求数（默认等于并发数）",
    ),
    "cli.single.goodput_of": (
        "--goodput {text!r}: limits are of {names}, above 0 ms",
        "--goodput {text!r}：可限制的有 {names}，限值须大于 0 毫秒",
    ),
    "cli.single.bad_goodput": (
        "--goodput {text!r} is not NAME:MILLISECONDS. Write, for example, --goodput ttft:200 tpot:50.",
        "--goodput {text!r} 不是“名称：毫秒”的形式。例如：--goodput ttft:200 tpot:50。",
    ),
    "cli.doctor.help": (
        "is everything in order: server, tokenizer, limits, clock, and how fast this client can go",
        "体检：服务是否可达、分词器、系统限制、时钟，以及本机压测能力",
    ),
    "cli.report.help": (
        "write reports again from saved results: HTML, CSV, Markdown, charts, and more",
        "由已保存的结果重新生成报告：HTML、CSV、Markdown、图表等",
    ),
    "cli.report.folders": ("folders of results (default: results)", "结果目录，可多个（默认 results）"),
    "cli.report.out": ("where to write (default: the first folder)", "输出目录（默认为第一个结果目录）"),
    "cli.report.formats": ("what to write", "输出格式"),
    "cli.report.baseline": ("a folder of results to compare with", "用于对比的结果目录"),
    "cli.csv_lang": ("language of the CSV's headers", "CSV 表头语言"),
    "cli.aggregate.help": (
        "the CSV of a whole results folder, old results too",
        "汇总整个结果目录（包括旧结果）为 CSV",
    ),
    "cli.aggregate.folder": ("the folder of results (default: results)", "结果目录（默认 results）"),
    "cli.decode.help": (
        "read a tape that was kept once more, and write its records and result anew",
        "重新解析保留下来的记录带，重写其记录和结果",
    ),
    "cli.decode.folder": ("folders of kept tapes (bench_….tape)", "保留的记录带目录（bench_….tape）"),
    "cli.salvage.help": (
        "save what sessions that were killed had measured",
        "保存被强制终止的会话已经测得的数据",
    ),
    "cli.salvage.nothing": ("nothing was left running in {folder}", "{folder} 中没有遗留的数据"),
    "cli.compare.help": (
        "results of two or more folders side by side",
        "并排对比两个或多个结果目录",
    ),
    "cli.compare.folders": (
        "folders of results; the first is what the others are held against",
        "结果目录；以第一个为基准",
    ),
    "cli.compare.one_folder": (
        "there is only {folder}: name two folders or more, the first being what the others are held against",
        "只给出了 {folder}：请给出两个或更多目录，以第一个为基准",
    ),
    "cli.compare.format": ("how the comparison is written", "对比结果的格式"),
    "cli.compare.fail_if": (
        'exit 1 where such a change is proven: "mean_tpot_ms > +5%%"',
        '若证实有此变化则退出码为 1，如 "mean_tpot_ms > +5%%"',
    ),
    "cli.compare.strict": (
        "what --fail-if asks must be ruled out: undecided or not tested is exit 1 too",
        "--fail-if 的变化必须被排除：无法判定或未检验时退出码也为 1",
    ),
    "cli.judge.help": (
        "rules on saved results, ours and other tools' (vllm bench serve, GuideLLM, AIPerf, genai-perf, evalscope)",
        "用规则判定已保存的结果（本工具的，以及 vllm bench serve、GuideLLM、AIPerf、genai-perf、evalscope 的）",
    ),
    "cli.unrun": (
        "{folder}: the last session ({session}) is not complete:",
        "{folder}：最近一次会话（{session}）不完整：",
    ),
    "cli.judge.never": (
        "{scenario}: none of its repeats judges the rules, as the last of them is not there; with --strict this fails",
        "{scenario}：缺少最后一轮重复测量，规则没有得到判定；--strict 下视为失败",
    ),
    "cli.judge.files": ("result files, or folders of ours", "结果文件，或本工具的结果目录"),
    "cli.judge.rule": (
        'rules: "p99_ttft_ms <= 500" (default: the result\'s own)',
        '规则，如 "p99_ttft_ms <= 500"（默认用结果自带的规则）',
    ),
    "cli.judge.mode": (
        "evidence: proven or not; exact: compared (default: the result's own)",
        "evidence：按统计证据判定；exact：直接比较（默认用结果自带的设置）",
    ),
    "cli.judge.confidence": (
        "of the evidence (default: the result's own, or 0.95)",
        "置信度（默认用结果自带的设置，否则 0.95）",
    ),
    "cli.judge.strict": ("what is unproven fails", "未证实的结果视为失败"),
    "cli.init.help": (
        "write a commented config.yaml and its test file, to start from",
        "生成带注释的 config.yaml 和测试文件，作为起点",
    ),
    "cli.init.folder": ("where to write them (default: bench_cases)", "写入目录（默认 bench_cases）"),
    "cli.init.wrote": ("wrote {path}", "已写入 {path}"),
    "cli.init.next": (
        "next: pytest {folder} --vllm-url=http://host:8000",
        "下一步：pytest {folder} --vllm-url=http://host:8000",
    ),
    "cli.doctor.machine": ("{cpu}, {cpus} cores{limit}", "{cpu},{cpus} 核{limit}"),
    "cli.doctor.clock": ("clock {source}, resolution {resolution} s", "时钟 {source}，分辨率 {resolution} 秒"),
    "cli.doctor.loop": ("event loop: {loop}", "事件循环：{loop}"),
    "cli.doctor.files": ("room for {n} connections", "可同时打开 {n} 个连接"),
    "cli.doctor.speed": (
        "an event costs {cost} µs here: one measuring process takes about {rate} events/s in comfort",
        "本机每个事件耗时 {cost} µs：单个压测进程可从容处理约 {rate} 个事件/秒",
    ),
    "cli.doctor.accelerators": (
        "accelerators here: {names}, driver {driver}; energy by {how}",
        "本机加速卡：{names}，驱动 {driver}；能耗取自{how}",
    ),
    "cli.doctor.energy.counter": ("their own counters", "其电能计数器"),
    "cli.doctor.energy.power": (
        "their power over time (with NVIDIA's, nvidia-ml-py would read their counters)",
        "功率积分（NVIDIA 加速卡安装 nvidia-ml-py 后可读电能计数器）",
    ),
    "cli.doctor.no_accelerators": (
        "no nvidia-smi, hy-smi, amd-smi, rocm-smi or npu-smi on the PATH: no accelerator of this machine is watched, so "
        "there is no energy; an exporter's address does as well: observe: {{accelerators: http://host:9400/metrics}}",
        "PATH 中没有 nvidia-smi、hy-smi、amd-smi、rocm-smi 或 npu-smi：不观测本机加速卡，没有能耗数据；"
        "也可以写 exporter 的地址：observe: {{accelerators: http://host:9400/metrics}}",
    ),
    "cli.doctor.no_server": ("no server was named: --base-url looks at one", "未指定服务：用 --base-url 可检查服务"),
    "cli.doctor.server": (
        "{url} answers: model {model}, window {window} tokens, round trip {trip} ms",
        "{url} 应答正常：模型 {model}，上下文 {window} token，往返 {trip} ms",
    ),
    "cli.doctor.tokenizer": (
        "tokens are counted with {source} ({size} in its vocabulary)",
        "使用 {source} 计数 token（词表 {size}）",
    ),
    "cli.doctor.config": (
        "a config.yaml: a request of each shape that its scenarios have is tried",
        "config.yaml：其中各场景的每种请求形式都会试发一次",
    ),
    "cli.doctor.shape": (
        "a request as {scenario} sends it was answered",
        "与 {scenario} 同样形式的请求得到了应答",
    ),
    "cli.doctor.template": (
        "the server does not tell how many tokens its chat template adds: its answers' own counts will",
        "服务端没有说明对话模板增加的 token 数，将以其应答中的计数为准",
    ),
    "cli.doctor.counters": (
        "no counters of its own can be read at /metrics: rules on server.* have nothing to go by",
        "/metrics 没有可读的计数器：server.* 规则没有数据可用",
    ),
}
