#include "apps/text_model.h"

#include <charconv>

#include "apps/launch_plan.h"
#include "apps/machine_inventory.h"
#include "apps/model_parts.h"
#include "base/file.h"
#include "base/log.h"
#include "base/option_names.h"
#include "base/units.h"
#include "base/wall_clock.h"
#include "engine/generation_config.h"
#include "engine/tokenizer_text.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tutti {

namespace {

// Of the name of a pool, "cuda:3 (NVIDIA H200)"; -1: it is no GPU's.
int64_t cuda_index_of(const std::string& pool) {
  constexpr std::string_view kPrefix = "cuda:";
  int64_t index = -1;
  if (pool.starts_with(kPrefix)) {
    std::from_chars(pool.data() + kPrefix.size(), pool.data() + pool.size(), index);
  }
  return index;
}

}  // namespace

Result<TextModel> load_text_model(const ModelFlags& flags,
                                  const std::string& name,
                                  TextNeeds needs,
                                  const EngineConfig& engine,
                                  LoadProgressSink progress) {
  TUTTI_TRY(ModelLoadOptions options, load_options(flags));
  options.progress = std::move(progress);
  TextModel model;
  if (const std::string missing = missing_for_chat(options.directory); !missing.empty()) {
    if (needs == TextNeeds::kChat) {
      return Status(StatusCode::kUnsupported, missing);
    }
    if (needs == TextNeeds::kServe) {
      log_warn("{}", missing);
    }
  }
  if (Tokenizer::is_in(options.directory)) {
    TUTTI_TRY(model.tokenizer, Tokenizer::load(options.directory));
    options.vocab_limit = model.tokenizer->vocab_size();
    Result<std::shared_ptr<const ChatTemplate>> chat_template =
        ChatTemplate::load(options.directory);
    if (chat_template.ok()) {
      model.chat_template = std::move(chat_template).value();
    } else if (chat_template.status().code() != StatusCode::kNotFound) {
      return std::move(chat_template).status();
    }
  }
  TUTTI_TRY(GenerationDefaults defaults,
            load_generation_defaults(
                options.directory,
                model.tokenizer ? model.tokenizer->eos_id() : std::optional<int32_t>()));
  TUTTI_TRY(const PlannedFlags planned, plan_before_loading(flags, options));
  options.ranks = planned.flags.tp;
  if (options.progress) {
    options.progress({});
  }
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(planned.flags));
  TUTTI_TRY(std::unique_ptr<RankedModelRunner> runner,
            load_runner(planned.flags, *backend, options));
  if (planned.gpus_shown > 0) {
    remember_good_start(planned.gpus_shown);
  }
  for (const MemoryPool& pool : backend->memory_pools(runner->ranks())) {
    const auto uuid = planned.uuids.find(cuda_index_of(pool.name));
    if (uuid != planned.uuids.end()) {
      model.gpus.insert(uuid->second);
    }
  }
  const RunnerLimits& limits = runner->limits();
  const std::string& left_out =
      planned.left_out.empty() ? runner->rank_choice().left_out : planned.left_out;
  model.description =
      fmt::format("{} on {}, {} rank{}, weights {}, KV cache {} ({} tokens), context {}{}",
                  runner->config().architecture,
                  backend->describe(runner->rank_choice()),
                  runner->ranks(),
                  runner->ranks() == 1 ? "" : "s",
                  format_bytes(runner->weight_bytes()),
                  format_bytes(runner->kv_bytes()),
                  limits.num_blocks * limits.block_size,
                  limits.max_context,
                  left_out.empty() ? "" : "; " + spell_options(left_out, &as_flag));
  TextEngineParts parts;
  parts.info = {.id = name.empty() ? display_name(flags.model) : name,
                .created_unix = unix_now(),
                .architecture = runner->config().architecture,
                .ranks = runner->ranks()};
  parts.defaults = std::move(defaults);
  parts.engine = engine;
  parts.engine.prefix_cache = !flags.no_prefix_cache;
  // Later than the ranks' own time-outs, which name who is missing: only a wait inside a driver
  // comes to this.
  parts.engine.step_timeout = options.step_timeout + 2 * RankGroupOptions().grace;
  parts.runner = std::move(runner);
  parts.tokenizer = model.tokenizer;
  parts.chat_template = model.chat_template;
  parts.text = make_token_text(model.tokenizer);
  model.engine = std::make_shared<TextEngine>(std::move(parts));
  return model;
}

}  // namespace tutti
