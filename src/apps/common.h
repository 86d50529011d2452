// What the commands share: finding models, choosing a backend, reporting errors and progress.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/model_search.h"
#include "apps/options.h"
#include "backend/backend.h"
#include "engine/ranks/ranked_model_runner.h"

namespace tutti {

/// Prints "tutti: message" to stderr and returns the exit code of the status.
int fail(const Status& status);

/// Path of this program, even if another version has been installed over it meanwhile.
inline constexpr const char* kThisProgram = "/proc/self/exe";

/// Environment, read in one place.
struct Environment {
  std::string home;                            ///< $TUTTI_HOME, else ~/.tutti
  std::string user_home;                       ///< $HOME
  std::string hf_cache;                        ///< see hub_cache()
  std::string state;                           ///< $XDG_STATE_HOME/tutti, else
                                               ///< ~/.local/state/tutti; "" without a home
  std::string runtime;                         ///< $XDG_RUNTIME_DIR, else /tmp
  std::string terminal;                        ///< $TERM
  bool colour = true;                          ///< no, if $NO_COLOR is set or $TERM is dumb
  std::string xinference_home;                 ///< $XINFERENCE_HOME, with models of Xinference
  std::string program;                         ///< directory of the executable
  std::string api_key;                         ///< $TUTTI_API_KEY
  std::string endpoint;                        ///< $TUTTI_ENDPOINT, else $XINFERENCE_ENDPOINT
  std::optional<std::string> visible_devices;  ///< $CUDA_VISIBLE_DEVICES; empty hides every GPU
};

Environment read_environment();

/// Every variable, for the inventory of the machine.
std::map<std::string, std::string> all_variables();

Result<std::unique_ptr<Backend>> choose_backend(const ModelFlags& flags);

using LoadProgressSink = std::function<void(const LoadProgress&)>;

/// Loads with a progress bar on a terminal, unless the options have another use for the progress.
Result<std::unique_ptr<RankedModelRunner>> load_runner(const ModelFlags& flags,
                                                       Backend& backend,
                                                       ModelLoadOptions options);

/// What the model runs on, and what is left out and why: "4 x NVIDIA H200 (cuda:0-3); cuda:4-7 left
/// out: --tp 4 takes 4 GPUs".
std::string describe_devices(const Backend& backend, const RankedModelRunner& runner);

/// ModelLoadOptions from the flags, with the directory resolved.
Result<ModelLoadOptions> load_options(const ModelFlags& flags);

/// Ids separated by commas, spaces or newlines. `path` is read once: it may be a pipe.
Result<std::vector<int32_t>> read_ids(const std::string& path, int64_t vocab_size);
/// The same check against a vocabulary that was not known when `path` was read.
Status check_ids(const std::string& path, std::span<const int32_t> ids, int64_t vocab_size);

}  // namespace tutti
