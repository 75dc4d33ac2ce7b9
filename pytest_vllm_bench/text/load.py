"""Texts of the area "load": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "load.open_files": (
        "{connections} connections need {needed} open files, and this process may have {soft} (hard limit {hard}); "
        "raise it with `ulimit -n {needed}` before pytest, or ask for a lower concurrency",
        "{connections} 个连接需要 {needed} 个文件描述符，而本进程上限为 {soft}（硬上限 {hard}）；"
        "请在运行 pytest 之前执行 `ulimit -n {needed}`，或降低并发",
    ),
    "load.proxy_ignored": (
        "{names} is set and ignored: load goes to the server directly, a proxy would be measured too",
        "已设置 {names}，但压测不经过代理：请求直接发往服务器，否则代理的时延也会被计入",
    ),
    "load.worker_died": (
        "measuring process {worker} died: {words}",
        "测量进程 {worker} 异常退出：{words}",
    ),
}
