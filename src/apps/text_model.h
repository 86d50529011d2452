// A model with everything around it: ranks, engine, tokenizer, chat template, defaults.
#pragma once
#include <memory>
#include <set>
#include <string>

#include "apps/common.h"
#include "engine/text_engine.h"

namespace tutti {

struct TextModel {
  std::shared_ptr<TextEngine> engine;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< nullptr: the directory has no tokenizer.json
  std::shared_ptr<const ChatTemplate> chat_template;  ///< nullptr: none there
  std::string description;                            ///< one line for the operator
  std::set<std::string> gpus;                         ///< UUIDs of those that ranks run on
};

/// What the model is loaded for: token ids alone; whatever it can do, with a line in the log about
/// what it cannot; or chats, without which it is not worth loading.
enum class TextNeeds { kIds, kServe, kChat };

/// `name`: what the model is called in the API; empty = from the flags. `progress`: told when
/// loading begins, then as it goes on.
Result<TextModel> load_text_model(const ModelFlags& flags,
                                  const std::string& name,
                                  TextNeeds needs,
                                  const EngineConfig& engine = {},
                                  LoadProgressSink progress = {});

}  // namespace tutti
