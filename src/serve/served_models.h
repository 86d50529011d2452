// The models a server offers right now. Thread-safe; starts empty, so that the server can listen
// while the model loads.
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/language_model.h"

namespace tutti {

/// What a request is told whose model is not among `names`: kNotFound, or kInvalidArgument if it
/// names none.
Status no_such_model(const std::optional<std::string>& id, const std::vector<std::string>& names);

/// The one of `names` that is meant: Ollama's clients put ":latest" behind names. `name` itself if
/// there is none.
std::string meant_model(const std::string& name, const std::vector<std::string>& names);

class ServedModels {
 public:
  ServedModels();

  /// kInvalidArgument if a model of that name is already served.
  Status add(std::shared_ptr<LanguageModel> model);
  bool remove(const std::string& id);
  /// What requests are told while there is no model (default: it is still loading).
  void set_reason(Status why_there_is_none);

  /// No id means the only model. kUnavailable while there is none; kNotFound names those there are.
  Result<std::shared_ptr<LanguageModel>> find(const std::optional<std::string>& id) const;
  std::vector<std::shared_ptr<LanguageModel>> all() const;
  /// ok if at least one model takes requests.
  Status ready() const;
  /// kDevice with the cause if one of the models has failed for good: only a new process mends it.
  Status live() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<LanguageModel>> models_;
  Status reason_;
};

}  // namespace tutti
