"""Texts of twins: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "twin.no_twin": (
        "{path} is no twin of this version: {why}; make one with pytest-vllm-bench calibrate",
        "{path} 不是当前版本的孪生模型文件：{why}；请用 pytest-vllm-bench calibrate 生成",
    ),
    "twin.too_little": (
        "{loads} loads with {steps} steps that can be told apart are too few: measure at least two loads with streaming "
        "answers, e.g. concurrency_prompts: [[1, 40], [16, 160]]",
        "只有 {loads} 个负载、{steps} 个可辨认的引擎步，不足以校准：请至少实测两个流式负载，"
        "例如 concurrency_prompts: [[1, 40], [16, 160]]",
    ),
    "twin.not_streamed": (
        "{scenario}: only {usable} of {n} requests streamed tokens that were counted; a twin learns from such alone",
        "{scenario}：{n} 个请求中只有 {usable} 个以流式返回且 token 数已知；孪生模型只能由这样的请求校准",
    ),
    "twin.of_prediction": (
        "{scenario} was predicted; a twin learns from measurements alone",
        "{scenario} 是预测结果；孪生模型只能由实测数据校准",
    ),
    "twin.nothing": (
        "{folder} holds no measurement (bench_*.measurement.gz beside its records)",
        "{folder} 中没有测量数据（bench_*.measurement.gz 及其 records 文件）",
    ),
    "twin.stages": (
        "stages over concurrency cannot be predicted; write a scenario for each of them",
        "无法预测按并发分阶段的负载；请为每个阶段单独写一个场景",
    ),
    "twin.lengths": (
        "the load cannot be predicted: the lengths of its prompts or answers are not known beforehand; set input_output",
        "无法预测该负载：输入或输出长度事先未知；请设置 input_output",
    ),
    "twin.no_room": (
        "a request of {tokens} tokens does not fit in the twin's KV cache of {kv_tokens} tokens",
        "一个 {tokens} token 的请求放不进孪生模型 {kv_tokens} token 的 KV 缓存",
    ),
    "twin.setting": (
        "--set {text}: write NAME=NUMBER; names: {known}",
        "--set {text}：请写 名称=数值；可用名称：{known}",
    ),
    "twin.no_load": (
        "which load? give --rate, --concurrency, --capacity or --next",
        "要预测哪种负载？请给出 --rate、--concurrency、--capacity 或 --next",
    ),
    "twin.no_rules": (
        '--capacity is the largest load within rules: give --sla "p99_ttft_ms <= 500"',
        '--capacity 求的是满足规则的最大负载：请给出 --sla "p99_ttft_ms <= 500"',
    ),
    # what of a prediction is far from all that was measured
    "twin.far.prompt_len": (
        "prompts of {asked} tokens are far from those that were measured ({seen}): the twin's errors say little of them",
        "输入长度 {asked} token 与实测范围（{seen}）相差较大：孪生模型的误差在此参考价值有限",
    ),
    "twin.far.output_len": (
        "answers of {asked} tokens are far from those that were measured ({seen}): the twin's errors say little of them",
        "输出长度 {asked} token 与实测范围（{seen}）相差较大：孪生模型的误差在此参考价值有限",
    ),
    "twin.far.concurrency": (
        "a concurrency of {asked} is far beyond what was measured ({seen}): the twin's errors say little of it",
        "并发 {asked} 远超实测范围（{seen}）：孪生模型的误差在此参考价值有限",
    ),
    "twin.far.request_rate": (
        "{asked} requests/s are far beyond what was measured ({seen}): the twin's errors say little of it",
        "请求速率 {asked} req/s 远超实测范围（{seen}）：孪生模型的误差在此参考价值有限",
    ),
    "twin.far.open_loop": (
        "no open loop was measured: how its waits are off is taken from closed loops",
        "没有实测过开环负载：其等待时间的误差取自闭环负载",
    ),
    "twin.assumed": (
        "not told by any load, and taken as usual: {names} (give --set NAME=NUMBER)",
        "实测数据未能体现，取默认值：{names}（可用 --set 名称=数值 指定）",
    ),
    "twin.assumed.front_s": (
        "the way in (front_s) shows in no load: measure one at a concurrency of 1",
        "没有负载能体现进入引擎的耗时（front_s）：请实测一个并发为 1 的场景",
    ),
    # calibrate
    "twin.learnt": (
        "learnt from {loads} loads of {model} {server}:",
        "由 {loads} 个实测负载校准（{model} {server}）：",
    ),
    "twin.col.parameter": ("parameter", "参数"),
    "twin.col.value": ("value", "数值"),
    "twin.col.spread": ("spread", "不确定度"),
    "twin.col.load": ("kept from the twin", "未参与校准的负载"),
    "twin.worst": ("worst", "最差"),
    "twin.refused": (
        "above {most} a metric is not told: {names}",
        "误差超过 {most} 的指标不作预测：{names}",
    ),
    "twin.dash": (
        "—: of loads kept from it this twin was off by more than {most}, so it does not tell: {names}",
        "—：对未参与校准的负载，误差超过 {most}，因此不作预测：{names}",
    ),
    "twin.none_refused": ("every one of these is told", "以上指标均可预测"),
    "twin.written": ("wrote {path}", "已写入 {path}"),
    "twin.col.change": ("change", "变化"),
    "twin.col.what": ("what it is", "结论"),
    "twin.change.slower": ("slower", "变慢"),
    "twin.change.faster": ("faster", "变快"),
    "twin.change.unchanged": ("unchanged (within {sure})", "无变化（在 {sure} 以内）"),
    "twin.change.too_small": ("too small a part of a step to tell", "占比太小，无法判断"),
    # whatif
    "twin.title": (
        "PREDICTED by a twin of {model}, learnt from {loads} loads; nobody has measured this.",
        "预测结果：来自 {model} 的孪生模型（由 {loads} 个实测负载校准），未经实测。",
    ),
    "twin.fleet": ("{replicas} replicas behind {route}", "{replicas} 个副本，路由方式 {route}"),
    "twin.fleet.round_robin": ("round robin", "轮询"),
    "twin.fleet.least_loaded": ("least loaded", "最少负载"),
    "twin.col.request_rate": ("req/s asked", "请求速率"),
    "twin.col.concurrency": ("concurrency", "并发"),
    "twin.col.rules": ("rules", "规则"),
    "twin.holds": ("would hold", "预计满足"),
    "twin.untold": ("cannot tell: {rules}", "无法预测：{rules}"),
    "twin.overload": ("too much: it would not settle", "过载：无法进入稳态"),
    "twin.breaks": ("would break: {rules}", "预计不满足：{rules}"),
    "twin.close": ("too close to tell: {rules}", "无法确定：{rules}"),
    "twin.capacity.request_rate": (
        "PREDICTED: {held} requests/s keep the rules, with the twin's own error on top{broken}",
        "预测：在计入孪生模型自身误差后，{held} req/s 满足规则{broken}",
    ),
    "twin.capacity.concurrency": (
        "PREDICTED: a concurrency of {held} keeps the rules, with the twin's own error on top{broken}",
        "预测：在计入孪生模型自身误差后，并发 {held} 满足规则{broken}",
    ),
    "twin.capacity.broken": ("; {broken} would not", "；{broken} 则不满足"),
    "twin.capacity.none": (
        "PREDICTED: no load keeps the rules, with the twin's own error on top",
        "预测：在计入孪生模型自身误差后，没有负载能满足规则",
    ),
    "twin.capacity.untold": (
        "the twin cannot say which load keeps the rules: it cannot tell what they are about",
        "孪生模型无法给出满足规则的负载：规则所涉及的指标无法预测",
    ),
    "twin.next": (
        "measuring these would teach the twin most:",
        "实测以下负载对校准孪生模型最有帮助：",
    ),
    "twin.next.load": (
        "input {input_len}, output {output_len}, concurrency {concurrency} (narrows the parameters by {gain})",
        "输入 {input_len}，输出 {output_len}，并发 {concurrency}（参数不确定度缩小至 1/{gain}）",
    ),
}
