"""The texts of errors and findings → docs/*/troubleshooting.md: ``python docs/troubleshooting.py``."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_vllm_bench.text import table

ROOT = Path(__file__).parent.parent
LANGUAGES = ("en", "zh")

#: Section → the keys whose words it lists, in this order: a key, or the beginning and the end of many.
SECTIONS: dict[str, tuple[str, ...]] = {
    "start": (
        "server.refused", "server.dns", "server.tls", "server.ca_missing", "server.url", "server.not_http",
        "server.redirect", "server.auth", "server.path", "server.status", "server.page", "server.blank", "server.empty",
        "server.error", "server.cut", "server.no_token", "server.unended", "server.silent", "server.dropped",
        "server.unavailable",
        "server.not_ready", "server.model", "server.model_choice", "server.model_unknown", "server.context",
        "server.shape", "server.no_tokenize", "server.odd_tokenize", "plugin.warmup_failed",
        "serve.died", "serve.not_ready", "serve.no_command", "serve.no_room", "serve.why.*",
    ),
    "told": (
        "server.not_told", "server.not_listed", "server.window", "server.output_field", "server.several",
        "plugin.warmup_some", "serve.no_reset", "serve.reset_failed", "serve.killed",
    ),
    "odd": ("judge.doubt.*",),
    "invalid": ("judge.check.*.bad",),
    "fail": (
        "server.restarted", "server.counter_fell", "server.model_changed", "judge.no_data", "judge.hopeless",
        "page.error.*",
    ),
    "undecided": (
        "judge.undecidable", "judge.more", "judge.too_close", "judge.no_blocks", "judge.no_steady_window",
        "judge.queue_grows", "judge.rate_without_window", "judge.interrupted", "judge.only_summary",
    ),
}  # fmt: skip
#: Said by us for requests that we stopped ourselves: nothing is wrong with the server.
NOT_THERE = frozenset({"page.error.cancelled", "page.error.not_sent"})

TITLES: dict[str, tuple[str, str]] = {
    "start": ("It does not start", "无法开始"),
    "told": ("It runs, and says something of the server", "可以运行，但提示了服务的情况"),
    "odd": ("Answers are not what was asked", "回答与要求不符"),
    "invalid": ("A scenario is INVALID", "场景为 INVALID"),
    "fail": ("A scenario fails, or requests do", "场景未通过，或请求失败"),
    "undecided": ("A rule is INCONCLUSIVE", "规则为 INCONCLUSIVE"),
}
HEADS = (("What it says", "What it means, and what to do"), ("提示", "含义与处理办法"))

#: What a text does not say itself.
ADVICE: dict[str, tuple[str, str]] = {
    "server.refused": (
        "Nothing listens there, and it is waited for as long as `--vllm-ready-timeout` says. In a container "
        "`localhost` is the container itself.",
        "该地址没有服务在监听；会在 `--vllm-ready-timeout` 规定的时间内一直等待。容器里的 `localhost` 是容器自身。",
    ),
    "server.not_ready": (
        "The last words of the server stand behind it. A model of 70 GB takes minutes to load.",
        "后面是服务最后一次的回应。70 GB 的模型加载需要数分钟。",
    ),
    "server.page": (
        "A gateway or a login page answers instead of the server.",
        "回应的是网关或登录页，而不是推理服务。",
    ),
    "server.shape": (
        "Every request of the load would be refused alike, so none is sent.",
        "正式压测的每个请求都会同样被拒绝，因此一个也不会发送。",
    ),
    "server.status": (
        "The words behind it are the server's own; its log says more.",
        "后面是服务的原话；更多信息请看服务日志。",
    ),
    "server.several": (
        "Fine for a test of the whole system. For `server.*` rules and a cold cache, measure one replica.",
        "测试整个系统时没有问题。如需 `server.*` 规则或冷缓存，请单独测量一个副本。",
    ),
    "plugin.warmup_failed": (
        "Mend what the server says; `pytest-vllm-bench doctor` tries it without load.",
        "请按服务给出的原因处理；`pytest-vllm-bench doctor` 可在不发压的情况下检查。",
    ),
    "judge.doubt.length": (
        "The server keeps to another limit: it does not know the field, or has one of its own. Rules on speed are not "
        "PASS.",
        "服务遵守的是另一个上限：它不认识该字段，或自己设有上限。与速度有关的规则不会是 PASS。",
    ),
    "judge.doubt.lumps": (
        "nginx: `proxy_buffering off;`. Other gateways have a switch for streaming. Measure without the gateway to see "
        "the difference.",
        "nginx：`proxy_buffering off;`。其他网关也有流式相关的开关。绕过网关再测一次，即可看出差别。",
    ),
    "judge.doubt.at_once": (
        "As above; or the gateway asks the server without a stream, or answers from a cache of its own.",
        "同上；也可能是网关以非流式方式请求服务，或直接从自己的缓存回答。",
    ),
    "judge.doubt.held": (
        "As above; a buffer of a few kilobytes that is passed on only once it is full.",
        "同上；通常是几 KB 的缓冲区，攒满后才开始转发。",
    ),
    "judge.doubt.unstreamed": (
        "Switch streaming on in the gateway. If answers in one piece are what is wanted, say so with "
        "`extra_body: {stream: false}`, and judge `e2el` and throughput.",
        "请在网关中开启流式。如果本来就要一次性返回，请写 `extra_body: {stream: false}`，并以 `e2el` 与吞吐作为规则。",
    ),
    "judge.doubt.miscounted": (
        "A gateway counts on its own, or splits events anew. Ask the server itself, or set `token_detail: off`.",
        "可能是网关自行计数，或重新拆分了事件。请直接测量服务本身，或设置 `token_detail: off`。",
    ),
    "judge.doubt.uncounted": (
        "Where the server can be told to send usage, do. Else name the served model's `tokenizer`.",
        "如果服务可以发送 usage，请开启；否则请把 `tokenizer` 设为所部署模型的tokenizer。",
    ),
    "page.error.connect": (
        "The server takes no more connections: look at its limits and at `ulimit -n` on both sides.",
        "服务不再接受新连接：请检查其连接数上限，以及两端的 `ulimit -n`。",
    ),
    "page.error.timeout": (
        "Which one stands in the records: `timeouts.first_token` is long queues, `between_tokens` a stream that "
        "stalled.",
        "记录中写明是哪一种超时：`timeouts.first_token` 多因排队过长，`between_tokens` 是流中途停滞。",
    ),
    "page.error.rejected": (
        "The server sheds load: lower the rate or the concurrency, or have rules that allow it (`failed_ratio`).",
        "服务在限流：请降低速率或并发，或使用允许一定失败的规则（`failed_ratio`）。",
    ),
    "page.error.short": (
        "The length was to be forced and the answer is shorter: see above, or set `ignore_eos: false`.",
        "要求强制输出长度，而回答较短：见上文，或设置 `ignore_eos: false`。",
    ),
    "page.error.truncated": (
        "The body ended properly, without a finish reason: a proxy's own time limit, often.",
        "响应体正常结束，却没有结束原因：多半是代理自身的超时。",
    ),
    "page.error.reset": (
        "The server or a proxy closed the connection under way: look at its log and its idle and read timeouts.",
        "服务或代理中途关闭了连接：请查看其日志以及空闲、读取超时设置。",
    ),
    "page.error.protocol": (
        "What came is not what the backend speaks: is `backend:` right?",
        "收到的内容不符合该后端的协议：请检查 `backend:` 是否正确。",
    ),
    "judge.no_data": (
        "The figure was not measured; the reason stands behind it. What is not measured does not pass.",
        "该指标没有测到，原因在后面。没有数据不能算通过。",
    ),
    "judge.interrupted": (
        "What broke a rule before is proven all the same. Run it again.",
        "在此之前已证实违反规则的仍然成立。请重新运行。",
    ),
    "judge.too_close": (
        "The server is at its limit: choose another limit, or `mode: exact`.",
        "服务恰好处在限值附近：请更换限值，或使用 `mode: exact`。",
    ),
    "server.ca_missing": ("Name the file as this machine sees it.", "请按本机看到的路径书写。"),
    "server.blank": (
        "Something before the server answers for it; it is waited for.",
        "是服务前面的某个环节在代答；会继续等待。",
    ),
    "server.error": ("It may be loading still, and is waited for.", "可能仍在加载，会继续等待。"),
    "server.cut": ("Look at the server's log: it broke off.", "服务中断了回答，请查看其日志。"),
    "server.silent": (
        "It is busy, or stuck: look at its log. `timeouts.first_token` says how long one answer may take.",
        "服务繁忙或卡住：请查看其日志。`timeouts.first_token` 规定一个回答最多等待多久。",
    ),
    "server.dropped": ("It may be starting, and is waited for.", "可能正在启动，会继续等待。"),
    "server.unavailable": ("It is waited for.", "会继续等待。"),
    "server.not_told": (
        "Lists inform and refuse nothing; `model:` names the model all the same.",
        "模型列表只供参考，不会因此拒绝；模型以 `model:` 为准。",
    ),
    "server.not_listed": (
        "A gateway's alias, often. The figures are of what answered.",
        "多为网关的别名。数据来自实际回答的模型。",
    ),
    "server.window": ("Nothing need be done.", "无需处理。"),
    "server.output_field": ("The length is the scenario's.", "长度仍为场景所要求的长度。"),
    "plugin.warmup_some": (
        "The load goes on; expect failures among the measured requests.",
        "压测会继续；正式请求中可能也有失败。",
    ),
    "judge.doubt.silent": (
        "A gateway drops what it does not know (reasoning, tool calls), or the backend is not the server's.",
        "网关丢弃了它不认识的内容（思考、工具调用），或 `backend:` 与服务不符。",
    ),
    "server.restarted": ("Look for a crash in its log, and measure again.", "请在其日志中查找崩溃原因，然后重新测量。"),
    "server.counter_fell": ("As above.", "同上。"),
    "server.model_changed": (
        "Nobody should deploy while it is measured; measure again.",
        "测量期间请勿部署；请重新测量。",
    ),
    "page.error.http": (
        "The server's own words are in the result (`first_error`).",
        "服务的原话在结果中（`first_error`）。",
    ),
    "page.error.in_stream": (
        "The server broke off with an error in its stream; its words are in the result.",
        "服务在流中报错并中断；原话在结果中。",
    ),
    "page.error.empty": (
        'The answer ended without a token: see "no token" before the load.',
        "回答结束时没有任何 token：参见上文压测前的同类提示。",
    ),
    "serve.died": (
        "The whole log is in `results/logs`; [what happens](servers.md#what-happens) before and after.",
        "完整日志在 `results/logs` 中；前后过程见[过程](servers.md)。",
    ),
    "judge.rate_without_window": ("See also `duration`.", "也可使用 `duration`。"),
}


def keys(section: str) -> list[str]:
    """The keys of a section that there are, in order."""
    found: list[str] = []
    for pattern in SECTIONS[section]:
        wanted = re.compile(re.escape(pattern).replace(r"\*", r"[\w-]+"))
        found += [key for key in table() if wanted.fullmatch(key) and key not in NOT_THERE]
    return found


def page(text: str, lang: str) -> str:
    """The page with its tables made anew."""
    begin, end = "<!-- texts: made by docs/troubleshooting.py -->\n", "<!-- texts: end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + "\n".join(made(section, lang) for section in SECTIONS) + end + after


def made(section: str, lang: str) -> str:
    at = LANGUAGES.index(lang)
    lines = [f"### {TITLES[section][at]}", "", f"| {' | '.join(HEADS[at])} |", "| --- | --- |"]
    for key in keys(section):
        seen, rest = parted(shown(table()[key][at]), lang)
        more = ("" if lang == "zh" else " ").join(filter(None, (rest, ADVICE.get(key, ("", ""))[at])))
        more = more.removeprefix("…").strip()
        lines.append(f"| {seen} | {more[:1].upper() if lang == 'en' else more[:1]}{more[1:]} |")
    return "\n".join([*lines, ""])


def shown(text: str) -> str:
    """A text with its blanks as readers see them anywhere: …"""
    text = re.sub(r"\{(\w+)[^{}]*\}", "…", text.replace("{{", "\0").replace("}}", "\1"))
    return text.replace("\0", "{").replace("\1", "}").replace("|", "\\|").replace("\n", " ").strip()


def parted(text: str, lang: str) -> tuple[str, str]:
    """What was seen, and what the text itself says of it: the first sentence and the rest."""
    found = re.match(r"(.+?)([。；]|$)(.*)" if lang == "zh" else r"(.+?)([.;] |$)(.*)", text)
    assert found is not None, text
    seen, mark, rest = found.groups()
    end = {"zh": "。", "en": "."}[lang]
    rest = rest if not rest or rest[-1] in ".。…？?" else rest + end
    return seen + ("" if mark.strip() in ";；" else mark.strip()), rest


def main() -> None:
    for lang in LANGUAGES:
        path = ROOT / "docs" / lang / "troubleshooting.md"
        path.write_text(page(path.read_text(encoding="utf-8"), lang), encoding="utf-8")


if __name__ == "__main__":
    main()
