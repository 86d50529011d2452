// Ollama's API: chats and prompts, and what its clients ask of a server beside them.
#pragma once
#include <memory>

#include "serve/dialect.h"

namespace tutti {

const Dialect& ollama_dialect();

/// Its routes that take a body, by their numbers.
enum class OllamaRoute { kChat = 0, kGenerate = 1, kShow = 2 };

std::unique_ptr<ReplyFormat> make_ollama_format(OllamaRoute route, ReplyEnvelope envelope);

/// The answer to a request that generates nothing: clients send one to have a model loaded.
std::string ollama_loaded(OllamaRoute route, const std::string& model);

/// What /api/show, /api/tags and /api/ps tell.
Json ollama_show(const LanguageModel& model);
Json ollama_tags(const ServerFacts& facts);
Json ollama_ps(const ServerFacts& facts);

}  // namespace tutti
