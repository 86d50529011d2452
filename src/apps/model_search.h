// From what a user types as MODEL to a directory: a path, or a name in $TUTTI_HOME/models or the
// cache of Hugging Face's hf tool.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"

namespace tutti {

struct Environment;

/// $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XINFERENCE_HOME/huggingface,
/// $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub: as huggingface_hub finds it, and
/// Xinference sets it. `get` gives a variable, "" if it is unset.
std::string hub_cache(std::string (*get)(const char* variable));

/// A model's directory, or one of its files, as the directory; a folder models--ORG--NAME of the
/// cache as its snapshot; a name by searching. The error says where was looked, what is there
/// instead, and how to get the model.
Result<std::string> find_model(const std::string& model, const Environment& environment);

/// The same, and for a name of the catalogue (tutti models), as "deepseek-r1", what its repository
/// is called in the cache.
Result<std::string> find_listed_model(const std::string& model, const Environment& environment);

/// Whether what was typed is neither a path nor anything that a model can be called, so that it
/// must be something else: "Sort 9, 4, 7", "3+4", "你好".
bool can_be_no_model(const std::string& typed);

/// What the API calls it: ORG/NAME for a model of the cache, the directory's name for a path, else
/// what was typed; "tiny-r1" for the default model.
std::string display_name(const std::string& model);

/// Ok if a model can be loaded from `directory`, as far as its files' names tell. The error names
/// what is there instead, and the next step.
Status check_model_directory(const std::string& directory);

/// "a, b, c, …": as many names as `most`, and a mark where there are more.
std::string listed(const std::vector<std::string>& names, size_t most);

}  // namespace tutti
