"""Texts of the area "plan": key → (English, Chinese)."""

TEXTS: dict[str, tuple[str, str]] = {
    "plan.building": ("building prompts: {done} of {total}", "正在生成提示词：{done} / {total}"),
    "plan.building_some": ("building prompts: {done}", "正在生成提示词：{done}"),
    # tokenizers
    "plan.tokenizer_no_server": (
        'tokenizer: "server" asks the server to count, but this one has no /tokenize. '
        "Name a folder or file with tokenizer.json instead.",
        'tokenizer: "server" 需要服务端计数，但该服务没有 /tokenize 接口。请改为填写含 tokenizer.json 的目录或文件。',
    ),
    "plan.tokenizer_broken": (
        "tokenizer {path}: cannot be read ({error}). "
        "Point tokenizer: to a folder or file with a complete tokenizer.json.",
        "tokenizer {path}：无法读取（{error}）。请让 tokenizer: 指向包含完整 tokenizer.json 的目录或文件。",
    ),
    "plan.tokenizer_empty_folder": (
        "tokenizer {path}: the folder is empty. It must hold tokenizer.json, or what transformers can load.",
        "tokenizer {path}：目录为空。其中应有 tokenizer.json，或 transformers 可加载的文件。",
    ),
    "plan.tokenizer_unreachable": (
        "tokenizer {name}: neither a folder here, nor in the hub's cache, and the hub gave none ({error}).\n"
        "Write one of:  tokenizer: /folder/with/tokenizer.json  |  tokenizer: server (the server counts)\n"
        "  |  tokenizer: ids (random token ids, nothing is counted here)\n"
        "  |  set HF_ENDPOINT to a mirror  |  set VLLM_USE_MODELSCOPE=1 to fetch it from ModelScope",
        "tokenizer {name}：本机没有该目录，hub 缓存中没有，也无法从 hub 获取（{error}）。\n"
        "可改写为：tokenizer: /models/模型目录（其中有 tokenizer.json）  |  tokenizer: server（由服务端计数）\n"
        "  |  tokenizer: ids（随机 token id，本地不计数）\n"
        "  |  将 HF_ENDPOINT 设为镜像地址  |  设置 VLLM_USE_MODELSCOPE=1 从 ModelScope 获取",
    ),
    "plan.tokenizer_modelscope": (
        "tokenizer {name}: VLLM_USE_MODELSCOPE is set, but the package modelscope is not installed. "
        "Install it (pip install modelscope), or point tokenizer: to a local folder.",
        "tokenizer {name}：已设置 VLLM_USE_MODELSCOPE，但未安装 modelscope。"
        "请安装（pip install modelscope），或让 tokenizer: 指向本地目录。",
    ),
    "plan.tokenizer_ids_only": (
        'tokenizer: "ids" makes prompts of token ids and can count no text. Name a real tokenizer for this dataset.',
        'tokenizer: "ids" 只能生成 token id 形式的提示词，不能对文本计数。该数据集需要真正的 tokenizer。',
    ),
    "plan.needs_tokenizer": (
        "dataset {dataset}: its lengths are counted in tokens, which needs a tokenizer. "
        "Write tokenizer: /folder/with/tokenizer.json, or tokenizer: server.",
        "数据集 {dataset}：长度以 token 计，需要 tokenizer。"
        "请填写 tokenizer: /models/模型目录（其中有 tokenizer.json），或 tokenizer: server。",
    ),
    "plan.no_stable_words": (
        "{source}: no words of this vocabulary keep their length, so exact prompt lengths cannot be had. "
        "Write tokenizer: ids (token ids instead of text).",
        "{source}：该词表中没有长度稳定的单词，无法保证提示词长度精确。请改用 tokenizer: ids（以 token id 代替文本）。",
    ),
    "plan.length_not_exact": (
        "{source}: a prompt of exactly {length} tokens could not be made. "
        "Write tokenizer: ids (token ids instead of text).",
        "{source}：无法生成恰好 {length} 个 token 的提示词。请改用 tokenizer: ids（以 token id 代替文本）。",
    ),
    "plan.ids_not_taken": (
        "backend {backend} takes no token ids, so tokenizer: ids cannot be used with it. "
        "Write tokenizer: /folder/with/tokenizer.json.",
        "后端 {backend} 不接受 token id，不能与 tokenizer: ids 同用。请填写 tokenizer: /models/模型目录（其中有 tokenizer.json）。",
    ),
    # chat templates
    "plan.template_of_none": (
        "chat_template: client needs the model's own tokenizer, and tokenizer: {tokenizer} has no template. "
        "Write tokenizer: /folder/of/the/model, or chat_template: server with a chat backend.",
        "chat_template: client 需要模型自带的 tokenizer，而 tokenizer: {tokenizer} 没有聊天模板。"
        "请填写 tokenizer: /模型目录，或改用 chat_template: server 和聊天后端。",
    ),
    "plan.template_absent": (
        "tokenizer {name} has no chat template. Put one beside its tokenizer.json as chat_template.jinja, or write "
        "chat_template: server with a chat backend.",
        "tokenizer {name} 没有聊天模板。请在其 tokenizer.json 旁放入 chat_template.jinja，"
        "或改用 chat_template: server 和聊天后端。",
    ),
    "plan.template_failed": (
        "The model's chat template refuses the messages of row {row}: {error}. "
        "Change their roles or contents, or leave the row out.",
        "模型的聊天模板拒绝第 {row} 行的消息：{error}。请修改其角色或内容，或去掉该行。",
    ),
    "plan.template_text_only": (
        "chat_template: client makes text of the messages, and row {row} has {kind} in it. "
        "Write chat_template: server and backend: openai-chat.",
        "chat_template: client 把消息变成纯文本，而第 {row} 行含有 {kind}。"
        "请改用 chat_template: server 和 backend: openai-chat。",
    ),
    # lengths
    "plan.lengths_missing": (
        "dataset {dataset} has no lengths of its own. Write both in input_output, e.g. [[1024, 128]].",
        "数据集 {dataset} 自身没有长度信息。请在 input_output 中写明输入与输出长度，例如 [[1024, 128]]。",
    ),
    "plan.shorter_than_template": (
        "input length {length}: the server itself adds {added} tokens to each prompt (chat template, BOS), "
        "nothing is left for the text. Ask for more than {added}.",
        "输入长度 {length}：服务端自身会为每个提示词增加 {added} 个 token（聊天模板、BOS），没有留给文本的空间。"
        "请设置为大于 {added}。",
    ),
    "plan.cannot_differ": (
        "{n} prompts cannot all differ within their first {tokens} token(s): there are only {words} words to use. "
        "Make the prompts longer, or fewer.",
        "{n} 个提示词无法在前 {tokens} 个 token 内两两不同：可用单词只有 {words} 个。请加长提示词或减少数量。",
    ),
    "plan.too_long": (
        "{n} row(s) do not fit into the model's window of {limit} tokens (prompt + output): row(s) {rows}. "
        "Shorten or remove them, or serve the model with a larger --max-model-len.",
        "{n} 行超出模型窗口 {limit} 个 token（提示词 + 输出）：第 {rows} 行。"
        "请缩短或删除这些行，或以更大的 --max-model-len 启动服务。",
    ),
    "plan.proof_sampled": (
        "The tokenizer confirmed the prompts' lengths: all of the first {tokens} tokens, then one prompt in {one_in}.",
        "提示词长度已由 tokenizer 确认：前 {tokens} 个 token 全部确认，其后每 {one_in} 个提示词抽查一个。",
    ),
    # datasets and their options
    "plan.dataset_unknown": ("dataset {name!r} is unknown; {hint}", "未知数据集 {name!r}；{hint}"),
    "plan.bad_options": ("The dataset's options are wrong:\n{problems}", "数据集选项有误：\n{problems}"),
    "plan.option_unknown": (
        "dataset {dataset} has no option {name}; {hint}",
        "数据集 {dataset} 没有选项 {name}；{hint}",
    ),
    "plan.option_missing": (
        "dataset {dataset} needs the option {name}.",
        "数据集 {dataset} 缺少必填选项 {name}。",
    ),
    "plan.option_type": (
        "dataset {dataset}: {name} must be of type {expected}, not {value!r}.",
        "数据集 {dataset}：{name} 应为 {expected} 类型，而不是 {value!r}。",
    ),
    "plan.option_choice": (
        "dataset {dataset}: {name} must be one of {expected}, not {value!r}.",
        "数据集 {dataset}：{name} 应为 {expected} 之一，而不是 {value!r}。",
    ),
    "plan.option_low": (
        "dataset {dataset}: {name} must be at least {limit}, not {value!r}.",
        "数据集 {dataset}：{name} 不能小于 {limit}，现为 {value!r}。",
    ),
    "plan.option_high": (
        "dataset {dataset}: {name} must be at most {limit}, not {value!r}.",
        "数据集 {dataset}：{name} 不能大于 {limit}，现为 {value!r}。",
    ),
    # files
    "plan.file_absent": (
        "{path}: there is no such file. Paths in a config are relative to the config's folder.",
        "{path}：文件不存在。配置中的路径相对于配置文件所在目录。",
    ),
    "plan.file_empty": ("{path}: there are no rows in it.", "{path}：文件中没有任何数据行。"),
    "plan.extra_missing": (
        "{path}: this needs a package that is not installed. Run:  pip install 'pytest-vllm-bench[{extra}]'",
        "{path}：需要尚未安装的包。请运行：pip install 'pytest-vllm-bench[{extra}]'",
    ),
    "plan.file_folder": (
        "{path}: is a folder. Name a file in it (JSONL, JSON, CSV, Parquet).",
        "{path}：是目录。请填写其中的文件（JSONL、JSON、CSV、Parquet）。",
    ),
    "plan.file_special": (
        "{path}: is a device or a pipe, which cannot be read twice. Save what comes out of it in a file.",
        "{path}：是设备或管道，无法重复读取。请将其内容保存为文件。",
    ),
    "plan.file_unreadable": (
        "{path}: cannot be read ({error}). Check its name and its permissions.",
        "{path}：无法读取（{error}）。请检查文件名与权限。",
    ),
    "plan.file_zip": (
        "{path}: is a zip archive or a spreadsheet. Unpack it, or save it as CSV or JSONL.",
        "{path}：是 zip 压缩包或电子表格。请解压，或另存为 CSV、JSONL。",
    ),
    "plan.packed_broken": (
        "{path}: cannot be unpacked ({packing}: {error}). Unpack it yourself, or get the file anew.",
        "{path}：无法解压（{packing}：{error}）。请自行解压，或重新获取该文件。",
    ),
    "plan.grows": (
        "{path}: {packed} KiB become more than {most} MiB when unpacked, which no text does. "
        "If that is meant, unpack the file yourself and name what comes out.",
        "{path}：{packed} KiB 解压后超过 {most} MiB，正常文本不会如此。若确系本意，请自行解压后填写解压得到的文件。",
    ),
    "plan.row_endless": (
        "{path}, line {line}: longer than {most} MiB. A JSONL file has one row a line.",
        "{path} 第 {line} 行：超过 {most} MiB。JSONL 文件应每行一条数据。",
    ),
    "plan.poem_endless": (
        "{path}: longer than the {most} MiB that a poem may have.",
        "{path}：超过诗文文件的上限 {most} MiB。",
    ),
    "plan.read_as": (
        "{path} is not UTF-8 (line {line}): read as {encoding}. Save it as UTF-8 if its words look wrong.",
        "{path} 不是 UTF-8（第 {line} 行）：按 {encoding} 读取。若文字不正确，请将其另存为 UTF-8。",
    ),
    "plan.csv_quote": (
        'line {line}: a quotation mark is opened here and not closed as it should be ({error}). Write "" for one inside '
        "a quoted field, or quote the whole field",
        '第 {line} 行：此处的引号没有正确闭合（{error}）。引号字段内的引号应写成 ""，或给整个字段加引号',
    ),
    "plan.csv_fields": (
        "line {line}: {fields} fields under {columns} headings. Put text that has the delimiter in it in quotation marks",
        "第 {line} 行：{columns} 个列名下有 {fields} 个字段。含有分隔符的文本请加引号",
    ),
    "plan.encoding_line": (
        "{path}, line {line}: not UTF-8 ({error}). Save the file as UTF-8.",
        "{path} 第 {line} 行：不是 UTF-8（{error}）。请将文件另存为 UTF-8。",
    ),
    "plan.list_broken": (
        "{path}, line {line}: not JSON ({error}).",
        "{path} 第 {line} 行：不是合法 JSON（{error}）。",
    ),
    "plan.row_broken": ("{path}, row {row}: not JSON ({error}).", "{path} 第 {row} 条：不是合法 JSON（{error}）。"),
    "plan.parquet_broken": ("{path}: not a Parquet file ({error}).", "{path}：不是合法的 Parquet 文件（{error}）。"),
    "plan.bad_rows": ("{path}: {n} row(s) cannot be used:\n{problems}", "{path}：有 {n} 行无法使用：\n{problems}"),
    "plan.more_problems": ("… and {n} more", "…… 另有 {n} 处"),
    "plan.line_broken": ("line {line}: not JSON ({error})", "第 {line} 行：不是合法 JSON（{error}）"),
    "plan.at_line": ("line {at}", "第 {at} 行"),
    "plan.at_row": ("row {at}", "第 {at} 条"),
    "plan.row_problem": ("{where}: {what}", "{where}：{what}"),
    "plan.row_fine": ("fine", "正常"),
    "plan.row_no_prompt": (
        "no {wanted}; it has: {found}",
        "缺少 {wanted}；现有：{found}",
    ),
    "plan.row_bad_length": (
        "{column} must be a whole number of tokens, 1 or more ({value})",
        "{column} 应为不小于 1 的整数（token 数）（{value}）",
    ),
    "plan.row_bad_prompt": (
        "{column} must be text or a list of chat messages, not {kind}",
        "{column} 应为文本或聊天消息列表，而不是 {kind}",
    ),
    "plan.column_missing": (
        "{path}: no column {wanted}. It has: {found}.",
        "{path}：没有 {wanted} 列。现有列：{found}。",
    ),
    "plan.needs_chat": (
        "The rows are chat messages, which backend {backend} does not take. Write backend: openai-chat, or "
        "chat_template: client.",
        "数据行为聊天消息，后端 {backend} 不支持。请改用 backend: openai-chat，或 chat_template: client。",
    ),
    "plan.conversation_backend": (
        "backend {backend} reads answers in a way of its own, which the measuring process does not know: it cannot put "
        "them into later turns. Write a dataset of single turns, or a backend made of one of ours.",
        "后端 {backend} 用自己的方式读取回答，测量进程无法得知，因而不能把回答放进后续轮次。"
        "请改用单轮数据集，或由内置后端派生的后端。",
    ),
    "plan.too_few_rows": (
        "{path}: {n} requests are asked for, but its rows make only {usable} (rows outside the limits do not count). "
        "Ask for at most {usable}, or write oversample: true to use rows more than once.{why}",
        "{path}：需要 {n} 个请求，但其数据行只能生成 {usable} 个（超出限制的行不计入）。"
        "请将数量设为不超过 {usable}，或写 oversample: true 允许重复使用。{why}",
    ),
    "plan.why": ("\nOf its rows:\n{reasons}", "\n关于其数据行：\n{reasons}"),
    "plan.talk_no_answer": (
        "{n} of {of} conversations left out: nobody answered the question.",
        "已略去 {of} 段对话中的 {n} 段：提问之后没有回答。",
    ),
    "plan.talk_no_question": (
        "{n} of {of} conversations left out: nobody asks anything in them.",
        "已略去 {of} 段对话中的 {n} 段：其中没有提问。",
    ),
    "plan.talk_outside": (
        "{n} of {of} conversations left out: outside the limits (min_prompt, min_output, max_prompt, max_total).",
        "已略去 {of} 段对话中的 {n} 段：超出限制（min_prompt、min_output、max_prompt、max_total）。",
    ),
    "plan.talk_strangers": (
        "{n} of {of} conversations left out: their speakers are called neither user nor assistant, in any known way.",
        "已略去 {of} 段对话中的 {n} 段：说话者的名称不是任何已知的用户或助手写法。",
    ),
    "plan.talk_answer_first": (
        "{n} of {of} conversations begin with an answer: they are read from their first question on.",
        "{of} 段对话中有 {n} 段以回答开头：从其第一个提问开始读取。",
    ),
    "plan.talk_joined": (
        "{n} of {of} conversations have several questions in a row: these are sent as one.",
        "{of} 段对话中有 {n} 段连续提问多次：合并为一次发送。",
    ),
    "plan.talk_tool": (
        "{n} of {of} conversations have results of tools in them: these are sent as the user's words.",
        "{of} 段对话中有 {n} 段含有工具返回结果：作为用户消息发送。",
    ),
    "plan.talk_media": (
        "{n} of {of} conversations have pictures, sound or files among their words: only the words are sent.",
        "{of} 段对话中有 {n} 段夹有图片、音频或文件：只发送文字。",
    ),
    "plan.row_nothing": (
        "{n} of {of} rows left out: they ask nothing.",
        "已略去 {of} 行中的 {n} 行：其中没有提问。",
    ),
    "plan.row_answered": (
        "{n} of {of} rows end with an answer, which is sent with the messages before it.",
        "{of} 行中有 {n} 行以回答结尾，该回答会与前面的消息一起发送。",
    ),
    "plan.media_absent": (
        "{n} of {of} rows left out: the picture, sound or film that they name is not here.",
        "已略去 {of} 行中的 {n} 行：其所指的图片、音频或视频不在本机。",
    ),
    "plan.row_not_chosen": (
        "{n} rows were passed over, beside {of} that were read, as where: says of {what}.",
        "按 where: 对 {what} 的要求略过 {n} 行，另读取 {of} 行。",
    ),
    "plan.none_chosen": (
        "{path}: no row has {where} (dataset.where).",
        "{path}：没有任何一行满足 {where}（dataset.where）。",
    ),
    "plan.not_sent": (
        "{n} of {of} rows have a column {what}, which is not sent.",
        "{of} 行中有 {n} 行含有 {what} 列，该列不会发送。",
    ),
    "plan.sonnet_too_short": (
        "sonnet: {length} tokens leave no room for a line of the prompt's own behind the {prefix} common ones. "
        "Ask for more, or lower prefix_len.",
        "sonnet：输入长度 {length} 减去 {prefix} 个公共前缀 token 后，放不下一行独有的诗句。"
        "请增大输入长度或减小 prefix_len。",
    ),
    "plan.turns_order": (
        "max_turns ({max_turns}) is below turns ({turns}).",
        "max_turns（{max_turns}）小于 turns（{turns}）。",
    ),
    "plan.window_order": (
        "the trace's window ends ({end} s) before it begins ({start} s).",
        "轨迹窗口的结束时间（{end} 秒）早于开始时间（{start} 秒）。",
    ),
    "plan.conversation_ids": (
        "Conversations need text, to put the server's answers in: tokenizer: ids cannot be used with them.",
        "多轮对话需要文本，以便填入服务端的回答：不能使用 tokenizer: ids。",
    ),
    "plan.no_batches": (
        "batch: backend {backend} takes one text a request. Leave batch out, or use an embeddings or rerank backend.",
        "batch：后端 {backend} 每个请求只接受一段文本。请去掉 batch，或改用 embeddings / rerank 后端。",
    ),
    # traces
    "plan.trace_row": (
        "{columns} must be a time and two token counts ({error})",
        "{columns} 应为时间与两个 token 数（{error}）",
    ),
    "plan.trace_left_out": (
        "{n} of {of} recorded requests without prompt or answer were left out.",
        "已略去 {of} 条记录中没有提示词或回答的 {n} 条。",
    ),
    "plan.trace_falls": (
        "{n} of {of} recorded requests are earlier than the one before: they are sent in the order of their times.",
        "{of} 条记录中有 {n} 条早于前一条：按时间顺序发送。",
    ),
    "plan.trace_again": (
        "{n} of {of} recorded requests are equal to the one before in everything: they are sent as often as they stand "
        "there.",
        "{of} 条记录中有 {n} 条与前一条完全相同：按出现次数照常发送。",
    ),
    "plan.trace_blocks": (
        "{ids} hash_ids for {length} tokens; with blocks of {block} tokens they would be {blocks}",
        "{length} 个 token 有 {ids} 个 hash_ids；按每块 {block} 个 token 应为 {blocks} 个",
    ),
    "plan.trace_block": (
        "block: {block} fits all rows: write it as an option of the dataset",
        "block: {block} 适用于所有行：请写入数据集选项",
    ),
    "plan.trace_no_block": (
        "no block size fits all rows: leave hash_ids out, or mend them",
        "没有适用于所有行的块大小：请去掉 hash_ids，或修正它们",
    ),
    "plan.trace_worth": (
        "the trace: {n} requests in {lasting}, {rate} a second on average; {asked} prompt and {answered} answer tokens",
        "轨迹：{n} 个请求，历时 {lasting}，平均每秒 {rate} 个；提示词 {asked} 个 token，回答 {answered} 个 token",
    ),
    "plan.trace_odd": (
        "the trace: {n} requests in {lasting}, {rate} a second on average; {asked} prompt and {answered} "
        "answer tokens. If that is not what it was, its times are in another unit: write unit: s, ms, us or ns",
        "轨迹：{n} 个请求，历时 {lasting}，平均每秒 {rate} 个；提示词 {asked} 个 token，回答 {answered} 个 token。"
        "若与实际不符，说明时间采用了其他单位：请写 unit: s、ms、us 或 ns",
    ),
    "plan.trace_lengths": (
        "the trace: {n} requests at a rate of the config's; {asked} prompt and {answered} answer tokens",
        "轨迹：{n} 个请求，速率由配置决定；提示词 {asked} 个 token，回答 {answered} 个 token",
    ),
    "plan.trace_endless": (
        "The trace would last {lasting} ({n} requests, {rate} a second on average). Write end: or speed:, a number of "
        "prompts or a duration; or unit: ms (us, ns) if its times are not in seconds.",
        "该轨迹将持续 {lasting}（{n} 个请求，平均每秒 {rate} 个）。请写 end: 或 speed:、请求数或时长；"
        "若时间单位不是秒，请写 unit: ms（us、ns）。",
    ),
    # media
    "plan.no_media": (
        "random_mm needs images or video_frames above 0. For text alone use dataset: random.",
        "random_mm 需要 images 或 video_frames 大于 0。纯文本请使用 dataset: random。",
    ),
    "plan.media_not_taken": (
        "backend {backend} takes no {kind} input. For images, audio and video in chat write backend: openai-chat.",
        "后端 {backend} 不支持 {kind} 输入。聊天中的图像、音频、视频请使用 backend: openai-chat。",
    ),
    "plan.media_broken": (
        "{path}: cannot be read ({error}). Replace or remove the file.",
        "{path}：无法读取（{error}）。请替换或删除该文件。",
    ),
    "plan.media_none": (
        "{path}: no file of the kinds {kinds} in it.",
        "{path}：其中没有 {kinds} 类型的文件。",
    ),
    "plan.media_row": ("{path}, row {row}: {what}", "{path} 第 {row} 行：{what}"),
    "plan.media_unnamed": (
        "row {row}: names no {kind} (a path, an http(s) or data URL, or bytes).",
        "第 {row} 行：未给出 {kind}（路径、http(s) 或 data URL，或字节内容）。",
    ),
    # the hub
    "plan.hub_unreachable": (
        "dataset {path}: no such folder here, and the hub cannot be reached ({error}). Download it where there is a "
        "network (huggingface-cli download {path} --repo-type dataset) and give its folder as path, set HF_ENDPOINT "
        "to a mirror, or HF_HUB_OFFLINE=1 if it is in the cache already.",
        "数据集 {path}：本机没有该目录，且无法连接 hub（{error}）。请在有网络的环境下载"
        "（huggingface-cli download {path} --repo-type dataset）并把目录填入 path；或将 HF_ENDPOINT 设为镜像地址；"
        "若已在缓存中，可设置 HF_HUB_OFFLINE=1。",
    ),
    "plan.hf_failed": (
        "dataset {path} (subset {subset}, split {split}): cannot be loaded ({error}).",
        "数据集 {path}（subset {subset}，split {split}）：无法加载（{error}）。",
    ),
    "plan.oversampled": (
        "Rows were used more than once: {rows} rows for {n} requests (oversample).",
        "数据行被重复使用：{rows} 行用于 {n} 个请求（oversample）。",
    ),
}
