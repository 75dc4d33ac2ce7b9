"""Texts of the area "definitions": what each metric means and its formula, key → (English, Chinese)."""

from pytest_vllm_bench.metric_table import ROWS

#: Metric → what it tells its reader.
_MEANINGS: dict[str, tuple[str, str]] = {
    "ttft": ("How long a user waits for the first token.", "用户等到第一个 token 的时间。"),
    "tpot": (
        "How long each further token takes, averaged over an answer.",
        "首 token 之后，平均每生成一个 token 的时间。",
    ),
    "itl": (
        "The pauses between what arrives: shows stutter that TPOT hides.",
        "相邻两次到达之间的停顿，能反映 TPOT 看不出的卡顿。",
    ),
    "e2el": ("How long the whole answer takes.", "得到完整回答的时间。"),
    "itl_token": (
        "The pauses, shared among the tokens that came together.",
        "把停顿平摊到同时到达的各个 token 上。",
    ),
    "max_gap": ("The longest pause inside one answer.", "一次回答中最长的停顿。"),
    "ttfo": (
        "As TTFT, but to the first token of the answer proper: after the thinking.",
        "与 TTFT 类似，但算到正文的第一个 token（思考过程之后）。",
    ),
    "server_queue": (
        "How long the request waited in the server's queue, as the server says of each request.",
        "请求在服务端队列中等待的时间，以服务端对每个请求的说明为准。",
    ),
    "server_prefill": (
        "How long its prefill took, from being scheduled to the first token.",
        "预填充耗时：从被调度到首 token。",
    ),
    "server_decode": (
        "How long decoding took, from the first token to the last.",
        "解码耗时：从首 token 到最后一个 token。",
    ),
    "outside_first": (
        "What of TTFT was spent outside the engine: the network, HTTP, the tokenizer, the template.",
        "TTFT 中不在引擎内的部分：网络、HTTP、tokenizer、对话模板。",
    ),
    "outside_stream": (
        "By how much the stream took longer than the decoding behind it.",
        "流式输出比其背后的解码多出的时间。",
    ),
    "first_chunk": (
        "The first chunk of any kind, even an empty one: what some other clients call TTFT.",
        "第一个数据块（可能为空）的时延，有些客户端把它当作 TTFT。",
    ),
    "response_ttft": (
        "TTFT from the moment the request was due: includes waiting for a free slot.",
        "从计划发送时刻算起的 TTFT，包含等待并发名额的时间。",
    ),
    "response_ttfo": ("TTFO from the moment the request was due.", "从计划发送时刻算起的 TTFO。"),
    "response_e2el": ("E2EL from the moment the request was due.", "从计划发送时刻算起的 E2EL。"),
    "connect": ("Opening a connection; not part of TTFT.", "建立连接的时间，不计入 TTFT。"),
    "send_lag": (
        "How late the client itself was; large values make a run INVALID.",
        "客户端自身的延迟；过大时本次测试判为无效。",
    ),
    "slot_wait": (
        "How long a due request waited because the concurrency cap was full.",
        "请求到期后因并发已满而等待的时间。",
    ),
    "output_tps_per_user": ("The speed that one user sees.", "单个用户看到的输出速度。"),
    "completed": ("Requests that were answered whole.", "得到完整响应的请求数。"),
    "failed": ("Requests that were not.", "未得到完整响应的请求数。"),
    "unsent": (
        "Requests that we stopped or never sent; no sample of the server.",
        "被主动停止或未发送的请求，不计入样本。",
    ),
    "failed_ratio": ("The share of requests that failed.", "失败请求所占比例。"),
    "reconnected": (
        "Requests whose open connection the server had just closed: sent again, timed from the first sending.",
        "所用的已建立连接刚被服务端关闭、因而重发的请求数；时间从首次发送算起。",
    ),
    "duration": ("The span of the measured requests.", "被测请求的总时间跨度。"),
    "total_input_tokens": ("Prompt tokens, as the server counts them.", "输入 token 总数（以服务端计数为准）。"),
    "total_output_tokens": ("Output tokens, as the server counts them.", "输出 token 总数（以服务端计数为准）。"),
    "request_throughput": ("Requests answered per second.", "每秒完成的请求数。"),
    "input_throughput": ("Prompt tokens taken in per second.", "每秒处理的输入 token 数。"),
    "output_throughput": ("Output tokens made per second.", "每秒生成的输出 token 数。"),
    "total_token_throughput": ("Both together.", "输入与输出 token 合计的吞吐。"),
    "input_sequence_throughput": ("Texts embedded or ranked per second.", "每秒处理的文本条数（向量化、重排）。"),
    "request_goodput": (
        "Requests per second that met every limit under `goodput:`.",
        "每秒满足全部 `goodput:` 限值的请求数。",
    ),
    "good_output_throughput": ("The tokens of those requests per second.", "达标请求的输出 token 吞吐。"),
    "goodput_ratio": (
        "Their share; failed and rejected requests count as misses.",
        "达标请求所占比例，失败与被拒绝的请求算未达标。",
    ),
    "output_throughput_per_accelerator": (
        "Output tokens per second for each accelerator of the deployment.",
        "部署中每张加速卡每秒生成的 token 数。",
    ),
    "cost_per_million_output_tokens": (
        "What a million output tokens cost, by the price that the config says, in its currency.",
        "按配置中的价格计算，每百万输出 token 的费用（货币同配置）。",
    ),
    "max_output_tokens_per_s": ("The fastest second.", "最快一秒内的输出 token 数。"),
    "max_concurrent_requests": ("The most requests in flight at once.", "同时在途请求数的最大值。"),
    "mean_concurrency": ("Requests in flight on average.", "平均在途请求数。"),
    "cap_bound": (
        "How often the concurrency cap held a due request back.",
        "因并发上限而推迟发送的请求比例。",
    ),
    "rtfx": ("Seconds of audio handled per second.", "每秒处理的音频秒数。"),
    "energy_j": (
        "What the server machine's accelerators used, idle power included; absent where it is not sure.",
        "服务端所在机器的加速卡耗用的能量（含空闲功耗）；无法确定时不给出。",
    ),
    "joules_per_output_token": ("Energy per output token.", "每个输出 token 的能耗。"),
    "joules_per_request": ("Energy per completed request.", "每个成功请求的能耗。"),
    "tokens_per_joule": ("Output tokens for a joule.", "每焦耳生成的输出 token 数。"),
    "power_mean_w": ("Power of all accelerators on average.", "全部加速卡的平均总功率。"),
    "power_max_w": ("Their highest power together.", "全部加速卡总功率的最大值。"),
}

#: Metric → its formula in Chinese; formulas in symbols alone need none.
_FORMULAS_ZH = {
    "tpot": "(last_token − first_token) / (output_tokens − 首次到达的 token 数)",
    "itl": "相邻两次带 token 的读取之间的间隔",
    "e2el": "last_token − sent；非流式为 done − sent",
    "itl_token": "间隔 ÷ 后一次到达的 token 数，每个 token 计一次",
    "max_gap": "该请求最大的 itl",
    "response_e2el": "last_token − due；非流式为 done − due",
    "server_queue": "服务端所述的排队时间",
    "server_prefill": "服务端所述的从被调度到首 token 的时间",
    "server_decode": "服务端所述的从首 token 到最后一个 token 的时间",
    "connect": "建立连接的时间，与其他指标分开",
    "completed": "无错误完成的请求数",
    "failed": "出错的请求数（被主动停止的不计）",
    "unsent": "因测试停止而取消或未发送的请求数",
    "failed_ratio": "failed ÷ 样本请求数",
    "reconnected": "因已建立的连接当即失效而重发的请求数",
    "duration": "首个 sent 到最后一个 done",
    "total_input_tokens": "成功请求的输入 token 数之和",
    "total_output_tokens": "成功请求的输出 token 数之和",
    "input_throughput": "输入 token 数 ÷ duration，在 first_token 时计入",
    "output_throughput": "输出 token 数 ÷ duration",
    "total_token_throughput": "(输入 + 输出 token 数) ÷ duration",
    "input_sequence_throughput": "成功请求的输入条数 ÷ duration",
    "request_goodput": "满足全部 SLO 的请求数 ÷ duration",
    "good_output_throughput": "达标请求的输出 token 数 ÷ duration",
    "goodput_ratio": "达标请求数 ÷ 样本请求数",
    "output_throughput_per_accelerator": "output_throughput ÷ 加速卡数",
    "outside_first": "ttft 减去 server_queue 与 server_prefill",
    "outside_stream": "last_token − first_token，再减去 server_decode",
    "cost_per_million_output_tokens": "每小时价格 ÷ 3600 ÷ output_throughput × 10⁶",
    "max_output_tokens_per_s": "任意连续 1 秒内输出 token 数的最大值",
    "max_concurrent_requests": "[sent, done) 区间重叠数的最大值",
    "mean_concurrency": "∫ [sent, done) 内的请求数 dt ÷ duration",
    "cap_bound": "等待过并发名额的请求比例",
    "rtfx": "音频秒数 ÷ duration",
    "energy_j": "∫ 全部加速卡功率 dt，或其电能计数器的增量",
    "joules_per_output_token": "energy_j ÷ 输出 token 数",
    "tokens_per_joule": "输出 token 数 ÷ energy_j",
    "power_max_w": "全部加速卡功率之和的最大值",
}


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


TEXTS: dict[str, tuple[str, str]] = {
    **{f"definitions.meaning.{key}": pair for key, pair in _MEANINGS.items()},
    **{
        f"definitions.formula.{row.id}": (_plain(row.formula), _plain(_FORMULAS_ZH.get(row.id, row.formula)))
        for row in ROWS.values()
        if row.id in _MEANINGS
    },
}
