#include "apps/foreign_flags.h"

#include <algorithm>
#include <array>

namespace tutti {

namespace {

constexpr const char* kModel = "MODEL";

constexpr auto kFlags = std::to_array<ForeignFlag>({
    // clang-format off
    {"--max-model-len --context-length", "vLLM, SGLang, Xinference", "--context", ""},
    {"--tensor-parallel-size --tp-size -tp", "vLLM, SGLang", "--tp", ""},
    {"--max-num-seqs --max-running-requests", "vLLM, SGLang", "--max-batch-sequences", ""},
    {"--max-num-batched-tokens", "vLLM", "--max-batch-tokens", ""},
    {"--no-enable-prefix-caching --disable-radix-cache", "vLLM, SGLang", "--no-prefix-cache", ""},
    {"--model --model-path -m", "vLLM, SGLang, llama.cpp, Xinference", kModel, ""},
    {"--alias -a --model-uid", "llama.cpp, Xinference", "--served-model-name", ""},
    {"-H", "Xinference", "--host", ""},
    {"--temp", "llama.cpp", "--temperature", ""},
    {"--n-predict --predict", "llama.cpp", "--max-tokens", ""},
    {"--system-prompt -sys", "llama.cpp", "--system", ""},
    {"-n", "llama.cpp, vLLM, Xinference", "", "means different things elsewhere; here --max-tokens bounds an answer, and a model is named without a flag"},
    {"-t", "llama.cpp, Xinference", "", "means different things elsewhere; here --threads is the number of CPU threads"},
    {"--ctx-size --num-ctx -c", "llama.cpp, Ollama, Xinference", "", "use --context, the tokens of each sequence (not of all together)"},
    {"--gpu-memory-utilization --mem-fraction-static --kv-cache-memory-bytes", "vLLM, SGLang", "", "use --kv-memory, for example 20GiB; without it the KV cache gets what the weights leave"},
    {"--n-gpu --num-gpus --gpu-idx --main-gpu -mg --tensor-split -ts --split-mode -sm", "Xinference, llama.cpp", "", "use --gpus, a number of GPUs or a list such as 0,2; without it the model takes as many as it can use"},
    {"--n-gpu-layers --gpu-layers -ngl", "llama.cpp", "", "a model is on the GPUs whole: --gpus chooses them, --device cpu uses none"},
    {"--pipeline-parallel-size --pp-size -pp --data-parallel-size --dp-size -dp --enable-expert-parallel --ep-size --nnodes --node-rank", "vLLM, SGLang", "", "not supported; a model is split over the GPUs of one machine with --tp"},
    {"--distributed-executor-backend", "vLLM", "", "ranks are threads of one process; leave it out, --tp is enough"},
    {"--dtype", "vLLM, SGLang", "", "use --compute, f32 or bf16"},
    {"--kv-cache-dtype --cache-type-k --cache-type-v -ctk -ctv", "vLLM, SGLang, llama.cpp, Xinference", "", "the KV cache has the type of --compute"},
    {"--quantization --model-format --size-in-billions", "vLLM, SGLang, Xinference", "", "the files of MODEL say it; leave it out"},
    {"--model-name --model-engine --model-type", "Xinference", "", "write the model as MODEL, a directory or ORGANISATION/NAME, without a flag"},
    {"--hf-repo --hf-file -hf -hfr --model-url -mu --download-dir", "llama.cpp, vLLM, SGLang", "", "MODEL is looked up in $TUTTI_HOME/models and the Hugging Face cache: hf download ORGANISATION/NAME, then give that name as MODEL"},
    {"--tokenizer --tokenizer-path --chat-template --jinja --generation-config", "vLLM, SGLang, llama.cpp", "", "it comes with the files of MODEL; leave it out"},
    {"--tool-call-parser --enable-auto-tool-choice --reasoning-parser --reasoning-format", "vLLM, SGLang, llama.cpp", "", "MODEL's chat template says how it writes tool calls and reasoning; leave it out"},
    {"--trust-remote-code", "vLLM, SGLang, Xinference", "", "no code that comes with MODEL is ever run; leave it out"},
    {"--parallel -np", "llama.cpp", "", "use --max-batch-sequences; each sequence has its own --context"},
    {"--batch-size -b --ubatch-size -ub --chunked-prefill-size --max-prefill-tokens", "llama.cpp, SGLang, vLLM", "", "use --max-batch-tokens, the tokens of one step"},
    {"--enable-prefix-caching", "vLLM", "", "prefixes are cached unless --no-prefix-cache is given; leave it out"},
    {"--enforce-eager --disable-cuda-graph --flash-attn -fa --attention-backend --block-size --page-size --swap-space --mlock --no-mmap", "vLLM, SGLang, llama.cpp", "", "there is nothing to choose; leave it out"},
    {"--disable-log-requests --no-enable-log-requests --uvicorn-log-level", "vLLM", "", "use --log-level warning, which leaves the line of each request out"},
    {"--ssl-keyfile --ssl-key-file", "vLLM, SGLang, llama.cpp", "--tls-key", ""},
    {"--ssl-certfile --ssl-cert-file", "vLLM, SGLang, llama.cpp", "--tls-cert", ""},
    {"--api-key-file", "llama.cpp", "", "use the variable TUTTI_API_KEY, or --api-key"},
    {"--repeat-penalty", "llama.cpp", "", "use --repetition-penalty, which counts all tokens and not only the last 64"},
    {"--prompt -p", "llama.cpp, Xinference", "", "write the prompt behind the model, without a flag; the port is --port"},
    {"--keepalive --keep-alive", "Ollama", "", "a model stays loaded while the program runs; leave it out"},
    {"--seed --random-seed --temperature --top-k --top-p --min-p", "vLLM, SGLang, llama.cpp", "", "each request says it: the fields seed, temperature, top_k, top_p and min_p"},
    {"--override-generation-config --max-logprobs --repeat-last-n --samplers --sampling-seq", "vLLM, llama.cpp", "", "generation_config.json of MODEL has the defaults of sampling; each request can say otherwise"},
    {"--cpu-offload-gb --n-cpu-moe -ncmoe --cpu-moe -cmoe --override-tensor -ot --fit", "vLLM, SGLang, llama.cpp", "", "a model is on the GPUs whole, or on the CPU: tutti plan MODEL says what fits"},
    {"--enable-lora --lora-modules --lora-paths --lora", "vLLM, SGLang, llama.cpp, Xinference", "", "adapters are not supported; merge them into MODEL first"},
    {"--speculative-config --speculative-algorithm --model-draft -md", "vLLM, SGLang, llama.cpp", "", "speculative decoding is not supported; leave it out"},
    {"--guided-decoding-backend --structured-outputs-config --grammar-backend --grammar --json-schema -j", "vLLM, SGLang, llama.cpp", "", "a request says what its answer must be: response_format or structured_outputs; leave it out"},
    {"--limit-mm-per-prompt --mmproj -mm", "vLLM, llama.cpp", "", "models of text alone are supported"},
    {"--rope-scaling --rope-freq-base --rope-freq-scale --yarn-orig-ctx --hf-overrides", "vLLM, llama.cpp", "", "config.json of MODEL says it; --context chooses the length"},
    {"--revision --tokenizer-revision", "vLLM, SGLang", "", "give the directory of that snapshot of the Hugging Face cache as MODEL"},
    {"--enable-chunked-prefill --async-scheduling --cont-batching -cb --enable-torch-compile --compilation-config --schedule-policy --numa", "vLLM, SGLang, llama.cpp", "", "there is nothing to choose; leave it out"},
    {"--enable-metrics --metrics --slots --props", "SGLang, llama.cpp", "", "/metrics is always there; leave it out"},
    {"--no-webui --webui --no-ui --path", "llama.cpp", "", "there is no web page but the list of routes at /; leave it out"},
    {"--is-embedding --embedding --embeddings --reranking --rerank --runner --task --convert", "vLLM, SGLang, llama.cpp", "", "models that generate text are supported, no others"},
    {"--threads-batch -tb", "llama.cpp", "", "use --threads, for prompts and answers"},
    {"--conversation -cnv --interactive -i --single-turn -st", "llama.cpp", "", "tutti run MODEL chats; with a prompt behind it, it answers once"},
    {"--verbose -v --log-verbose", "llama.cpp, Ollama", "", "use --log-level debug with tutti serve; tutti run says its speed anyhow"},
    {"--nowordwrap --hidethinking", "Ollama", "", "there is nothing to choose; tutti run -q MODEL \"PROMPT\" prints the answer alone"},
    {"--think --enable-thinking --reasoning-budget", "Ollama, Xinference, llama.cpp", "", "a request says it: \"chat_template_kwargs\": {\"enable_thinking\": false}, if the model can"},
    {"--format", "Ollama", "", "a request says what its answer must be: response_format; leave it out"},
    {"--endpoint --replica --worker-ip --supervisor-address", "Xinference", "", "tutti launch takes --endpoint and --replica, for a server of tutti serve --empty or -f; there is one machine"},
    {"--root-path --fastapi-root-path --api-prefix", "vLLM, SGLang, llama.cpp", "", "not supported; have the proxy take the prefix away"},
    // clang-format on
});

// "--max_model_len" is "--max-model-len" to vLLM.
std::string normal(std::string_view flag) {
  std::string out(flag);
  if (out.starts_with("--")) {
    std::replace(out.begin(), out.end(), '_', '-');
  }
  return out;
}

bool holds(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t space = std::min(words.find(' '), words.size());
    if (words.substr(0, space) == word) {
      return true;
    }
    words.remove_prefix(std::min(space + 1, words.size()));
  }
  return false;
}

const ForeignFlag* find(std::string_view flag) {
  const auto* found = std::find_if(
      kFlags.begin(), kFlags.end(), [&](const ForeignFlag& row) { return holds(row.flags, flag); });
  return found == kFlags.end() ? nullptr : found;
}

}  // namespace

std::span<const ForeignFlag> foreign_flags() {
  return kFlags;
}

Result<std::vector<std::string>> translate_foreign_flags(const std::vector<std::string>& args,
                                                         const KnownFlags& known) {
  std::vector<std::string> out;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "--") {
      out.insert(out.end(), args.begin() + static_cast<std::ptrdiff_t>(i), args.end());
      break;
    }
    const size_t equals = arg.starts_with("--") ? arg.find('=') : std::string::npos;
    const std::string typed = arg.substr(0, equals);
    const bool flag = typed.size() > 1 && typed[0] == '-';
    if (flag && known.has(typed)) {
      out.push_back(arg);
      if (equals == std::string::npos && known.takes_value(typed) && i + 1 < args.size()) {
        out.push_back(args[++i]);
      }
      continue;
    }
    const ForeignFlag* row = flag ? find(normal(typed)) : nullptr;
    if (row == nullptr) {
      out.push_back(arg);
      continue;
    }
    const std::string_view same = row->same;
    if (same.empty()) {
      return invalid("{}: {}", typed, row->advice);
    }
    const bool model = same == kModel;
    if (!model && !known.has(same)) {
      return invalid("{}: is {} here, which this command does not take", typed, same);
    }
    const bool value = model || known.takes_value(same);
    if (value && equals == std::string::npos && i + 1 == args.size()) {
      return invalid("{}: a value must follow; it is {} here", typed, same);
    }
    const std::string given = !value                        ? ""
                              : equals != std::string::npos ? arg.substr(equals + 1)
                                                            : args[++i];
    if (model) {
      out.insert(out.begin(), given);
    } else {
      out.emplace_back(same);
      if (value) {
        out.push_back(given);
      }
    }
  }
  return out;
}

}  // namespace tutti
