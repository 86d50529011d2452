// The models of a server that are wanted, and the engines that serve them: launches come and go,
// are kept over a restart, loaded by their first request and unloaded when nobody asks.
// Thread-safe.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serve/waker.h"
#include "supervise/gateway.h"
#include "supervise/launch_spec.h"
#include "supervise/store.h"
#include "supervise/supervisor.h"

namespace tutti {

struct LaunchView {
  LaunchSpec spec;
  int64_t created_unix = 0;
  bool loaded = false;                ///< engines are wanted now, not only when a request comes
  std::vector<ReplicaView> replicas;  ///< in the order of their starts; empty while not loaded

  bool ready() const;  ///< all replicas take requests
  bool any_ready() const;
  bool failed() const;          ///< one will not come up, and none has
  const Status& error() const;  ///< of the first replica that has one; ok if none has
};

class Launches {
 public:
  struct Config {
    SupervisorConfig supervisor;  ///< on_change and arguments are the launches' own
    std::shared_ptr<Store> store;
    std::shared_ptr<Gateway> gateway;
    std::function<void()> on_change;  ///< on the supervisor's thread, after the gateway knows
  };

  static Result<std::unique_ptr<Launches>> start(Config config);
  ~Launches();
  Launches(const Launches&) = delete;
  Launches& operator=(const Launches&) = delete;

  /// Those that were kept, less `replaced`. Errors are of the state file.
  Status restore(const std::vector<std::string>& replaced);

  /// kConflict as kInvalidArgument with param "model_uid": there is one of that name. `keep`: over
  /// a restart.
  Status add(LaunchSpec spec, bool keep);

  /// Ends its engines, after their replies. False: there is none of that name.
  bool remove(const std::string& uid);

  /// One replica more; its number. kNotFound, or kInvalidArgument beyond kMostReplicas.
  Result<uint64_t> add_replica(const std::string& uid);
  /// One less; how many are left. kNotFound. The last one cannot be taken: remove() does.
  Result<int64_t> remove_replica(const std::string& uid, uint64_t id);

  /// In the order of their names.
  std::vector<LaunchView> all() const;
  std::optional<LaunchView> find(const std::string& uid) const;

  Result<std::vector<LaunchEvent>> events(const std::string& uid) const;
  /// The last lines that a replica's engine wrote.
  std::vector<std::string> log(uint64_t replica) const;

  /// Woken once, at the next change.
  void wake_at_change(std::shared_ptr<Waker> waker);

  /// Unloads what has been idle for long enough; call it now and then.
  void unload_idle();

  /// Ends all engines, and returns once they are gone. What is kept stays so.
  void shut_down();

 private:
  struct Launch {
    LaunchSpec spec;
    int64_t created_unix = 0;
    bool loaded = false;
    bool kept = false;
    std::vector<uint64_t> ids;
  };

  explicit Launches(Config config) : config_(std::move(config)) {}

  void changed();
  void load(const std::string& uid);
  void keep_locked(const Launch& launch);
  void load_locked(Launch& launch);
  uint64_t start_replica(const LaunchSpec& spec);
  void tell_gateway_locked(std::vector<ReplicaView> replicas);
  void note_events(const std::vector<ReplicaView>& replicas);
  LaunchView view_locked(const Launch& launch) const;

  Config config_;
  mutable std::mutex mutex_;
  std::map<std::string, Launch> launches_;
  std::vector<ReplicaView> replicas_;  // as the gateway was told
  std::vector<std::shared_ptr<Waker>> waiting_;
  std::map<uint64_t, ReplicaState> told_;   // on the supervisor's thread
  std::unique_ptr<Supervisor> supervisor_;  // last: its thread calls the others
};

}  // namespace tutti
