"""Texts about the server before any load: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "server.profiled": (
        "The server's profiler ran while load ran.",
        "压测期间服务端 profiler 处于开启状态。",
    ),
    "server.profiled_apart": (
        "Profiled by a second load of {n} requests, which is not judged; files of the server's: {files}; the requests as the "
        "client saw them are in {folder}.",
        "已用另一段 {n} 个请求的负载做了剖析（不参与判定）：服务端写出 {files} 个文件，客户端所见的请求在 {folder}。",
    ),
    "server.profiled_elsewhere": (
        "Profiled by a second load of {n} requests, which is not judged. Where the server wrote its traces is not seen from "
        "here (profile: {{folder: ...}} says where); the requests as the client saw them are in {folder}.",
        "已用另一段 {n} 个请求的负载做了剖析（不参与判定）。从这里看不到服务端把 trace 写在何处（可用 profile: {{folder: ...}} 指明）；"
        "客户端所见的请求在 {folder}。",
    ),
    "server.no_profiler": (
        "Not profiled: POST {path} gave {said}. This vLLM has a profiler when started with {cure}.",
        "未做剖析：POST {path} 返回 {said}。该版本的 vLLM 需以 {cure} 启动才有 profiler。",
    ),
    "server.no_profile": (
        "Not profiled: POST {path} gave {said}.",
        "未做剖析：POST {path} 返回 {said}。",
    ),
    "server.profile_goes_on": (
        "The server was asked twice to end its profile, and did not say that it had: POST {path} gave {said}. It may be "
        "slower until it has.",
        "已两次要求服务端结束剖析，但未得到确认：POST {path} 返回 {said}。在结束之前服务可能变慢。",
    ),
    "server.profile_flushes": (
        "The server has been writing its profile for {seconds} s …",
        "服务端写出剖析结果已用 {seconds} 秒……",
    ),
    "server.model": (
        "The server at {url} does not serve the model {asked!r} ({status}: {said}). It serves: {served}. "
        "Write one of these as model: in the config, or pass --vllm-model (--model of single).",
        "{url} 上的服务没有模型 {asked!r}（{status}：{said}），现有模型：{served}。"
        "请在配置中把 model: 改为其中之一，或使用 --vllm-model（single 用 --model）。",
    ),
    "server.model_choice": (
        "The server at {url} serves several models: {served}. Write one as model: in the config, or pass --vllm-model (--model of single).",
        "{url} 上的服务有多个模型：{served}。请在配置中用 model: 指定一个，或使用 --vllm-model（single 用 --model）。",
    ),
    "server.model_unknown": (
        "The server at {url} does not list its models. {why} Write its model's name as model: in the config, "
        "or pass --vllm-model.",
        "{url} 上的服务没有列出模型。{why}请在配置中用 model: 写明模型名，或使用 --vllm-model。",
    ),
    "server.odd_list": (
        "{url} lists no model: {said}.",
        "{url} 未列出任何模型：{said}。",
    ),
    "server.not_told": (
        "The server's list of models is done without, a small request having been answered. {why}",
        "试探请求已得到应答，因此不采用服务端的模型列表。{why}",
    ),
    "server.not_listed": (
        "The server at {url} answers for the model {asked} and does not list it. It lists: {served}.",
        "{url} 上的服务可以用模型 {asked} 应答，但模型列表中没有它，列出的是：{served}。",
    ),
    "server.window": (
        "The server says that {model!r} takes {limit} tokens and has answered a request of {taken}: its number is not used.",
        "服务端声称 {model!r} 的上限为 {limit} 个 token，却应答了 {taken} 个 token 的请求：不采用这个数字。",
    ),
    "server.not_ready": (
        "The server was not ready after {seconds} s. {why} Is it still starting? --vllm-ready-timeout waits longer.",
        "等待 {seconds} 秒后服务仍未就绪。{why}如果它还在启动，可用 --vllm-ready-timeout 延长等待时间。",
    ),
    "server.no_word": (
        "It has not answered a small request yet.",
        "试探请求尚未得到应答。",
    ),
    "server.waiting": (
        "Waiting for the server, {seconds} s so far. {why}",
        "正在等待服务就绪，已等 {seconds} 秒。{why}",
    ),
    "server.dns": (
        "The host name {host!r} of {url} does not resolve. Check base_url or --vllm-url.",
        "无法解析 {url} 中的主机名 {host!r}。请检查 base_url 或 --vllm-url。",
    ),
    "server.tls": (
        "TLS to {url} failed: {said}. If the certificate is your own, give its CA: "
        "tls: {{ca: /path/to/ca.pem}}; if the server speaks plain HTTP, write http://.",
        "与 {url} 的 TLS 握手失败：{said}。如果是自签证书，请用 tls: {{ca: /path/to/ca.pem}} 指定 CA；"
        "如果服务只支持明文 HTTP，请写 http://。",
    ),
    "server.refused": (
        "Nothing answers at {url} ({said}). Is the server started, and is the port right?",
        "{url} 没有应答（{said}）。服务启动了吗？端口对吗？",
    ),
    "server.dropped": (
        "The server at {url} closed the connection without an answer ({said}).",
        "{url} 上的服务未作应答就关闭了连接（{said}）。",
    ),
    "server.silent": (
        "The server at {url} took the request and did not answer in time.",
        "{url} 接受了请求，但没有按时应答。",
    ),
    "server.url": (
        "{url!r} is not a usable address. Write it like http://host:8000.",
        "{url!r} 不是可用的地址，应写成 http://host:8000 的形式。",
    ),
    "server.not_http": (
        "What answers at {url} does not speak HTTP as expected: {said}. Is the port right?",
        "{url} 的应答不是预期的 HTTP：{said}。端口对吗？",
    ),
    "server.redirect": (
        "{url} answered {status}, a redirect to {to!r}. Write the final address as base_url (and endpoint, where the path "
        "is another one): a benchmark does not follow redirects, since that would add a round trip to each request.",
        "{url} 返回 {status}，重定向到 {to!r}。请把最终地址写进 base_url（路径不同时写进 endpoint）。压测不跟随重定向，否则每个请求都会多一次往返。",
    ),
    "server.unavailable": (
        "{url} answers {status} (not ready): {said}",
        "{url} 返回 {status}（尚未就绪）：{said}",
    ),
    "server.auth": (
        "{url} refuses access with {status}: {said}. Set the key's environment variable and name it in the config: "
        "api_key_env: OPENAI_API_KEY. If that is done, the key in it is not the server's.",
        "{url} 以 {status} 拒绝访问：{said}。请设置保存密钥的环境变量，并在配置中写明变量名：api_key_env: OPENAI_API_KEY。"
        "如果已经设置，则变量中的密钥与服务端不符。",
    ),
    "server.path": (
        "{url} does not exist on the server (404): {said}. Check endpoint: and backend: in the config, "
        "and whether base_url ends where it should.",
        "服务上没有 {url}（404）：{said}。请检查配置中的 endpoint: 和 backend:，以及 base_url 是否多写或少写了路径。",
    ),
    "server.status": (
        "{url} answered {status}: {said}",
        "{url} 返回 {status}：{said}",
    ),
    "server.error": (
        "{url} answered a small request of this scenario's shape with an error: {said}",
        "{url} 对与本场景同样形式的试探请求返回了错误：{said}",
    ),
    "server.empty": (
        "{url} answered a small request with nothing that backend {backend!r} can read: {said}. Is it the right backend?",
        "{url} 对试探请求的应答中没有 {backend!r} 后端能读懂的内容：{said}。backend: 选对了吗？",
    ),
    "server.blank": (
        "{url} answered a small request with status 200 and nothing else.",
        "{url} 对试探请求返回了状态 200，但没有内容。",
    ),
    "server.page": (
        "{url} answered a small request with a web page: {said}",
        "{url} 对试探请求返回了网页：{said}",
    ),
    "server.cut": (
        "The answer of {url} to a small request ended before its first token: {said}",
        "{url} 对试探请求的应答在第一个 token 之前就结束了：{said}",
    ),
    "server.unended": (
        "{url} began to answer a small request of this scenario's shape, and neither an end nor a finish reason came in "
        "time. Is it the right backend?",
        "{url} 开始应答与本场景同样形式的试探请求，但在规定时间内既没有结束也没有结束原因。backend: 选对了吗？",
    ),
    "server.no_token": (
        "{url} answered a small request of this scenario's shape to its end without a single token: {said}. "
        "Each request of the load would be answered like that. Is it the right backend?",
        "{url} 完整应答了与本场景同样形式的试探请求，但没有任何 token：{said}。"
        "压测中的每个请求都会如此。backend: 选对了吗？",
    ),
    "server.shape": (
        "{url} refuses a request of this scenario's shape with {status}: {said}. Sent: {sent}. "
        "To leave a field of sampling: out, write null as its value, as in sampling: {{temperature: null}}; "
        "any other goes by extra_body: {{ignore_eos: null}}, which also adds what the server wants; "
        "output_field: names another field for the length.",
        "{url} 以 {status} 拒绝了与本场景同样形式的请求：{said}。发送的内容：{sent}。"
        "若要去掉 sampling: 中的某个字段，把它的值写成 null，例如 sampling: {{temperature: null}}；"
        "其他字段用 extra_body: {{ignore_eos: null}} 这样的写法去掉，服务端需要的额外字段也写在 extra_body: 中；"
        "输出长度的字段名用 output_field: 指定。",
    ),
    "server.context": (
        "{scenario} needs {need} tokens (input {input} + output {output}) and the model {model!r} takes {limit} "
        "({status}: {said}). Shorten input_output, or start the server with a larger --max-model-len.",
        "{scenario} 需要 {need} 个 token（输入 {input} + 输出 {output}），而模型 {model!r} 上限为 {limit}（{status}：{said}）。"
        "请缩短 input_output，或以更大的 --max-model-len 启动服务。",
    ),
    "server.no_tokenize": (
        "{url} does not exist on this server, so that it cannot count tokens for us. "
        "Write a folder, a file or a hub name as tokenizer:, or tokenizer: ids for prompts of token ids.",
        "该服务没有 {url}，无法代为计数 token。请把 tokenizer: 写成目录、文件或模型仓库名，或用 tokenizer: ids 直接发送 token id。",
    ),
    "server.odd_tokenize": (
        "{url} answers with something other than tokens: {said}. "
        "Write a folder, a file or a hub name as tokenizer:, or tokenizer: ids for prompts of token ids.",
        "{url} 返回的不是 token：{said}。"
        "请把 tokenizer: 写成目录、文件或模型仓库名，或用 tokenizer: ids 直接发送 token id。",
    ),
    "server.ca_missing": (
        "The CA bundle {path} of tls: {{ca: …}} does not exist.",
        "tls: {{ca: …}} 指定的 CA 文件 {path} 不存在。",
    ),
    "server.restarted": (
        "The server restarted while it was measured (its process_start_time_seconds changed).",
        "服务在压测期间重启过（process_start_time_seconds 发生变化）。",
    ),
    "observe.nvidia.ended": (
        "nvidia-smi did not tell about the accelerators throughout ({said}); to do without: "
        "observe: {{accelerators: off}}.",
        "nvidia-smi 未能全程提供加速卡数据（{said}）；如不需要，可写 observe: {{accelerators: off}}。",
    ),
    "observe.at": ("{what} Seen {seconds} s after the load began.", "{what}（压测开始后第 {seconds} 秒发现）"),
    "observe.no_page": (
        "{url} is no page of metrics in Prometheus' format, so that nothing is watched there.",
        "{url} 不是 Prometheus 格式的监控指标页面，未对其进行观测。",
    ),
    "observe.page_missed": (
        "{url} could not be read in time {missed} of {looks} times while load ran; what it would have said then is not known.",
        "压测期间读取 {url} 共 {looks} 次，其中 {missed} 次未能及时读到；这些时刻的数据缺失。",
    ),
    "observe.page_slow": (
        "Reading {url} took up to {took} s, so it was read less often: every {every} s in the end.",
        "读取 {url} 最长耗时 {took} 秒，因此降低了读取频率：最终每 {every} 秒一次。",
    ),
    "observe.beside_hung": (
        "{what} watched nothing: it took longer than {seconds} s.",
        "{what} 没有观测到任何内容：耗时超过 {seconds} 秒。",
    ),
    "observe.beside_broke": (
        "{what} watched nothing: it broke ({said}).",
        "{what} 没有观测到任何内容：运行出错（{said}）。",
    ),
    "observe.devices_missed": (
        "{what} told nothing of the accelerators {missed} of {looks} times ({said}); to do without: "
        "observe: {{accelerators: off}}.",
        "{what} 共询问 {looks} 次，其中 {missed} 次没有得到加速卡数据（{said}）；如不需要，可写 observe: {{accelerators: off}}。",
    ),
    "server.several": (
        "Several servers answer at this address (a load balancer?), so that their own counters are left out.",
        "该地址背后有多个服务应答（负载均衡？），因此不采用服务端自己的计数。",
    ),
    "server.counter_fell": (
        "The server restarted while it was measured (its counter {name} fell).",
        "服务在压测期间重启过（计数器 {name} 变小）。",
    ),
    "server.model_changed": (
        "The server or its model changed while it was measured: {before} before, {after} after.",
        "服务或其模型在压测期间发生了变化：之前是 {before}，之后是 {after}。",
    ),
    "server.output_field": (
        "The server does not take {field}, so {other} asks for the output length ({said}); to say so from the start: "
        "output_field: {other}",
        "服务不接受字段 {field}，已改用 {other} 表示输出长度（{said}）；如需一开始就指定，请写 output_field: {other}",
    ),
}
