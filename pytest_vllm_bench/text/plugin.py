"""Texts of pytest's face: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "plugin.problems": (
        "pytest-vllm-bench cannot start (problems: {count}):",
        "pytest-vllm-bench 无法开始（共 {count} 处问题）：",
    ),
    "plugin.not_seconds": (
        "{origin}: '{value}' is not a number of seconds (of 30 days at most); write a number such as 600",
        "{origin}：“{value}”不是秒数（至多 30 天）；请写一个数字，例如 600",
    ),
    "plugin.not_one_of": (
        "{origin}: there is no '{value}'; write one of: {known}",
        "{origin}：没有“{value}”这个取值；可选：{known}",
    ),
    "plugin.collision_tests": (
        "{test} and {other} run the same scenario, and one result would overwrite the other; run one of them, give it a "
        'config of its own with @pytest.mark.vllm_bench(config="other.yaml"), or measure it repeatedly with repeats:',
        "{test} 与 {other} 运行同一个场景，结果会互相覆盖；请只运行其中一个，或用 "
        '@pytest.mark.vllm_bench(config="other.yaml") 另外指定配置；要多次测量请写 repeats:',
    ),
    "plugin.collision": (
        "{path}: its results would overwrite those of {other}: both have the scenario {scenario} and the same results "
        "folder. Give one of them a results_dir of its own, or run them one after the other.",
        "{path}：结果会覆盖 {other} 的结果，两者都有场景 {scenario}，结果目录也相同。请为其中一个另设 results_dir，或分两次运行。",
    ),
    "plugin.stopping": (
        "stopping: requests under way get up to {seconds} s to end; Ctrl-C again ends at once",
        "正在停止：进行中的请求最多再等 {seconds} 秒；再按一次 Ctrl-C 立即结束",
    ),
    "plugin.broke": (
        "something that was not foreseen ended this scenario: {what} (at {where}). What it left, the traceback and the "
        "tape if there is one, is kept in {path}; please report it, or see to it where the code is yours.",
        "该场景因意外错误而终止：{what}（位于 {where}）。现场（错误堆栈，以及已有的 tape）保存在 {path}；"
        "请反馈此问题；如果出错的是你自己的代码，请检查。",
    ),
    "plugin.resuming": (
        "resuming the session of {session}: what it has measured whole is judged and not sent again",
        "继续 {session} 开始的会话：已完整测得的场景只重新判定，不再发压",
    ),
    "plugin.nothing_to_resume": (
        "there is no session to resume: all is measured",
        "没有可以继续的会话：将全部测量",
    ),
    "plugin.recovered": (
        "a session before this one was killed: what it had measured of {scenario} is saved ({n} requests)",
        "之前有会话被强制终止：其已测得的 {scenario} 数据已保存（{n} 个请求）",
    ),
    "plugin.left_running": (
        "a session before this one was killed: what it left of its load is kept in {path}",
        "之前有会话被强制终止：其未完成的压测数据保存在 {path}",
    ),
    "plugin.reports_left": (
        "interrupted before all reports were written; pytest-vllm-bench report writes them from the results",
        "报告尚未写完就被中断；可用 pytest-vllm-bench report 根据结果重新生成",
    ),
    "plugin.contention": (
        "{workers} xdist workers would send load at the same time and measure one another. "
        "Run the benchmark without -n, or with -n {workers} --dist loadgroup, which keeps all scenarios on one worker.",
        "{workers} 个 xdist 进程会同时压测，互相干扰。请去掉 -n，或使用 -n {workers} --dist loadgroup，让所有场景在同一进程中依次运行。",
    ),
    "plugin.header_flags": ("vllm-bench single: {where}", "vllm-bench single：{where}"),
    "plugin.header": (
        "vllm-bench: {path}, scenarios: {count}; {where}",
        "vllm-bench：{path} 中的 {count} 个场景；{where}",
    ),
    "plugin.no_server": (
        "vllm_server takes its command from server: in {path}, which is not there: vllm_server(command=...) names another.",
        "vllm_server 使用 {path} 中 server: 的命令，但其中没有；请用 vllm_server(command=...) 另行指定。",
    ),
    "plugin.starts": ("  servers will be started, starts: {count}", "  将启动服务，启动次数：{count}"),
    "plugin.starts_beside": (
        "    {count} starts where the accelerators have room for all at once",
        "    如果加速卡能同时容纳它们，则只启动 {count} 次",
    ),
    "plugin.start": ("    {name} ({count} ×): {command}", "    {name}（{count} 次）：{command}"),
    # pytest --help
    "plugin.help": ("benchmarks of LLM servers (pytest-vllm-bench)", "LLM 服务压测 (pytest-vllm-bench)"),
    "plugin.help.config": (
        "the config.yaml to use instead of the one beside the test file",
        "所用的 config.yaml（默认为测试文件旁的那一个）",
    ),
    "plugin.help.url": (
        'the server, http://host:8000, or "simulator" for the built-in one',
        "服务地址，如 http://host:8000；写 simulator 则使用内置模拟器",
    ),
    "plugin.help.model": ("the model's name, where the server has several", "模型名（服务有多个模型时必填）"),
    "plugin.help.tokenizer": (
        'a folder, a file, a hub name, "server" or "ids"',
        '目录、文件、模型仓库名、"server" 或 "ids"',
    ),
    "plugin.help.results": ("the folder for results (default: results)", "结果目录（默认 results）"),
    "plugin.help.baseline": (
        "hold results against this reference: a name, or a file",
        "与该基线比较：名称或文件",
    ),
    "plugin.help.save-baseline": ("add this session's results to a reference", "把本次会话的结果存入基线"),
    "plugin.help.history": (
        "look for changes over all sessions kept here: a file or a database, to which this one is added, or a folder of results",
        "在此处保存的全部会话中寻找变化：文件或数据库（并加入本次会话），或结果目录",
    ),
    "plugin.help.ready-timeout": (
        "seconds to wait for the server to become ready (default: 600)",
        "等待服务就绪的秒数（默认 600）",
    ),
    "plugin.help.lang": (
        "en, zh, or both for CSV headers in both (default: the locale's)",
        "en、zh，或 both（CSV 表头中英并列）；默认跟随系统区域设置",
    ),
    "plugin.help.resume": (
        "run only what is missing of the last session in the results folder",
        "只运行结果目录中上次会话尚缺的部分",
    ),
    "plugin.help.profile": (
        "the server's own profiler in a second, short load of the scenarios that match",
        "对匹配的场景再发送一小段负载，期间开启服务端自带的 profiler",
    ),
    "plugin.profile_unmatched": (
        "{origin}: profile: no scenario matches {pattern}; a pattern of ids is meant, of the option after an equals sign: "
        "--vllm-profile='*-mc64-*'",
        "{origin}：profile：没有场景匹配 {pattern}；应写场景 id 的匹配模式，用选项时须带等号：--vllm-profile='*-mc64-*'",
    ),
    "plugin.profiling": ("profiling …", "剖析中……"),
    "plugin.help.strict": ("unproven verdicts and simulated servers fail", "证据不足的结论与模拟服务均视为失败"),
    "plugin.implied_again": (
        "implied: {rules}, since the override in line {line} replaces the rules that spoke of it",
        "自动补上的规则：{rules}（第 {line} 行的 overrides 替换了原来与此有关的规则）",
    ),
    "plugin.implied": ("implied: {rules}", "自动补上的规则：{rules}"),
    "plugin.unverified": (
        "  WARNING: tls.verify is false, so anyone may answer in the place of {url}, and read keys and prompts",
        "  警告：tls.verify 为 false，任何人都可能冒充 {url}，并读到密钥和提示词",
    ),
    "plugin.both_fixtures": (
        "vllm_bench needs a scenario: write the test as `async def test_serving(scenario, vllm_bench)`.",
        "vllm_bench 需要 scenario：请把测试写成 `async def test_serving(scenario, vllm_bench)`。",
    ),
    "plugin.server_absent": ("server not there, see {scenario}", "服务不可用，见 {scenario}"),
    "plugin.refused": ("the server refuses the same request, see {scenario}", "服务拒绝同样的请求，见 {scenario}"),
    "plugin.troubleshooting": (
        "What such words mean, and what to do: "
        "https://github.com/pytest-vllm-bench/pytest-vllm-bench/blob/main/docs/en/troubleshooting.md",
        "各条提示的含义与处理办法："
        "https://github.com/pytest-vllm-bench/pytest-vllm-bench/blob/main/docs/zh/troubleshooting.md",
    ),
    "plugin.summary": ("LLM serving benchmark", "LLM 服务压测结果"),
    "plugin.tokenizer": ("loading the tokenizer", "正在加载tokenizer"),
    "plugin.building": ("building prompts", "正在构造提示词"),
    "plugin.again": (
        "it looks worse than the baseline: measuring again ({times} of at most {most})",
        "结果似乎劣于基线，正在复测确认（第 {times} 次，最多 {most} 次）",
    ),
    "plugin.no_baseline_yet": (
        "  WARNING: there is no baseline {path} yet (there are: {known}), so that nothing is compared; this session will "
        "be saved as its first",
        "  警告：尚无基线 {path}（现有：{known}），因此不作比较；本次会话将保存为它的第一次会话",
    ),
    "plugin.gate_holds": (
        "  baseline {name}: sessions: {count}, from {since} to {until}",
        "  基线 {name}：{count} 次会话，自 {since} 至 {until}",
    ),
    "plugin.gate_sees_one": (
        "    {metric}: noticed four times in five from {one} on",
        "    {metric}：变化 {one} 起，五次中有四次能发现",
    ),
    "plugin.gate_sees": (
        "    {metric}: noticed four times in five from {one} of one scenario on, from {all} of all together",
        "    {metric}：单个场景变化 {one}、全部合计变化 {all} 起，五次中有四次能发现",
    ),
    "plugin.gate_alone": (
        "    one session tells nothing of how sessions vary, so that smaller changes cannot be seen: save two more",
        "    只有一次会话，看不出会话之间的波动，因此发现不了更小的变化：请再保存两次",
    ),
    "plugin.gate_repeats": (
        "    each is worth more with repeats: 3",
        "    设置 repeats: 3 后每次会话更有价值",
    ),
    "plugin.report_failed": (
        "a report could not be made ({why}); the results themselves are written: pytest-vllm-bench report",
        "有一份报告未能生成（{why}）；结果文件已保存，可用 pytest-vllm-bench report 重新生成",
    ),
    "plugin.saved_baseline": (
        "added to the baseline {path}, scenarios: {count}",
        "已将 {count} 个场景写入基线 {path}",
    ),
    "plugin.probe": ("probing {level}", "正在试探 {level}"),
    "plugin.trend": (
        "  trend over the sessions in {place}: a worsening of {metrics} that began within the newest {fail_on} fails",
        "  历史趋势（{place} 中的会话）：{metrics} 若在最近 {fail_on} 次会话内开始变差则未通过",
    ),
    "plugin.enough_repeats": ("the repeats so far are precise enough", "已有的重复测量已足够精确"),
    "plugin.looks": (
        "until decided: it is looked whether all is after so many repeats: {looks}",
        "直到判定为止：在第 {looks} 次重复之后各看一次是否已全部判定",
    ),
    "plugin.decided": ("the repeats so far have decided", "已有的重复测量已能判定"),
    "plugin.two_references": (
        "{path}: --vllm-baseline names one reference, baseline.target ({target}) another; leave one of them out",
        "{path}：--vllm-baseline 与 baseline.target（{target}）指定了不同的基线；请去掉其中之一",
    ),
    "plugin.targets": ("{cell}: {b} against {a}", "{cell}：{b} 对比 {a}"),
    "plugin.warmup": ("warming up", "正在预热"),
    "plugin.warmup_failed": (
        "All {n} warm-up requests failed ({kind}): {said}. The measured ones were not sent, as they would have too.",
        "{n} 个预热请求全部失败（{kind}）：{said}。正式请求同样会失败，因此没有发送。",
    ),
    "plugin.warmup_some": (
        "{failed} of {n} warm-up requests failed, most of them so ({kind}): {said}",
        "{n} 个预热请求中有 {failed} 个失败，最多的原因（{kind}）：{said}",
    ),
}
