// Models as Ollama's clients list them. What this server does not know (sizes of files, digests) is
// zero or empty.
#include "base/wall_clock.h"
#include "serve/ollama/ollama.h"

namespace tutti {

namespace {

Json details(const std::string& architecture) {
  return Json::object({{"parent_model", ""},
                       {"format", "safetensors"},
                       {"family", architecture},
                       {"families", architecture.empty() ? Json() : Json::array({architecture})},
                       {"parameter_size", ""},
                       {"quantization_level", ""}});
}

Json card_json(const ModelCard& card) {
  return Json::object({{"name", card.id},
                       {"model", card.id},
                       {"modified_at", utc_text(card.created_unix)},
                       {"size", 0},
                       {"digest", ""},
                       {"details", details("")}});
}

// Whatever the model's template makes of a short chat shows what it can do.
bool can_call_tools(const LanguageModel& model) {
  ChatInput chat;
  chat.messages = Json::array({Json::object({{"role", "user"}, {"content", "x"}})});
  chat.tools = std::make_shared<const Json>(Json::array({Json::object(
      {{"type", "function"},
       {"function", Json::object({{"name", "x"}, {"parameters", Json::object()}})}})}));
  const Result<Prompt> prompt = model.prepare(chat);
  return prompt.ok() && prompt->form.calls != nullptr;
}

bool can_think(const LanguageModel& model) {
  ChatInput chat;
  chat.messages = Json::array({Json::object({{"role", "user"}, {"content", "x"}})});
  const Result<Prompt> prompt = model.prepare(chat);
  return prompt.ok() && prompt->form.reasoning != nullptr;
}

}  // namespace

Json ollama_show(const LanguageModel& model) {
  const ModelInfo& info = model.info();
  JsonArray capabilities{"completion"};
  if (can_call_tools(model)) {
    capabilities.push_back("tools");
  }
  if (can_think(model)) {
    capabilities.push_back("thinking");
  }
  return Json::object({{"modelfile", ""},
                       {"parameters", ""},
                       {"template", ""},
                       {"license", ""},
                       {"modified_at", utc_text(info.created_unix)},
                       {"details", details(info.architecture)},
                       {"model_info",
                        Json::object({{"general.architecture", info.architecture},
                                      {info.architecture + ".context_length", info.max_context},
                                      {info.architecture + ".vocab_size", info.vocab_size}})},
                       {"capabilities", std::move(capabilities)}});
}

Json ollama_tags(const ServerFacts& facts) {
  JsonArray models;
  for (const ModelCard& card : facts.models) {
    models.push_back(card_json(card));
  }
  return Json::object({{"models", std::move(models)}});
}

Json ollama_ps(const ServerFacts& facts) {
  JsonArray models;
  for (const ModelCard& card : facts.models) {
    if (card.max_context == 0) {
      continue;  // loaded when it is asked for
    }
    Json one = card_json(card);
    one.as_object().append("expires_at", "9999-12-31T23:59:59Z");
    one.as_object().append("size_vram", 0);
    one.as_object().append("context_length", card.max_context);
    models.push_back(std::move(one));
  }
  return Json::object({{"models", std::move(models)}});
}

}  // namespace tutti
