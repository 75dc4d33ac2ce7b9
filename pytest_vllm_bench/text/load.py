"""Texts of the area "load": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "load.behind": (
        "{size} wait to be read: the server sends faster than answers can be understood; the load is stopped before the "
        "disk is full. Ask for shorter answers or a lower concurrency",
        "已有 {size} 数据等待读取：服务器的发送速度超过了解析回答的速度；为避免写满磁盘，负载已停止。请缩短回答或降低并发",
    ),
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
    "load.too_much": (
        "this load is too much for {workers} measuring process(es) on this machine: in the warm-up they read {rate} "
        "times a second, at {cost_us} µs of CPU an event, and used {used} of a core; set workers: {needed}, or lower "
        "the concurrency or the rate",
        "负载超出本机 {workers} 个测量进程的能力：预热阶段每秒读取 {rate} 次，每个事件耗费 {cost_us} µs CPU，"
        "占用一个核的 {used}；请设置 workers: {needed}，或降低并发或请求速率",
    ),
    "load.disk_full": (
        "the disk is full: measuring process {worker} could write no more to {words}",
        "磁盘已满：测量进程 {worker} 无法继续写入 {words}",
    ),
    "load.worker_died": (
        "measuring process {worker} died: {words}",
        "测量进程 {worker} 异常退出：{words}",
    ),
}
