"""Which stage of its requests a figure comes from."""

TEXTS: dict[str, tuple[str, str]] = {
    "culprit.named": (
        "{metric} comes from {stage}: {share} of {observed} ({low} to {high})",
        "{metric} 主要来自{stage}：{observed} 中占 {share}（{low} 至 {high}）",
    ),
    "culprit.none": (
        "{metric}: no stage of the requests stands out from the others",
        "{metric}：请求的各阶段中没有哪一个明显突出",
    ),
    "culprit.changed": (
        "{metric} changed because of {stage}: {share} of {change} ({low} to {high})",
        "{metric} 的变化主要来自{stage}：{change} 中占 {share}（{low} 至 {high}）",
    ),
    "culprit.without": ("without {stage} {figure}: would pass", "若没有{stage}则为 {figure}：会通过"),
    "culprit.without_not": ("without {stage} {figure}: would not", "若没有{stage}则为 {figure}：仍不会通过"),
    "culprit.as_before": ("with {stage} as before {figure}: would pass", "若{stage}与之前相同则为 {figure}：会通过"),
    "culprit.as_before_not": (
        "with {stage} as before {figure}: would not",
        "若{stage}与之前相同则为 {figure}：仍不会通过",
    ),
    "culprit.share": ("{stage} {share} ({low} to {high})", "{stage} {share}（{low} 至 {high}）"),
    "culprit.uncontended": ("{figure} with all of them uncontended", "各阶段均无争用时为 {figure}"),
    "culprit.all_before": ("{figure} with all of them as before", "各阶段均与之前相同时为 {figure}"),
    "culprit.and": ("{first}; {then}", "{first}；{then}"),
    "culprit.ms": ("{number} ms", "{number} ms"),
    "culprit.stage.client_wait": ("waiting for a slot", "等待并发名额"),
    "culprit.stage.connect": ("connecting", "建立连接"),
    "culprit.stage.server_queue": ("queueing", "服务端排队"),
    "culprit.stage.server_prefill": ("prefill", "预填充"),
    "culprit.stage.outside_first": ("network and front end", "网络与服务前端"),
    "culprit.stage.to_first": ("the rest of TTFT", "TTFT 的其余部分"),
    "culprit.stage.thinking": ("thinking", "思考"),
    "culprit.stage.server_decode": ("decoding", "解码"),
    "culprit.stage.decode": ("decoding", "解码"),
    "culprit.stage.pause": ("pauses", "停顿"),
    "culprit.stage.outside_stream": ("delivery of the stream", "流式传输"),
    "culprit.stage.rest": ("the rest", "其余时间"),
    "culprit.stage.other": ("other stages", "其他阶段"),
}
