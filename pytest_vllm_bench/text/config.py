"""Texts of the area "config": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "config.problems": ("the config has {count} problem(s)", "配置有 {count} 处问题"),
    # hints
    # the file
    "config.no_file": ("there is no such file; {hint}", "没有这个文件；{hint}"),
    "config.no_folder": (
        "nor its folder: name the config with --vllm-config=path/to/config.yaml",
        "所在目录也不存在：请用 --vllm-config=path/to/config.yaml 指明配置文件",
    ),
    "config.start_one": (
        "pytest-vllm-bench init writes one to start from, --vllm-config=path/to/config.yaml names another",
        "可以用 pytest-vllm-bench init 生成一份，或用 --vllm-config=path/to/config.yaml 指明",
    ),
    "config.unreadable": ("the file cannot be read: {words}", "无法读取该文件：{words}"),
    "config.not_utf8": (
        "this line is not UTF-8; save the file as UTF-8",
        "这一行不是 UTF-8 编码；请把文件另存为 UTF-8",
    ),
    "config.empty_file": (
        "the file is empty; the shortest config is base_url, input_output and concurrency_prompts",
        "文件是空的；最短的配置需要 base_url、input_output 和 concurrency_prompts",
    ),
    "config.not_a_file": (
        "this is a folder, a pipe or a device; name the file config.yaml itself",
        "这是目录、管道或设备；请指明 config.yaml 文件本身",
    ),
    "config.file_large": (
        "the file is larger than {most} bytes, which no config is; is it another file?",
        "文件超过 {most} 字节，配置不会这么大；是不是指错了文件？",
    ),
    "config.yaml_tag": ("the tag {tag} has no meaning here; write the value alone", "这里不能用标签 {tag}；请直接写值"),
    "config.yaml_scalar": (
        "{text} is not a value that can be read (too many digits, or not what its tag says); write a plain value",
        "无法读取 {text}（位数过多，或与标签不符）；请写普通的值",
    ),
    "config.yaml_merge": (
        "<< takes a mapping (*name of one, or a list of those)",
        "<< 后面应是映射（*名称，或它们的列表）",
    ),
    "config.yaml_deep": ("brackets or indents are nested too deeply", "括号或缩进嵌套过深"),
    "config.yaml_means.bracket": (
        "a bracket is not closed, or something in it lacks a comma",
        "括号没有配对，或其中缺少逗号",
    ),
    "config.yaml_space": (
        'a space is missing after the colon, without which all of it is text; write "{key}: ..."',
        "冒号后面缺少空格，整行会被当作普通文本；请写成 “{key}: ...”",
    ),
    "config.yaml_means.colon": (
        "a colon too many, or the line before is not finished",
        "多了一个冒号，或上一行没有写完",
    ),
    "config.yaml_means.no_colon": ("a colon and a space are missing after a key", "键后面缺少冒号和空格"),
    "config.yaml_means.quote": ("a quote is not closed", "引号没有配对"),
    "config.yaml_means.indent": ("the indents do not fit together", "缩进不一致"),
    "config.yaml_means.other": ("look at this line and the one before", "请检查本行与上一行"),
    "config.full_width": (
        "this line has the full-width {found} , which to YAML is text; write {instead}",
        "本行含有全角的 {found} ，在 YAML 中只是普通文本；请改为半角的 {instead}",
    ),
    "config.file_not_mapping": (
        'the file must consist of "key: value" lines, e.g. base_url: http://localhost:8000',
        "文件应由 “键: 值” 组成，例如 base_url: http://localhost:8000",
    ),
    "config.yaml_tab": (
        "YAML is indented with spaces; replace the tab",
        "YAML 只能用空格缩进；请把制表符 (Tab) 换成空格",
    ),
    "config.yaml_documents": (
        'a second YAML document begins here; remove the "---"',
        "这里开始了第二个 YAML 文档；请删掉 “---”",
    ),
    "config.yaml_syntax": ("not YAML: {means} ({words}): {row}", "不是合法的 YAML：{means}（{words}）：{row}"),
    "config.yaml_character": (
        "the character {code} may not stand in YAML; delete it",
        "YAML 中不允许出现字符 {code}；请删掉",
    ),
    "config.yaml_endless": (
        "an alias (*name) that contains itself or multiplies without end",
        "别名 (*name) 引用了自身，或者展开后无限膨胀",
    ),
    "config.duplicate_key": (
        '"{key}" already stands in line {first}; keep one of them',
        "“{key}” 在第 {first} 行已经写过；请只保留一处",
    ),
    "config.key_not_text": ("a key must be a word", "键必须是一个单词"),
    # keys
    "config.unknown_key": ('unknown key "{key}"; {hint}', "未知的键 “{key}”；{hint}"),
    "config.proxy": (
        'unknown key "{key}": load goes to the server directly, since a proxy would be measured with it; give the '
        "server's own address as base_url",
        "未知的键 “{key}”：压测直接发往服务端，不支持代理，否则代理的时延也会被计入；请在 base_url 中填写服务端自己的地址",
    ),
    "config.cpu": (
        "this process may not use processor {got}; it may use: {usable}",
        "本进程不能使用处理器 {got}；可用的有：{usable}",
    ),
    "config.missing_key": ('"{key}" is missing here', "这里缺少 “{key}”"),
    "config.invalid": ("{got} does not fit here: {words}", "{got} 不能写在这里：{words}"),
    # values
    "config.want_text": ("expected text in quotes, got {got}", "应为文本（可加引号），现为 {got}"),
    "config.empty_text": ("the text is empty; write a value or remove the key", "文本为空；请填写，或删掉这个键"),
    "config.control_character": (
        "the text holds the character {code}, which cannot be seen (a line break?); delete it",
        "文本中含有不可见字符 {code}（换行？）；请删掉",
    ),
    "config.want_bool": ("expected true or false, got {got}", "应为 true 或 false，现为 {got}"),
    "config.want_integer": ("expected a whole number, got {got}", "应为整数，现为 {got}"),
    "config.want_number": ("expected a number, got {got}", "应为数字，现为 {got}"),
    "config.want_finite": ("expected a finite number, got {got}", "应为有限的数，现为 {got}"),
    "config.too_small": ("{got} is too small; at least {least}", "{got} 太小；至少为 {least}"),
    "config.too_large": ("{got} is too large; at most {most}", "{got} 太大；至多为 {most}"),
    "config.too_much": ("{got} is too much; at most {most}: {why}", "{got} 太多；至多 {most}：{why}"),
    "config.too_many": ("{got} entries are too many; at most {most}", "{got} 项太多；至多 {most} 项"),
    "config.cost.prompts": (
        "each request takes some 2 kB of memory, and its body's size on the disk",
        "每个请求约占 2 kB 内存，请求体还要占用磁盘",
    ),
    "config.cost.slots": (
        "each slot is a connection, and a machine has no more ports than that; several have as many each (machines:)",
        "每个并发对应一个连接，而一台机器的端口只有这么多；多台机器则各有这么多（machines:）",
    ),
    "config.cost.tokens": ("no model takes or gives more", "没有模型能接收或生成更多"),
    "config.cost.repeats": ("each repeat runs every scenario once more", "每次重复都会把所有场景再跑一遍"),
    "config.cost.runs": ("each is a load of its own, sent or kept", "每一次都是一轮完整的压测或一份保存的结果"),
    "config.cost.workers": ("each worker is a process of some 40 MB", "每个 worker 是一个约 40 MB 的进程"),
    "config.too_many_items": (
        "{product} comes to {n} tests, of which each is a load; at most {most}: shorten a list or split the config",
        "{product} 共 {n} 个测试，每个都是一轮压测；至多 {most} 个：请缩短列表，或拆分配置",
    ),
    "config.too_many_requests": (
        "{id} comes to {n} requests, at most {most}: each takes some 2 kB of memory; lower the rate, the time or the "
        "number",
        "{id} 共 {n} 个请求，至多 {most} 个：每个约占 2 kB 内存；请降低速率、时长或数量",
    ),
    "config.too_many_tokens": (
        "{id} comes to {tokens} prompt tokens, at most {most} (some 100 GB of text on the disk); ask for fewer "
        "requests or shorter prompts",
        "{id} 共 {tokens} 个输入 token，至多 {most} 个（约占磁盘 100 GB）；请减少请求数或缩短输入",
    ),
    "config.too_many_days": (
        "{id}: {n} requests at this rate take {days} days; raise the rate or ask for fewer",
        "{id}：按此速率发完 {n} 个请求需要 {days} 天；请提高速率或减少请求数",
    ),
    "config.id_long": (
        "the id {id} is too long to name a file after (at most {most} bytes); shorten the labels",
        "id {id} 过长，无法用作文件名（至多 {most} 字节）；请缩短标签",
    ),
    "config.not_above": ("{got} is too small; it must be above {above}", "{got} 太小；必须大于 {above}"),
    "config.want_list": ("expected a list, e.g. [a, b], got {got}", "应为列表，例如 [a, b]，现为 {got}"),
    "config.empty_list": ("the list is empty; write at least one entry", "列表是空的；至少写一项"),
    "config.want_mapping": ("expected {{key: value}}, got {got}", "应为 {{键: 值}}，现为 {got}"),
    "config.want_pair": ("expected a pair, e.g. [16, 160], got {got}", "应为一对值，例如 [16, 160]，现为 {got}"),
    "config.pair_too_short": ("a pair has two values, e.g. [1024, 256]", "一对要有两个值，例如 [1024, 256]"),
    "config.pair_too_long": ("a pair has two values, got {got}", "一对只有两个值，现为 {got}"),
    "config.pairs_not_nested": (
        "expected a list of pairs: write {instead}",
        "应为由成对的值组成的列表：请写成 {instead}",
    ),
    "config.want_duration": (
        'expected a duration, e.g. 30 (seconds), "30s", "5m", "1h30m", got {got}',
        '应为时长，例如 30（秒）、"30s"、"5m"、"1h30m"，现为 {got}',
    ),
    "config.duration_range": (
        "a duration must be above 0 and at most 30 days, got {got}",
        "时长必须大于 0 且不超过 30 天，现为 {got}",
    ),
    "config.want_share": ('expected a share, e.g. 0.05 or "5%", got {got}', '应为比例，例如 0.05 或 "5%"，现为 {got}'),
    "config.share_range": (
        "a share lies between 0 and 1, got {got}; did you mean {instead}?",
        "比例应在 0 与 1 之间，现为 {got}；是不是想写 {instead}？",
    ),
    "config.confidence_range": (
        "confidence lies from 0.5 to below 1, got {got}; usual are 0.95 and 0.99",
        "置信度应在 0.5 到 1 之间（不含 1），现为 {got}；常用 0.95 或 0.99",
    ),
    "config.percentile_range": (
        "a percentile lies from 1 to below 100, got {got}; did you mean {instead}?",
        "分位数应在 1 到 100 之间（不含 100），现为 {got}；是不是想写 {instead}？",
    ),
    "config.want_prompts": (
        'expected a number of requests, a multiple of the concurrency ("10x") or null, got {got}',
        '应为请求数、并发的倍数 ("10x") 或 null，现为 {got}',
    ),
    "config.multiple_small": (
        "{got} is fewer requests than the concurrency, which could then never be reached; at least 1x",
        "{got} 使请求数少于并发，并发永远达不到；至少 1x",
    ),
    "config.want_warmup": (
        'expected a number of requests, a multiple of the concurrency ("2x") or a duration ("30s"), got {got}',
        '应为请求数、并发的倍数 ("2x") 或时长 ("30s")，现为 {got}',
    ),
    "config.want_tolerance": (
        'expected a tolerance, e.g. "5%" or a number in the metric\'s unit, got {got}',
        '应为容差，例如 "5%" 或以该指标单位计的数，现为 {got}',
    ),
    "config.listed": ("{first} | {then}", "{first}、{then}"),
    "config.either": ("{first} | {then}", "{first} 或 {then}"),
    "config.want_one_of": ("expected {known}, got {got}{hint}", "应为 {known}，现为 {got}{hint}"),
    "config.and_hint": ("; {hint}", "；{hint}"),
    "config.label": (
        "a name that becomes part of ids has at most {most} letters, digits, _ . - and nothing else, got {got}",
        "会写入 id 的名称只能含字母、数字、_ . -，且不超过 {most} 个字符，现为 {got}",
    ),
    "config.want_dataset": (
        "expected a dataset's name, {{name: ..., option: ...}} or a list of those, got {got}",
        "应为数据集名称、{{name: ...，选项：...}} 或它们的列表，现为 {got}",
    ),
    "config.dataset_name": (
        "the dataset has no name: write {{name: random, ...}}",
        "数据集缺少名称：请写成 {{name: random, ...}}",
    ),
    "config.endpoint_path": (
        "an endpoint is a path on the server, e.g. {instead}; got {got}",
        "endpoint 是服务端上的路径，例如 {instead}；现为 {got}",
    ),
    "config.header_name": ("{got} cannot be the name of a header", "{got} 不能作为请求头名称"),
    "config.header_value": (
        "the value of the header {name} must be text on one line; put a number in quotes",
        "请求头 {name} 的值必须是单行文本；数字请加引号",
    ),
    "config.stage_load": (
        "a stage has either rate or concurrency, e.g. {{rate: 2, for: 60s}}",
        "每个阶段要么写 rate，要么写 concurrency，例如 {{rate: 2, for: 60s}}",
    ),
    "config.stage_for": (
        "how long? add for, e.g. {{rate: 2, for: 60s}}",
        "持续多久？请加上 for，例如 {{rate: 2, for: 60s}}",
    ),
    # servers
    "config.no_url": (
        "which server? write base_url: http://host:8000 into the config (or base_url: simulator for the built-in one), "
        "or give --vllm-url=http://host:8000",
        "要测哪个服务？请在配置中写 base_url: http://host:8000（内置模拟器写 base_url: simulator），"
        "或在命令行加 --vllm-url=http://host:8000",
    ),
    "config.given_empty": (
        "it is there but empty (an unset variable?); give it a value or leave it out altogether",
        "值为空（变量没有设置？）；请填写，或去掉它",
    ),
    "config.url": ("{url} is not a URL; write http://host:8000", "{url} 不是合法的 URL；请写成 http://host:8000"),
    "config.url_scheme": (
        "{url} does not say http or https; write {instead}",
        "{url} 没有写明 http 或 https；请写成 {instead}",
    ),
    "config.url_variable": (
        "{url} is still a variable: none is filled in here; set PYTEST_VLLM_URL, or give --vllm-url",
        "{url} 仍是变量，此处不会展开；请设置环境变量 PYTEST_VLLM_URL，或使用 --vllm-url",
    ),
    "config.url_port": ("the port in {url} is not a number from 1 to 65535", "{url} 中的端口不是 1 到 65535 之间的数"),
    "config.url_query": ("a base URL has no ? or #; write {instead}", "base URL 不能带 ? 或 #；请写成 {instead}"),
    "config.page": (
        "{url} is not the address of a page of metrics without credentials; write http://host:9400/metrics",
        "{url} 不是不含账号密码的监控指标页面地址；请写成 http://host:9400/metrics",
    ),
    "config.interval": (
        "{got} is too often: each look costs the server something; write {least} or more",
        "{got} 过于频繁：每次读取都会占用服务端资源；请写 {least} 或更长",
    ),
    "config.of_one_target": (
        "{key} belongs to one server; write it under its name in targets",
        "{key} 只属于一个服务；请写到 targets 中该服务的名下",
    ),
    "config.url_unix": (
        "a Unix socket needs a full path; write {instead}",
        "Unix 套接字要写完整路径；请写成 {instead}",
    ),
    "config.url_endpoint": (
        "{url} already holds the endpoint; write base_url: {instead} (and endpoint: {endpoint} if the backend's own is "
        "not meant)",
        "{url} 已经带上了接口路径；请写 base_url: {instead}（若不用后端默认接口，再写 endpoint: {endpoint}）",
    ),
    "config.server_and": (
        "a server that is started has no other address: leave out {key}, or this",
        "要启动的服务没有其他地址：请去掉 {key} 或此项",
    ),
    "config.server_command": (
        "{got} is no command; write it as in a shell (vllm serve {{model}} --port {{port}}), or as a list of words",
        "{got} 不是命令；请像在终端中那样书写（vllm serve {{model}} --port {{port}}），或写成单词列表",
    ),
    "config.server_shell": (
        "{word!r} is for a shell, and there is none; write one command, variables under env:, the rest in a script",
        "{word!r} 是 shell 语法，而命令不经过 shell；请只写一条命令，变量写在 env: 下，其余写进脚本",
    ),
    "config.server_quotes": ("the command's quotes do not match: {words}", "命令中的引号不配对：{words}"),
    "config.server_args": (
        "{got} are no flags; write a mapping such as {{max-num-seqs: [64, 256]}}, a list of those, or a file's name",
        "{got} 不是参数；请写映射，例如 {{max-num-seqs: [64, 256]}}，或映射的列表，或文件名",
    ),
    "config.server_sweep": (
        "{file} holds no settings; it is a JSON list of mappings, or a mapping from names to those",
        "{file} 中没有参数组合；它应是由映射组成的 JSON 列表，或从名称到映射的映射",
    ),
    "config.server_label": (
        "several settings come to the label {label!r}; give each its own: - {{label: small, max-num-seqs: 64}}",
        "有多个参数组合得到同一个标签 {label!r}；请分别命名：- {{label: small, max-num-seqs: 64}}",
    ),
    "config.server_variable": ("{name} is no variable's name", "{name} 不能作变量名"),
    "config.server_value": (
        'the value of {name} is text: write it in quotes, {name}: "1"; got {got}',
        '{name} 的值应是文本：请加引号，{name}: "1"；现在是 {got}',
    ),
    "config.server_model": (
        "{{model}} stands in the command, and model: names none; write model:, or the name in the command",
        "命令中有 {{model}}，但没有写 model:；请写明 model:，或在命令中直接写名称",
    ),
    "config.server_port": (
        "the port is chosen when the server starts: write {{port}} where it goes (--port {{port}}, "
        "docker run -p {{port}}:8000)",
        "端口在启动时选定：请在相应位置写 {{port}}（--port {{port}}，docker run -p {{port}}:8000）",
    ),
    "config.frontier_metric": (
        "of {name} not more is better; write one of which more is, as output_throughput_per_accelerator or request_throughput",
        "{name} 不是越大越好的指标；请写越大越好的指标，例如 output_throughput_per_accelerator 或 request_throughput",
    ),
    "config.server_restarts": (
        "more restarts than repeats, of which there are {repeats}; write repeats: as many",
        "重启次数多于重复次数（{repeats}）；请把 repeats: 写成同样多",
    ),
    "config.url_and_targets": (
        "{origin} names one server, the config's targets several; leave one of them out",
        "{origin} 指定了一个服务，而配置中的 targets 有多个；请去掉其中之一",
    ),
    "config.base_url_and_targets": (
        "base_url names one server, targets several; keep one of the two keys",
        "base_url 指定一个服务，targets 指定多个；请只保留其中一个键",
    ),
    "config.key_pasted": (
        "this is the name of an environment variable, not the key itself: write api_key_env: OPENAI_API_KEY and set "
        "that variable; a key that stood in a file should be replaced",
        "这里要写环境变量的名称，而不是密钥本身：请写 api_key_env: OPENAI_API_KEY "
        "并设置该变量；曾写进文件的密钥应当更换",
    ),
    "config.variable_not_set": (
        "the environment variable {variable} is not set; export {variable}=...",
        "环境变量 {variable} 没有设置；请执行 export {variable}=...",
    ),
    "config.key_characters": (
        "the value of the environment variable {variable} has characters that no key has (a space, a line break?)",
        "环境变量 {variable} 的值含有密钥中不会出现的字符（空格、换行？）",
    ),
    "config.host_port": (
        "{got} is no address; write host:port, a:7001",
        "{got} 不是地址；请写成 host:port，例如 a:7001",
    ),
    "config.machines_hosts": (
        'no machine is named; write hosts: ["a:7001", "b:7001"], where `pytest-vllm-bench worker` listens, or ray: auto',
        '没有指定任何机器；请写 hosts: ["a:7001", "b:7001"]，即 `pytest-vllm-bench worker` 监听的地址，或写 ray: auto',
    ),
    "config.machines_either": (
        "{key} says nothing of machines.{other}: either hosts with token_env, where our workers listen, or ray with nodes and per_node",
        "{key} 与 machines.{other} 无关：要么写 hosts 和 token_env（我们的 worker 监听的地址），要么写 ray、nodes 和 per_node",
    ),
    "config.machines_twice": ("{host}:{port} is named twice", "{host}:{port} 重复出现"),
    "config.machines_plain": (
        "jobs for {host}:{port} hold prompts and keys and would travel in plain text: write tls: {{ca: …}}, forward a port of "
        'this machine (ssh -L {port}:localhost:{port} {host}, hosts: ["localhost:{port}"]), or plain_text: true in a '
        "network that you trust",
        "发往 {host}:{port} 的任务含有提示词和密钥，将以明文传输：请写 tls: {{ca: …}}，或转发本机端口"
        '（ssh -L {port}:localhost:{port} {host}，hosts: ["localhost:{port}"]），或在可信网络中写 plain_text: true',
    ),
    "config.machines_token": (
        "token_env is missing: the name of the environment variable that holds the token, here and on each machine",
        "缺少 token_env：即保存令牌的环境变量名，本机与各台机器上都要设置",
    ),
    "config.machines_short": (
        "the token in {variable} has {n} characters, and at least {least} are hard to guess: `openssl rand -hex 16`",
        "{variable} 中的令牌只有 {n} 个字符，至少 {least} 个才不易被猜到：`openssl rand -hex 16`",
    ),
    "config.two_credentials": (
        "more than one of api_key_env, an Authorization header and credentials in the URL; keep one",
        "api_key_env、Authorization 请求头和 URL 中的账号同时出现；请只保留一种",
    ),
    "config.no_such_file": ("there is no file {file}", "没有文件 {file}"),
    "config.ca_unverified": (
        "a CA is given, and verification switched off; keep one of the two",
        "既给了 CA，又关闭了证书校验；请只保留一项",
    ),
    # between keys
    "config.unknown_backend": ('unknown backend "{name}"; {hint}', "未知的后端 “{name}”；{hint}"),
    "config.template_backend": (
        'backend "{name}" takes no text that a chat template has made; write backend: vllm, or vllm-chat, openai-chat, '
        "openai, llama.cpp, ...",
        "后端 “{name}” 不接受由聊天模板生成的文本；可用 backend: vllm，或 vllm-chat、openai-chat、openai、llama.cpp 等",
    ),
    "config.template_endpoint": (
        "{endpoint} takes messages, and chat_template: client makes text of them; leave endpoint out",
        "{endpoint} 接收的是消息，而 chat_template: client 会把消息变成文本；请去掉 endpoint",
    ),
    "config.weights": (
        "{weights} weights for {models} model(s); one for each",
        "{models} 个模型却有 {weights} 个权重；应一一对应",
    ),
    "config.no_lengths": (
        'the dataset "{dataset}" needs lengths; write input_output: [[1024, 256]]',
        "数据集 “{dataset}” 需要长度；请写 input_output: [[1024, 256]]",
    ),
    "config.own_lengths": (
        'the dataset "{dataset}" brings its own input lengths; leave input_output out, or write [[null, {output}]] '
        "to set the output length only",
        "数据集 “{dataset}” 自带输入长度；请删掉 input_output，或写成 [[null, {output}]] 只规定输出长度",
    ),
    "config.input_length_missing": (
        'the dataset "{dataset}" needs an input length instead of null',
        "数据集 “{dataset}” 需要输入长度，不能是 null",
    ),
    "config.output_length_missing": (
        "an output length instead of null, e.g. [1024, 256]",
        "需要输出长度，不能是 null，例如 [1024, 256]",
    ),
    "config.no_prompts": (
        "how many requests at once, and in all? write concurrency_prompts: [[16, 160]]",
        "并发多少、总共多少请求？请写 concurrency_prompts: [[16, 160]]",
    ),
    "config.prompts_below_concurrency": (
        "{prompts} requests can never reach a concurrency of {concurrency}; write e.g. {instead}",
        "{prompts} 个请求永远达不到 {concurrency} 的并发；例如写成 {instead}",
    ),
    "config.multiple_of_nothing": (
        '"{multiple}" of no cap has no meaning; write a number of requests, e.g. [null, 500]',
        "没有并发上限时 “{multiple}” 无从计算；请写请求数，例如 [null, 500]",
    ),
    "config.prompts_unbounded": (
        "null requests need a duration, e.g. duration: 60s",
        "请求数为 null 时需要 duration，例如 duration: 60s",
    ),
    "config.stages_and_rate": (
        "stages say the rate themselves; remove request_rate",
        "stages 已经规定了速率；请删掉 request_rate",
    ),
    "config.stages_and_concurrency": (
        "stages say the concurrency themselves; write null in concurrency_prompts, e.g. [[null, null]]",
        "stages 已经规定了并发；concurrency_prompts 中请写 null，例如 [[null, null]]",
    ),
    "config.no_rate": (
        "{key} shapes a request rate, and none is set; add request_rate: 4 or remove it",
        "{key} 用来调整请求速率，而速率没有设置；请加上 request_rate: 4，或删掉它",
    ),
    "config.ramp_of_nothing": (
        "a ramp needs a request_rate to rise to, or, over: 30s, a concurrency; here a cell has neither: "
        "add request_rate: 4, or write [16, 160] for [null, 160]",
        "爬坡需要一个要升到的 request_rate；写 over: 30s 时也可以是并发数。这里有的组合两者皆无；"
        "请加上 request_rate: 4，或把 [null, 160] 改为 [16, 160]",
    ),
    "config.ramp_unbounded": (
        "it rises from request to request, and how many there are is not said; write over: 30s, or a number of requests",
        "速率逐请求上升，而请求总数未定；请写 over: 30s，或给出请求总数",
    ),
    "config.override_empty": (
        "this override changes nothing; add set, xfail or skip",
        "这一项没有改变任何东西；请加上 set、xfail 或 skip",
    ),
    "config.override_identity": (
        "{key} holds for the whole file and cannot be set for some scenarios; write it at the top level",
        "{key} 对整个文件生效，不能只对部分场景设置；请写在最外层",
    ),
    "config.override_unmatched": (
        '"{match}" matches no scenario; {hint}',
        "“{match}” 没有匹配到任何场景；{hint}",
    ),
    "config.max_below_min": ("max is below min ({least})", "max 小于 min ({least})"),
    "config.chance": (
        "how likely a change may be by chance must be above 0 and at most 0.05, not {got}; the usual is 0.001",
        "变化出于偶然的概率须大于 0 且不超过 0.05，而不是 {got}；通常为 0.001",
    ),
    "config.until_without_max": (
        "until when at the latest? add max, e.g. {{min: 5, max: 10, until: 5%}}",
        "最多重复几次？请加上 max，例如 {{min: 5, max: 10, until: 5%}}",
    ),
    "config.share_of_none": (
        "{name} is 0 where all is well, and no percentage of 0 says anything; write a number, {name}: 0.01",
        "一切正常时 {name} 为 0，按百分比无从比较；请写数值，例如 {name}: 0.01",
    ),
    "config.no_worse": (
        "{name} has no better and no worse, so that nothing can be compared; leave it out",
        "{name} 没有好坏之分，无法比较；请去掉",
    ),
    "config.unknown_target": ("there is no target {name}; {hint}", "没有名为 {name} 的目标；{hint}"),
    "config.no_targets": (
        "write two, e.g. targets: {{before: http://..., after: http://...}}",
        "请写上两个，例如 targets: {{before: http://..., after: http://...}}",
    ),
    "config.target_alone": (
        "{name} is the only target, and nothing can be held against it; add another one to targets",
        "目标只有 {name} 一个，没有可与之比较的；请在 targets 中再加一个",
    ),
    "config.target_rounds": (
        "targets are held against each other in rounds, the same for both and {needed} or more; "
        "write repeats: {needed}, or repeats: {{min: {needed}, max: 12, until: decided}}",
        "目标之间按轮比较，双方轮数相同且不少于 {needed}；请写 repeats: {needed}，"
        "或 repeats: {{min: {needed}, max: 12, until: decided}}",
    ),
    "config.at_least_above_max": ("at_least is above max ({most})", "at_least 大于 max ({most})"),
    "config.at_least_of_tiers": (
        "each tier has its own at_least; remove this one",
        "每个等级 (tier) 有各自的 at_least；请删掉这一项",
    ),
    "config.same_twice": (
        "two scenarios would have the id {id}; remove one, or tell datasets apart with a label: "
        "{{name: ..., label: ...}}",
        "会有两个场景的 id 同为 {id}；请删掉一个，或用 label 区分数据集：{{name: ..., label: ...}}",
    ),
    "config.preset": ('unknown preset "{name}"; there are: {known}', "未知的预设 “{name}”；可用的有：{known}"),
    # the starter
    "config.starter_exists": (
        "already there, and not overwritten: {files}. Name another folder, or move them.",
        "已经存在，不会覆盖：{files}。请换一个目录，或先移走它们。",
    ),
    "config.starter_unwritable": ("{folder} cannot be written: {words}", "无法写入 {folder}：{words}"),
}
