// tutti generate: continue given token ids; the scriptable counterpart of `tutti run`.
#include <iostream>

#include "apps/collector.h"
#include "apps/text_model.h"
#include "base/log.h"

namespace tutti {

namespace {

constexpr int64_t kMaxTokens = 128;  // unless --max-tokens says more

void print(const Collector& result, bool has_text, bool json) {
  if (json) {
    JsonArray ids;
    for (const int32_t id : result.tokens()) {
      ids.emplace_back(static_cast<int64_t>(id));
    }
    Json out = Json::object({{"ids", std::move(ids)}});
    if (has_text) {
      out.as_object().set("text", result.content());
    }
    out.as_object().set("finish_reason", to_string(result.finish()));
    std::cout << to_string(out) << "\n";
  } else if (has_text) {
    std::cout << result.content() << "\n";
  } else {
    std::cout << fmt::format("{}\n", fmt::join(result.tokens(), " "));
  }
}

Status generate(const GenerateOptions& options) {
  set_log_level(LogLevel::kWarn);
  TUTTI_TRY(const TextModel model, load_text_model(options.model, "", TextNeeds::kIds));
  GenerationRequest request;
  TUTTI_TRY(request.prompt, read_ids(options.ids_file, model.engine->info().vocab_size));
  if (options.parameters.any_sampling()) {
    request.sampling = model.engine->defaults().sampling;
  } else {
    request.sampling.temperature = 0.0F;
  }
  request.max_tokens = kMaxTokens;
  options.parameters.apply(request);
  request.request_id = "generate";
  auto sink = std::make_shared<Collector>();
  const InterruptGuard guard;
  TUTTI_TRY(const uint64_t id, model.engine->generate(std::move(request), sink));
  bool cancelled = false;
  HangWatch hang;
  TUTTI_RETURN_IF_ERROR(sink->wait([&] {
    if (!cancelled && InterruptGuard::count() > 0) {
      model.engine->cancel(id);
      cancelled = true;
    }
    hang.look(*model.engine);
  }));
  print(*sink, model.tokenizer != nullptr, options.json);
  return ok_status();
}

}  // namespace

int generate_command(const GenerateOptions& options) {
  const Status status = generate(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
