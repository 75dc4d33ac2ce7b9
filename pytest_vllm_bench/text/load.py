"""Texts of the area "load": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "load.behind": (
        "{size} wait to be read: the server sends faster than answers can be understood; the load is stopped before the "
        "disk is full. Ask for shorter answers or a lower concurrency",
        "已有 {size} 数据等待读取：服务端的发送速度超过了解析回答的速度；为避免写满磁盘，负载已停止。请缩短回答或降低并发",
    ),
    "load.no_backend": (
        "its backend {backend} is registered by a conftest of yours: run pytest there, which reads what was left too",
        "它使用的后端 {backend} 由你的 conftest 注册：请在那里运行 pytest，同样会读取遗留的数据",
    ),
    "load.no_tape": (
        "{folder} is no tape with what it takes to read it; `tape: keep` leaves such a folder beside the result",
        "{folder} 不是可重新解析的记录带目录；设置 `tape: keep` 后，结果旁边会留下这样的目录",
    ),
    "load.repeats_gone": (
        "{name} was judged together with its other repeats ({repeats} in all), and not all of them lie beside it any "
        "more; its records are written, its result stays as it is",
        "{name} 是与其他重复（共 {repeats} 次）一起判定的，而这些结果已不全在同一目录；已写入其请求记录，判定结果保持不变",
    ),
    "load.not_salvaged": (
        "what a killed session left in {folder} cannot be read ({why}); it stays there",
        "被强制终止的会话在 {folder} 中遗留的数据无法读取（{why}），已原样保留",
    ),
    "load.salvaged": (
        "salvaged: the session was killed meanwhile, and this is what its tape holds ({n} of {of} requests answered)",
        "抢救所得：会话中途被强制终止，以下数据来自它留下的记录带（{of} 个请求中有 {n} 个已得到回答）",
    ),
    "load.open_files": (
        "{connections} connections need {needed} open files, and a process may have {files}; raise it with "
        "`ulimit -n {needed}` before it is started, share them out with `workers: {workers}`, or ask for a lower concurrency",
        "{connections} 个连接需要 {needed} 个文件描述符，而每个进程的上限为 {files}；"
        "请在启动之前执行 `ulimit -n {needed}`，或用 `workers: {workers}` 分给多个进程，或降低并发",
    ),
    "load.proxy_ignored": (
        "{names} is set and ignored: load goes to the server directly, a proxy would be measured too",
        "已设置 {names}，但压测不经过代理：请求直接发往服务端，否则代理的时延也会被计入",
    ),
    "load.here": ("this machine", "本机"),
    "load.memory": (
        "judging {n} requests takes about {needed} GB of memory here, and {free} GB are to be had: send fewer, or the same "
        "in `repeats`, each of which is judged and written alone",
        "判定 {n} 个请求约需本机 {needed} GB 内存，目前可用 {free} GB：请减少请求数，或用 `repeats` 分次发送，每次单独判定并写盘",
    ),
    "load.too_fast": (
        "the plan asks {who} for about {wanted} tokens a second, and {who} takes about {rate} events a second in comfort: "
        "unless events hold several tokens, timestamps will be late and the run INVALID. Raise workers, send from more "
        "machines (machines:), or lower the rate",
        "按计划，{who}每秒约需接收 {wanted} 个 token，而{who}每秒可从容处理约 {rate} 个事件：除非每个事件含多个 token，"
        "否则时间戳将滞后，运行将判为 INVALID。请增加 workers、用更多机器发送（machines:），或降低请求速率",
    ),
    "load.too_much": (
        "this load is too much for {workers} measuring process(es) on {who}: in the warm-up they read {rate} "
        "times a second, at {cost_us} µs of CPU an event, and used {used} of a core; set workers: {needed}, or lower "
        "the concurrency or the rate",
        "负载超出{who} {workers} 个测量进程的能力：预热阶段每秒读取 {rate} 次，每个事件耗费 {cost_us} µs CPU，"
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
