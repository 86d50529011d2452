// Which engine answers a request: the models that a supervisor runs, as an HTTP server sees them.
#pragma once
#include <atomic>
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

  mutable std::mutex mutex_;
  std::map<std::string, Engines> models_;  // by name; of each replica its process, or its last
};

}  // namespace tutti
