"""Texts of the command line: key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "cli.about": (
        "Benchmarks of LLM servers: run them, read their results, judge them again.",
        "LLM 服务压测：运行、读取结果、重新判定。",
    ),
    # what argparse itself says; the English is the key by which it asks
    "cli.argparse.usage": ("usage: ", "用法："),
    "cli.argparse.positional": ("positional arguments", "位置参数"),
    "cli.argparse.options": ("options", "选项"),
    "cli.argparse.help": ("show this help message and exit", "显示本帮助并退出"),
    "cli.argparse.version": ("show program's version number and exit", "显示版本号并退出"),
    "cli.argparse.error": ("%(prog)s: error: %(message)s\n", "%(prog)s：错误：%(message)s\n"),
    "cli.argparse.argument": ("argument %(argument_name)s: %(message)s", "参数 %(argument_name)s：%(message)s"),
    "cli.argparse.required": ("the following arguments are required: %s", "缺少必需的参数：%s"),
    "cli.argparse.unknown": ("unrecognized arguments: %s", "无法识别的参数：%s"),
    "cli.argparse.one": ("expected one argument", "需要一个值"),
    "cli.argparse.at_most": ("expected at most one argument", "至多一个值"),
    "cli.argparse.at_least": ("expected at least one argument", "至少需要一个值"),
    "cli.argparse.choice": (
        "invalid choice: %(value)r (choose from %(choices)s)",
        "无效的取值 %(value)r（可选：%(choices)s）",
    ),
    "cli.argparse.value": ("invalid %(type)s value: %(value)r", "无效的 %(type)s 值：%(value)r"),
    "cli.argparse.ambiguous": (
        "ambiguous option: %(option)s could match %(matches)s",
        "选项 %(option)s 不明确，可能是 %(matches)s",
    ),
    "cli.argparse.one_of": ("one of the arguments %s is required", "以下参数须给出一个：%s"),
    "cli.argparse.not_with": ("not allowed with argument %s", "不能与参数 %s 同时使用"),
    "cli.argparse.ignored": ("ignored explicit argument %r", "不接受值 %r"),
    "cli.lang": ("language of what is shown (default: the locale's)", "显示语言（默认跟随系统区域设置）"),
    "cli.base_url": (
        'the server, http://host:8000, or "simulator" for the built-in one',
        "服务地址，如 http://host:8000；写 simulator 则使用内置模拟器",
    ),
    "cli.result_dir": ("the folder for results (default: results)", "结果目录（默认 results）"),
    "cli.single.help": (
        "one scenario, with the flags of `vllm bench serve`; pytest's own options may follow",
        "运行单个场景，参数与 `vllm bench serve` 相同；后面可接 pytest 自己的选项",
    ),
    "cli.batch.help": (
        "every scenario of a config.yaml; pytest's own options may follow",
        "运行 config.yaml 中的全部场景；后面可接 pytest 自己的选项",
    ),
    "cli.batch.config": (
        "a config.yaml, or the folder it is in (default: config.yaml)",
        "config.yaml 文件或其所在目录（默认 config.yaml）",
    ),
    "cli.calibrate.help": (
        "measured loads → a twin: an engine model that predicts others, with its own errors",
        "由实测负载校准出孪生模型：可预测其他负载的引擎模型，并给出自身误差",
    ),
    "cli.calibrate.folders": (
        "folders of results, or single .measurement.gz files: two to four loads of one server",
        "结果目录，或单个 .measurement.gz 文件：同一服务的两到四个负载",
    ),
    "cli.calibrate.out": ("where the twin is written (default: twin.json)", "孪生模型写入的文件（默认 twin.json）"),
    "cli.calibrate.set": (
        "what is known of the engine and shows in no load, e.g. kv_tokens=480000",
        "已知但负载中体现不出的引擎参数，如 kv_tokens=480000",
    ),
    "cli.calibrate.against": (
        "an earlier twin: what of the engine is another now",
        "以前的孪生模型：说明引擎哪些参数变了",
    ),
    "cli.whatif.help": ("what a twin says of loads that nobody has measured", "用孪生模型预测未实测过的负载"),
    "cli.calibrate.history": (
        "add the parameters to a history that trend looks at: an SQLite file, postgresql://…",
        "把参数加入历史库，供 trend 查看变化：SQLite 文件或 postgresql://…",
    ),
    "cli.whatif.twin": ("the file that calibrate wrote", "calibrate 写出的文件"),
    "cli.whatif.rate": ("requests per second, one or several", "请求速率（每秒请求数），可给多个"),
    "cli.whatif.concurrency": ("requests in flight, one or several", "并发数，可给多个"),
    "cli.whatif.input_len": ("prompt tokens (default: as measured)", "输入 token 数（默认与实测相同）"),
    "cli.whatif.output_len": ("output tokens (default: as measured)", "输出 token 数（默认与实测相同）"),
    "cli.whatif.requests": ("requests of a load, at least (default: 1000)", "每个负载的最少请求数（默认 1000）"),
    "cli.whatif.replicas": ("equal servers that share the load (default: 1)", "分担负载的相同服务数（默认 1）"),
    "cli.whatif.route": (
        "which of them a request goes to (default: round_robin)",
        "请求如何分配给各副本（默认 round_robin）",
    ),
    "cli.whatif.price_per_hour": ("what one replica costs an hour", "每个副本每小时的价格"),
    "cli.whatif.accelerators": ("accelerators of one replica", "每个副本的加速卡数"),
    "cli.whatif.seed": ("of arrivals and step times (default: 0)", "到达时刻与步耗时的随机种子（默认 0）"),
    "cli.whatif.set": ("other settings of the engine, e.g. max_num_seqs=512", "引擎的其他设置，如 max_num_seqs=512"),
    "cli.whatif.capacity": (
        "the largest load within the rules, and the curve up to it (default: by request_rate)",
        "满足规则的最大负载及其曲线（默认按 request_rate）",
    ),
    "cli.whatif.rule": ('rules: "p99_ttft_ms <= 500"', '规则，如 "p99_ttft_ms <= 500"'),
    "cli.whatif.format": ("how the answer is written", "输出格式"),
    "cli.whatif.next": ("which three loads to measure next", "接下来最值得实测的三个负载"),
    "cli.worker.help": (
        "send load for a run on another machine, whenever it calls (machines: in config.yaml)",
        "在本机代另一台机器上的运行发送负载（见 config.yaml 的 machines）",
    ),
    "cli.worker.listen": (
        "where to listen: localhost:7001; port 0: any",
        "监听地址：localhost:7001；端口 0 表示任意端口",
    ),
    "cli.worker.token_env": (
        "the environment variable that holds the token of machines.token_env",
        "保存令牌的环境变量，与 machines.token_env 的令牌相同",
    ),
    "cli.worker.cert": ("a certificate (PEM), for TLS", "TLS 证书文件（PEM）"),
    "cli.worker.key": ("its key, where that is not in the same file", "证书的私钥（不在同一文件中时）"),
    "cli.worker.plain_text": (
        "listen to other machines without TLS, in a network that you trust",
        "不使用 TLS 而接受其他机器的连接（仅限可信网络）",
    ),
    "cli.worker.listens": ("listening on {where}", "正在监听 {where}"),
    "cli.worker.token": (
        "the environment variable {variable} holds no token of at least {least} characters; "
        "export {variable}=$(openssl rand -hex 16), the same on all machines",
        "环境变量 {variable} 中没有至少 {least} 个字符的令牌；请在所有机器上设为同一个值：export {variable}=$(openssl rand -hex 16)",
    ),
    "cli.worker.plain": (
        "on {host} prompts and keys would come in plain text from other machines: give --cert, listen on localhost behind a "
        "tunnel, or say --plain-text in a network that you trust",
        "在 {host} 上监听时，其他机器会以明文发来提示词和密钥：请指定 --cert，或在隧道后监听 localhost，或在可信网络中使用 --plain-text",
    ),
    "cli.worker.cannot": ("cannot listen on {where}: {why}", "无法监听 {where}：{why}"),
    "cli.simulate.help": ("run the built-in server alone, until Ctrl-C", "单独启动内置模拟服务，按 Ctrl-C 结束"),
    "cli.single.backend": ("how the server is spoken to (default: vllm)", "服务接口类型（默认 vllm）"),
    "cli.single.model": ("the model's name, where the server has several", "模型名（服务有多个模型时必填）"),
    "cli.single.tokenizer": (
        'a folder, a file, a hub name, "server" or "ids" (default: the model\'s)',
        'tokenizer：目录、文件、模型仓库名、"server" 或 "ids"（默认与模型一致）',
    ),
    # single: what a flag becomes beside its place in config.yaml
    "cli.single.trust_remote_code": (
        "tokenizers are read without running code of their repository",
        "读取 tokenizer 时不运行其仓库中的代码",
    ),
    "cli.single.skip_chat_template": (
        "as it is here; `--chat-template client` puts the model's template around prompts",
        "这里本来如此；要在提示词外套上模型的对话模板，请用 `--chat-template client`",
    ),
    "cli.single.multimodal_chat": (
        "chat backends are always sent messages",
        "对话类后端本来就以消息形式发送",
    ),
    "cli.single.client_side_data": (
        "local files are always sent as data; URLs go to the server as they are",
        "本地文件本来就以数据形式发送；URL 原样交给服务端",
    ),
    "cli.single.rows": (
        "rows are not chosen by this: all rows of the file or split are taken",
        "不按此项筛选：取该文件或 split 的全部行",
    ),
    "cli.single.multiplier": ("`dataset.unit`, 0.001 being ms", "`dataset.unit`，0.001 即 ms"),
    "cli.single.labels": (
        "columns are found by their usual names (timestamp, input_length, output_length, hash_ids …)",
        "按常用列名查找（timestamp、input_length、output_length、hash_ids 等）",
    ),
    "cli.single.no_reranker": (
        "query and documents are sent apart, as /rerank takes them",
        "查询与文档分开发送，与 /rerank 接口一致",
    ),
    "cli.single.as_many_items": (
        "every request has as many pictures: --random-mm-base-items-per-request",
        "每个请求的图片数相同，由 --random-mm-base-items-per-request 决定",
    ),
    "cli.single.bucket": (
        "`dataset.width`, `dataset.height`: of several sizes the likeliest",
        "`dataset.width`、`dataset.height`：有多种尺寸时取概率最大的一种",
    ),
    "cli.single.hf_name": (
        "`dataset.path`, where --dataset-path is no folder of this machine",
        "`dataset.path`（--dataset-path 不是本机目录时）",
    ),
    "cli.single.label": ("`label` in the saved file, and in its name", "写入所保存文件的 `label`，并用于文件名"),
    "cli.single.host": (
        "`base_url`, with --port (default: 127.0.0.1 and 8000)",
        "与 --port 一起组成 `base_url`（默认 127.0.0.1 和 8000）",
    ),
    "cli.single.tokenizer_mode": (
        "the tokenizer's own files say how it is read",
        "按 tokenizer 自身的文件读取",
    ),
    "cli.single.beam_search": ("is not sent; --extra-body sends anything", "不发送；需要时可用 --extra-body"),
    "cli.single.logprobs": (
        "`extra_body.logprobs`; of a chat backend `top_logprobs`",
        "`extra_body.logprobs`；对话类后端为 `top_logprobs`",
    ),
    "cli.single.probes": (
        "no probes are sent beside the load",
        "不在负载之外发送探测请求",
    ),
    "cli.single.tqdm": (
        "progress is shown on a terminal only",
        "进度只在终端上显示",
    ),
    "cli.single.save_result": (
        "the file of vllm bench serve too, where --result-dir and --result-filename say; ours are written always",
        "另外按 --result-dir 和 --result-filename 写一份 vllm bench serve 的结果文件；本工具的结果总会写入",
    ),
    "cli.single.save_detailed": (
        "that file has an entry a request: input_lens, output_lens, start_times, latencies, queue_times, ttfts, itls, generated_texts, errors",
        "该文件逐请求给出 input_lens、output_lens、start_times、latencies、queue_times、ttfts、itls、generated_texts、errors",
    ),
    "cli.single.append_result": (
        "adds a line to that file",
        "在该文件末尾追加一行",
    ),
    "cli.single.metadata": ("keys of the saved file", "写入所保存文件的键"),
    "cli.single.result_filename": (
        "the saved file's name (default: theirs, LABEL-RATEqps-concurrencyC-MODEL-DATE.json)",
        "所保存文件的名称（默认与其一致：LABEL-RATEqps-concurrencyC-MODEL-DATE.json）",
    ),
    "cli.single.percentile_metrics": (
        "all latencies are always in the file; client_queue_time and e2el_including_client_queue under these names too",
        "所有时延指标总在文件中；client_queue_time 和 e2el_including_client_queue 也会以这些名称给出",
    ),
    "cli.single.served_model_name": (
        "`model`; --model is then where the tokenizer is",
        "`model`；此时 --model 指 tokenizer 所在位置",
    ),
    "cli.single.lora": ("`model`, several", "`model`（多个）"),
    "cli.single.ready": (
        "`--vllm-ready-timeout`; 0 or nothing: 600 s, as a trial request is always sent",
        "`--vllm-ready-timeout`；0 或未给出时为 600 秒，因为总会先发送一个试探请求",
    ),
    "cli.single.skip_tokenizer": ("`tokenizer: server`", "`tokenizer: server`"),
    "cli.single.plot": (
        "report.html is written always; a copy lies beside the saved file",
        "report.html 总会生成；并在所保存文件旁放一份副本",
    ),
    "cli.single.thresholds": (
        "the page's timeline shows every gap, without classes",
        "报告页的时间线展示每个间隔，不分档",
    ),
    # … and what is said of them
    "cli.single.usage": (
        "pytest-vllm-bench single [flags of `vllm bench serve`] [--workers 2, and other keys of config.yaml] "
        "[pytest's options]",
        "pytest-vllm-bench single [`vllm bench serve` 的参数] [--workers 2 等 config.yaml 的键] [pytest 的选项]",
    ),
    "cli.single.all_rows": (
        "--num-prompts {asked}: how many rows there are is known of files on this machine only; write a number",
        "--num-prompts {asked}：只有本机上的文件才能预知行数；请写明数目",
    ),
    "cli.single.rows_there": (
        "--num-prompts {asked}: the file has {n} rows, each is sent once",
        "--num-prompts {asked}：文件共 {n} 行，每行发送一次",
    ),
    "cli.single.no_metric": (
        "--percentile-metrics: there is no latency {name!r}; {hint}",
        "--percentile-metrics：没有时延指标 {name!r}；{hint}",
    ),
    "cli.single.no_file": ("--dataset-path {path}: there is no such file", "--dataset-path {path}：没有这个文件"),
    "cli.single.aloud": ("--{name}: {what}", "--{name}：{what}"),
    "cli.single.not_of": (
        "--{name} is not used: it is of other datasets than {dataset}",
        "--{name} 未使用：它不属于 {dataset} 数据集",
    ),
    "cli.single.renamed": ("--{name} {there} is {here} here", "--{name} {there} 在这里对应 {here}"),
    "cli.single.capped": (
        "--max-concurrency {cap}: {prompts} requests are under way at most, as --num-prompts {prompts} makes no more",
        "--max-concurrency {cap}：--num-prompts 为 {prompts}，实际并发最多为 {prompts}",
    ),
    "cli.single.one_ratio": (
        "--random-range-ratio: lengths of prompts and of answers vary by one share here: {ratio}",
        "--random-range-ratio：这里输入和输出长度共用一个浮动比例：{ratio}",
    ),
    "cli.single.one_size": (
        "--random-mm-bucket-config: all pictures have the likeliest size, {width} x {height}",
        "--random-mm-bucket-config：所有图片取概率最大的尺寸 {width} x {height}",
    ),
    "cli.single.no_template": (
        "--dataset-name {dataset}: prompts are sent as they stand in the file, as with --skip-chat-template; a chat "
        "backend has the server apply its template, --chat-template client applies the model's here",
        "--dataset-name {dataset}：提示词按文件原样发送，与 --skip-chat-template 相同；对话类后端由服务端套用模板，"
        "--chat-template client 则在本机套用",
    ),
    "cli.single.even_at_once": (
        "--burstiness is not used: without --request-rate requests are not spread in time",
        "--burstiness 未使用：没有 --request-rate 时请求不按时间分布",
    ),
    "cli.single.wrote": ("wrote {path}", "已写入 {path}"),
    "cli.single.ambiguous": ("{name} can be {flags}: write which", "{name} 可能是 {flags}，请写全"),
    "cli.single.unknown": (
        "{name} is no flag of single, nor of pytest; {hint}",
        "{name} 不是 single 的参数，也不是 pytest 的选项；{hint}",
    ),
    "cli.single.config_file": (
        "--config {path}: a YAML file of flags is wanted, num-prompts: 100 a line ({why})",
        "--config {path}：应为参数的 YAML 文件，每行如 num-prompts: 100（{why}）",
    ),
    "cli.single.no_pair": ("{flag} {text!r} is not KEY=VALUE", "{flag} {text!r} 不是 KEY=VALUE 的形式"),
    "cli.single.bad_bucket": (
        "--random-mm-bucket-config {text!r} has no picture: write {{(256, 256, 1): 1.0}}, height, width, 1: share",
        "--random-mm-bucket-config {text!r} 中没有图片：请写 {{(256, 256, 1): 1.0}}，即高、宽、1：比例",
    ),
    "cli.single.bad_percentiles": (
        "--metric-percentiles {text!r}: numbers from 0 to 100 with commas between, 50,90,99",
        "--metric-percentiles {text!r}：应为 0 到 100 的数，以半角逗号分隔，如 50,90,99",
    ),
    "cli.single.ramp_up": (
        "--ramp-up-strategy takes --ramp-up-start-rps and --ramp-up-end-rps too",
        "使用 --ramp-up-strategy 时，还须给出 --ramp-up-start-rps 和 --ramp-up-end-rps",
    ),
    "cli.single.ramp_up_and_rate": (
        "--request-rate and --ramp-up-strategy both say the rate; leave one out",
        "--request-rate 和 --ramp-up-strategy 都规定了速率，请去掉一个",
    ),
    "cli.single.goodput": (
        "limits per request in milliseconds: ttft:200 tpot:50 e2el:20000",
        "单个请求的时延上限，单位毫秒：ttft:200 tpot:50 e2el:20000",
    ),
    "cli.single.goodput_of": (
        "--goodput {text!r}: limits are of {names}, above 0 ms",
        "--goodput {text!r}：可限制的有 {names}，限值须大于 0 毫秒",
    ),
    "cli.single.bad_goodput": (
        "--goodput {text!r} is not NAME:MILLISECONDS. Write, for example, --goodput ttft:200 tpot:50.",
        "--goodput {text!r} 不是 NAME:MILLISECONDS 的形式。例如：--goodput ttft:200 tpot:50。",
    ),
    "cli.doctor.help": (
        "is everything in order: server, tokenizer, limits, clock, and how fast this client can go",
        "体检：服务是否可达、tokenizer、系统限制、时钟，以及本机压测能力",
    ),
    "cli.report.help": (
        "write reports again from saved results: HTML, CSV, Markdown, charts, and more",
        "由已保存的结果重新生成报告：HTML、CSV、Markdown、图表等",
    ),
    "cli.report.folders": ("folders of results (default: results)", "结果目录，可多个（默认 results）"),
    "cli.report.out": ("where to write (default: the first folder)", "输出目录（默认为第一个结果目录）"),
    "cli.report.formats": ("what to write", "输出格式"),
    "cli.report.baseline": ("a folder of results to compare with", "用于对比的结果目录"),
    "cli.csv_lang": (
        "language of headers in CSV and Excel (default: English, whatever the locale)",
        "CSV 与 Excel 表头的语言（默认英文，与系统语言无关）",
    ),
    "cli.aggregate.help": (
        "the CSV of a whole results folder, old results too",
        "汇总整个结果目录（包括旧结果）为 CSV",
    ),
    "cli.aggregate.repeats": ("a row for each repeat", "每次重复各占一行"),
    "cli.aggregate.folder": ("the folder of results (default: results)", "结果目录（默认 results）"),
    "cli.decode.help": (
        "read a tape that was kept once more, and write its records and result anew",
        "重新解析保留下来的记录带，重写其记录和结果",
    ),
    "cli.decode.folder": ("folders of kept tapes (bench_….tape)", "保留的记录带目录（bench_….tape）"),
    "cli.salvage.help": (
        "save what sessions that were killed had measured",
        "保存被强制终止的会话已经测得的数据",
    ),
    "cli.salvage.nothing": ("nothing was left running in {folder}", "{folder} 中没有遗留的数据"),
    "cli.compare.help": (
        "results of two or more folders side by side",
        "并排对比两个或多个结果目录",
    ),
    "cli.trend.help": (
        "since when figures of many nights are others, and whether that is a new worsening",
        "在多次会话的历史中找出指标从何时起改变，以及是否为新的变差",
    ),
    "cli.trend.folders": (
        "folders of results, with the sessions before in their history/, and tables: aggregate_results.csv, a sweep's"
        " summary.csv (default: results)",
        "结果目录（连同其 history/ 中以前的会话），以及结果表：aggregate_results.csv、vllm bench sweep 的 summary.csv（默认 results）",
    ),
    "cli.trend.history": (
        "an SQLite file, or the URL of a PostgreSQL (postgresql://…), that keeps all sessions: what the folders"
        " hold is added, and all of it is looked at",
        "保存全部会话的 SQLite 文件或 PostgreSQL 的 URL（postgresql://…）：先加入结果目录中的会话，再分析全部历史",
    ),
    "cli.trend.metrics": ("what is looked at", "要分析的指标"),
    "cli.trend.min_change": ("smaller changes do not matter (default: 2%%)", "小于此值的变化忽略不计（默认 2%%）"),
    "cli.trend.p": ("how sure a change must be to be shown (default: 0.001)", "变化须达到的显著性（默认 0.001）"),
    "cli.trend.window": ("sessions that are looked at together (default: 50)", "一起分析的会话数（默认 50）"),
    "cli.trend.fail_on": (
        "a worsening that began within so many newest sessions fails (default: 14)",
        "在最近这么多次会话内开始的变差判为未通过（默认 14）",
    ),
    "cli.trend.acknowledged": (
        "changes that are known: the metric, the date or commit they came with, and why",
        "已知的变化：指标、开始的日期或提交，以及原因",
    ),
    "cli.trend.not_acknowledged": (
        "{text} names no known change; write METRIC:DATE-or-COMMIT:WHY, as in mean_tpot_ms:2026-11-20:new driver",
        "{text} 不是已知变化；请写成 METRIC:DATE-or-COMMIT:WHY（指标、日期或提交、原因），例如 mean_tpot_ms:2026-11-20:driver",
    ),
    "cli.trend.added": ("{n} figures added to {place}", "已向 {place} 加入 {n} 个数据点"),
    "cli.trend.no_history": (
        "there is no history at {place} yet: name folders of results as well, which begin it",
        "{place} 中还没有历史数据：请同时给出结果目录来建立它",
    ),
    "cli.trend.left_out": ("left out, {why}: {n} results", "未计入（{why}）：{n} 个结果"),
    "cli.trend.out": ("where pictures go (default: charts)", "图片写到哪个目录（默认 charts）"),
    "cli.compare.folders": (
        "folders of results; the first is what the others are held against",
        "结果目录；以第一个为基线",
    ),
    "cli.compare.one_folder": (
        "there is only {folder}: name two folders or more, the first being what the others are held against",
        "只给出了 {folder}：请给出两个或更多目录，以第一个为基线",
    ),
    "cli.compare.format": ("how the comparison is written", "对比结果的格式"),
    "cli.compare.fail_if": (
        'exit 1 where such a change is proven: "mean_tpot_ms > +5%%"',
        '若证实有此变化则退出码为 1，如 "mean_tpot_ms > +5%%"',
    ),
    "cli.compare.strict": (
        "what --fail-if asks must be ruled out: undecided or not tested is exit 1 too",
        "--fail-if 的变化必须被排除：无法判定或未检验时退出码也为 1",
    ),
    "cli.judge.help": (
        "rules on saved results, ours and other tools' (vllm bench serve, GuideLLM, AIPerf, genai-perf, evalscope)",
        "用规则判定已保存的结果（本工具的，以及 vllm bench serve、GuideLLM、AIPerf、genai-perf、evalscope 的）",
    ),
    "cli.unrun": (
        "{folder}: the last session ({session}) is not complete:",
        "{folder}：最近一次会话（{session}）不完整：",
    ),
    "cli.judge.never": (
        "{scenario}: none of its repeats judges the rules, as the last of them is not there; with --strict this fails",
        "{scenario}：缺少最后一轮重复测量，规则没有得到判定；--strict 下视为失败",
    ),
    "cli.judge.files": ("result files, or folders of ours", "结果文件，或本工具的结果目录"),
    "cli.judge.rule": (
        'rules: "p99_ttft_ms <= 500" (default: the result\'s own)',
        '规则，如 "p99_ttft_ms <= 500"（默认用结果自带的规则）',
    ),
    "cli.judge.mode": (
        "evidence: proven or not; exact: compared (default: the result's own)",
        "evidence：按统计证据判定；exact：直接比较（默认用结果自带的设置）",
    ),
    "cli.judge.confidence": (
        "of the evidence (default: the result's own, or 0.95)",
        "置信度（默认用结果自带的设置，否则 0.95）",
    ),
    "cli.judge.strict": ("what is unproven fails", "未证实的结果视为失败"),
    "cli.init.help": (
        "write a commented config.yaml and its test file, to start from",
        "生成带注释的 config.yaml 和测试文件，作为起点",
    ),
    "cli.init.folder": ("where to write them (default: bench_cases)", "写入目录（默认 bench_cases）"),
    "cli.init.server": (
        "the command that starts the server (vllm serve {{model}}), instead of an address",
        "启动服务的命令（vllm serve {{model}}），代替地址",
    ),
    "cli.init.model": ("the model's name", "模型名"),
    "cli.init.serve_params": (
        "settings of the server's flags, as vllm bench sweep serve takes them",
        "服务参数的组合，格式与 vllm bench sweep serve 相同",
    ),
    "cli.init.bench_params": (
        "loads, as vllm bench sweep serve takes them",
        "负载的组合，格式与 vllm bench sweep serve 相同",
    ),
    "cli.init.lost": (
        "not taken over, write keys of config.yaml for them: {names}",
        "以下内容没有转换，请改写为 config.yaml 的键：{names}",
    ),
    "cli.init.next_server": (
        "next: pytest {folder} --collect-only -q shows what will be started",
        "下一步：pytest {folder} --collect-only -q 显示将启动什么",
    ),
    "cli.init.wrote": ("wrote {path}", "已写入 {path}"),
    "cli.init.next_url": ("next: pytest {folder}", "下一步：pytest {folder}"),
    "cli.init.next_simulator": (
        "next: pytest {folder} --vllm-url=http://host:8000",
        "下一步：pytest {folder} --vllm-url=http://host:8000",
    ),
    "cli.doctor.is.ok": ("ok    ", "正常  "),
    "cli.doctor.is.bad": ("BAD   ", "异常  "),
    "cli.doctor.is.note": ("note  ", "提示  "),
    "cli.doctor.machine": ("{cpu}, {cpus} cores{limit}", "{cpu}，{cpus} 核{limit}"),
    "cli.doctor.clock": ("clock {source}, resolution {resolution} s", "时钟 {source}，分辨率 {resolution} 秒"),
    "cli.doctor.loop": ("event loop: {loop}", "事件循环：{loop}"),
    "cli.doctor.files": ("room for {n} connections", "可同时打开 {n} 个连接"),
    "cli.doctor.speed": (
        "an event costs {who} {cost} µs: one measuring process takes about {rate} events/s in comfort, one on each of the "
        "{cores} cores {all}, and {files} connections each; beyond that, send from more machines (machines:)",
        "{who}每个事件耗时 {cost} µs：单个测量进程可从容处理约 {rate} 个事件/秒，{cores} 个核各运行一个时共 {all}，每个进程至多 {files} 个连接；"
        "更大的负载请用更多机器发送（machines:）",
    ),
    "cli.doctor.accelerators": (
        "accelerators here: {names}, driver {driver}; energy by {how}",
        "本机加速卡：{names}，驱动 {driver}；能耗取自{how}",
    ),
    "cli.doctor.energy.counter": ("their own counters", "其电能计数器"),
    "cli.doctor.energy.power": (
        "their power over time (with NVIDIA's, nvidia-ml-py would read their counters)",
        "功率积分（NVIDIA 加速卡安装 nvidia-ml-py 后可读电能计数器）",
    ),
    "cli.doctor.no_accelerators": (
        "no nvidia-smi, hy-smi, amd-smi, rocm-smi or npu-smi on the PATH: no accelerator of this machine is watched, so "
        "there is no energy; an exporter's address does as well: observe: {{accelerators: http://host:9400}}",
        "PATH 中没有 nvidia-smi、hy-smi、amd-smi、rocm-smi 或 npu-smi：不观测本机加速卡，没有能耗数据；"
        "也可以写 exporter 的地址：observe: {{accelerators: http://host:9400}}",
    ),
    "cli.doctor.no_server": ("no server was named: --base-url looks at one", "未指定服务：用 --base-url 可检查服务"),
    "cli.doctor.server": (
        "{url} answers: model {model}, window {window} tokens, round trip {trip} ms",
        "{url} 应答正常：模型 {model}，上下文 {window} token，往返 {trip} ms",
    ),
    "cli.doctor.tokenizer": (
        "tokens are counted with {source} ({size} in its vocabulary)",
        "由 {source} 计数 token（词表大小 {size}）",
    ),
    "cli.doctor.config": (
        "a config.yaml: a request of each shape that its scenarios have is tried",
        "config.yaml：其中各场景的每种请求形式都会试发一次",
    ),
    "cli.doctor.shape": (
        "a request as {scenario} sends it was answered",
        "与 {scenario} 同样形式的请求得到了应答",
    ),
    "cli.doctor.template": (
        "the server does not tell how many tokens its chat template adds: its answers' own counts will",
        "服务端没有说明对话模板增加的 token 数，将以其应答中的计数为准",
    ),
    "cli.doctor.watched": (
        "its metrics are read while load runs; rules may name {rules}",
        "压测期间会读取其监控指标；规则可引用 {rules}",
    ),
    "cli.doctor.counters": (
        "no counters of its own can be read at /metrics: rules on server.* have nothing to go by",
        "/metrics 没有可读的计数器：server.* 规则没有数据可用",
    ),
}
