"""Texts of the area "judge": key → (English, Chinese)."""

_RECONNECTED = (
    "{again} of {n} requests were sent again on a new connection ({share}): the server had just closed the open one; "
    "their time counts from the first sending",
    "{n} 个请求中有 {again} 个（{share}）因服务端刚刚关闭了已建立的连接而在新连接上重发；其时间从首次发送算起",
)
TEXTS: dict[str, tuple[str, str]] = {
    "judge.over.concurrency": ("concurrency", "并发"),
    "judge.over.request_rate": ("request_rate", "请求速率"),
    "judge.capacity": (
        "capacity ({over}): {held}, {broken}; {levels} levels, {runs} runs of its own",
        "最大{over}：{held}，{broken}；共测 {levels} 档，发压 {runs} 次",
    ),
    "judge.capacity_asked": (
        "capacity ({over}): {held}, {broken}; at least {wanted} was asked; {levels} levels, {runs} runs of its own",
        "最大{over}：{held}，{broken}；要求 ≥ {wanted}；共测 {levels} 档，发压 {runs} 次",
    ),
    "judge.capacity_held": ("{level} held ({how})", "{level} 达标（{how}）"),
    "judge.capacity_broke": ("{level} broke ({how})", "{level} 未达标（{how}）"),
    "judge.capacity_none_held": ("nothing held", "没有任何一档达标"),
    "judge.capacity_none_broke": ("nothing broke", "没有测到未达标的档位"),
    "judge.capacity_max_held": ("nothing broke up to the search's limit", "到搜索上限为止全部达标"),
    "judge.capacity_stopped.runs": (
        "the search ended before it was done: its runs were used up (search.runs)",
        "搜索未完成即结束：运行次数已用完（search.runs）",
    ),
    "judge.capacity_stopped.time": (
        "the search ended before it was done: its time was used up (search.time)",
        "搜索未完成即结束：时间已用完（search.time）",
    ),
    "judge.capacity_stopped.invalid": (
        "the search ended before it was done: a probe was invalid twice, or told nothing",
        "搜索未完成即结束：某一档两次均无效，或没有给出任何信息",
    ),
    "judge.capacity_stopped.gone": (
        "the search ended before it was done: the server went away",
        "搜索未完成即结束：服务端已不可用",
    ),
    "judge.capacity_stopped.interrupted": (
        "the search ended before it was done: it was interrupted",
        "搜索未完成即结束：已被中断",
    ),
    "judge.proven": ("proven", "已证实"),
    "judge.observed": ("observed", "仅观测，未证实"),
    "judge.baseline_no_file": (
        "There is no baseline {path} (there are: {known}). Save one first with --vllm-save-baseline.",
        "没有基线文件 {path}（现有：{known}）。请先用 --vllm-save-baseline 保存。",
    ),
    "judge.baseline_unreadable": (
        "The baseline {path} {said}",
        "基线 {path} {said}",
    ),
    "judge.baseline_not_saved": (
        "The baseline {path} cannot be saved: {why}. Name another file with --vllm-save-baseline.",
        "无法保存基线 {path}：{why}。请用 --vllm-save-baseline 指定其他文件。",
    ),
    # rules that cannot be read
    "judge.not_a_rule": (
        "{text!r} is not a rule; write a metric, a comparison and a number: p99_ttft_ms <= 500",
        "{text!r} 不是一条规则；请写成“指标 比较符 数字”，例如 p99_ttft_ms <= 500",
    ),
    "judge.not_a_number": (
        "{number!r} in the rule {text!r} is not a number; write the limit as a plain number in the metric's own unit",
        "规则 {text!r} 中的 {number!r} 不是数字；请按指标自身的单位写一个普通数字",
    ),
    "judge.unknown_metric": ("there is no metric {metric!r}; {hint}", "没有名为 {metric!r} 的指标；{hint}"),
    "judge.metrics_look_like": (
        "metrics look like p99_ttft_ms, mean_tpot_ms, output_throughput, goodput_ratio",
        "指标形如 p99_ttft_ms、mean_tpot_ms、output_throughput、goodput_ratio",
    ),
    "judge.ratio_limit": (
        "{rule}: a ratio lies between 0 and 1; write 0.99 for 99 %",
        "{rule}：比率在 0 与 1 之间；99% 请写成 0.99",
    ),
    "judge.negative_limit": (
        "{rule}: this metric is never negative; write a limit of 0 or more",
        "{rule}：该指标不会为负；限值请写 0 或更大的数",
    ),
    # rules that no gate can mean
    "judge.always_holds": (
        "{rule}: this holds whatever the server does, so it can never fail; write {instead}, or leave it out",
        "{rule}：无论服务端表现如何都成立，永远不会失败；请写 {instead}，或删掉它",
    ),
    "judge.never_holds": (
        "{rule}: this can never hold, so every run would fail; write {instead}",
        "{rule}：永远不可能成立，每次都会失败；请写 {instead}",
    ),
    "judge.always_of_planned": (
        "{rule}: of {n} planned requests this always holds, so it can never fail; write a smaller number, or a share: "
        "failed_ratio <= 0.01",
        "{rule}：计划的请求只有 {n} 个，这条总是成立，永远不会失败；请写更小的数，或写比例：failed_ratio <= 0.01",
    ),
    "judge.never_of_planned": (
        "{rule}: of {n} planned requests this can never hold, so every run would fail; write {n} at most",
        "{rule}：计划的请求只有 {n} 个，这条永远不可能成立，每次都会失败；最多写 {n}",
    ),
    "judge.backwards": (
        "{rule}: this passes where the server is bad and fails where it is good; write {instead} (where a range is "
        "meant, write both ends)",
        "{rule}：服务端差时反而通过、好时反而失败；请写 {instead}（若要规定一个范围，请把两端都写上）",
    ),
    "judge.odd_direction": (
        "WARNING: {rule} passes where the server is slow and fails where it is fast; is >= meant?",
        "警告：{rule} 在服务端慢时通过、快时失败；是不是想写 >=？",
    ),
    # rules that this scenario cannot have
    "judge.cannot_have": ("{metric} cannot be had here: {why}", "这里得不到 {metric}：{why}"),
    "judge.lacks.started": (
        "only a server that the test starts has a start that can be seen: write server: {{command: …}} instead of base_url",
        "只有由测试启动的服务才能看到启动过程：请用 server: {{command: …}} 代替 base_url",
    ),
    "judge.lacks.history": (
        "only a history has it: calibrate --history writes it, trend --history looks for changes",
        "只存在于历史库中：由 calibrate --history 写入，用 trend --history 查看变化",
    ),
    "judge.lacks.start_alone": (
        "it is measured where the start is a test of its own: write server: {{startup: {{warm: 3}}}}",
        "只在把启动单独作为测试时测量：请写 server: {{startup: {{warm: 3}}}}",
    ),
    "judge.lacks.stream": (
        "the backend {backend} does not stream; judge e2el or throughput instead",
        "后端 {backend} 不以流式返回；请改用 e2el 或吞吐类指标",
    ),
    "judge.lacks.generates": (
        "the backend {backend} generates no tokens; judge e2el or throughput instead",
        "后端 {backend} 不生成 token；请改用 e2el 或吞吐类指标",
    ),
    "judge.lacks.counts": (
        "the backend {backend} generates no tokens; judge e2el or request_throughput instead",
        "后端 {backend} 不生成 token；请改用 e2el 或 request_throughput",
    ),
    "judge.lacks.open_loop": (
        "there is no due time without a finite request_rate; drop the prefix response_, or set request_rate",
        "没有有限的 request_rate 就没有应发时刻；请去掉前缀 response_，或设置 request_rate",
    ),
    "judge.lacks.goodput": (
        "no request is good or bad without limits; set goodput: {{ttft: 500, tpot: 50}}",
        "没有限值就无从判断请求是否达标；请设置 goodput: {{ttft: 500, tpot: 50}}",
    ),
    "judge.lacks.audio": (
        "the backend {backend} takes no audio; judge e2el or throughput instead",
        "后端 {backend} 不接收音频；请改用 e2el 或吞吐类指标",
    ),
    "judge.lacks.pooling": (
        "the backend {backend} generates text; use request_throughput instead",
        "后端 {backend} 用于生成文本；请改用 request_throughput",
    ),
    "judge.lacks.accelerators": (
        "nobody watches the accelerators: they are looked at where the server is on this machine (localhost), or where "
        "observe: {{accelerators: nvidia}} (amd, hygon, ascend) says that this machine's are the server's, or "
        "observe: {{accelerators: http://host:9400/metrics}} names an exporter",
        "没有观测加速卡：只有服务在本机（localhost）时才会观测；"
        "若服务确实使用本机的加速卡，请写 observe: {{accelerators: nvidia}}（或 amd、hygon、ascend），"
        "也可以写 exporter 的地址：observe: {{accelerators: http://host:9400/metrics}}",
    ),
    "judge.lacks.deployment": (
        "nobody says how many accelerators there are: write deployment: {{accelerators: 8}}",
        "不知道有多少张加速卡：请写 deployment: {{accelerators: 8}}",
    ),
    "judge.lacks.price": (
        "nobody says what it costs: write deployment: {{price_per_hour: 21.6}}",
        "不知道价格：请写 deployment: {{price_per_hour: 21.6}}",
    ),
    "judge.devices.throttled": (
        "Accelerator {device} was slowed by heat or by its own protection in {share} of the samples of the judged window.",
        "加速卡 {device} 在判定窗口内有 {share} 的样本因过热或自身保护而降频。",
    ),
    "judge.devices.xid": (
        "Accelerator {device} reported XID {code}, {seconds} s after the load began.",
        "压测开始后第 {seconds} 秒，加速卡 {device} 报告 XID {code}。",
    ),
    "judge.devices.ecc": (
        "Accelerator {device} counted {n} uncorrectable memory errors, the first {seconds} s after the load began.",
        "加速卡 {device} 出现 {n} 个不可纠正的内存错误，首次在压测开始后第 {seconds} 秒。",
    ),
    "judge.devices.shared": (
        "Other programs used accelerator {device} as well: {n}.",
        "加速卡 {device} 上还有 {n} 个其他程序在运行。",
    ),
    "judge.check.throttle": (
        "accelerator {device} was slowed by heat in {share} of its samples",
        "加速卡 {device} 有 {share} 的样本因过热降频",
    ),
    "judge.check.throttle.bad": (
        "accelerator {device} was slowed by heat or its own protection in {share} of its samples; cool it, or allow more "
        "by validity: {{throttle: 20%}}",
        "加速卡 {device} 有 {share} 的样本因过热或自身保护而降频；请改善散热，或用 validity: {{throttle: 20%}} 放宽",
    ),
    "judge.check.throttle.unseen": (
        "no accelerator tells whether it was slowed; see observe: {{accelerators: …}}, or leave validity.throttle out",
        "没有加速卡提供是否降频的数据；请检查 observe: {{accelerators: …}}，或去掉 validity.throttle",
    ),
    "judge.check.littles_law": (
        "mean concurrency and rate × latency agree (off by {off})",
        "平均并发与 速率 × 时延 一致（相差 {off}）",
    ),
    "judge.check.littles_law.bad": (
        "mean concurrency ({mean}) and rate × latency ({product}) differ by {off}: a fault of a clock or of bookkeeping; "
        "these records are not to be trusted",
        "平均并发（{mean}）与 速率 × 时延（{product}）相差 {off}；时钟或记录有误，这些数据不可信",
    ),
    "judge.watched.full": (
        "The server's KV cache was full from {seconds} s on, {share} of the time.",
        "服务端的 KV 缓存自第 {seconds} 秒起用满，占 {share} 的时间。",
    ),
    "judge.watched.full_preempted": (
        "The server's KV cache was full from {seconds} s on, {share} of the time; then {n} preemptions.",
        "服务端的 KV 缓存自第 {seconds} 秒起用满，占 {share} 的时间；此后发生 {n} 次抢占。",
    ),
    "judge.watched.full_fell": (
        "The server's KV cache was full from {seconds} s on, {share} of the time; then {n} preemptions: output throughput "
        "fell by {fell}.",
        "服务端的 KV 缓存自第 {seconds} 秒起用满，占 {share} 的时间；此后发生 {n} 次抢占：输出吞吐量下降 {fell}。",
    ),
    "judge.watched.queue_grows": (
        "The server's queue grew by {slope} requests a second: the load is above its capacity.",
        "服务端的队列每秒增加 {slope} 个请求：负载超出了它的处理能力。",
    ),
    "judge.watched.decoding_slows": (
        "Decoding slows as answers grow: of {n} requests the median went from {early} ms a token (up to token {until}) to "
        "{late} ms (from token {since} on), {slower} slower than its own beginning.",
        "回答越长解码越慢：{n} 个请求的中位数从每 token {early} ms（第 {until} 个 token 之前）变为 {late} ms（第 {since} 个之后），"
        "比各自的开头慢 {slower}。",
    ),
    "judge.watched.outside": (
        "{share} of TTFT (median {ms} ms) passed outside of the engine, by the server's own times: in the network, in HTTP, "
        "in its tokenizer or its template.",
        "按服务端自己的计时，TTFT 的 {share}（中位数 {ms} ms）不在引擎内：用于网络、HTTP、tokenizer 或对话模板。",
    ),
    "judge.watched.beyond": (
        "The server's own times are longer than what was seen of {n} requests, by more than {ms} ms: its clock or its words "
        "are wrong.",
        "有 {n} 个请求，服务端自己的计时比实际观察到的时间长 {ms} ms 以上：其时钟或计时方式有误。",
    ),
    "judge.energy.unwatched": (
        "No accelerator was seen, so that there is no energy: nvidia-smi, hy-smi, amd-smi, rocm-smi or npu-smi must be on "
        "this machine's PATH, or observe: {{accelerators: http://host:9400/metrics}} must name an exporter.",
        "没有观测到加速卡，因此没有能耗数据：本机 PATH 中须有 nvidia-smi、hy-smi、amd-smi、rocm-smi 或 npu-smi，"
        "或者用 observe: {{accelerators: http://host:9400/metrics}} 指定 exporter。",
    ),
    "judge.energy.device_count": (
        "No energy: {seen} accelerators were seen, and deployment: {{accelerators: {expected}}} says how many there are.",
        "没有能耗数据：观测到 {seen} 张加速卡，而 deployment: {{accelerators: {expected}}} 写明的数量与此不同。",
    ),
    "judge.energy.no_samples": (
        "No energy: accelerator {device} told its power {n} times in the judged window, and two are needed.",
        "没有能耗数据：加速卡 {device} 在判定窗口内只有 {n} 个功率样本，至少需要 2 个。",
    ),
    "judge.energy.window_not_bracketed": (
        "No energy: {seconds} s at an edge of the judged window were not seen of accelerator {device}.",
        "没有能耗数据：判定窗口边缘有 {seconds} 秒没有加速卡 {device} 的样本。",
    ),
    "judge.energy.sampling_gap": (
        "No energy: accelerator {device} told nothing for {seconds} s.",
        "没有能耗数据：加速卡 {device} 有 {seconds} 秒没有样本。",
    ),
    "judge.energy.apart": (
        "Accelerator {device} used {counter} J by its counter and {integral} J by its power over time; the counter counts.",
        "加速卡 {device} 的能耗按计数器为 {counter} J，按功率积分为 {integral} J；以计数器为准。",
    ),
    "judge.slo_not_set": (
        "{rule}: goodput has no limit for {slo}; add it, as in goodput: {{{slo}: 500}}",
        "{rule}：goodput 中没有 {slo} 的限值；请补上，例如 goodput: {{{slo}: 500}}",
    ),
    "judge.limit_at_timeout": (
        "{rule}: requests are cut off after {seconds} s (timeouts.{timeout}), so no value can reach this limit; "
        "lower the limit or raise timeouts.{timeout}",
        "{rule}：请求在 {seconds} 秒后即被中断（timeouts.{timeout}），不可能达到这个限值；"
        "请降低限值或调大 timeouts.{timeout}",
    ),
    "judge.undecidable": (
        "{rule}: {n} requests cannot prove this even if none misses; it takes {needed} independent ones "
        "(at least {more} more)",
        "{rule}：即使无一未达标，{n} 个请求也不足以证明；至少需要 {needed} 个相互独立的请求（还差 {more} 个以上）",
    ),
    # verdicts of rules
    "judge.no_data": ("no data, which never passes: {why}", "没有数据（{why}），不能算通过"),
    "judge.no_steady_window": (
        "there is no steady window; ask for more requests (at least 3 per slot) or write whole_ before the metric",
        "没有稳态窗口；请增加请求数（每个并发至少 3 个），或在指标前加 whole_",
    ),
    "judge.not_measured": ("it was not measured", "未测到该指标"),
    "judge.no_requests": ("no request is in the sample", "样本中没有任何请求"),
    "judge.waits": (
        "one of up to {repeats} repeats: the rules are judged on all of them together, with the last",
        "这是最多 {repeats} 次重复中的一次：规则在最后一次时按全部重复一并判定",
    ),
    "judge.not_pooled": (
        "judged by this repeat alone: the requests of the {repeats} that were judged together are not all beside it",
        "仅按这一次重复判定：当时一并判定的 {repeats} 次重复的请求记录不全",
    ),
    "judge.no_goodput": ("no goodput limits are set", "没有设置 goodput 限值"),
    "judge.compared": ("observed {observed}, asked {limit}", "实测 {observed}，要求 {limit}"),
    "judge.counted": (
        "{seen} (observed {observed}, asked {limit})",
        "{seen}（实测 {observed}，要求 {limit}）",
    ),
    "judge.inf_failed": ("inf ({failed} failed)", "inf（{failed} 个失败）"),
    "judge.seen.some": ("{misses} of {n} missed it", "{n} 个中有 {misses} 个未达标"),
    "judge.seen.none": ("none of {n} missed it", "{n} 个全部达标"),
    "judge.seen.all_below": ("all {n} at most {near} of the limit", "{n} 个全部不超过限值的 {near}"),
    "judge.seen.all_above": ("all {n} at least {near} times the limit", "{n} 个全部至少为限值的 {near} 倍"),
    "judge.seen.all_good": ("all {n} good, at most {near} of their limits", "{n} 个全部合格，均不超过各限值的 {near}"),
    "judge.seen.worth": (
        "{seen}, which are worth {n_eff} independent ones",
        "{seen}，相当于 {n_eff} 个独立样本",
    ),
    "judge.seen.between": ("{low} to {high} at {confidence}", "{confidence} 置信区间 {low} 至 {high}"),
    "judge.proven_within": (
        "proven at {confidence}: {seen} (observed {observed}, asked {limit})",
        "以 {confidence} 的置信度证实达标：{seen}（实测 {observed}，要求 {limit}）",
    ),
    "judge.proven_far": (
        "proven at {confidence}: {seen}, so far from it that each counts (observed {observed}, asked {limit})",
        "以 {confidence} 的置信度证实达标：{seen}，离限值很远，因此每个都计入（实测 {observed}，要求 {limit}）",
    ),
    "judge.proven_over": (
        "proven at {confidence} to be broken: {seen} (observed {observed}, asked {limit})",
        "以 {confidence} 的置信度证实未达标：{seen}（实测 {observed}，要求 {limit}）",
    ),
    "judge.follows": (
        "proven, as it follows from {other}, which is proven (observed {observed}, asked {limit})",
        "证实达标：由已证实的 {other} 推出（实测 {observed}，要求 {limit}）",
    ),
    "judge.refuted": (
        "proven to be broken, as {other} is, which follows from it (observed {observed}, asked {limit})",
        "证实未达标：它要求 {other}，而后者已证实未达标（实测 {observed}，要求 {limit}）",
    ),
    "judge.unproven_within": (
        "within it, but unproven: {why} (observed {observed}, asked {limit})",
        "看上去达标，但证据不足：{why}（实测 {observed}，要求 {limit}）",
    ),
    "judge.unproven_over": (
        "beyond it, but unproven: {why} (observed {observed}, asked {limit})",
        "看上去未达标，但证据不足：{why}（实测 {observed}，要求 {limit}）",
    ),
    "judge.more": ("{seen}; about {more} more requests would make it proof", "{seen}；约需再多 {more} 个请求才能判定"),
    "judge.too_close": ("{seen}; too close to the limit to decide", "{seen}；与限值过于接近，无法判定"),
    "judge.no_blocks": (
        "fewer than 8 requests in a steady window; ask for more requests or for repeats: 3",
        "稳态窗口内不足 8 个请求；请增加请求数，或设置 repeats: 3",
    ),
    "judge.mean_within": (
        "proven: {low} to {high} at {confidence} (observed {observed}, asked {limit})",
        "证实达标：{confidence} 置信区间 {low} 至 {high}（实测 {observed}，要求 {limit}）",
    ),
    "judge.mean_over": (
        "proven to be broken: {low} to {high} at {confidence} (observed {observed}, asked {limit})",
        "证实未达标：{confidence} 置信区间 {low} 至 {high}（实测 {observed}，要求 {limit}）",
    ),
    "judge.queue_grows": (
        "the queue was still growing, so a longer run would look worse; lower the rate or run for longer",
        "排队仍在增长，运行更久结果只会更差；请降低请求速率或延长运行",
    ),
    "judge.rate_without_window": (
        "there is no steady window, so a queue that still grows cannot be excluded; run for longer",
        "没有稳态窗口，无法排除排队仍在增长；请延长运行",
    ),
    "judge.interrupted": (
        "the run was interrupted before its end, so no rule is proven to hold",
        "运行在结束前被中断，不能证明任何规则达标",
    ),
    # what is odd about the answers
    "judge.doubt.length": (
        "{n} of {m} answers are not as long as asked: {asked} tokens were asked for, {got} came; the field sent was "
        "{field} (if the server knows another, name it: output_field: max_tokens)",
        "{m} 个回答中有 {n} 个的长度与要求不符：要求 {asked} 个 token，实得 {got} 个；发送的字段是 {field}"
        "（如果服务端使用其他字段名，请写明，例如 output_field: max_tokens）",
    ),
    "judge.doubt.lumps": (
        "answers arrive in lumps of {events} events ({n} of {m} looked at); something between server and client "
        "collects them (or the server drafts as many tokens at a time), so gaps between tokens are not the model's: look "
        "for a proxy that buffers",
        "回答成批到达，每批 {events} 个事件（查看的 {m} 个中有 {n} 个如此）；服务端与客户端之间有环节在攒批"
        "（或服务端以投机解码一次产出这么多 token），token 间隔并非模型的真实间隔：请检查代理是否开启了缓冲",
    ),
    "judge.doubt.few_lumps": (
        "answers arrive in a few lumps of {events} events ({n} of {m} looked at); something between server and client "
        "collects them (or the server drafts as many tokens at a time), so neither gaps between tokens nor TPOT are the "
        "model's: look for a proxy that buffers",
        "回答分少数几批到达，每批 {events} 个事件（查看的 {m} 个中有 {n} 个如此）；服务端与客户端之间有环节在攒批"
        "（或服务端以投机解码一次产出这么多 token），token 间隔与 TPOT 都不是模型的真实值：请检查代理是否开启了缓冲",
    ),
    "judge.doubt.at_once": (
        "answers arrive all at once, in one lump of {events} events ({n} of {m} looked at); something between server "
        "and client collects them, or they are not made anew, so TTFT, TPOT and ITL are not the server's: look for a "
        "proxy that buffers or a cache of answers",
        "整个回答一次性到达，一批 {events} 个事件（查看的 {m} 个中有 {n} 个如此）；服务端与客户端之间有环节在攒批，"
        "或者回答并非即时生成，TTFT、TPOT 与 ITL 都不是服务端的真实值：请检查代理缓冲与回答缓存",
    ),
    "judge.doubt.held": (
        "the first {events} events of an answer arrive together and the rest one by one ({n} of {m} looked at); something "
        "between server and client keeps the beginning back, so TTFT is not the server's: look for a proxy that buffers",
        "回答开头的 {events} 个事件一起到达，其余逐个到达（查看的 {m} 个中有 {n} 个如此）；服务端与客户端之间有环节"
        "扣住了开头，TTFT 不是服务端的真实值：请检查代理是否开启了缓冲",
    ),
    "judge.doubt.unstreamed": (
        "{n} of {m} answers came in one piece although a stream was asked for, so they have no TTFT, TPOT and ITL; "
        "something between server and client, or the server itself, does not stream",
        "要求的是流式回答，但 {m} 个回答中有 {n} 个是一次性返回的，因而没有 TTFT、TPOT 与 ITL；"
        "服务端与客户端之间的环节（或服务端自身）不支持流式",
    ),
    "judge.doubt.canned": (
        "{n} of {m} answers came from a cache of answers, as its header says, and were not made anew; switch it off "
        "for the benchmark",
        "{m} 个回答中有 {n} 个来自回答缓存（响应头已注明），并非即时生成；压测时请关闭该缓存",
    ),
    "judge.doubt.miscounted": (
        "the server's count of tokens does not agree with what came in {n} of {m} answers ({got} tokens or events "
        "came); no figure counted in tokens can be relied on",
        "{m} 个回答中有 {n} 个，服务端统计的 token 数与实际收到的不一致（收到 {got} 个 token 或事件）；"
        "以 token 计的指标都不可靠",
    ),
    "judge.doubt.silent": (
        "{n} of {m} answers brought not one token, although the server counts {got} for them",
        "{m} 个回答中有 {n} 个没有带来任何 token，而服务端却统计了 {got} 个",
    ),
    "judge.doubt.uncounted": (
        "the server sent no token counts (usage) with {n} of {m} answers; {how}",
        "{m} 个回答中有 {n} 个没有附带服务端的 token 计数（usage）；{how}",
    ),
    "judge.counted_by.tokenizer": (
        "the tokenizer counted their texts instead",
        "已改由tokenizer对文本计数",
    ),
    "judge.counted_by.events": (
        "their stream events were counted instead, which need not be tokens",
        "已改为统计流事件数，这未必等于 token 数",
    ),
    "judge.between_runs": (
        "from run to run ({runs} runs) they varied: {figures} (standard deviation over mean)",
        "{runs} 次运行之间的波动（标准差与均值之比）：{figures}",
    ),
    # stopping early
    "judge.hopeless": (
        "{rule}: proven broken before the end ({misses} of {n} missed it), so the run was stopped; what was measured "
        "is kept",
        "{rule}：运行未结束即已证实未达标（{n} 个中有 {misses} 个未达标），因此提前停止；已测得的数据予以保留",
    ),
    # baselines
    "judge.environment": ("{what} was {old}, now it is {new}", "{what} 原为 {old}，现为 {new}"),
    "judge.environment_refused": (
        "nothing was compared, so this fails (baseline.other_environment: refuse); save the baseline anew, or set warn",
        "未作任何比较，因此未通过（baseline.other_environment: refuse）；请重新保存基线，或设为 warn",
    ),
    # what pytest makes of a verdict, where that alone does not say
    "judge.outcome.lean": (
        "not proven; the observed side decides (inconclusive: lean), and it keeps to the limits: the test passes",
        "证据不足；按实测值判断 (inconclusive: lean)，达到要求，测试通过",
    ),
    "judge.outcome.lean_over": (
        "not proven; the observed side decides (inconclusive: lean), and it is on the wrong side: the test fails",
        "证据不足；按实测值判断 (inconclusive: lean)，未达到要求，测试未通过",
    ),
    "judge.outcome.pass": (
        "not proven: the test passes (inconclusive: pass)",
        "证据不足，测试通过 (inconclusive: pass)",
    ),
    "judge.outcome.fail": (
        "not proven: the test fails (inconclusive: fail)",
        "证据不足，测试未通过 (inconclusive: fail)",
    ),
    "judge.outcome.skip": (
        "not proven: the test is skipped (inconclusive: skip)",
        "证据不足，测试跳过 (inconclusive: skip)",
    ),
    "judge.outcome.interrupted": ("its test was interrupted, which is no pass", "测试被中断，不算通过"),
    "judge.outcome.salvaged": ("its session was killed, and its test with it", "会话被强制结束，测试没有做完"),
    "judge.outcome.strict": ("not proven: the test fails (--vllm-strict)", "证据不足，测试未通过 (--vllm-strict)"),
    "judge.outcome.predicted": (
        "predicted by a twin and not measured: the test is skipped, it neither passes nor fails",
        "由孪生模型预测、未经实测：测试跳过，既不算通过也不算失败",
    ),
    "judge.outcome.strict_predicted": (
        "--vllm-strict refuses predictions: nobody has measured these figures. Give --vllm-url.",
        "--vllm-strict 不接受预测：这些数字未经实测。请用 --vllm-url 指定服务。",
    ),
    # rules on a predicted load
    "judge.predicted.holds": (
        "would hold: {observed} ({low} … {high} with the twin's own error of {off}), asked {limit}",
        "预计满足：{observed}（计入孪生模型自身误差 {off} 后为 {low} … {high}），要求 {limit}",
    ),
    "judge.predicted.breaks": (
        "would break: {observed} ({low} … {high} with the twin's own error of {off}), asked {limit}",
        "预计不满足：{observed}（计入孪生模型自身误差 {off} 后为 {low} … {high}），要求 {limit}",
    ),
    "judge.predicted.close": (
        "too close to tell: {observed} ({low} … {high} with the twin's own error of {off}), asked {limit}; measure it",
        "过于接近限值，无法预测：{observed}（计入孪生模型自身误差 {off} 后为 {low} … {high}），要求 {limit}；请实测",
    ),
    "judge.predicted.untold": (
        "the twin cannot tell {metric}: {off}; measure it",
        "孪生模型无法预测 {metric}：{off}；请实测",
    ),
    "judge.predicted.off": (
        "it was off by {off} on a load that it had not seen, and above {most} nothing is told",
        "对未参与校准的负载误差达 {off}，超过 {most} 即不作预测",
    ),
    "judge.predicted.limits": ("each latency", "各项时延"),
    "judge.predicted.unknown": (
        "no load that it was held against shows how far off it is",
        "没有可对照的实测负载，误差未知",
    ),
    "judge.predicted.queue_grows": (
        "would break in time: requests come faster than they are answered, and the queue grows",
        "迟早不满足：请求到达快于处理，队列持续增长",
    ),
    "judge.predicted.rate_without_window": (
        "would not settle: no part of the load is steady, be it that it is too much or that it is too short",
        "无法进入稳态：负载过高或过短，没有稳态区间",
    ),
    "judge.predicted.no_failures": (
        "a twin knows no failures: every request is taken to be answered",
        "孪生模型不模拟失败：假定所有请求都成功",
    ),
    "judge.outcome.strict_simulated": (
        "--vllm-strict refuses the built-in simulator: its figures say nothing about a server. Give --vllm-url.",
        "--vllm-strict 不接受内置模拟器：它的数字不代表任何真实服务。请用 --vllm-url 指定服务。",
    ),
    "judge.baseline_tainted": (
        "{scenario} is not saved as a baseline. {taint}",
        "{scenario} 不保存为基线。{taint}",
    ),
    "judge.baseline_verdict": (
        "{scenario} is not saved as a baseline: it is {verdict}, and a reference of such sessions would accept the next "
        "one like it. To accept it, mend its rules, or save without --vllm-baseline",
        "{scenario} 不保存为基线：其判定为{verdict}，存入后类似的会话会被当作正常。若要接受，请修改规则，或不带 --vllm-baseline 保存",
    ),
    "judge.baseline_no_data": (
        "{scenario} was not measured to its end, so it is not saved as a baseline",
        "{scenario} 没有完整测完，不保存为基线",
    ),
    "judge.baseline_missing": (
        "the baseline has nothing on {scenario}; save it with --vllm-save-baseline",
        "基线中没有 {scenario}；请用 --vllm-save-baseline 保存",
    ),
    "judge.baseline_other_plan": (
        "{scenario} was sent another plan when its baseline was saved ({session}); compare with the same prompts, "
        "rate, lengths and seed, or save the baseline anew",
        "{scenario} 保存基线时（{session}）发送的计划不同；请用相同的请求数、速率、长度和种子比较，或重新保存基线",
    ),
    "judge.baseline_other_plan_by": (
        "{scenario} was sent another plan when its baseline was saved ({session}): {what}; send the same, or save the "
        "baseline anew",
        "{scenario} 保存基线时（{session}）发送的计划不同：{what}；请改回相同的设置，或重新保存基线",
    ),
    "judge.baseline_part": (
        "{scenario}: not all of its repeats were run, and a baseline holds them all; run it whole, without -k or --lf",
        "{scenario}：并非所有重复都已运行，而基线需要全部；请完整运行该场景，不要用 -k 或 --lf 只选其中几次",
    ),
    "judge.baseline_no_metric": (
        "{metric} is to be compared, but one of the two sessions has no figure for it",
        "需要比较 {metric}，但两次会话中有一方没有该指标",
    ),
    "judge.baseline_not_positive": (
        "{metric} is 0 in one of the two sessions, and no percentage of 0 says anything; "
        "write its tolerance as a number, {metric}: 0.01",
        "两次会话中有一方的 {metric} 为 0，无法按百分比比较；请把容差写成数值，例如 {metric}: 0.01",
    ),
    "judge.baseline_within": (
        "{metric} {change} ({low} to {high}): not worse by {tolerance}",
        "{metric} {change}（{low} 至 {high}）：变差不超过 {tolerance}",
    ),
    "judge.baseline_unproven": (
        "{metric} {change} ({low} to {high}): neither shown to be worse by {tolerance} nor shown not to be; a change "
        "of {detectable} would be noticed four times in five",
        "{metric} {change}（{low} 至 {high}）：尚不能确认变差超过 {tolerance}，也不能排除；"
        "以现有基线，变差达到 {detectable} 才有八成把握发现",
    ),
    "judge.baseline_suspected": (
        "{metric} {change} ({low} to {high}): looks worse by more than {tolerance}, to be confirmed by fresh measurements",
        "{metric} {change}（{low} 至 {high}）：看起来变差超过 {tolerance}，需重新测量加以确认",
    ),
    "judge.baseline_worse": (
        "{metric} {first}, measured afresh ({times}×) {change} ({low} to {high}): worse by more than {tolerance}",
        "{metric} {first}，重新测量（{times} 次）为 {change}（{low} 至 {high}）：变差超过 {tolerance}",
    ),
    "judge.baseline_worse_beside": (
        "{metric} {first}, measured afresh ({times}×) {change} ({low} to {high}), the other scenarios {others}: worse by "
        "more than {tolerance}",
        "{metric} {first}，重新测量（{times} 次）为 {change}（{low} 至 {high}），其他场景为 {others}：变差超过 {tolerance}",
    ),
    "judge.baseline_not_confirmed": (
        "{metric} {first}, but measured afresh ({times}×) {change}: not confirmed to be worse by {tolerance}",
        "{metric} {first}，但重新测量（{times} 次）为 {change}：未能确认变差超过 {tolerance}",
    ),
    "judge.baseline_undecided": (
        "{metric} {first}, measured afresh ({times}×) {change} ({low} to {high}): still looks worse by more than "
        "{tolerance}, and is not proven; a change of {detectable} would be",
        "{metric} {first}，重新测量（{times} 次）为 {change}（{low} 至 {high}）：仍像是变差超过 {tolerance}，但未能证实；"
        "达到 {detectable} 的变化可被证实",
    ),
    "judge.matrix_worse": (
        "all {scenarios} scenarios together: {metric} {change} ({low} to {high}): worse by more than {tolerance}",
        "全部 {scenarios} 个场景合计：{metric} {change}（{low} 至 {high}）：变差超过 {tolerance}",
    ),
    "judge.matrix_within": (
        "all {scenarios} scenarios together: {metric} {change} ({low} to {high}): not worse by {tolerance}",
        "全部 {scenarios} 个场景合计：{metric} {change}（{low} 至 {high}）：变差不超过 {tolerance}",
    ),
    "judge.matrix_unproven": (
        "all {scenarios} scenarios together: {metric} {change} ({low} to {high}): neither shown to be worse by {tolerance} "
        "nor shown not to be; a change of {detectable} would be noticed four times in five",
        "全部 {scenarios} 个场景合计：{metric} {change}（{low} 至 {high}）：既不能证实变差超过 {tolerance}，也不能排除；"
        "{detectable} 的变化有五分之四的机会被发现",
    ),
    "judge.target_missing": (
        "nothing was measured of {target}, so that nothing was compared, and this fails (baseline.target); "
        "run both targets together",
        "没有 {target} 的测量结果，未作任何比较，因此未通过（baseline.target）；请让两个目标一起运行",
    ),
    "judge.targets_worse": (
        "{metric} {change} ({low} to {high}) over the rounds: worse by more than {tolerance}",
        "{metric} 各轮合计 {change}（{low} 至 {high}）：变差超过 {tolerance}",
    ),
    "judge.targets_rounds": (
        "comparing two targets takes {needed} rounds, and there were {rounds}; set repeats: {needed}, and run all of "
        "them, without -k or --lf",
        "比较两个目标需要 {needed} 轮，目前只有 {rounds} 轮；请设置 repeats: {needed}，并全部运行，不要用 -k 或 --lf",
    ),
    # results of other tools
    "judge.import.unknown": (
        "this is no result of vllm bench serve, GuideLLM, genai-perf, AIPerf or evalscope",
        "这不是 vllm bench serve、GuideLLM、genai-perf、AIPerf 或 evalscope 的结果文件",
    ),
    "judge.import.lacks_requests": (
        "it does not hold every single request, so nothing can be proven, only observed",
        "其中没有全部逐个请求的数据，因此只能观察，无法证明",
    ),
    "judge.import.lacks_client": (
        "it does not say whether the client kept up, so no figure can be called invalid",
        "其中没有说明客户端是否跟得上，因此无法判定数据无效",
    ),
    "judge.import.lacks_details": (
        "run vllm bench serve with --save-detailed to keep the requests",
        "请在运行 vllm bench serve 时加上 --save-detailed 以保留逐个请求的数据",
    ),
    "judge.import.lacks_details_sglang": (
        "run sglang.bench_serving with --output-details to keep the requests",
        "请在运行 sglang.bench_serving 时加上 --output-details 以保留逐个请求的数据",
    ),
    "judge.import.lacks_lists": (
        "its ttfts, itls and start_times are not of one length, so its requests are not used",
        "其中 ttfts、itls、start_times 的长度不一致，因此没有使用逐个请求的数据",
    ),
    "judge.import.lacks_starts": (
        "it does not say when requests were sent (start_times: older versions of vllm bench serve, and SGLang, save none "
        "whatever their flags): latencies are judged request by request, means and throughputs only observed",
        "其中没有请求的发送时刻（start_times：旧版 vllm bench serve 和 SGLang 无论加什么参数都不保存）："
        "时延按逐个请求判定，均值与吞吐只能观察",
    ),
    "judge.import.lacks_due": (
        "it does not say when requests were due, so latencies count from sending and waiting before it is not seen",
        "其中没有请求的应发时刻，时延只能从实际发送算起，发送前的等待看不到",
    ),
    "judge.import.lacks_gaps": (
        "it has one inter-token figure a request (our tpot), so itl and max_gap are not there",
        "每个请求只有一个 token 间隔数值（即本工具的 tpot），因此没有 itl 与 max_gap",
    ),
    "judge.import.lacks_failures": (
        "it does not say how many requests failed; a rule on failures has no data",
        "其中没有失败请求数；针对失败的规则没有数据",
    ),
    "judge.only_summary": (
        "only a summary was saved, and single requests would be needed to prove it",
        "只保存了汇总数据，需要逐个请求的数据才能证明",
    ),
    "judge.failed_beyond": (
        "{failed} of {n} requests failed, more than the rule excuses",
        "{n} 个请求中有 {failed} 个失败，超过规则允许的份额",
    ),
    # capacity
    "judge.capacity_not_monotone": (
        "{broken} broke although {held} held: more load was not worse, so this is no limit that can be relied on; "
        "the lower one counts",
        "{broken} 未达标而 {held} 却达标：负载更高反而更好，说明这不是可靠的上限；以较低者为准",
    ),
    # validity
    "judge.check.send_lag": (
        "requests left on time: all but a few within {seen} ms (limit {limit_ms} ms)",
        "请求按时发出：除极少数外均在 {seen} ms 以内（限值 {limit_ms} ms）",
    ),
    "judge.check.send_lag.bad": (
        "the client sent late: {over} of {n} requests more than {limit_ms} ms; free the client's CPU or set workers: 2",
        "客户端发送过慢：{n} 个请求中有 {over} 个的发送延迟超过 {limit_ms} ms；请释放客户端 CPU，或设置 workers: 2",
    ),
    "judge.check.burst": (
        "{n} requests left at once, within {spread} ms: {off} of the time until their answers began",
        "{n} 个请求同时发出，用时 {spread} ms，占到回答开始为止所用时间的 {off}",
    ),
    "judge.check.burst.bad": (
        "{n} requests were to leave at once and took {spread} ms, {off} of the time until their answers began (limit "
        "{most}): the first had the server for themselves; free the client's CPU or set workers: 2",
        "{n} 个请求应同时发出，却用了 {spread} ms，占到回答开始为止所用时间的 {off}（限值 {most}），先发出的请求独占了服务端；"
        "请释放客户端 CPU，或设置 workers: 2",
    ),
    "judge.check.sentinel_lag": (
        "timestamps were prompt: all but a few within {seen} ms (limit {limit_ms} ms)",
        "时间戳及时：除极少数外误差均在 {seen} ms 以内（限值 {limit_ms} ms）",
    ),
    "judge.check.sentinel_lag.bad": (
        "the client took timestamps late: {over} of {n} probes more than {limit_ms} ms; free the client's CPU or set "
        "workers: 2",
        "客户端时间戳不及时：{n} 次探测中有 {over} 次延迟超过 {limit_ms} ms；请释放客户端 CPU，或设置 workers: 2",
    ),
    "judge.check.rate": (
        "sent at {share} of the planned {rate} requests/s (nominal {nominal})",
        "发送速率为计划 {rate} 请求/秒的 {share}（名义值 {nominal}）",
    ),
    "judge.check.rate.bad": (
        "sent at only {share} of the planned {rate} requests/s; free the client's CPU, set workers: 2 or lower "
        "request_rate",
        "发送速率只有计划 {rate} 请求/秒的 {share}；请释放客户端 CPU、设置 workers: 2，或降低 request_rate",
    ),
    "judge.check.concurrency": (
        "{mean} of {cap} slots were busy on average",
        "{cap} 个并发槽平均有 {mean} 个在用",
    ),
    "judge.check.concurrency.bad": (
        "only {mean} of {cap} slots were busy on average (a free slot waited {lag} ms); free the client's CPU or set "
        "workers: 2",
        "{cap} 个并发槽平均只有 {mean} 个在用（空闲槽平均等待 {lag} ms）；请释放客户端 CPU，或设置 workers: 2",
    ),
    "judge.check.cpu": (
        "the busiest of {workers} measuring processes used {share} of a core",
        "{workers} 个测量进程中最忙的占用一个核的 {share}",
    ),
    "judge.check.cpu.bad": (
        "a measuring process used {share} of a core, so it may have been the bottleneck; raise workers (now {workers})",
        "测量进程占用了一个核的 {share}，可能成为瓶颈；请调大 workers（当前为 {workers}）",
    ),
    "judge.check.steal": (
        "other machines took {share} of this one's CPU time",
        "宿主机上的其他虚拟机占用了本机 {share} 的 CPU 时间",
    ),
    "judge.check.steal.bad": (
        "other machines took {share} of this one's CPU time; run the client on a machine that is not overbooked",
        "宿主机上的其他虚拟机占用了本机 {share} 的 CPU 时间；请换一台未超卖的机器运行客户端",
    ),
    "judge.check.of_machine": ("{machine}: {what}", "{machine}：{what}"),
    "judge.check.skew": (
        "{n} machines started within {spread} ms (± {error} ms)",
        "{n} 台机器在 {spread} ms 内开始（±{error} ms）",
    ),
    "judge.check.skew.bad": (
        "the starts of {n} machines are {spread} ms apart, their clocks known to {error} ms (limit {limit_ms} ms, both "
        "together), {machine} the furthest off; look at its load and the network to it, or raise validity.skew",
        "{n} 台机器的开始时间相差 {spread} ms，时钟误差 {error} ms（二者之和的限值为 {limit_ms} ms），偏离最多的是 {machine}；"
        "请检查其负载与网络，或放宽 validity.skew",
    ),
    "judge.check.worker": ("every measuring process lived to the end", "所有测量进程都正常运行到结束"),
    "judge.check.worker.full": (
        "the disk was full: measuring process {worker} could write no more to {why}; free some space, or point "
        "--vllm-results to another disk",
        "磁盘已满：测量进程 {worker} 无法继续写入 {why}；请清理磁盘空间，或用 --vllm-results 指定其他磁盘",
    ),
    "judge.check.worker.exhausted": (
        "this machine, not the server, refused connections ({why}): more requests were open at once than it has room for; "
        "cap them (concurrency), raise the limit on open files (ulimit -n), or use more measuring processes (workers)",
        "拒绝连接的是本机而不是服务端（{why}）：同时进行的请求超出了本机的承受能力；请用 concurrency 限制并发，"
        "调高可打开文件数上限（ulimit -n），或增加测量进程（workers）",
    ),
    "judge.check.worker.bad": (
        "measuring process {worker} died ({why}); look for out-of-memory kills and start again",
        "测量进程 {worker} 中途退出（{why}）；请检查是否因内存不足被终止，然后重新运行",
    ),
    "judge.check.reconnected": _RECONNECTED,
    "judge.doubt.reconnected": _RECONNECTED,
    "judge.check.reconnected.bad": (
        "{again} of {n} requests were sent again on a new connection ({share}), {late} of them over {limit_ms} ms late: the "
        "server had just closed the open one, so latencies hold reconnections; let the server or the proxy before it keep idle connections open for longer, "
        "or set keep_alive: false",
        "{n} 个请求中有 {again} 个（{share}）因服务端刚刚关闭了已建立的连接而在新连接上重发，其中 {late} 个因此延迟超过 "
        "{limit_ms} ms，时延中含有重连时间；"
        "请调大服务端或其前置代理的空闲连接保持时间，或设置 keep_alive: false",
    ),
    "judge.check.length": (
        "prompts had {counted} tokens by the server's count, {asked} asked (off by {off})",
        "按服务端统计，输入共 {counted} 个 token，要求 {asked} 个（相差 {off}）",
    ),
    "judge.check.length.bad": (
        "prompts had {counted} tokens by the server's count, {asked} asked (off by {off}); set tokenizer to the "
        "served model's",
        "按服务端统计，输入共 {counted} 个 token，要求 {asked} 个（相差 {off}）；请把 tokenizer 设为所部署模型的tokenizer",
    ),
    "judge.check.output_length": (
        "answers had {counted} tokens, {asked} asked (off by {off})",
        "回答共 {counted} 个 token，要求 {asked} 个（相差 {off}）",
    ),
    "judge.check.output_length.bad": (
        "answers had {counted} tokens, {asked} asked (off by {off}); the server does not keep to the length: set "
        "ignore_eos: false or another backend",
        "回答共 {counted} 个 token，要求 {asked} 个（相差 {off}）；服务端未按要求的长度生成："
        "请设置 ignore_eos: false 或更换 backend",
    ),
    "judge.check.flags.bad": (
        "the server that was started says that it has other settings than the flags asked for ({said}): see the command in "
        "its log, and whether it takes them",
        "启动的服务自称的设置与要求的参数不同（{said}）：请查看日志中的命令，以及它是否接受这些参数",
    ),
    "judge.check.cache": (
        "{share} of the prompt tokens were in the server's cache",
        "{share} 的输入 token 命中了服务端缓存",
    ),
    "judge.check.cache.bad": (
        "{share} of the prompt tokens were in the server's cache although cache: cold was asked; restart the server, "
        "or set cache: warm",
        "要求 cache: cold，却有 {share} 的输入 token 命中服务端缓存；请重启服务端，或设置 cache: warm",
    ),
    "judge.check.media_cache": (
        "{share} of the images, clips and videos were in the server's cache",
        "{share} 的图片、音频和视频命中了服务端缓存",
    ),
    "judge.check.media_cache.bad": (
        "{share} of the images, clips and videos were in the server's cache although cache: cold was asked; restart "
        "the server, use more of them than are repeated, or set cache: warm",
        "要求 cache: cold，却有 {share} 的图片、音频和视频命中服务端缓存；请重启服务端、使用不重复的素材，或设置 cache: warm",
    ),
    "judge.check.token_source": ("tokens were counted, not guessed", "token 数来自统计而非估计"),
    "judge.check.token_source.bad": (
        "{events} answers were counted in stream events, not tokens, and {rule} needs tokens; set tokenizer",
        "{events} 个回答只能按流事件计数，而 {rule} 需要 token 数；请设置 tokenizer",
    ),
}
