// Which engine answers a request: the models that a supervisor runs, as an HTTP server sees them.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/remote_models.h"
#include "supervise/supervisor.h"

namespace tutti {

class Gateway final : public RemoteModels {
 public:
  /// The replicas that there are now, of a supervisor; call it whenever they have changed. Any
  /// thread.
  void update(const std::vector<ReplicaView>& replicas);

  std::optional<Result<std::shared_ptr<EnginePlace>>> find_place(const PlaceQuery& query) override;
  std::vector<ModelCard> cards() const override;
  Status ready() const override;
  std::vector<EngineAddress> engines() const override;

  /// Models that are not running, or not yet, and that a request may wait for: whoever asks for one
  /// has `load` called, from any thread, and waits until it is ready or has failed.
  void set_on_demand(std::vector<std::string> models);
  void load_with(std::function<void(const std::string& model)> load);

  /// More members of a model's JSON object in lists (ModelCard::members). Called under no lock.
  void describe_with(std::function<std::string(const std::string& model)> describe);

  /// How long a model that runs has had no request under way; nullopt: it has some, or is not
  /// ready.
  std::optional<std::chrono::steady_clock::duration> idle_for(const std::string& model);

  /// Tokens that requests have taken places for and not yet given back, over all engines: an
  /// estimate.
  int64_t outstanding_tokens() const;

 private:
  using Tokens = std::shared_ptr<std::atomic<int64_t>>;

  struct Engine {
    ReplicaView view;
    Tokens outstanding;  ///< of requests under way at this process, about
  };

  class Place;
  using Engines = std::vector<Engine>;

  Tokens tokens_of(const ReplicaView& view) const;
  static const Engine& choose(const std::vector<const Engine*>& ready, uint64_t prefix);
  static Status why_none(const std::string& model, const Engines& engines);
  std::optional<Result<std::shared_ptr<EnginePlace>>> find_known(const PlaceQuery& query,
                                                                 std::string& to_load);
  std::vector<std::string> names_locked() const;

  mutable std::mutex mutex_;
  std::map<std::string, Engines> models_;  // by name; of each replica its process, or its last
  std::map<std::string, std::chrono::steady_clock::time_point> last_used_;  // of those in models_
  std::vector<std::string> on_demand_;
  std::vector<std::shared_ptr<Waker>> waiting_;  // requests, for a model to become ready
  std::function<void(const std::string&)> load_;
  std::function<std::string(const std::string&)> describe_;
};

}  // namespace tutti
