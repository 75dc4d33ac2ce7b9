"""Texts about servers that are started: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "serve.starting": ("Starting the server: {command} (log: {log})", "正在启动服务：{command}（日志：{log}）"),
    "serve.warming": (
        "A start that finds its caches filled is to be measured, and nobody has filled them in this session: a start for "
        "that comes first.",
        "要测量的是缓存已就绪时的启动，而本次会话中还没有填充过缓存：先启动一次来填充。",
    ),
    "serve.no_sleep": (
        "How long the server takes to wake was not measured: {path} gave {said}. vLLM sleeps when started with "
        "--enable-sleep-mode.",
        "未测量服务的唤醒用时：{path} 返回 {said}。vLLM 需以 --enable-sleep-mode 启动才能休眠。",
    ),
    "serve.last_words": ("Its log says: {said}", "日志的最后一行：{said}"),
    "serve.line": ("{line}", "{line}"),
    "serve.silent": ("  (its log is empty)", "  （日志为空）"),
    "serve.downloads": (
        "The server is downloading, so that it gets as long again: {said}",
        "服务正在下载，因此再等同样长的时间：{said}",
    ),
    "serve.no_command": (
        "The server cannot be started: {command}: {why}. Is it installed, and on the PATH of this environment?",
        "无法启动服务：{command}：{why}。它安装了吗？在当前环境的 PATH 中吗？",
    ),
    "serve.died": (
        "The server ended by itself ({how}). {why} Its log, {log}, says last:\n{lines}",
        "服务自行退出（{how}）。{why}日志 {log} 的最后内容：\n{lines}",
    ),
    "serve.not_ready": (
        "The server was not ready after {seconds} s. More time is given by server: {{ready: {{timeout: …}}}}, where path: "
        "names another page than /health to ask. Its log, {log}, says last:\n{lines}",
        "等待 {seconds} 秒后服务仍未就绪；可用 server: {{ready: {{timeout: …}}}} 延长等待时间，"
        "若探测页面不是 /health，请用其中的 path: 指定。日志 {log} 的最后内容：\n{lines}",
    ),
    "serve.killed": (
        "The server did not end within {grace} s of SIGTERM: {n} of its processes were killed (log: {log}). "
        "More time is given by server: {{stop: {{grace: …}}}}.",
        "服务在收到 SIGTERM 后 {grace} 秒内没有退出：强制结束了其中 {n} 个进程（日志：{log}）；"
        "可用 server: {{stop: {{grace: …}}}} 延长等待时间。",
    ),
    "serve.left": (
        "The server has ended; what it left running was killed, processes: {n} (log: {log}).",
        "服务已退出；其遗留的 {n} 个进程已被强制结束（日志：{log}）。",
    ),
    "serve.memory_used": (
        "{used:,} of {total:,} MiB of the accelerator {device} are in use (pid, name, memory: {by}).",
        "加速卡 {device} 的显存已被占用 {used:,} MiB（共 {total:,} MiB；pid、名称、显存：{by}）。",
    ),
    "serve.no_room": (
        "No server is started: {why} More than {share} may not be in use before. More is allowed by server: {{free_memory: …}}.",
        "没有启动服务：{why}启动之前显存占用不得超过 {share}；可用 server: {{free_memory: …}} 放宽。",
    ),
    "serve.not_given_back": (
        "The accelerators' memory did not come back within {seconds} s after the server ({name}) was stopped. {why}",
        "服务（{name}）停止后 {seconds} 秒内，加速卡的显存没有全部归还。{why}",
    ),
    "serve.apart": (
        "The servers did not run side by side, and are started in turn from now on. {why}",
        "这些服务无法同时运行，此后改为轮流启动。{why}",
    ),
    "serve.no_reset": (
        "The server that was started has no page that empties its caches (vLLM has them with VLLM_SERVER_DEV_MODE: "
        '"1" under env:): that prompts differ from load to load is what keeps them cold.',
        "启动的服务没有清空缓存的接口（vLLM 需要在 env: 下设置 VLLM_SERVER_DEV_MODE: "
        '"1"）：因此仅靠每次压测的提示词各不相同来保证冷缓存。',
    ),
    "serve.reset_failed": (
        "{path} did not empty the server's caches before the load: {said}",
        "压测前 {path} 未能清空服务的缓存：{said}",
    ),
    "serve.why.kv_cache": (
        "The memory left beside the model does not hold its KV cache: lower max-model-len, or raise "
        "gpu-memory-utilization.",
        "模型之外剩余的显存放不下 KV 缓存：请减小 max-model-len，或调大 gpu-memory-utilization。",
    ),
    "serve.why.memory": (
        "It ran out of memory: is another process on the accelerator, or is the model too large for it?",
        "内存或显存不足：加速卡上有其他进程，还是模型太大？",
    ),
    "serve.why.port": (
        "The port is taken: leave it to {{port}} in the command.",
        "端口已被占用：请在命令中用 {{port}} 代替端口号。",
    ),
    "serve.why.model": (
        "It does not find the model: check model:, and whether it can be downloaded from here.",
        "找不到模型：请检查 model:，以及此处能否下载。",
    ),
    "serve.why.length": (
        "The length asked for is more than it can have: lower max-model-len.",
        "要求的长度超出上限：请减小 max-model-len。",
    ),
    "serve.why.flag": (
        "It does not know one of its flags: check server: {{args: …}}.",
        "有它不认识的参数：请检查 server: {{args: …}}。",
    ),
    "serve.why.access": (
        "It may not download the model: set HF_TOKEN in the environment.",
        "没有下载该模型的权限：请在环境变量中设置 HF_TOKEN。",
    ),
    "serve.why.package": (
        "It lacks a package: is this the environment that it is installed in?",
        "缺少软件包：当前环境是安装它的那个环境吗？",
    ),
    "serve.why.signal": (
        "Somebody ended it; after SIGKILL it is most often the system, for want of memory.",
        "它是被外部终止的；若为 SIGKILL，多半是系统因内存不足所为。",
    ),
    "serve.why.code": ("Its log says why.", "原因见日志。"),
    "serve.why.ended": (
        "The command must stay in the foreground for as long as the server runs (no -d, no daemon).",
        "服务运行期间命令必须保持在前台（不要用 -d 或守护进程方式）。",
    ),
}
