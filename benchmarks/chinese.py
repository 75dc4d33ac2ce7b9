"""The tables and lines of a benchmark, in English → in Chinese, for docs/zh/accuracy.md."""

from __future__ import annotations

import re

#: What stands in English → in Chinese, the longer first.
WORDS: tuple[tuple[str, str], ...] = (
    (r"flood, C=(\d+), received by one process: ", r"全速接收（flood），C=\1，由一个进程接收："),
    (
        r"([\d,.]+) events/s with (\d+) a write \(([\d.]+) µs of CPU an event\)",
        r"每次写 \2 个事件时 \1 事件/秒（每个事件 \3 µs CPU）",
    ),
    (
        r"memory: (\d+) MB at most over ([\d,]+) events, (\d+) MB over ([\d,]+); a tape write holds the loop "
        r"for ([\d.]+) ms at p99.9 of ([\d,]+)",
        r"内存：\2 个事件时最多 \1 MB，\4 个时 \3 MB；\6 次记录带写入中，p99.9 占住事件循环 \5 ms",
    ),
    (
        r"stages, µs of CPU: send ([\d.]+) a request, receive ([\d.]+) an event, decode beside it ([\d.]+) an "
        r"event, metrics ([\d.]+) a request",
        r"各阶段的 CPU 时间（µs）：发送每请求 \1，接收每事件 \2，同时进行的解码每事件 \3，计算指标每请求 \4",
    ),
    (
        r"tape: ([\d.]+) × the bytes received; decoded alone on a core ([\d.]+) µs an event",
        r"记录带：大小为所收字节的 \1 倍；单独占一个核解码时每个事件 \2 µs",
    ),
    (r"the whole command takes ([\d.]+) s beyond the load of ([\d.]+) s", r"整条命令比 \2 s 的负载本身多用 \1 s"),
    (
        r"kernel timestamps, C=(\d+): a plain epoll loop reads (\d+) µs \(p99 (\d+) µs\) after the kernel received; "
        r"an event costs ([\d.]+) µs of CPU with recv, ([\d.]+) µs with recvmsg",
        r"内核时间戳，C=\1：普通的 epoll 循环比内核收到数据晚 \2 µs（p99 为 \3 µs）才读到；"
        r"用 recv 每个事件 \4 µs CPU，用 recvmsg 为 \5 µs",
    ),
    (r"p99 TTFT error", "p99 TTFT 误差"), (r"TTFT error", "TTFT 误差"), (r"ITL (p\d+) error", r"ITL \1 误差"),
    (r"÷ ideal", "÷ 理想值"), (r"CPU µs/event", "CPU µs/事件"), (r"decode µs/event", "解码 µs/事件"),
    (r"metrics µs/request", "指标 µs/请求"), (r"memory MB", "内存 MB"), (r"lag p99 ms", "延迟 p99 ms"),
    (r"\| case\b", "| 场景"), (r"\| client\b", "| 客户端"), (r"\| rounds\b", "| 轮数"),
    (r"\| standard\b", "| 标准"), (r"\| long\b", "| 长时间"), (r"\| slow\b", "| 慢速"),
    (r"\| multi-token\b", "| 多 token"),
    (r"\| coalesced\b", "| 合并写出"), (r"\| chat\b", "| 聊天"), (r"\| 8k prompts\b", "| 8k 输入"),
    (r"s beyond the load", "负载之外 s"), (r"\| its measuring path\b", "| 其中的测量路径"),
    (r"\| aiohttp loop\b", "| aiohttp 循环"), (r"\| one node, 2 processes", "| 单机，2 个进程"),
    (r"\| two nodes, 1 process each", "| 两机，各 1 个进程"), (r"(?<=事件/秒（每个事件 \d\.\d\d µs CPU）), ", "，"),
)  # fmt: skip


def chinese(text: str) -> str:
    for english, ours in WORDS:
        text = re.sub(english, ours, text)
    return text
