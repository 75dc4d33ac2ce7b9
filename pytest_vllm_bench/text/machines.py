"""Texts of the area "machines": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "machines.unreachable": (
        "{machine} cannot be reached ({why}); start `pytest-vllm-bench worker --listen 0.0.0.0:{port} --token-env …` "
        "there, or take it out of machines.hosts",
        "无法连接 {machine}（{why}）；请在该机器上启动 `pytest-vllm-bench worker --listen 0.0.0.0:{port} --token-env …`，"
        "或将其从 machines.hosts 中移除",
    ),
    "machines.no_worker": (
        "what listens on {machine} does not speak as our workers do ({why}): another program, another version of ours, or "
        "TLS on one side only",
        "{machine} 上监听的程序与我们的 worker 协议不符（{why}）：可能是其他程序、其他版本，或只有一端启用了 TLS",
    ),
    "machines.refused": ("{machine} takes no part: {what}", "{machine} 无法参与：{what}"),
    "machines.wrong_token": (
        "the tokens differ; set the variable that machines.token_env and --token-env name to one value on all machines",
        "两端的令牌不一致；请在所有机器上将 machines.token_env 与 --token-env 所指的环境变量设为同一个值",
    ),
    "machines.busy": (
        "it is sending for another run; wait for that, or start a second worker on another port",
        "它正在为另一次运行发送负载；请等待其结束，或在另一端口再启动一个 worker",
    ),
    "machines.versions": (
        "{machine} has other versions than this machine: {unlike}; install the same everywhere",
        "{machine} 与本机版本不一致：{unlike}；请在所有机器上安装相同版本",
    ),
    "machines.gone": ("{machine} was lost before the load: {why}", "负载开始之前与 {machine} 失去联系：{why}"),
    "machines.other_plan": (
        "{machine} has not the plan that was sent to it; look at its disk and memory",
        "{machine} 收到的计划与发出的不一致；请检查其磁盘与内存",
    ),
    "machines.several": ("several machines cannot take part:\n{problems}", "有多台机器无法参与：\n{problems}"),
    "machines.broke": ("it broke off ({what})", "中途出错（{what}）"),
    "machines.lost": ("{machine} lost at {seconds} s ({why})", "第 {seconds} 秒与 {machine} 失去联系（{why}）"),
    "machines.drift": (
        "the clock of {machine} drifts by {ppm} ppm against this one's, more than a crystal does; look at its clock source",
        "{machine} 的时钟相对本机漂移 {ppm} ppm，超出晶振的正常范围；请检查其时钟源",
    ),
    "machines.no_ray": (
        "Ray is not installed: pip install 'pytest-vllm-bench[ray]', in the version of the cluster",
        "尚未安装 Ray：pip install 'pytest-vllm-bench[ray]'，版本与集群一致",
    ),
    "machines.no_cluster": (
        "there is no Ray cluster at {address} ({why}); `ray start --head` starts one, `ray status` shows it",
        "{address} 处没有 Ray 集群（{why}）；`ray start --head` 可启动集群，`ray status` 可查看",
    ),
    "machines.no_room": (
        "the Ray cluster has no room for {nodes} nodes of {cores} CPUs: it has {has} (the server's own, left out: {avoided}); "
        "lower machines.nodes or per_node, or write beside_server: true",
        "Ray 集群没有足够的资源容纳 {nodes} 个节点、每个 {cores} 个 CPU：现有 {has}（服务端所在节点，已排除：{avoided}）；"
        "请调小 machines.nodes 或 per_node，或写 beside_server: true",
    ),
    "machines.not_placed": (
        "the nodes of the Ray cluster cannot send: {why}",
        "Ray 集群的节点无法发送负载：{why}",
    ),
    "machines.handing": ("handing the plan to {n} machines", "正在把计划交给 {n} 台机器"),
    "machines.tape": (
        "`tape: {tape}` cannot be had from several machines: each drops its own; leave out `tape` or `machines`",
        "多机压测无法使用 `tape: {tape}`：记录带保存在各机器上，用后即弃；请去掉 `tape` 或 `machines`",
    ),
    "machines.backend": (
        "the backend {backend} is registered by a conftest, which other machines do not have; use one of ours, or leave out "
        "`machines`",
        "后端 {backend} 由 conftest 注册，其他机器上没有；请改用内置后端，或去掉 `machines`",
    ),
    "machines.local": (
        "{url} is this machine to each that asks: {machine} would send to itself; write the server's address in the network",
        "{url} 对每台机器都指其自身：{machine} 会把请求发给自己；请改写为服务端的网络地址",
    ),
    "machines.fewer": (
        "{n} of the {machines} machines send: the load has no more chains or slots",
        "{machines} 台机器中只有 {n} 台发送负载：请求链或并发槽不足以分给更多机器",
    ),
}
